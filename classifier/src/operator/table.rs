//! Lines of cells, aligned.

/// What stands in a cell that has nothing to say.
pub(super) const NONE: &str = "-";

/// Between two columns.
const GAP: &str = "  ";

/// A header and lines below it. A column of numbers stands to the right, any other to the left; no
/// line ends in blanks, so that what is copied is what is seen.
pub fn table(columns: &[&str], lines: Vec<Vec<String>>) -> String {
    let numbers: Vec<bool> = (0..columns.len())
        .map(|column| lines.iter().all(|line| is_number(&line[column])))
        .collect();
    let header = columns.iter().map(|name| (*name).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(lines).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| {
            let widths = lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).zip(&numbers);
        let cells = cells.map(|((cell, width), number)| match number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        let cells: Vec<String> = cells.collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    text
}

fn is_number(cell: &str) -> bool {
    cell == NONE || cell.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_are_aligned_by_what_is_in_them() {
        let lines = vec![line(&["0", "classifier-1", "120"]), line(&["11", "-", "-"])];
        assert_eq!(
            table(&["LANE", "OWNER", "BEHIND"], lines),
            "LANE  OWNER         BEHIND\n\
             \x20  0  classifier-1     120\n\
             \x20 11  -                  -\n"
        );
    }

    #[test]
    fn without_lines_there_is_a_header() {
        assert_eq!(table(&["A", "B"], Vec::new()), "A  B\n");
    }
}

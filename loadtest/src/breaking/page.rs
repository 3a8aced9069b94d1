//! All rows and pictures as one HTML file that needs nothing else. Pure.

use std::fmt::Write as _;

use super::{
    picture::{Story, svg},
    row::{HEADINGS, Row},
};

const STYLE: &str = "\
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1b1f24; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .25rem .6rem; border-bottom: 1px solid #d5dae0; text-align: right; }
td:first-child, th:first-child { text-align: left; }
tr.bad td { background: #fde2e0; }
h2 { margin: 2.2rem 0 .2rem; font-size: 1.15rem; }
svg { width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: #57606a; }
svg path { fill: none; stroke-width: 1.6; }
.frame, .grid { stroke: #d5dae0; } svg .grid { stroke-width: .6; }
svg .broken { fill: #cf222e; fill-opacity: .08; stroke: none; }
.fault { stroke: #cf222e; } .rate { stroke: #0969da; } .p99 { stroke: #8250df; }
li { color: #57606a; }";

/// The page; a story for each row.
pub(super) fn page(rows: &[Row], stories: &[Story], failed: Option<&str>) -> String {
    let good = failed.is_none() && rows.iter().all(Row::is_good);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Faults</title>\n<style>\n{STYLE}\n</style>\n<h1>Faults under load: {}</h1>\n",
        if good {
            "nothing lost, doubled or out of order"
        } else {
            "not good"
        }
    );
    if let Some(row) = rows.first() {
        _ = writeln!(
            out,
            "<p>{} sessions in rooms of {}, {} messages a second; {} more members who are never connected, {} who vanish with the fault.</p>",
            row.sessions, row.room_size, row.rate, row.absent, row.leaving
        );
    }
    if let Some(failed) = failed {
        _ = writeln!(out, "<p>It ended early: {}</p>", escaped(failed));
    }
    out.push_str("<table>\n<tr>");
    for heading in HEADINGS {
        _ = write!(out, "<th>{heading}</th>");
    }
    out.push_str("</tr>\n");
    for row in rows {
        let class = if row.is_good() { "" } else { " class=\"bad\"" };
        _ = write!(out, "<tr{class}>");
        for cell in row.cells() {
            _ = write!(out, "<td>{}</td>", escaped(&cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
    for (row, story) in rows.iter().zip(stories) {
        _ = writeln!(out, "<h2>{}</h2>\n{}", escaped(&row.name), svg(story));
        if !row.remarks.is_empty() {
            out.push_str("<ul>\n");
            for remark in &row.remarks {
                _ = writeln!(out, "<li>{}</li>", escaped(remark));
            }
            out.push_str("</ul>\n");
        }
    }
    out.push_str("</html>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_nothing_else_and_marks_what_is_bad() {
        let row = |name: &str, lost| Row {
            name: name.to_owned(),
            failings: crate::failings::Failings {
                lost,
                ..Default::default()
            },
            remarks: vec!["<b> & more".to_owned()],
            ..Row::default()
        };
        let rows = [row("was-kill", 0), row("redis-flush", 3)];
        let stories = rows.clone().map(|row| Story {
            name: row.name,
            repaired: 1.0,
            points: Vec::new(),
        });
        let page = page(&rows, &stories, None);
        assert_eq!(page.matches("<svg").count(), 2);
        assert_eq!(page.matches("class=\"bad\"").count(), 1);
        assert!(page.contains("not good") && page.contains("&lt;b&gt; &amp; more"));
        for link in ["href", "src=", "url(", "http"] {
            assert!(!page.contains(link), "{link}");
        }
    }

    #[test]
    fn what_ended_early_is_not_good() {
        assert!(page(&[Row::default()], &[], None).contains("nothing lost"));
        assert!(page(&[Row::default()], &[], Some("why")).contains("not good"));
    }
}

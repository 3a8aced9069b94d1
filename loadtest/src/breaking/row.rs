//! What is told of one fault. Pure.

use serde::Serialize;

use super::times::{Spread, Times};
use crate::{failings::Failings, oracle::Verdict};

/// One fault and what became of the messages. The oracle's counts are over the whole round, before and after the fault.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Row {
    /// The fault.
    pub name: String,
    /// Sessions.
    pub sessions: usize,
    /// Members with a session in a room.
    pub room_size: usize,
    /// Further members who are never connected.
    pub absent: usize,
    /// Further members on the first gateway who were gone for good when the fault began.
    pub leaving: usize,
    /// Messages a second that were due.
    pub rate: f64,
    /// Messages handed to their senders' clients.
    pub issued: u64,
    /// Of these, promised by the servers.
    pub accepted: u64,
    /// Arrivals at recipients; the sender is one of them.
    pub delivered: u64,
    /// What must be 0.
    #[serde(flatten)]
    pub failings: Failings,
    /// Pairs of a message and a user that the push worker told of.
    pub pushed: u64,
    /// Pairs of an accepted message and a member whom it did not reach because it was not connected, of which it was not
    /// told.
    pub unpushed: u64,
    /// Sessions that the fault is about: on the gateways it hit, else all.
    pub affected: usize,
    /// How many times a client came back after it had lost its connection.
    pub resumed: usize,
    /// Gaps told: more was missed than is replayed. What lies in them counts as lost.
    pub gaps: u64,
    /// 99 of 100 of the affected had a message again that was due after the fault, in ms since the fault; none when
    /// nobody had.
    pub first_delivery_ms: Option<f64>,
    /// The same over the affected.
    pub first_delivery_by_client_ms: Option<Spread>,
    /// From the fault to the last late arrival, over the affected, in ms.
    pub caught_up_ms: Spread,
    /// From the fault until all that was broken stood again, in ms.
    pub lasted_ms: f64,
    /// The 99th percentile from due to arrival before the fault, in ms.
    pub steady_p99_ms: f64,
    /// What took longer counts as late, in ms.
    pub late_ms: f64,
    /// Accepted while nothing may be accepted; none where that is no question.
    pub accepted_meanwhile: Option<u64>,
    /// In words: what else was seen, and the first of what went wrong.
    pub remarks: Vec<String>,
}

impl Row {
    /// Nothing lost, doubled, out of order, misnumbered, foreign, refused, left open or not told, and nothing accepted
    /// while nothing could be.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        let accepted_meanwhile = match self.accepted_meanwhile {
            Some(count) => count,
            None => 0,
        };
        self.failings.is_empty() && self.unpushed + accepted_meanwhile == 0
    }

    pub(super) fn judge(&mut self, verdict: Verdict) {
        self.issued = verdict.issued;
        self.accepted = verdict.accepted;
        self.delivered = verdict.delivered;
        self.failings = Failings::from(&verdict);
        self.remarks.extend(verdict.details.into_iter().take(8));
    }

    pub(super) fn time(&mut self, times: &Times) {
        self.first_delivery_ms = times.first.map(|first| first.p99);
        self.first_delivery_by_client_ms = times.first;
        self.caught_up_ms = times.caught_up;
        self.steady_p99_ms = times.steady_p99_ms;
        self.late_ms = times.late_ms;
        if times.silent > 0 {
            let silent = times.silent;
            self.remarks.push(format!(
                "{silent} clients had nothing that was due after the fault"
            ));
        }
    }

    /// The columns of [`HEADINGS`].
    pub(crate) fn cells(&self) -> [String; 10] {
        let first = self
            .first_delivery_ms
            .map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0}"));
        let Spread { p50, p99, max } = self.caught_up_ms;
        [
            self.name.clone(),
            self.accepted.to_string(),
            self.delivered.to_string(),
            self.failings.lost.to_string(),
            self.failings.duplicated.to_string(),
            self.failings.out_of_order.to_string(),
            self.resumed.to_string(),
            self.pushed.to_string(),
            first,
            format!("{p50:.0} / {p99:.0} / {max:.0}"),
        ]
    }
}

/// What stands above the columns.
pub(super) const HEADINGS: [&str; 10] = [
    "fault",
    "accepted",
    "delivered",
    "lost",
    "doubled",
    "out of order",
    "resumed",
    "pushed",
    "first delivery ms",
    "caught up p50 / p99 / max ms",
];

/// The rows as a table that reads well in a terminal and is one in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines: Vec<Vec<String>> = vec![HEADINGS.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| row.cells().to_vec()));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let cell = if at == 0 {
                format!("| {cell:<width$} |")
            } else {
                format!(" {cell:>width$} |")
            };
            out.push_str(&cell);
        }
        out.push('\n');
        if number == 0 {
            for (at, width) in widths.iter().enumerate() {
                let (left, right) = if at == 0 { ("|", " ") } else { ("", ":") };
                out.push_str(&format!("{left} {}{right}|", "-".repeat(*width)));
            }
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row is judged by each of its counts alone.
    #[test]
    fn one_of_anything_bad_is_bad() {
        assert!(Row::default().is_good());
        let spoilt: [fn(&mut Row); 3] = [
            |row| row.failings.lost = 1,
            |row| row.unpushed = 1,
            |row| row.accepted_meanwhile = Some(1),
        ];
        for spoil in spoilt {
            let mut row = Row {
                accepted_meanwhile: Some(0),
                ..Row::default()
            };
            assert!(row.is_good());
            spoil(&mut row);
            assert!(!row.is_good(), "{row:?}");
        }
    }

    #[test]
    fn json_has_the_promised_names() {
        let row = Row {
            name: "was-kill".to_owned(),
            first_delivery_ms: Some(1.5),
            ..Row::default()
        };
        let json = serde_json::to_value(&row).unwrap();
        for name in "accepted delivered lost duplicated out_of_order resumed pushed".split(' ') {
            assert_eq!(json[name], 0, "{name}");
        }
        assert_eq!(
            (&json["name"], &json["first_delivery_ms"]),
            (&"was-kill".into(), &1.5.into())
        );
        for quantile in ["p50", "p99", "max"] {
            assert_eq!(json["caught_up_ms"][quantile], 0.0);
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let row = |name: &str, accepted| Row {
            name: name.to_owned(),
            accepted,
            ..Row::default()
        };
        let table = table(&[row("was-kill", 1_000), row("rolling-restart", 7)]);
        let lengths: Vec<_> = table.lines().map(str::len).collect();
        assert_eq!(lengths.len(), 4);
        assert!(
            lengths.iter().all(|length| *length == lengths[0]),
            "{table}"
        );
        assert!(table.contains("| was-kill        |     1000 |"), "{table}");
        assert!(table.contains(" never |"), "{table}");
    }
}

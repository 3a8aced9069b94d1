//! What a run tells at its end: as JSON for programs, as lines for people.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{away::Away, latency::Percentiles, oracle::Verdict, processes::Usage};

/// The result of `loadtest run`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Sessions.
    pub users: usize,
    /// Members in a room.
    pub room_size: usize,
    /// Messages a second that were due.
    pub rate: f64,
    /// The measured time.
    pub seconds: f64,
    /// Bytes in a body.
    pub body: usize,
    /// Messages due in the measured time and handed to their senders' clients.
    pub issued: u64,
    /// Of these, promised by the servers.
    pub accepted: u64,
    /// First arrivals of these, at all members of their rooms, their senders included.
    pub delivered: u64,
    /// Accepted messages missing at a recipient, per recipient; the warm-up's too.
    pub lost: u64,
    /// Arrivals of what the recipient had; the warm-up's too.
    pub duplicated: u64,
    /// Arrivals below a number that the recipient had; the warm-up's too.
    pub out_of_order: u64,
    /// Messages with two numbers, numbers with two messages; the warm-up's too.
    pub misnumbered: u64,
    /// Arrivals of what nobody issued, or at who is no member.
    pub foreign: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Neither promised nor refused when the run ended.
    pub unanswered: u64,
    /// Due, but the sender's outbox was full.
    pub outbox_full: u64,
    /// `unavailable` and `rate_limited`, each sent again.
    pub delayed: u64,
    /// From when a message was due to `accepted`, in ms.
    pub accepted_ms: Percentiles,
    /// From when a message was due to its arrival at each member other than its sender, in ms.
    pub received_ms: Percentiles,
    /// Processor time of the whole system per arrival in the measured time; none without `--stack`.
    pub cpu_us_per_delivery: Option<f64>,
    /// Absences of clients.
    pub away_ms: Away,
    /// By process; empty without `--stack`.
    pub processes: BTreeMap<String, Usage>,
    /// Faults and strange things in words, the first few.
    pub details: Vec<String>,
}

impl Report {
    /// Whether nothing was lost, doubled, out of order, misnumbered, foreign, refused or left open.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.lost + self.duplicated + self.out_of_order + self.misnumbered + self.foreign == 0
            && self.rejected + self.unanswered + self.outbox_full == 0
    }

    pub(crate) fn judge(&mut self, verdict: Verdict) {
        self.lost = verdict.lost;
        self.duplicated = verdict.duplicated;
        self.out_of_order = verdict.out_of_order;
        self.misnumbered = verdict.conflicting;
        self.foreign = verdict.foreign;
        self.rejected = verdict.rejected;
        self.unanswered = verdict.unanswered;
        self.details = verdict.details;
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            users,
            room_size,
            rate,
            seconds,
            body,
            ..
        } = self;
        writeln!(
            f,
            "{users} sessions in rooms of {room_size}, {rate} messages a second of {body} bytes for {seconds} s"
        )?;
        let Self {
            issued,
            accepted,
            delivered,
            lost,
            duplicated,
            out_of_order,
            ..
        } = self;
        writeln!(
            f,
            "issued {issued}, accepted {accepted}, delivered {delivered}"
        )?;
        writeln!(
            f,
            "lost {lost}, doubled {duplicated}, out of order {out_of_order}"
        )?;
        let others = [
            ("misnumbered", self.misnumbered),
            ("foreign", self.foreign),
            ("rejected", self.rejected),
            ("unanswered", self.unanswered),
            ("outbox full", self.outbox_full),
            ("delayed", self.delayed),
        ];
        for (what, number) in others.iter().filter(|(_, number)| *number > 0) {
            writeln!(f, "{what} {number}")?;
        }
        writeln!(f, "send→accepted: {}", self.accepted_ms)?;
        writeln!(f, "send→received: {}", self.received_ms)?;
        if self.away_ms.count > 0 {
            writeln!(f, "{}", self.away_ms)?;
        }
        if let Some(cpu) = self.cpu_us_per_delivery {
            writeln!(f, "processor time of the system: {cpu:.0} µs a delivery")?;
        }
        for (name, usage) in &self.processes {
            writeln!(
                f,
                "  {name:<14} {:>7.2} s  {:>7.0} MiB",
                usage.cpu_seconds, usage.memory_mib
            )?;
        }
        for detail in self.details.iter().take(40) {
            writeln!(f, "  {detail}")?;
        }
        Ok(())
    }
}

//! What a run tells at its end: as JSON for programs, as lines for people.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{away::Away, failings::Failings, latency::Percentiles, processes::Usage};

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
    /// What must be 0; the warm-up's too.
    #[serde(flatten)]
    pub failings: Failings,
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
        self.failings.is_empty() && self.outbox_full == 0
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
            failings,
            ..
        } = self;
        writeln!(
            f,
            "issued {issued}, accepted {accepted}, delivered {delivered}"
        )?;
        writeln!(f, "{failings}")?;
        let others = [("outbox full", self.outbox_full), ("delayed", self.delayed)];
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

//! What every task of the pipeline works with.

use std::time::Duration;

use protocol::{Home, UserId};
use service::kafka::Topics;
use service::trace::{Span, Tracer};
use tokio_util::sync::CancellationToken;

use crate::metrics::ClassifierMetrics;
use crate::ports::{Outgoing, Outside, Routes, Sink, Whereabouts};
use crate::room::Rules;

/// How long a lane's or member's lease runs without renewal.
pub const LEASE: Duration = Duration::from_secs(2);
/// How often idle lanes are renewed and the table is looked at.
pub const RENEWAL: Duration = Duration::from_millis(500);

/// Shared by owner, workers, routers and the signals task.
#[derive(Debug)]
pub struct Context<O: Outside> {
    /// Postgres.
    pub ledger: O::Ledger,
    /// Kafka, read.
    pub source: O::Lanes,
    /// Kafka, written.
    pub publish: O::Publish,
    /// Redis.
    pub routes: O::Routes,
    /// This classifier's name: the owner in its lanes' rows.
    pub name: String,
    /// How many lanes there are.
    pub lanes: i32,
    /// How many homes there are: 1 to `homes`.
    pub homes: i32,
    /// What an operator set.
    pub rules: Rules,
    /// The names of the topics, for `chat-dlq`.
    pub topics: Topics,
    /// Traces what is sampled where it entered.
    pub tracer: Tracer,
    /// Counts and times.
    pub metrics: ClassifierMetrics,
    /// Cancelled when the process stops: nothing that fails is waited for any more.
    pub stop: CancellationToken,
}

impl<O: Outside> Context<O> {
    /// Whether there is such a home. Commands and routes name any number, and a record for a partition
    /// that does not exist could never be sent (I11): one without a home is as good as none.
    pub fn has_home(&self, home: Home) -> bool {
        (1..=self.homes).contains(&home.0)
    }

    /// A record is sent, if it is traced.
    pub fn sends(&self, record: &Outgoing) -> Option<Span> {
        let topic = match record.sink {
            Sink::Home(_) | Sink::Broadcast => self.topics.receive(),
            Sink::Push => self.topics.push(),
            Sink::Dlq => self.topics.dlq(),
        };
        let mut span = self.tracer.sends(record.trace, topic)?;
        if let Sink::Home(home) = record.sink {
            span.note("messaging.destination.partition.id", home.to_string());
        }
        Some(span)
    }

    /// Where users are, as [`Routes::homes`] says: a failure is counted here. A route to a home
    /// that does not exist is none, and is counted.
    pub async fn homes_of(&self, users: &[UserId]) -> Whereabouts {
        let mut found = self.routes.homes(users).await;
        if let Some(error) = &found.failure {
            self.metrics.route_failures.inc();
            // Told once by who reads them.
            tracing::debug!(%error, users = users.len(), "routes were not read");
        }
        for (user, homes) in &mut found.known {
            homes.retain(|home| {
                let exists = self.has_home(*home);
                if !exists {
                    self.metrics.no_such_home("route");
                    tracing::error!(%user, %home, "a route names a home that does not exist");
                }
                exists
            });
        }
        found
    }
}

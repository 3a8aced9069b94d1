//! Finding brokers again when librdkafka has lost all of them.
//!
//! librdkafka drops every broker that an answer about the cluster does not name. A broker that stood still for
//! longer than its session, in a cluster where no other is there, names none, not even itself. All are
//! dropped then, "all brokers are down" is told, and librdkafka begins again with `bootstrap.servers`: unless
//! another answer comes in the same moment. That stops the timer by which it was to begin, and leaves the mark
//! that it has begun (`rd_kafka_rebootstrap` and `rd_kafka_rebootstrap_tmr_stop` of 2.12.1), so that it never
//! does: a client without brokers, whose commits are not answered and whose partitions stand still. It was seen
//! in two of eleven pauses of a broker on a busy machine.
//!
//! So when all brokers are down we ask whether one is there, and name them anew until one is. It is not always told: brokers that an
//! answer did not name are dropped without a word when the connection was lost before. So we ask as well when a question
//! of ours, a commit or a record was not answered.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode as Code};

use super::native;

/// From the doubt to the first question: mostly librdkafka has found one again by then.
const FIRST: Duration = Duration::from_secs(1);
/// The longest time between two questions. librdkafka keeps what it is told each time.
const LONGEST: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
const ASK: Duration = Duration::from_millis(500);

/// Whether a client has lost its brokers, as far as it is known.
pub(super) struct Regain {
    brokers: CString,
    due: Mutex<Option<Due>>,
}

/// The next question.
struct Due {
    at: Instant,
    /// From there to the one after it.
    pause: Duration,
}

impl Regain {
    /// For a client of these brokers, as `bootstrap.servers` has them.
    pub(super) fn new(brokers: &str) -> Self {
        Self {
            // A zero byte is nothing that the settings let through.
            brokers: CString::new(brokers).unwrap_or_default(),
            due: Mutex::new(None),
        }
    }

    /// Hears what went wrong.
    pub(super) fn hear(&self, error: &Native) {
        if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
            self.doubt();
        }
    }

    /// Something was not answered, or can't have been.
    pub(super) fn doubt(&self) {
        let at = Instant::now() + FIRST;
        self.lock().get_or_insert(Due { at, pause: FIRST });
    }

    /// Asks, when it is time to, and names the brokers anew if none is there. Blocks for half a second at most, and only
    /// while none is known to be there.
    pub(super) fn look<C: ClientContext>(&self, client: &Client<C>) {
        let is_due = |due: &Option<Due>| due.as_ref().is_some_and(|due| due.at <= Instant::now());
        if !is_due(&self.lock()) {
            return;
        }
        // An answer that names none comes from a broker that is no part of its cluster yet.
        let found = native::brokers(client, ASK).is_some_and(|count| count > 0);
        if !found {
            tracing::info!("no broker is there: those of kafka.brokers are named anew");
            native::add_brokers(client, &self.brokers);
        }
        let mut due = self.lock();
        *due = due.take().filter(|_| !found).map(|Due { pause, .. }| Due {
            at: Instant::now() + pause,
            pause: (pause * 2).min(LONGEST),
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Due>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The one catch-up routine: hello, gap, settle and audit ask here, and sessions share a query as
//! long as it has not been sent yet (trap 8).

use std::sync::Arc;

use protocol::ServerFrame;
use store::{Baseline, CatchUpRequest, RoomCatchUp, Scope, Store};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::metrics::Observed;
use crate::session::{Answer, RoomAnswer, Rooms};
use crate::socket::{Bound, Item, Mailbox};

/// Sessions that share one query at most.
const SHARE: usize = 32;
/// Content that one query may find for all its sessions, in bytes: it is in memory at once (I9).
const QUERY_BYTES: usize = 32 * 1024 * 1024;
/// Content that one session is replayed at most, in bytes; its part of a full query holds any one
/// event.
const SESSION_BYTES: usize = 4 * 1024 * 1024;
/// Queries under way at once; meanwhile the others' sessions gather.
const QUERIES: usize = 4;
/// Sessions that may wait; more are told to come back.
const WAITING: usize = 100_000;

/// One session's question, and where its answer goes.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub request: CatchUpRequest,
    /// The number to answer with.
    pub number: u32,
    /// Whose.
    pub mailbox: Arc<Mailbox>,
}

/// Where questions are asked.
#[derive(Debug, Clone)]
pub struct CatchUp {
    questions: mpsc::Sender<Question>,
    bound: Bound,
}

/// What answers them.
pub struct CatchUpTask {
    questions: mpsc::Receiver<Question>,
    store: Store,
    observed: Arc<Observed>,
    bound: Bound,
    stop: CancellationToken,
}

/// The scope and baseline of a session's query.
pub fn scope(rooms: Rooms, first: bool) -> (Scope, Baseline) {
    let scope = match rooms {
        Rooms::All => Scope::AllRooms,
        Rooms::Waiting => Scope::Named,
    };
    (
        scope,
        if first {
            Baseline::Head
        } else {
            Baseline::Joined
        },
    )
}

/// The two ends.
pub fn catch_up(
    store: Store,
    observed: Arc<Observed>,
    bound: Bound,
    stop: CancellationToken,
) -> (CatchUp, CatchUpTask) {
    let (sender, questions) = mpsc::channel(WAITING);
    let task = CatchUpTask {
        questions,
        store,
        observed,
        bound,
        stop,
    };
    (
        CatchUp {
            questions: sender,
            bound,
        },
        task,
    )
}

impl CatchUp {
    /// Asks; the answer arrives in the mailbox.
    pub fn ask(&self, question: Question) {
        if let Err(refused) = self.questions.try_send(question) {
            let question = refused.into_inner();
            question
                .mailbox
                .push(Item::Answered(question.number, None), self.bound);
        }
    }
}

impl CatchUpTask {
    /// Answers until stopped.
    pub async fn run(mut self) {
        let permits = Arc::new(Semaphore::new(QUERIES));
        loop {
            let mut batch = Vec::new();
            // The permit first: while none is free, questions gather.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                taken = self.questions.recv_many(&mut batch, SHARE) => if taken == 0 { return },
            }
            let (store, observed, bound) =
                (self.store.clone(), Arc::clone(&self.observed), self.bound);
            tokio::spawn(async move {
                answer(&store, &observed, bound, batch).await;
                drop(permit);
            });
        }
    }
}

async fn answer(store: &Store, observed: &Observed, bound: Bound, batch: Vec<Question>) {
    let (requests, askers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|q| (q.request, (q.number, q.mailbox)))
        .unzip();
    observed
        .catch_up_sessions
        .observe(f64::from(u32::try_from(askers.len()).unwrap_or(0)));
    let timer = observed.catch_up_seconds.start_timer();
    let bytes = (QUERY_BYTES / askers.len().max(1)).min(SESSION_BYTES);
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let found = store.catch_up(&requests, bytes).await;
    timer.observe_duration();
    match found {
        Ok(answers) if answers.len() == askers.len() => {
            for ((number, mailbox), answer) in askers.into_iter().zip(answers) {
                let answer = match answer {
                    Ok(answer) => Some(Box::new(Answer {
                        rooms: answer.rooms.into_iter().map(room).collect(),
                    })),
                    Err(error) => {
                        observed.catch_up_errors.inc();
                        tracing::error!(%error, "one session's catch-up failed");
                        None
                    }
                };
                mailbox.push(Item::Answered(number, answer), bound);
            }
        }
        other => {
            observed.catch_up_errors.inc();
            match other {
                Err(error) => tracing::warn!(%error, "catch-up failed"),
                Ok(answers) => {
                    tracing::error!(asked = askers.len(), answered = answers.len(), "catch-up");
                }
            }
            for (number, mailbox) in askers {
                mailbox.push(Item::Answered(number, None), bound);
            }
        }
    }
}

fn room(found: RoomCatchUp) -> RoomAnswer {
    let room = found.room;
    let mark = |(user, upto)| ServerFrame::Read { room, user, upto }.encode();
    RoomAnswer {
        room,
        from: found.from,
        clamped: found.clamped,
        head: found.head,
        gap: found.gap,
        events: found
            .events
            .iter()
            .map(|event| (event.seq, event.to_frame()))
            .collect(),
        marks: found.marks.into_iter().map(mark).collect(),
    }
}

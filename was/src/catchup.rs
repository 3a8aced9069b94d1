//! The one catch-up routine: hello, gap, settle and audit ask here, and sessions share a query as
//! long as it has not been sent yet (trap 8).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use protocol::{Limits, ServerFrame, UserId};
use store::{Baseline, CatchUpAnswer, CatchUpRequest, RoomCatchUp, Scope, Store, StoreError};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::metrics::Observed;
use crate::session::{Answer, Query, RoomAnswer, Rooms};
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

/// What answers: the store.
pub trait Source: Clone + Send + Sync + 'static {
    /// Answers many sessions at once, in their order, each with at most so many bytes of content.
    fn catch_up(
        &self,
        requests: &[CatchUpRequest],
        max_bytes: i64,
    ) -> impl Future<Output = Found> + Send;
}

/// What is found for many sessions: all, or for each.
pub type Found = Result<Vec<Result<CatchUpAnswer, StoreError>>, StoreError>;

impl Source for Store {
    async fn catch_up(&self, requests: &[CatchUpRequest], max_bytes: i64) -> Found {
        Self::catch_up(self, requests, max_bytes).await
    }
}

/// One session's question, and where its answer goes.
#[derive(Debug)]
struct Question {
    request: CatchUpRequest,
    number: u32,
    mailbox: Arc<Mailbox>,
}

/// Where questions are asked.
#[derive(Debug, Clone)]
pub struct CatchUp {
    /// Of sessions that wait for the answer: hello and gap.
    urgent: mpsc::Sender<Question>,
    /// Of sessions that go on meanwhile: settle and audit.
    patient: mpsc::Sender<Question>,
    bound: Bound,
}

/// What answers them.
pub struct CatchUpTask<S> {
    urgent: mpsc::Receiver<Question>,
    patient: mpsc::Receiver<Question>,
    stop: CancellationToken,
    answering: Answering<S>,
}

#[derive(Clone)]
struct Answering<S> {
    source: S,
    observed: Arc<Observed>,
    bound: Bound,
}

/// The two ends.
pub fn catch_up<S: Source>(
    source: S,
    observed: Arc<Observed>,
    bound: Bound,
    stop: CancellationToken,
) -> (CatchUp, CatchUpTask<S>) {
    let (urgent, urgent_questions) = mpsc::channel(WAITING);
    let (patient, patient_questions) = mpsc::channel(WAITING);
    let task = CatchUpTask {
        urgent: urgent_questions,
        patient: patient_questions,
        stop,
        answering: Answering {
            source,
            observed,
            bound,
        },
    };
    let asking = CatchUp {
        urgent,
        patient,
        bound,
    };
    (asking, task)
}

impl CatchUp {
    /// Asks for a session of `user`; the answer arrives in the mailbox.
    pub fn ask(&self, user: UserId, query: Query, limits: &Limits, mailbox: &Arc<Mailbox>) {
        // A device that names no cursor at all has seen nothing yet, and begins now. Of one that
        // does, a room without a cursor is one that the user was added to since.
        let baseline = if query.first && query.cursors.is_empty() {
            Baseline::Head
        } else {
            Baseline::Joined
        };
        let (scope, waits) = match query.rooms {
            Rooms::All => (Scope::AllRooms, query.first),
            Rooms::Waiting => (Scope::Named, true),
        };
        let question = Question {
            request: CatchUpRequest {
                user,
                cursors: query.cursors,
                scope,
                baseline,
                marks: query.marks,
                max_per_room: limits.replay_room,
                max_total: limits.replay_total,
            },
            number: query.number,
            mailbox: Arc::clone(mailbox),
        };
        let questions = if waits { &self.urgent } else { &self.patient };
        if let Err(refused) = questions.try_send(question) {
            refused.into_inner().answer(None, self.bound);
        }
    }
}

impl Question {
    fn answer(self, answer: Option<Box<Answer>>, bound: Bound) {
        self.mailbox
            .push(Item::Answered(self.number, answer), bound);
    }
}

impl<S: Source> CatchUpTask<S> {
    /// Answers until stopped.
    pub async fn run(mut self) {
        let permits = Arc::new(Semaphore::new(QUERIES));
        loop {
            // The permit first: while none is free, questions gather.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let first = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                first = self.urgent.recv() => first,
                first = self.patient.recv() => first,
            };
            let mut batch = Vec::from_iter(first);
            if batch.is_empty() {
                return;
            }
            while batch.len() < SHARE
                && let Ok(next) = self.urgent.try_recv().or_else(|_| self.patient.try_recv())
            {
                batch.push(next);
            }
            let answering = self.answering.clone();
            tokio::spawn(async move {
                answering.answer(batch).await;
                drop(permit);
            });
        }
    }
}

impl<S: Source> Answering<S> {
    /// Answers all of a batch. What is refused may be the fault of one: the others are asked for
    /// again without it, by halves.
    async fn answer(&self, batch: Vec<Question>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            // In a reconnect storm many have given up by the time it is their turn.
            part.retain(|question| !question.mailbox.is_gone());
            if part.is_empty() {
                continue;
            }
            let error = match self.ask(&part).await {
                Ok(answers) => {
                    for (question, answer) in part.into_iter().zip(answers) {
                        self.tell(question, answer);
                    }
                    continue;
                }
                Err(error) => error,
            };
            if part.len() > 1 && says_no(&error) {
                let rest = part.split_off(part.len() / 2);
                parts.push(rest);
                parts.push(part);
                continue;
            }
            self.observed.catch_up_failures.inc();
            tracing::warn!(%error, sessions = part.len(), "catch-up failed");
            for question in part {
                question.answer(None, self.bound);
            }
        }
    }

    async fn ask(&self, questions: &[Question]) -> Found {
        let requests: Vec<_> = questions.iter().map(|q| q.request.clone()).collect();
        let observed = &self.observed;
        observed
            .catch_up_sessions
            .observe(f64::from(u32::try_from(requests.len()).unwrap_or(0)));
        let _timer = observed.catch_up_seconds.start_timer();
        let bytes = (QUERY_BYTES / requests.len().max(1)).min(SESSION_BYTES);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let answers = self.source.catch_up(&requests, bytes).await?;
        if answers.len() == requests.len() {
            Ok(answers)
        } else {
            let (asked, answered) = (requests.len(), answers.len());
            let mismatch = format!("{asked} sessions asked, {answered} were answered");
            Err(StoreError::Corrupt(mismatch))
        }
    }

    fn tell(&self, question: Question, answer: Result<CatchUpAnswer, StoreError>) {
        let answer = match answer {
            Ok(answer) => Some(Box::new(Answer {
                rooms: answer.rooms.into_iter().map(room).collect(),
            })),
            Err(error) => {
                self.observed.catch_up_failures.inc();
                tracing::error!(%error, "one session's catch-up failed");
                None
            }
        };
        question.answer(answer, self.bound);
    }
}

/// Whether the database is there and does not do what was asked: a smaller part it may do. While it
/// is away, whoever asks is told so at once.
fn says_no(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::Unknown { .. } | StoreError::Unavailable { source: None, .. }
    )
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

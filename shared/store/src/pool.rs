//! The pool, and the one way in which statements run.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool, PoolError};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connect::Way;
use crate::observe::Unobserved;
use crate::statement::Statement;
use crate::{Outcome, QueryObserver, StoreError, StoreSettings};

/// How much later than the server the caller gives up: long enough for the server's own answer to
/// arrive, so that most timeouts are known not to have been done.
const GRACE: Duration = Duration::from_secs(1);

/// How long the server may take over the first question: who starts is in no hurry, and would end for it. A server that
/// refuses is not waited for.
const FIRST: Duration = Duration::from_secs(30);

/// Parameters of a statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

const PING: Statement = Statement::new("ping", "select 1");

/// The way to Postgres: cheap to clone, one pool behind all clones.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    way: Way,
    statement_timeout: Duration,
    observer: Arc<dyn QueryObserver>,
}

/// How busy the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub open: usize,
    /// Of these, idle ones.
    pub idle: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// The most that may be open.
    pub max: usize,
}

impl PoolState {
    /// Each figure under a word, as the label of a metric.
    pub const fn figures(self) -> [(&'static str, usize); 4] {
        [
            ("open", self.open),
            ("idle", self.idle),
            ("waiting", self.waiting),
            ("max", self.max),
        ]
    }
}

/// When a call must be where: one deadline for all that it waits for.
#[derive(Clone, Copy)]
struct Deadline {
    started: Instant,
    whole: Duration,
}

impl Deadline {
    fn begin(whole: Duration) -> Self {
        Self {
            started: Instant::now(),
            whole,
        }
    }

    /// The statement is sent at half time, or never: what were sent with no time left would only be
    /// unknown.
    fn sent(self) -> Instant {
        self.started + self.whole / 2
    }

    fn answered(self) -> Instant {
        self.started + self.whole
    }
}

/// A connection on loan. One that is dropped while a statement runs on it, because the caller gave
/// up or was cancelled, leaves the pool: the next caller would wait for that statement's end.
struct Loan(Option<Object>);

impl Loan {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

impl Store {
    /// The names of all statements, as [`QueryObserver`]s are told them.
    pub const STATEMENTS: &'static [&'static str] = &[
        PING.name,
        crate::append::APPEND.name,
        crate::catchup::CATCH_UP.name,
        crate::lanes::ENSURE.name,
        crate::lanes::HEARTBEAT.name,
        crate::lanes::TABLE.name,
        crate::lanes::CLAIM.name,
        crate::lanes::CUT_BACK.name,
        crate::lanes::RELEASE.name,
        crate::lanes::LEAVE.name,
        crate::rooms::LOAD_ROOMS.name,
        crate::rooms::LOAD_MESSAGES.name,
        crate::rooms::FIND_EVENTS.name,
        crate::rooms::RAISE_MARKS.name,
        crate::read::RESERVE_ROOM.name,
        crate::read::ROOMS_OF.name,
        crate::read::CROWDED.name,
        crate::read::ROOM.name,
        crate::read::HISTORY_AFTER.name,
        crate::read::HISTORY_BEFORE.name,
        crate::read::FIND_OUTCOME.name,
        crate::read::CREATE_USER.name,
        crate::read::NAMES.name,
        crate::devices::REGISTER.name,
        crate::devices::DEVICES.name,
        crate::devices::REMOVE.name,
        crate::notices::NOTICES.name,
        crate::pushes::ENSURE.name,
        crate::pushes::HEARTBEAT.name,
        crate::pushes::TABLE.name,
        crate::pushes::CLAIM.name,
        crate::pushes::RELEASE.name,
        crate::pushes::LEAVE.name,
    ];

    /// Makes the pool and checks that the server answers.
    pub async fn connect(settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::connect_observed(settings, Arc::new(Unobserved)).await
    }

    /// [`connect`](Self::connect), with somebody who is told of every statement.
    pub async fn connect_observed(
        settings: &StoreSettings,
        observer: Arc<dyn QueryObserver>,
    ) -> Result<Self, StoreError> {
        let way = Way::to(settings)?;
        let pool = Pool::builder(way.manager(settings))
            .max_size(settings.pool_size.max(1))
            .build()
            .map_err(|error| StoreError::Settings {
                setting: "postgres.pool",
                reason: error.to_string(),
            })?;
        let store = Self {
            inner: Arc::new(Inner {
                pool,
                way,
                statement_timeout: settings.statement_timeout,
                observer,
            }),
        };
        store.run_within(FIRST, &PING, &[]).await?;
        Ok(store)
    }

    /// Whether the server answers, for readiness.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.run(&PING, &[]).await.map(drop)
    }

    /// How busy the pool is, for metrics.
    pub fn pool_state(&self) -> PoolState {
        let status = self.inner.pool.status();
        PoolState {
            open: status.size,
            idle: status.available,
            waiting: status.waiting,
            max: status.max_size,
        }
    }

    /// The way to connections outside the pool.
    pub(crate) fn way(&self) -> &Way {
        &self.inner.way
    }

    /// Runs one statement on a connection of the pool.
    pub(crate) async fn run(
        &self,
        statement: &'static Statement,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let whole = self.inner.statement_timeout + GRACE;
        self.run_within(whole, statement, params).await
    }

    async fn run_within(
        &self,
        whole: Duration,
        statement: &'static Statement,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let deadline = Deadline::begin(whole);
        let result = match self.borrow(deadline).await {
            Ok(loan) => self.run_on(loan, statement, params, deadline).await,
            Err(error) => Err(error),
        };
        self.observe(statement.name, deadline.started, &result);
        result
    }

    async fn borrow(&self, deadline: Deadline) -> Result<Loan, StoreError> {
        match timeout_at(deadline.sent(), self.inner.pool.get()).await {
            Ok(Ok(connection)) => Ok(Loan(Some(connection))),
            Ok(Err(PoolError::Backend(error))) => Err(self.inner.way.not_opened(&error)),
            Ok(Err(error)) => Err(StoreError::of_connection(&error)),
            Err(_) => Err(not_sent("no connection", deadline)),
        }
    }

    async fn run_on(
        &self,
        loan: Loan,
        statement: &'static Statement,
        params: Params<'_>,
        deadline: Deadline,
    ) -> Result<Vec<Row>, StoreError> {
        let result = match &loan.0 {
            Some(connection) => exchange(connection, statement, params, deadline).await,
            None => return Ok(Vec::new()), // it is on loan until given back below
        };
        // Only an answer from the server says that the connection is idle again.
        if result.as_ref().map_or_else(StoreError::is_answer, |_| true) {
            loan.give_back();
        }
        result
    }

    fn observe<T>(&self, name: &'static str, started: Instant, result: &Result<T, StoreError>) {
        let outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(StoreError::Unknown { .. }) => Outcome::Unknown,
            Err(StoreError::Unavailable { .. }) => Outcome::Unavailable,
            Err(_) => Outcome::Refused,
        };
        let took = started.elapsed();
        self.inner.observer.observed(name, took, outcome);
        tracing::trace!(
            statement = name,
            ?took,
            outcome = outcome.as_str(),
            "statement"
        );
    }
}

async fn exchange(
    connection: &Object,
    statement: &'static Statement,
    params: Params<'_>,
    deadline: Deadline,
) -> Result<Vec<Row>, StoreError> {
    // What fails before the statement is sent is known not to have been done.
    let prepared = timeout_at(deadline.sent(), connection.prepare_cached(statement.sql))
        .await
        .map_err(|_| not_sent("no answer", deadline))?
        .map_err(
            |error| match StoreError::of_statement(statement.name, error) {
                StoreError::Unknown { reason, .. } => StoreError::Unavailable {
                    reason,
                    source: None,
                },
                known => known,
            },
        )?;
    timeout_at(deadline.answered(), connection.query(&prepared, params))
        .await
        .map_err(|_| StoreError::Unknown {
            statement: statement.name,
            reason: format!("no answer for {} s", deadline.whole.as_secs_f32()),
        })?
        .map_err(|error| StoreError::of_statement(statement.name, error))
}

fn not_sent(what: &str, deadline: Deadline) -> StoreError {
    StoreError::Unavailable {
        reason: format!("{what} for {} s", (deadline.whole / 2).as_secs_f32()),
        source: None,
    }
}

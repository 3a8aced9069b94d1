//! Named, tracked tasks, and a stop in two stages.
//!
//! First stage (SIGTERM, SIGINT, or a task that failed): [`Lifecycle::drain`] is cancelled, and
//! tasks end by themselves. Second stage (another signal, or the deadline): what still runs is
//! dropped where it waits. Supporting tasks (the admin port, renewals) go on until all others
//! have ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a service did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A task that was to run until the drain ended before it.
    #[error("task {task} ended unasked: {reason}")]
    Task {
        /// Its name.
        task: String,
        /// How it ended.
        reason: String,
    },
    /// The deadline passed, or a second signal came.
    #[error("dropped before they ended: {}", tasks.join(", "))]
    Dropped {
        /// Tasks that still ran.
        tasks: Vec<String>,
    },
}

/// How tasks may end: an error's text, for those that return one.
pub trait Ending: Send + 'static {
    /// The error, with its causes.
    fn error(self) -> Option<String>;
}

impl Ending for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static> Ending for Result<(), E> {
    fn error(self) -> Option<String> {
        self.err().map(|error| chain(&*error.into()))
    }
}

/// An error and its causes, on one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The tasks of a service; cloning shares them.
#[derive(Clone)]
pub struct Lifecycle(Arc<Inner>);

struct Inner {
    tasks: TaskTracker,
    supporting: TaskTracker,
    drain: CancellationToken,
    abort: CancellationToken,
    ended: CancellationToken,
    deadline: Duration,
    running: Mutex<BTreeMap<u64, String>>,
    next: AtomicU64,
    failure: Mutex<Option<Failure>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Runs until the drain: ending before it is a failure.
    Lasting,
    /// As lasting, and not waited for.
    Supporting,
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

impl Lifecycle {
    /// Drains for at most `deadline`. It hears no signals until [`Lifecycle::hear_signals`].
    pub fn new(deadline: Duration) -> Self {
        Self(Arc::new(Inner {
            tasks: TaskTracker::new(),
            supporting: TaskTracker::new(),
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            ended: CancellationToken::new(),
            deadline,
            running: Mutex::default(),
            next: AtomicU64::new(0),
            failure: Mutex::default(),
        }))
    }

    /// The first SIGTERM or SIGINT drains from now on, the second aborts.
    pub fn hear_signals(&self) -> std::io::Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let lifecycle = self.clone();
        self.support("signals", async move {
            for stage in [&lifecycle.0.drain, &lifecycle.0.abort] {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::info!(again = lifecycle.0.drain.is_cancelled(), "asked to stop");
                stage.cancel();
            }
            std::future::pending::<()>().await;
        });
        Ok(())
    }

    /// Cancelled when tasks shall come to their end.
    pub fn drain(&self) -> &CancellationToken {
        &self.0.drain
    }

    /// Cancelled when there is no time left.
    pub fn abort(&self) -> &CancellationToken {
        &self.0.abort
    }

    /// Starts a task that runs until the drain. If it ends before, or with an error or a panic at
    /// any time, the service drains and fails.
    pub fn spawn<E: Ending>(
        &self,
        name: impl Into<String>,
        task: impl Future<Output = E> + Send + 'static,
    ) {
        self.start(Kind::Lasting, name.into(), task);
    }

    /// Starts a task that others need to the end: it is dropped after they have ended. If it ends
    /// before, the service drains and fails.
    pub fn support<E: Ending>(
        &self,
        name: impl Into<String>,
        task: impl Future<Output = E> + Send + 'static,
    ) {
        self.start(Kind::Supporting, name.into(), task);
    }

    /// Fails the service, by a task of this name, once `fatal` is cancelled: whoever uses a producer
    /// does that when it can't go on, as the order of what it sends is broken. Watched until `stop`.
    pub fn fatal(
        &self,
        name: impl Into<String>,
        fatal: CancellationToken,
        stop: CancellationToken,
    ) {
        self.spawn(name, async move {
            tokio::select! {
                biased;
                () = fatal.cancelled() => Err("failed for good"),
                () = stop.cancelled() => Ok(()),
            }
        });
    }

    fn start<E: Ending>(
        &self,
        kind: Kind,
        name: String,
        task: impl Future<Output = E> + Send + 'static,
    ) {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (tracker, stop) = match kind {
            Kind::Supporting => (&self.0.supporting, self.0.ended.clone()),
            Kind::Lasting => {
                lock(&self.0.running).insert(id, name.clone());
                (&self.0.tasks, self.0.abort.clone())
            }
        };
        let mut entry = Entry {
            id,
            name,
            lifecycle: self.clone(),
            open: true,
        };
        tracker.spawn(async move {
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                ending = task => Some(ending.error()),
            };
            entry.open = false;
            // One that was dropped stays in `running`, where `wait` finds it.
            if let Some(error) = ended {
                entry.end(error);
            }
        });
    }

    /// Waits until the drain is asked for and all tasks have ended, or been dropped.
    pub async fn wait(&self) -> Result<(), Failure> {
        let inner = &self.0;
        inner.drain.cancelled().await;
        tracing::info!(tasks = lock(&inner.running).len(), "draining");
        inner.tasks.close();
        tokio::select! {
            () = inner.tasks.wait() => {}
            () = inner.abort.cancelled() => {}
            () = tokio::time::sleep(inner.deadline) => tracing::warn!("the drain's time is up"),
        }
        inner.abort.cancel();
        // Dropped tasks end where they wait; one that blocks a thread must not block the exit.
        let _ = tokio::time::timeout(Duration::from_secs(1), inner.tasks.wait()).await;
        inner.ended.cancel();
        inner.supporting.close();
        // Nor must these.
        let _ = tokio::time::timeout(Duration::from_secs(1), inner.supporting.wait()).await;
        if let Some(failure) = lock(&inner.failure).take() {
            return Err(failure);
        }
        let tasks = self.running();
        if tasks.is_empty() {
            tracing::info!("drained");
            Ok(())
        } else {
            Err(Failure::Dropped { tasks })
        }
    }

    /// Names of tasks that run, supporting ones left out.
    pub fn running(&self) -> Vec<String> {
        lock(&self.0.running).values().cloned().collect()
    }

    fn fail(&self, task: &str, reason: String) {
        tracing::error!(task, %reason, "a task ended unasked");
        lock(&self.0.failure).get_or_insert(Failure::Task {
            task: task.to_owned(),
            reason,
        });
        self.0.drain.cancel();
    }
}

/// A task while it runs; dropped while open, it panicked.
struct Entry {
    id: u64,
    name: String,
    lifecycle: Lifecycle,
    open: bool,
}

impl Entry {
    fn end(&self, error: Option<String>) {
        lock(&self.lifecycle.0.running).remove(&self.id);
        let draining = self.lifecycle.0.drain.is_cancelled();
        match error {
            None if draining => {}
            None => self.lifecycle.fail(&self.name, "it returned".to_owned()),
            Some(error) => self.lifecycle.fail(&self.name, error),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Without a panic the runtime itself is being dropped, with everything in it.
        if self.open && std::thread::panicking() {
            self.end(Some("it panicked".to_owned()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! One process of a stack or cluster: started, waited for, killed, paused, resumed, started again.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    error::{Doing, Error, Result},
    process,
    ready::Probe,
    spawner,
    stack::VARIABLE,
};

/// How long a process may take to be ready: seconds, but for a machine with far too much else to do, or that stands still now
/// and then. Who ends instead is noticed at once.
const READY_WITHIN: Duration = Duration::from_mins(3);

/// How to start a process, and how to know that it is ready.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// What it is called in messages and logs: `kafka-1`, `was-2`.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<OsString>,
    /// Put before the command, outside of what sets the death signal (`unshare`, which would clear it).
    pub(crate) wrapper: Vec<OsString>,
    /// Added to the environment.
    pub(crate) env: Vec<(String, String)>,
    /// Where stdout and stderr go; appended to.
    pub(crate) log: PathBuf,
    /// How it answers when it is ready.
    pub(crate) probe: Probe,
    /// What ends it at once without leaving anything behind, and what it gets when this process dies.
    pub(crate) end: Signal,
}

impl Plan {
    fn command(&self) -> Result<Command> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .doing(|| format!("write {}", self.log.display()))?;
        let both = log
            .try_clone()
            .doing(|| format!("write {}", self.log.display()))?;
        let signal = if self.end == Signal::QUIT {
            "QUIT"
        } else {
            "KILL"
        };
        let mut words = self.wrapper.clone();
        words.extend(["setpriv", "--pdeathsig", signal, "--"].map(OsString::from));
        words.extend(self.command.iter().cloned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            // It is for tests; a service would call it an unknown setting.
            .env_remove(VARIABLE)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(both)
            // A Ctrl-C in the terminal is for the program, which then ends its children in their order.
            .process_group(0);
        Ok(command)
    }
}

/// A running (or killed) process of a stack or a cluster. Dropping it ends the process.
#[derive(Debug)]
pub struct Server {
    plan: Plan,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts the process; it may not be ready yet.
    pub(crate) fn spawn(plan: Plan) -> Result<Self> {
        let server = Self {
            plan,
            child: Mutex::new(None),
        };
        server.launch()?;
        Ok(server)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launch(&self) -> Result<()> {
        let mut child = self.child();
        let command = self.plan.command()?;
        *child = Some(spawner::spawn(command).doing(|| format!("start {}", self.plan.name))?);
        Ok(())
    }

    /// The name: `kafka-1`, `postgres`, `redis`, `was-1`, `classifier-1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The file that it writes its output to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.plan.log
    }

    /// The id of the process, if it has not been killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Whether the process is there (a paused one is).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child()
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// [`Error::Ended`] when it ends instead, [`Error::NotReady`] when it takes too long.
    pub async fn ready(&self) -> Result<()> {
        let start = Instant::now();
        let mut last = String::from("not tried");
        while start.elapsed() < READY_WITHIN {
            self.check_alive()?;
            match self.plan.probe.ask().await {
                Ok(()) => return Ok(()),
                Err(why) => last = why,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Error::NotReady {
            name: self.plan.name.clone(),
            waited: READY_WITHIN,
            last,
            tail: self.log_tail(),
        })
    }

    /// How the process ended, when it is not there any more.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        match self.child().as_mut().map(Child::try_wait) {
            Some(Ok(None)) => None,
            Some(Ok(Some(status))) => Some(status.to_string()),
            Some(Err(error)) => Some(error.to_string()),
            None => Some("it was killed".into()),
        }
    }

    /// Asks whether the process is there.
    ///
    /// # Errors
    /// [`Error::Ended`] when it isn't.
    pub fn check_alive(&self) -> Result<()> {
        self.ended().map_or(Ok(()), |status| {
            Err(Error::Ended {
                name: self.plan.name.clone(),
                status,
                tail: self.log_tail(),
            })
        })
    }

    /// `kill -9`, the process and all it started; returns when they are gone.
    pub fn kill(&self) {
        self.finish(Signal::KILL);
    }

    /// `SIGTERM`: asks the process to end; see [`Server::exited`].
    pub fn terminate(&self) {
        if let Some(pid) = self.pid() {
            process::signal_one(pid, Signal::TERM);
        }
    }

    /// `SIGSTOP`, the process and all it started: alive, connected, silent. Returns when they stand still.
    pub fn pause(&self) {
        if let Some(pid) = self.pid() {
            process::stop_all(pid);
        }
    }

    /// `SIGCONT` after [`Server::pause`].
    pub fn resume(&self) {
        if let Some(pid) = self.pid() {
            process::signal_all(pid, Signal::CONT);
        }
    }

    /// Starts it again on the same port with the same data, after killing it if it still runs; returns when it answers.
    ///
    /// # Errors
    /// As [`Server::ready`].
    pub async fn restart(&self) -> Result<()> {
        self.kill();
        self.start()?;
        self.ready().await
    }

    /// Starts it again without waiting until it is ready. Does nothing to one that runs.
    ///
    /// # Errors
    /// When the process can't be started.
    pub fn start(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        self.launch()
    }

    /// Waits until the process has ended by itself or after [`Server::terminate`].
    ///
    /// # Errors
    /// [`Error::NotReady`] when it still runs after `patience`.
    pub async fn exited(&self, patience: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(Ok(Some(status))) = self.child().as_mut().map(Child::try_wait) {
                return Ok(status);
            }
            if start.elapsed() > patience {
                return Err(Error::NotReady {
                    name: self.plan.name.clone(),
                    waited: patience,
                    last: "still running where it should have ended".into(),
                    tail: self.log_tail(),
                });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Processor time that the process (and what it started and still runs) has used.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        self.pid().map(process::cpu_time).unwrap_or_default()
    }

    /// The same in seconds.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        self.cpu_time().as_secs_f64()
    }

    /// Resident memory in bytes, of the process and what it started.
    #[must_use]
    pub fn rss(&self) -> u64 {
        self.pid().map(process::resident_bytes).unwrap_or_default()
    }

    /// What it writes: the last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.plan.log)
    }

    fn finish(&self, signal: Signal) {
        let mut slot = self.child();
        let Some(mut child) = slot.take() else {
            return;
        };
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        if signal == Signal::KILL {
            process::kill_all(child.id());
        } else {
            process::signal_all(child.id(), Signal::CONT);
            process::signal_one(child.id(), signal);
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) {
                if matches!(child.try_wait(), Ok(Some(_))) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            process::kill_all(child.id());
        }
        // Nothing outlives SIGKILL; the status of who was killed tells nothing.
        let _ = child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.finish(self.plan.end);
    }
}

/// The last 2,000 bytes or so of a file.
fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = fs::metadata(path)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2_000)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

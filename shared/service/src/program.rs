//! What `main` of a service does: `serve`, `check-config` and, where there is one, `setup`.

use std::ffi::OsStr;
use std::process::ExitCode;
use std::time::Duration;

use crate::lifecycle::chain;
use crate::settings::{Key, LogSettings, Values};
use crate::telemetry;

/// Exit code for settings that can't be used: `EX_USAGE`.
pub const BAD_SETTINGS: u8 = 64;
/// Exit code for a service that failed.
pub const FAILED: u8 = 1;

/// A service's command line. [`LogSettings`] need not be among its keys.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Its settings, in groups.
    pub keys: &'static [&'static [Key]],
    /// Sections of other programs that may share its file and environment, as `was.`.
    pub elsewhere: &'static [&'static str],
    /// Whether it has `setup`.
    pub setup: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Run until asked to stop.
    Serve,
    /// Make topics, tables and the like, and end.
    Setup,
}

enum Asked {
    Help,
    CheckConfig,
    Run(Action),
    Unknown(String),
}

/// Runs a program from this process's arguments and environment: reads its settings, then runs
/// `run` with them on a runtime. Exit codes: 0 drained, 1 failed, 64 bad settings.
pub fn main<S, F, E>(
    program: &Program,
    read: impl FnOnce(&mut Values) -> S,
    run: impl FnOnce(Action, S) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut args = std::env::args_os().skip(1);
    let asked = program.asked(args.next().as_deref());
    let action = match asked {
        Asked::Help => {
            print(&program.help());
            return ExitCode::SUCCESS;
        }
        Asked::Unknown(word) => {
            complain(&format!(
                "{} does not know {word:?}\n\n{}",
                program.name,
                program.help()
            ));
            return ExitCode::from(BAD_SETTINGS);
        }
        Asked::CheckConfig => None,
        Asked::Run(action) => Some(action),
    };

    let mut values = Values::load(&program.tables(), program.elsewhere, args);
    let log = LogSettings::read(&mut values);
    let settings = read(&mut values);
    if let Err(mistakes) = values.finish() {
        complain(&mistakes.to_string());
        return ExitCode::from(BAD_SETTINGS);
    }
    let Some(action) = action else {
        print(&values.shown());
        return ExitCode::SUCCESS;
    };
    telemetry::init(&log);
    for line in values.shown().lines() {
        tracing::debug!("setting {line}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(program.name)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::from(FAILED);
        }
    };
    let ended = runtime.block_on(run(action, settings));
    // A thread that waits for a broker that is away must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&*error.into()), "{} failed", program.name);
            ExitCode::from(FAILED)
        }
    }
}

impl Program {
    fn tables(&self) -> Vec<&'static [Key]> {
        let mut tables = self.keys.to_vec();
        tables.push(LogSettings::KEYS);
        tables
    }

    fn asked(&self, word: Option<&OsStr>) -> Asked {
        match word.and_then(OsStr::to_str) {
            Some("serve") => Asked::Run(Action::Serve),
            Some("setup") if self.setup => Asked::Run(Action::Setup),
            Some("check-config") => Asked::CheckConfig,
            None | Some("help" | "--help" | "-h") => Asked::Help,
            Some(other) => Asked::Unknown(other.to_owned()),
        }
    }

    fn help(&self) -> String {
        let mut text = format!(
            "{}: {}\n\nUsage: {} COMMAND [--config FILE.toml] [--NAME VALUE]…\n\nCommands:\n  serve         run until SIGTERM or SIGINT\n  check-config  check the settings, show them, change nothing\n",
            self.name, self.about, self.name
        );
        if self.setup {
            text.push_str(
                "  setup         make topics and tables; safe to repeat and to run side by side\n",
            );
        }
        text.push_str(
            "\nSettings, as flag (--kafka-brokers), variable (SWITCHBOARD_KAFKA_BROKERS) or in the file (brokers under [kafka]):\n",
        );
        for key in self.tables().into_iter().flatten() {
            let default = match key.default {
                None => String::new(),
                Some(default) => format!(" [default: {default:?}]"),
            };
            text.push_str(&format!("  {:<32} {}{default}\n", key.flag(), key.help));
        }
        text
    }
}

#[expect(
    clippy::print_stdout,
    reason = "help and check-config: the output is the result"
)]
fn print(text: &str) {
    print!("{text}");
}

#[expect(
    clippy::print_stderr,
    reason = "settings are wrong, so that logs are not set up yet"
)]
fn complain(text: &str) {
    eprint!("{text}");
}

//! What `main` of a service does: `serve`, `check-config` and, where there is one, `setup`; and
//! the [`Subcommand`]s that only one program has.

mod subcommand;

pub use subcommand::{CommandOption, Given, Subcommand};

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::lifecycle::chain;
use crate::process;
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

/// What is to be done by a program with subcommands of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work<C> {
    /// What every service does.
    Service(Action),
    /// One of its own subcommands.
    Command(C),
}

enum Asked<C> {
    Help,
    CheckConfig,
    Run(Work<C>),
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
    main_with::<Infallible, _, _, _>(program, &[], read, |work, settings| match work {
        Work::Service(action) => run(action, settings),
        Work::Command(never) => match never {},
    })
}

/// As [`main`], for a program that has subcommands of its own. A mistake in their options is one
/// in the settings: named with them, and the same exit code.
pub fn main_with<C, S, F, E>(
    program: &Program,
    commands: &[Subcommand<C>],
    read: impl FnOnce(&mut Values) -> S,
    run: impl FnOnce(Work<C>, S) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = commands.iter().find(|command| command.is_asked(&args));
    let options = args.split_off(command.map_or(1, |one| one.words.len()).min(args.len()));
    let (mut given, others) = Given::take(command.map_or(&[], |one| one.options), options);
    let asked = match command {
        Some(command) => Asked::Run(Work::Command((command.read)(&mut given))),
        None => program.asked(args.first().map(OsString::as_os_str)),
    };
    let help = || program.help(commands.iter().map(Subcommand::help).collect());
    let work = match asked {
        Asked::Help => {
            print(&help());
            return ExitCode::SUCCESS;
        }
        Asked::Unknown(word) => {
            complain(&format!(
                "{} does not know {word:?}\n\n{}",
                program.name,
                help()
            ));
            return ExitCode::from(BAD_SETTINGS);
        }
        Asked::CheckConfig => None,
        Asked::Run(work) => Some(work),
    };

    let mut values = Values::load(&program.tables(), program.elsewhere, others);
    let log = LogSettings::read(&mut values);
    let settings = read(&mut values);
    let needed = command.map_or(&[][..], |one| one.needs_one_of);
    let mut given_of_them = needed.iter().map(|name| values.optional::<String>(name));
    if !needed.is_empty() && !given_of_them.any(|text| text.is_some()) {
        values.mistake(&needed.join(" or "), "must be given");
    }
    for mistake in given.mistakes() {
        values.mistake(mistake, "see help");
    }
    if let Err(mistakes) = values.finish() {
        complain(&mistakes.to_string());
        return ExitCode::from(BAD_SETTINGS);
    }
    let Some(work) = work else {
        print(&values.shown());
        return ExitCode::SUCCESS;
    };
    telemetry::init(&log);
    for line in values.shown().lines() {
        tracing::debug!("setting {line}");
    }
    process::raise_open_files();
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
    let ended = runtime.block_on(run(work, settings));
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

    fn asked<C>(&self, word: Option<&OsStr>) -> Asked<C> {
        match word.and_then(OsStr::to_str) {
            Some("serve") => Asked::Run(Work::Service(Action::Serve)),
            Some("setup") if self.setup => Asked::Run(Work::Service(Action::Setup)),
            Some("check-config") => Asked::CheckConfig,
            None | Some("help" | "--help" | "-h") => Asked::Help,
            Some(other) => Asked::Unknown(other.to_owned()),
        }
    }

    fn help(&self, commands: Vec<String>) -> String {
        let mut text = format!(
            "{}: {}\n\nUsage: {} COMMAND [--config FILE.toml] [--NAME VALUE]…\n\nCommands:\n  serve         run until SIGTERM or SIGINT\n  check-config  check the settings, show them, change nothing\n",
            self.name, self.about, self.name
        );
        if self.setup {
            text.push_str(
                "  setup         make topics and tables; safe to repeat and to run side by side\n",
            );
        }
        text.extend(commands);
        text.push_str(
            "\nSettings, as flag (--kafka-brokers), variable (SWITCHBOARD_KAFKA_BROKERS) or in the file (brokers under [kafka]);\nof any of them, -file, _FILE or _file after the name gives the path of a file that holds it:\n",
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

/// Writes the result of a subcommand to stdout. Who stops reading (`| head`) has read enough.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[expect(
    clippy::print_stderr,
    reason = "settings are wrong, so that logs are not set up yet"
)]
fn complain(text: &str) {
    eprint!("{text}");
}

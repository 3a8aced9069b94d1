//! The classifier's program.

use std::process::ExitCode;

use classifier::settings::{ELSEWHERE, Settings, TABLES};
use classifier::subcommands::{Command, SUBCOMMANDS};
use classifier::{operator, push, serve, setup};
use service::program::{Action, Program, Work, main_with, print};

const PROGRAM: Program = Program {
    name: "classifier",
    about: "decides every command, stores it, and sends it to the homes of the recipients",
    keys: TABLES,
    elsewhere: ELSEWHERE,
    setup: true,
};

fn main() -> ExitCode {
    main_with(
        &PROGRAM,
        SUBCOMMANDS,
        Settings::read,
        async |work, settings: Settings| {
            match work {
                Work::Service(Action::Serve) => serve::run(settings).await?,
                Work::Service(Action::Setup) => setup::run(&settings).await?,
                Work::Command(Command::Push) => push::run(settings).await?,
                Work::Command(Command::Ask(order)) => {
                    print(&operator::run(order, &settings).await?);
                }
            }
            anyhow::Ok(())
        },
    )
}

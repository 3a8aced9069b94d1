//! The classifier's program.

use std::process::ExitCode;

use classifier::settings::{ELSEWHERE, KEYS, Settings};
use classifier::{serve, setup};
use service::kafka::KafkaSettings;
use service::program::{Action, Program, main as run};
use service::settings::AdminSettings;

const PROGRAM: Program = Program {
    name: "classifier",
    about: "decides every command, stores it, and sends it to the homes of the recipients",
    keys: &[KEYS, KafkaSettings::KEYS, AdminSettings::KEYS],
    elsewhere: ELSEWHERE,
    setup: true,
};

fn main() -> ExitCode {
    run(
        &PROGRAM,
        Settings::read,
        async |action, settings: Settings| match action {
            Action::Serve => serve::run(settings).await.map_err(anyhow::Error::from),
            Action::Setup => setup::run(&settings).await.map_err(anyhow::Error::from),
        },
    )
}

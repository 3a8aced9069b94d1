//! `was serve` and `was check-config`.

use std::process::ExitCode;

use service::kafka::KafkaSettings;
use service::program::{Action, Program, main as run};
use service::settings::AdminSettings;
use was::settings::{ELSEWHERE, KEYS, Settings};

const PROGRAM: Program = Program {
    name: "was",
    about: "the gateway: WebSockets and REST on one side, Kafka on the other",
    keys: &[KEYS, KafkaSettings::KEYS, AdminSettings::KEYS],
    elsewhere: ELSEWHERE,
    setup: false,
};

fn main() -> ExitCode {
    run(&PROGRAM, Settings::read, |_: Action, settings| {
        was::run(settings)
    })
}

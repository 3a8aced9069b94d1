//! `was serve` and `was check-config`.

use std::process::ExitCode;

use service::program::{Action, Program, main as run};
use was::settings::{ELSEWHERE, Settings, TABLES};

const PROGRAM: Program = Program {
    name: "was",
    about: "the gateway: WebSockets and REST on one side, Kafka on the other",
    keys: TABLES,
    elsewhere: ELSEWHERE,
    setup: false,
};

fn main() -> ExitCode {
    run(&PROGRAM, Settings::read, |_: Action, settings| {
        was::run(settings)
    })
}

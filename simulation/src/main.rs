//! Runs seeds, and shows the first that breaks something.

use std::process::ExitCode;

use clap::{Parser, ValueEnum as _};
use simulation::{Without, run};

/// Runs the programs' decisions on simulated servers; one seed is one run.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to run, from the first on.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// A rule to take out, to see what finds it.
    #[arg(long)]
    without: Option<Without>,
}

#[expect(clippy::print_stdout, reason = "the outcome is what it is run for")]
fn main() -> ExitCode {
    let Arguments {
        seed,
        seeds,
        without,
    } = Arguments::parse();
    let (mut steps, mut events) = (0, 0);
    for seed in seed..seed.saturating_add(seeds) {
        match run(seed, without) {
            Ok(passed) => {
                steps += passed.steps;
                events += passed.events;
            }
            Err(broken) => {
                let taken_out = without.and_then(|rule| rule.to_possible_value());
                let taken_out = taken_out.map(|rule| format!(" --without {}", rule.get_name()));
                let taken_out = taken_out.unwrap_or_default();
                println!("{broken}\nagain: cargo run -p simulation -- --seed {seed}{taken_out}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{seeds} seeds, {steps} steps, {events} events: nothing broken");
    ExitCode::SUCCESS
}

//! All tests of the workspace, several programs at once. `cargo test` runs one program of tests after another, and most
//! of what they do is wait: for leases, for processes, for what must not come.

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tokio::{process::Command, task::JoinSet};

use super::say;

/// One program of tests, as cargo built it.
#[derive(Debug)]
struct Program {
    name: String,
    file: PathBuf,
    /// Where cargo would run it: the folder of its package.
    package: PathBuf,
}

/// What cargo says of each thing that it built, as far as it matters here.
#[derive(Deserialize)]
struct Built {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds all tests, runs `at_once` programs of them side by side with `env`, and then the examples in the documentation.
/// What a program says is shown when it is over. Whether all passed.
///
/// # Errors
///
/// What could not be built or started.
pub(crate) async fn run(at_once: usize, env: &(&str, String)) -> anyhow::Result<bool> {
    let mut waiting = VecDeque::from(build().await?);
    let mut running = JoinSet::new();
    let mut failed = Vec::new();
    while !(waiting.is_empty() && running.is_empty()) {
        while running.len() < at_once
            && let Some(program) = waiting.pop_front()
        {
            say(format_args!("running {}", program.name));
            running.spawn(one(program, env.0.to_owned(), env.1.clone()));
        }
        if let Some(done) = running.join_next().await {
            let (program, output, took) = done??;
            show(&program, &output, took);
            if !output.status.success() {
                failed.push(program.name);
            }
        }
    }
    if !examples().await? {
        failed.push("the examples in the documentation".into());
    }
    if !failed.is_empty() {
        say(format_args!("FAILED: {}", failed.join(", ")));
    }
    Ok(failed.is_empty())
}

/// Those that have most in them first, so that none of them runs alone at the end.
async fn build() -> anyhow::Result<Vec<Program>> {
    let output = cargo()
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("start cargo")?;
    ensure!(output.status.success(), "the tests could not be built");
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let built: Built = serde_json::from_str(line).context("read what cargo has built")?;
        let (Some(file), Some(manifest), Some(target)) =
            (built.executable, built.manifest_path, built.target)
        else {
            continue;
        };
        let (true, Some(package)) = (
            built.profile.is_some_and(|it| it.test),
            manifest.parent().map(PathBuf::from),
        ) else {
            continue;
        };
        let folder = package.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{folder}: {}", target.name);
        programs.push(Program {
            name,
            file,
            package,
        });
    }
    programs.sort_by_key(|it| std::cmp::Reverse(it.file.metadata().map_or(0, |it| it.len())));
    Ok(programs)
}

async fn one(
    program: Program,
    variable: String,
    value: String,
) -> anyhow::Result<(Program, Output, Duration)> {
    let began = Instant::now();
    let output = Command::new(&program.file)
        .current_dir(&program.package)
        .env("CARGO_MANIFEST_DIR", &program.package)
        .env(variable, value)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("start {}", program.file.display()))?;
    Ok((program, output, began.elapsed()))
}

#[expect(clippy::print_stderr, reason = "what the tests said, for who ran them")]
fn show(program: &Program, output: &Output, took: Duration) {
    eprint!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    say(format_args!(
        "{} {} after {:.0} s",
        program.name,
        if output.status.success() {
            "passed"
        } else {
            "FAILED"
        },
        took.as_secs_f64()
    ));
}

async fn examples() -> anyhow::Result<bool> {
    let status = cargo().arg("--doc").status().await.context("start cargo")?;
    Ok(status.success())
}

fn cargo() -> Command {
    // Set when cargo itself runs this.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command
        .args(["test", "--locked", "--workspace"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

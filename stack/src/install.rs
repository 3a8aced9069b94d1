//! Installs what the servers need, and only what is missing.

use std::{
    ffi::OsString,
    fs,
    fs::File,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use crate::{
    error::{Doing, Error, Result},
    folders,
    progress::say,
};

const SCRIPT: &str = include_str!("../install.sh");
const POM: &str = include_str!("../pom.xml");
/// Seconds between attempts to download: as install.sh has them.
const PAUSES: [u64; 5] = [2, 5, 10, 20, 40];

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) java: PathBuf,
    pub(crate) jars: PathBuf,
    /// The folder of `initdb` and `postgres`.
    pub(crate) postgres_bin: PathBuf,
    pub(crate) redis_server: PathBuf,
}

/// Installs what is missing and finds what is there.
///
/// Blocks; a lock makes processes that come at the same time wait for the first.
pub(crate) fn install() -> Result<Installed> {
    let root = folders::root();
    fs::create_dir_all(&root).doing(|| format!("create {}", root.display()))?;
    let lock = root.join("install.lock");
    let lock = File::create(&lock).doing(|| format!("create {}", lock.display()))?;
    lock.lock().doing(|| "wait for an installation".into())?;

    let jars = root.join("kafka").join("jars");
    let found = packages(jars.is_dir())?;
    if !jars.is_dir() {
        download_jars(&jars)?;
    }
    let place = |name| place(&found, name);
    Ok(Installed {
        java: place("java")?,
        postgres_bin: place("postgres")?,
        redis_server: place("redis")?,
        jars,
    })
}

/// Has the script look, and install what is missing; returns its lines `name=place`. Which Java and which PostgreSQL are new
/// enough is decided there alone.
fn packages(have_jars: bool) -> Result<String> {
    let failed = |source| Error::Io {
        what: "run install.sh".into(),
        source,
    };
    let mut child = Command::new("sh")
        .args(["-s", "run"])
        .env("HAVE_JARS", if have_jars { "yes" } else { "no" })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(SCRIPT.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(missing("a program that the servers need"))
    }
}

fn place(found: &str, name: &str) -> Result<PathBuf> {
    found
        .lines()
        .filter_map(|line| line.split_once('='))
        .find_map(|(key, place)| (key == name).then(|| place.into()))
        .ok_or_else(|| missing(name))
}

/// Maven copies the broker's jars beside the place, and the finished folder is renamed into it: who finds it, finds all.
fn download_jars(jars: &Path) -> Result<()> {
    say("downloading Kafka from Maven Central (44 MB, once)");
    let work = jars.with_file_name("download");
    match fs::remove_dir_all(&work) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            // Jars of another version in it would be moved into the place with the others.
            return Err(error).doing(|| format!("remove {}", work.display()));
        }
        _ => {}
    }
    fs::create_dir_all(&work).doing(|| format!("create {}", work.display()))?;
    let pom = work.join("pom.xml");
    fs::write(&pom, POM).doing(|| format!("write {}", pom.display()))?;
    let fresh = work.join("jars");
    let mut target = OsString::from("-DoutputDirectory=");
    target.push(&fresh);
    let output = patiently(&PAUSES, || {
        Command::new("mvn")
            .args([
                "-B",
                "-q",
                // Of the version in pom.xml; its short name would have to be asked for.
                "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies",
                "-DincludeScope=runtime",
                // Maven waits half an hour for who does not answer: 3.8 and older, and those after it.
                "-Dmaven.wagon.rto=60000",
                "-Daether.connector.requestTimeout=60000",
            ])
            .arg(&target)
            .current_dir(&work)
            .stdin(Stdio::null())
            .output()
            .doing(|| "run mvn".into())
    })?;
    if !output.status.success() {
        return Err(Error::Failed {
            what: "downloading Kafka with Maven (is Maven Central reachable?)".into(),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
        });
    }
    fs::rename(&fresh, jars).doing(|| format!("move the jars to {}", jars.display()))?;
    // The jars are in their place: the rest is removed by the next download, if not now.
    let _ = fs::remove_dir_all(&work);
    Ok(())
}

/// Runs it again after each pause while it fails: Maven gives up at the first error that a repository answers with, and keeps
/// what it has by then. Returns what came of the last time.
fn patiently(pauses: &[u64], mut run: impl FnMut() -> Result<Output>) -> Result<Output> {
    let mut output = run()?;
    for pause in pauses {
        if output.status.success() {
            break;
        }
        say(format!("once more in {pause} s"));
        thread::sleep(Duration::from_secs(*pause));
        output = run()?;
    }
    Ok(output)
}

fn missing(what: &str) -> Error {
    Error::Missing {
        what: what.into(),
        advice: "see the lines above".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs what fails so many times, then succeeds; how often it was run, and what came of it.
    fn runs(failures: usize) -> (usize, bool) {
        let mut count = 0;
        let output = patiently(&[0; 2], || {
            count += 1;
            let program = if count > failures { "true" } else { "false" };
            Command::new(program).output().doing(|| program.into())
        });
        (count, output.unwrap().status.success())
    }

    #[test]
    fn what_fails_is_run_again_but_not_for_ever() {
        assert_eq!(runs(0), (1, true));
        assert_eq!(runs(2), (3, true));
        assert_eq!(runs(9), (3, false));
    }
}

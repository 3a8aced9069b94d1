//! Installs what the servers need, and only what is missing.

use std::{
    ffi::OsString,
    fs,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::{Doing, Error, Result},
    folders,
    progress::say,
};

const SCRIPT: &str = include_str!("../install.sh");
const POM: &str = include_str!("../pom.xml");

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
    packages(jars.is_dir())?;
    if !jars.is_dir() {
        download_jars(&jars)?;
    }
    Ok(Installed {
        java: find_java()?,
        jars,
        postgres_bin: find_postgres()?,
        redis_server: find("redis-server")
            .ok_or_else(|| missing("redis-server", "apt-get install redis-server"))?,
    })
}

fn packages(have_jars: bool) -> Result<()> {
    let failed = |source| Error::Io {
        what: "run install.sh".into(),
        source,
    };
    let mut child = Command::new("sh")
        .args(["-s", "run"])
        .env("HAVE_JARS", if have_jars { "yes" } else { "no" })
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(SCRIPT.as_bytes()).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(missing(
            "a program that the servers need",
            "see the lines above",
        ))
    }
}

/// Maven copies the broker's jars beside the place, and the finished folder is renamed into it: who finds it, finds all.
fn download_jars(jars: &Path) -> Result<()> {
    say("downloading Kafka from Maven Central (44 MB, once)");
    let work = jars.with_file_name("download");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).doing(|| format!("create {}", work.display()))?;
    let pom = work.join("pom.xml");
    fs::write(&pom, POM).doing(|| format!("write {}", pom.display()))?;
    let fresh = work.join("jars");
    let mut target = OsString::from("-DoutputDirectory=");
    target.push(&fresh);
    let output = Command::new("mvn")
        .args([
            "-B",
            "-q",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ])
        .arg(target)
        .current_dir(&work)
        .stdin(Stdio::null())
        .output()
        .doing(|| "run mvn".into())?;
    if !output.status.success() {
        return Err(Error::Failed {
            what: "downloading Kafka with Maven (is Maven Central reachable?)".into(),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
        });
    }
    fs::rename(&fresh, jars).doing(|| format!("move the jars to {}", jars.display()))?;
    let _ = fs::remove_dir_all(&work);
    Ok(())
}

fn missing(what: &str, advice: &str) -> Error {
    Error::Missing {
        what: what.into(),
        advice: advice.into(),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

fn find_java() -> Result<PathBuf> {
    std::env::var_os("JAVA_HOME")
        .map(|home| Path::new(&home).join("bin/java"))
        .filter(|java| java.is_file())
        .or_else(|| find("java"))
        .ok_or_else(|| missing("Java (17 or later)", "apt-get install default-jre-headless"))
}

/// Debian keeps one folder per version and none of them in PATH.
fn find_postgres() -> Result<PathBuf> {
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").is_file().then_some((version, bin))
        })
        .filter(|(version, _)| *version >= 15)
        .max();
    newest
        .map(|(_, bin)| bin)
        .or_else(|| find("initdb").and_then(|file| Some(file.parent()?.to_path_buf())))
        .ok_or_else(|| missing("PostgreSQL (15 or later)", "apt-get install postgresql"))
}

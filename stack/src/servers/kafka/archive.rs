//! The broker's classes as Java keeps them once they are loaded and verified (class data sharing): with them a broker takes
//! half the processor time until it answers, and formatting its folder too. Made once by a broker that is started for it.
//!
//! Java looks at the archive before it uses it, and does without one that is not there, not whole, or of other jars.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use tokio::runtime::Handle;

use crate::{
    certificates::Certificates,
    error::{Doing, Error, Result},
    folders::OwnFolder,
    install::Installed,
    progress::say,
    servers::kafka,
};

/// How long the broker may take to end, which is when it writes the archive.
const WRITTEN_WITHIN: Duration = Duration::from_mins(2);

/// What Java is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    /// To start with the archive.
    Read,
    /// To write it when it ends.
    Write,
}

impl Use {
    pub(super) fn option(self, archive: &Path) -> OsString {
        let name = match self {
            Self::Read => "-XX:SharedArchiveFile=",
            Self::Write => "-XX:ArchiveClassesAtExit=",
        };
        let mut option = OsString::from(name);
        option.push(archive);
        option
    }
}

/// Where it is: beside the jars, and under another name for each build of Java, none of which can use another's.
pub(super) fn place(installed: &Installed) -> PathBuf {
    let machine = || {
        let java = fs::canonicalize(&installed.java).ok()?;
        let machine = java.parent()?.parent()?.join("lib/server/libjvm.so");
        let built = fs::metadata(machine).ok()?.modified().ok()?;
        Some(built.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    let built = machine().unwrap_or_default();
    installed
        .jars
        .with_file_name(format!("classes-{built}.jsa"))
}

/// Makes the archive where there is none; who comes meanwhile waits. A Java that can't is left alone from then on.
///
/// Blocks, on a thread of a runtime that is there for it.
pub(crate) fn prepare(installed: &Installed) -> Result<()> {
    let archive = place(installed);
    if archive.is_file() {
        return Ok(());
    }
    let lock = archive.with_extension("lock");
    let lock = File::create(&lock).doing(|| format!("create {}", lock.display()))?;
    lock.lock()
        .doing(|| "wait for Kafka's classes to be archived".into())?;
    if archive.is_file() {
        return Ok(());
    }
    say("archiving Kafka's classes (some 10 s, once): brokers start in half the time with them");
    let folder = OwnFolder::make()?;
    let written = folder.path.join("classes.jsa");
    if let Err(error) = write(installed, &folder.path, &written) {
        say(format!("brokers start without an archive: {error}"));
        // Says that it can't be made; Java does without it.
        File::create(&written).doing(|| format!("create {}", written.display()))?;
    }
    let moved = fs::rename(&written, &archive)
        .doing(|| format!("move the archive to {}", archive.display()));
    folder.remove();
    moved
}

/// With all kinds of listeners, as each has classes of its own.
fn write(installed: &Installed, dir: &Path, archive: &Path) -> Result<()> {
    let certificates = Certificates::make(dir)?;
    let ports = kafka::free_ports(1, true);
    let machine = kafka::Machine {
        installed,
        options: &kafka::SHORT_LIVED,
        archive: Use::Write.option(archive),
    };
    let brokers = kafka::start_on(&machine, dir, &ports, &certificates)?;
    for broker in &brokers {
        Handle::current().block_on(async {
            broker.ready().await?;
            broker.terminate();
            broker.exited(WRITTEN_WITHIN).await
        })?;
    }
    let bytes = fs::metadata(archive).map(|written| written.len());
    let bytes = bytes.doing(|| "look at what Java has written".into())?;
    // A broker's classes are some 50 MB: with a few of them it would start no faster.
    if bytes < 1 << 20 {
        return Err(Error::Io {
            what: "have Java archive Kafka's classes".into(),
            source: io::Error::other(format!("it has written {bytes} bytes")),
        });
    }
    Ok(())
}

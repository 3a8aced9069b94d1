//! Where a stack keeps its files: `target/stack`, so that `cargo clean` takes everything away.
//!
//! ```text
//! target/stack/kafka/jars       the broker, downloaded once
//! target/stack/kafka/*.jsa      its classes as Java keeps them once they are loaded
//! target/stack/run/<name>/      one stack: data and logs; `lock` is held for as long as its process lives
//! target/stack/failed/<name>/   the logs of a stack that failed, or was in use when a test did; gone after a day
//! target/stack/alone.lock       held by the one stack whose servers are stopped by a test
//! ```

use std::{
    env,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::error::{Doing, Result};

/// The folder that holds everything of every stack of this workspace: `target/stack`.
///
/// It is found from the running executable, which Cargo puts somewhere below `target`.
#[must_use]
pub fn root() -> PathBuf {
    let exe = env::current_exe().unwrap_or_default();
    let target = exe
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file())
        .map(Path::to_path_buf);
    match target {
        Some(target) => target.join("stack"),
        None => env::temp_dir().join("switchboard").join("stack"),
    }
}

/// The file in a run's folder that holds the path of a second folder, when Postgres's user can't reach this one.
const ELSEWHERE: &str = "elsewhere";

/// Where logs are kept that somebody may want to read after their stack.
const FAILED: &str = "failed";

/// A folder of one's own, marked as in use until this process ends.
#[derive(Debug)]
pub(crate) struct OwnFolder {
    pub(crate) path: PathBuf,
    lock: File,
}

impl OwnFolder {
    /// Makes `target/stack/run/<random>`, and clears away what processes that have ended left behind there.
    pub(crate) fn make() -> Result<Self> {
        let runs = root().join("run");
        fs::create_dir_all(&runs).doing(|| format!("create {}", runs.display()))?;
        sweep(&runs);
        forget_old_logs(&root().join(FAILED));
        loop {
            let name = uuid::Uuid::new_v4().simple().to_string();
            let folder = Self::at(runs.join(&name[..12]))?;
            if folder.is_there() {
                return Ok(folder);
            }
        }
    }

    /// Makes or takes over the folder `path`.
    pub(crate) fn at(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).doing(|| format!("create {}", path.display()))?;
        let file = path.join("lock");
        let lock = File::create(&file).doing(|| format!("create {}", file.display()))?;
        lock.lock().doing(|| format!("lock {}", file.display()))?;
        Ok(Self { path, lock })
    }

    /// Not when another process swept between the making of the lock and the locking of it, and took what nobody held for
    /// left behind.
    fn is_there(&self) -> bool {
        self.lock.metadata().is_ok_and(|lock| lock.nlink() > 0)
    }

    /// Makes `other` go together with this folder.
    pub(crate) fn adopt(&self, other: &Path) -> Result<()> {
        let file = self.path.join(ELSEWHERE);
        fs::write(&file, other.as_os_str().as_encoded_bytes())
            .doing(|| format!("write {}", file.display()))
    }

    /// Moves the logs, and the spaces with theirs, to where they outlive the folder; says where that is.
    /// Nothing to keep: nothing. Who still writes to them goes on doing so there.
    pub(crate) fn keep_logs(&self) -> Option<PathBuf> {
        let kept = root().join(FAILED).join(self.path.file_name()?);
        let spaces = self.path.join("spaces");
        let logs = fs::read_dir(&self.path)
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| *path == spaces || path.extension().is_some_and(|it| it == "log"));
        for log in logs {
            fs::create_dir_all(&kept).ok()?;
            fs::rename(&log, kept.join(log.file_name()?)).ok()?;
        }
        kept.is_dir().then_some(kept)
    }

    /// Removes the folder with all that is in it.
    pub(crate) fn remove(&self) {
        remove(&self.path);
        // It ends with this value at the latest.
        let _ = self.lock.unlock();
    }
}

/// Removes folders whose lock nobody holds: their process is gone, by whatever death.
fn sweep(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    for dir in entries.flatten().map(|entry| entry.path()) {
        // A folder without a lock file was made this very moment by another process.
        if let Ok(lock) = File::open(dir.join("lock"))
            && lock.try_lock().is_ok()
        {
            remove(&dir);
        }
    }
}

/// Removes a stack's folder, and first the one elsewhere: nothing else knows of that.
fn remove(dir: &Path) {
    if let Ok(elsewhere) = fs::read_to_string(dir.join(ELSEWHERE))
        && let Err(error) = fs::remove_dir_all(elsewhere)
        && error.kind() != io::ErrorKind::NotFound
    {
        // It is still noted here: the next sweep tries again.
        return;
    }
    // What is left over is taken away by the next sweep.
    let _ = fs::remove_dir_all(dir);
}

/// Removes what was kept in `failed` more than a day ago.
fn forget_old_logs(failed: &Path) {
    let entries = fs::read_dir(failed).into_iter().flatten().flatten();
    for kept in entries {
        let age = kept
            .metadata()
            .and_then(|kept| kept.modified())
            .map(|then| then.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > Duration::from_hours(24)) {
            // Another stack that starts may be at it, too; what stays is there for the next one.
            let _ = fs::remove_dir_all(kept.path());
        }
    }
}

/// A path as one types it from the current folder, where it lies below that.
#[must_use]
pub fn from_here(path: &Path) -> &Path {
    env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
}

/// Waits for the turn to be the only stack on this machine whose servers are being stopped.
pub(crate) fn wait_for_turn() -> Result<File> {
    let root = root();
    fs::create_dir_all(&root).doing(|| format!("create {}", root.display()))?;
    let path = root.join("alone.lock");
    let file = File::create(&path).doing(|| format!("create {}", path.display()))?;
    file.lock()
        .doing(|| format!("wait for {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_processes_left_behind_is_swept() {
        let runs = tempfile::tempdir().unwrap();
        let alive = OwnFolder::at(runs.path().join("alive")).unwrap();
        let dead = OwnFolder::at(runs.path().join("dead")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap().keep();
        dead.adopt(&elsewhere).unwrap();
        // To close the file would not do: what another test starts this moment has it open until it runs.
        dead.lock.unlock().unwrap();
        let dead = dead.path;
        let young = runs.path().join("without a lock yet");
        fs::create_dir(&young).unwrap();

        sweep(runs.path());
        assert!(alive.path.exists());
        assert!(!dead.exists());
        assert!(!elsewhere.exists());
        assert!(young.exists());
    }

    #[test]
    fn a_folder_that_was_swept_while_it_was_made_is_noticed() {
        let runs = tempfile::tempdir().unwrap();
        let folder = OwnFolder::at(runs.path().join("young")).unwrap();
        assert!(folder.is_there());
        folder.lock.unlock().unwrap();
        sweep(runs.path());
        folder.lock.lock().unwrap();
        assert!(!folder.is_there());
    }

    /// The note in the folder is all that is known of the one elsewhere: it must not go before that.
    #[test]
    fn a_folder_stays_for_as_long_as_what_it_has_elsewhere() {
        let runs = tempfile::tempdir().unwrap();
        let folder = OwnFolder::at(runs.path().join("ended")).unwrap();
        // What is no folder can't be removed as one.
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        folder.adopt(elsewhere.path()).unwrap();
        folder.remove();
        assert!(folder.path.exists());

        elsewhere.close().unwrap();
        sweep(runs.path());
        assert!(!folder.path.exists());
    }
}

//! The load test as a program that tells its report as JSON.

use std::{ffi::OsStr, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    sync::Semaphore,
    time::timeout,
};

/// The longest run of these tests takes a tenth of this, alone.
const PATIENCE: Duration = Duration::from_secs(360);
/// Runs that bring up servers of their own, at a time: a broker takes the longer to answer the more of them begin beside it,
/// and nobody waits for one without end.
static OWN_SERVERS: Semaphore = Semaphore::const_new(2);

/// As [`told`], of a run with servers of its own, when it is its turn.
pub(crate) async fn told_alone(words: &str, further: &[impl AsRef<OsStr>]) -> Value {
    let _turn = OWN_SERVERS.acquire().await.unwrap();
    told(words, further).await
}

/// The JSON of a run that ended well.
pub(crate) async fn told(words: &str, further: &[impl AsRef<OsStr>]) -> Value {
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(words.split(' '))
        .args(further)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut report, mut complaint) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = timeout(PATIENCE, async {
        tokio::join!(
            read(stdout, &mut report),
            read(stderr, &mut complaint),
            child.wait()
        )
        .2
    })
    .await;
    let (report, complaint) = (
        String::from_utf8_lossy(&report),
        String::from_utf8_lossy(&complaint),
    );
    let Ok(status) = ended else {
        panic!("{words}: no end within {PATIENCE:?}\n{report}\n{complaint}");
    };
    assert!(status.unwrap().success(), "{report}\n{complaint}");
    serde_json::from_str(&report).unwrap()
}

/// All that comes, as it comes: what there is when the time is over is shown.
async fn read(from: Option<impl AsyncRead + Unpin>, to: &mut Vec<u8>) {
    if let Some(mut from) = from {
        from.read_to_end(to).await.unwrap();
    }
}

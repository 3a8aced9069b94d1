//! The one thread that starts every child.
//!
//! A child asks the kernel (PR_SET_PDEATHSIG) to be ended with its parent, and the kernel takes the *thread* that
//! started it for the parent. A test's thread ends long before the servers may, so they are all started by a thread that lives as
//! long as the process.

use std::{
    io,
    process::{Child, Command},
    sync::{OnceLock, mpsc},
    thread,
};

use service::process::raise_open_files;

type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts `command` from the thread that lives as long as this process.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts processes is gone");

    let spawner = SPAWNER.get_or_init(|| {
        // The usual 1,024 are fewer than a broker's partitions want.
        raise_open_files();
        let (orders, inbox) = mpsc::channel::<Order>();
        let started = thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    // Whoever ordered it waits for the answer, below.
                    let _ = answer.send(command.spawn());
                }
            });
        // Without the thread the channel is closed, which the caller sees as an error below.
        drop(started);
        orders
    });
    let (answer, result) = mpsc::sync_channel(1);
    spawner.send((command, answer)).map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

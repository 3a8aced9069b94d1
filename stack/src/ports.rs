//! Free ports on the loopback.

use std::{collections::HashSet, net::TcpListener, sync::Mutex};

use rand::RngExt as _;

use crate::error::{Error, Result};

/// Below the range from which Linux takes the near ends of outgoing connections: a server that is killed and started
/// again must find its port as it left it.
const RANGE: std::ops::Range<u16> = 11_000..32_000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A loopback port that nobody listens on and that this process has not been given before.
#[must_use]
pub fn free_port() -> u16 {
    let mut given = GIVEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let given = given.get_or_insert_default();
    loop {
        // Random, so that two processes that look at the same moment don't find the same one.
        let port = rand::rng().random_range(RANGE);
        if !given.contains(&port) && is_free(port) {
            given.insert(port);
            return port;
        }
    }
}

/// Whether nobody listens on this loopback port.
fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Checks before anything is started that nobody listens on `port`, where `name` is to.
///
/// # Errors
/// [`Error::PortTaken`] with `advice`.
pub fn claimable(port: u16, name: &str, advice: &str) -> Result<()> {
    if is_free(port) {
        return Ok(());
    }
    Err(Error::PortTaken {
        port,
        name: name.into(),
        advice: advice.into(),
    })
}

//! Free ports on the loopback.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Mutex,
};

use rand::RngExt as _;
use tokio::net::TcpSocket;

use crate::error::{Error, Result};

/// Below the range from which Linux takes the near ends of outgoing connections: a server that is killed and started
/// again must find its port as it left it.
const RANGE: std::ops::Range<u16> = 11_000..32_000;

/// What this process has been given, each held by a UDP socket on the same number: servers listen by TCP and are not in its
/// way, other processes that look for a port are, and the kernel lets go of it with this process. Without it, one of the
/// many processes that start servers at the same time takes now and then what another has chosen and not opened yet.
static GIVEN: Mutex<Option<HashMap<u16, UdpSocket>>> = Mutex::new(None);

/// A loopback port that nobody listens on and that nobody has been given before who still lives.
#[must_use]
pub fn free_port() -> u16 {
    let mut given = GIVEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let given = given.get_or_insert_default();
    loop {
        let port = rand::rng().random_range(RANGE);
        if let Ok(held) = UdpSocket::bind(("127.0.0.1", port))
            && is_free(port)
        {
            given.insert(port, held);
            return port;
        }
    }
}

/// Whether nobody listens on this loopback port. Asked without listening: what another thread starts this moment has the
/// socket open until it runs, and would be in the way of who listens there next.
fn is_free(port: u16) -> bool {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    bind().is_ok()
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_that_was_given_is_open_to_its_server_and_to_nobody_who_looks_for_one() {
        let port = free_port();
        assert!(is_free(port), "a server can listen there");
        let other = UdpSocket::bind(("127.0.0.1", port));
        assert!(other.is_err(), "another process would take it");
        let _server = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(!is_free(port), "a server listens there");
    }
}

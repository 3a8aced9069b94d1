//! The client that requests to whoever is told are made with.

use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;

/// A client whose requests take `timeout` at most, and go to the address in the settings and to no
/// other: what they hold is signed, secret, or somebody's. No redirect is followed, and a proxy that
/// the environment names is not used.
///
/// # Errors
/// When TLS can't be set up on this machine.
pub(super) fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(timeout)
        .redirect(Policy::none())
        .no_proxy()
        .user_agent("switchboard")
        .build()
}

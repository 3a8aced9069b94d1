//! `--webhook`: what the installation's push workers tell of who is not connected comes to this machine.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::hook::{self, Hook};

/// How long the first push may take after the warm-up, and how often it is looked.
const HEARD_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// How pods reach this machine, and the port that it listens at, at all its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// One of IPv6 without its brackets.
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Place {
    /// # Errors
    /// When it is not `HOST:PORT`, or where a pod finds itself; in the words of the command line.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let place = text.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
            Some(Self {
                host: Host::parse(host)?,
                port,
            })
        });
        let place = place.with_context(|| {
            format!(
                "--webhook {text}: expected HOST:PORT, as 10.0.0.1:8099, [fd00::1]:8099 or a name"
            )
        })?;
        ensure!(
            place.host.leads_here(),
            "--webhook {text}: a pod finds itself there; expected an address of this machine that pods reach"
        );
        Ok(place)
    }

    /// Listens there, before anything is installed.
    pub(super) async fn listen(self) -> anyhow::Result<Webhook> {
        let all: IpAddr = match self.host {
            Host::Address(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        };
        let listener = TcpListener::bind((all, self.port)).await;
        let listener = listener.with_context(|| {
            format!(
                "--webhook {self}: port {} can't be listened at here",
                self.port
            )
        })?;
        let hook = Hook::on(listener, format!("http://{self}/"));
        Ok(Webhook { place: self, hook })
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let known = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
        let good = !text.is_empty() && text.chars().all(known);
        good.then(|| Self::Name(text.to_owned()))
    }

    /// False for what every machine calls itself.
    fn leads_here(&self) -> bool {
        match self {
            Self::Address(address) => !address.is_loopback() && !address.is_unspecified(),
            Self::Name(name) => !name.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let port = self.port;
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{port}"),
            Host::Address(address) => write!(f, "{address}:{port}"),
            Host::Name(name) => write!(f, "{name}:{port}"),
        }
    }
}

/// Listens until it is dropped.
pub(super) struct Webhook {
    place: Place,
    pub(super) hook: Hook,
}

impl Webhook {
    /// The chart's values by which its push workers tell here.
    pub(super) fn values(&self) -> [(&'static str, Value); 2] {
        let webhook = json!({"url": self.hook.url(), "secret": hook::SECRET});
        [
            ("push", json!({"enabled": true, "webhook": webhook})),
            ("settings", json!({"push": {"wait": hook::WAIT}})),
        ]
    }

    /// Waits for the first push: without it every trial would wait in vain for all of its own.
    pub(super) async fn heard(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + HEARD_WITHIN;
        while !self.hook.was_told() {
            ensure!(
                Instant::now() < deadline,
                "--webhook {}: no push came there within {HEARD_WITHIN:?} of the warm-up: pods must reach this machine there, \
                 and what --reuse takes must have been installed with the same --webhook",
                self.place
            );
            sleep(LOOK).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_was_given() {
        for text in ["10.250.0.1:8099", "[fd00::1]:1", "host.internal:65535"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_no_pod_can_reach_is_refused_by_the_name_of_the_flag() {
        let malformed = [
            "",
            "8099",
            "10.0.0.1",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            ":8099",
            "http://10.0.0.1:8099",
            "10.0.0.1:8099/",
            "fd00::1:8099",
            "[fd00::1:8099",
            "[10.0.0.1]:8099",
        ];
        for text in malformed {
            let error = Place::parse(text).unwrap_err().to_string();
            assert!(
                error.contains(&format!("--webhook {text}: expected HOST:PORT")),
                "{error}"
            );
        }
        for text in ["127.0.0.1:1", "0.0.0.0:1", "[::1]:1", "LocalHost:1"] {
            let error = Place::parse(text).unwrap_err().to_string();
            assert!(error.contains("--webhook") && error.contains("finds itself"));
        }
    }

    /// I8: the workers of the chart tell where it listens, under a secret as long as the settings want it.
    #[tokio::test]
    async fn the_values_lead_to_where_it_listens() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let place = Place {
            host: Host::Name("host.internal".to_owned()),
            port: free.local_addr().unwrap().port(),
        };
        let port = place.port;
        let taken = place.clone().listen().await.err().unwrap().to_string();
        assert!(taken.contains(&format!("--webhook host.internal:{port}")));

        let webhook = Webhook {
            hook: Hook::on(free, format!("http://{place}/")),
            place,
        };
        let [(push, values), (settings, own)] = webhook.values();
        assert_eq!((push, settings), ("push", "settings"));
        assert_eq!(values["enabled"], true);
        let url = format!("http://host.internal:{port}/");
        assert_eq!(values["webhook"]["url"], url.as_str());
        let secret = values["webhook"]["secret"].as_str();
        assert!(secret.is_some_and(|secret| secret.len() >= 32));
        assert_eq!(own["push"]["wait"], "1s");
    }
}

//! Where Redis is, and how to speak to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use redis::{RedisConnectionInfo, RedisResult, io::tcp::TcpSettings};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::connection::{RoutingError, UNACKNOWLEDGED};
use crate::observe::Observer;
use crate::server::ANSWER_WITHIN;

/// Where sentinels listen when the URL does not say.
const SENTINEL_PORT: &str = "26379";

/// Where Redis is, and the name space in it.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS. May hold a password. With
    /// `cluster` any nodes of it, with `sentinel_master` the sentinels: `host:port,host:port,…`.
    pub url: String,
    /// It is a cluster; its other nodes are found by asking these.
    pub cluster: bool,
    /// What the sentinels call the primary; none without sentinels. User, password and database of the
    /// URL are those of the servers that they watch.
    pub sentinel_master: Option<String>,
    /// The sentinels' own password.
    pub sentinel_password: Option<String>,
    /// PEM file of who may sign the servers' certificates; the system's if none.
    pub ca_file: Option<PathBuf>,
    /// Before every key, so that several installations share a server. Without braces: they would
    /// take the place of the keys' own hash tags.
    pub key_prefix: String,
}

// The URL may hold a password.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("cluster", &self.cluster)
            .field("sentinel_master", &self.sentinel_master)
            .field("ca_file", &self.ca_file)
            .field("key_prefix", &self.key_prefix)
            .finish_non_exhaustive()
    }
}

/// One server's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How to connect to a server of which only the address is known.
#[derive(Clone)]
pub(crate) struct Way {
    like: ConnectionInfo,
    tls: bool,
    certificates: Option<TlsCertificates>,
    /// The longest that an answer may take.
    pub(crate) answer_within: Duration,
    /// Told of every request that is made this way.
    pub(crate) observer: Observer,
}

impl Way {
    pub(crate) fn client(&self, address: &Address) -> RedisResult<Client> {
        let (host, port) = (address.host.clone(), address.port);
        if !self.tls {
            let plain = ConnectionAddr::Tcp(host, port);
            return Client::open(self.like.clone().set_addr(plain));
        }
        let encrypted = ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        };
        let info = self.like.clone().set_addr(encrypted);
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        }
    }

    /// The same for servers of which nothing is known but perhaps a password.
    fn to_sentinels(&self, password: Option<&str>) -> Self {
        let mut redis = RedisConnectionInfo::default();
        if let Some(password) = password {
            redis = redis.set_password(password);
        }
        Self {
            like: self.like.clone().set_redis_settings(redis),
            ..self.clone()
        }
    }
}

/// Who knows where the servers are.
pub(crate) enum Guide {
    /// There is one, and it is there.
    Nobody,
    /// Each of them.
    Cluster,
    /// Others.
    Sentinels {
        /// What they call the primary.
        master: String,
        /// How to connect to them.
        way: Box<Way>,
    },
}

/// The settings, understood.
pub(crate) struct Whereabouts {
    /// Whom to connect to first: the one, some nodes, or the sentinels. At least one.
    pub(crate) begin: Vec<Address>,
    /// How to connect to Redis.
    pub(crate) way: Way,
    pub(crate) guide: Guide,
}

impl RedisSettings {
    /// One server, with the defaults of all else.
    pub fn new(url: impl Into<String>, key_prefix: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            cluster: false,
            sentinel_master: None,
            sentinel_password: None,
            ca_file: None,
            key_prefix: key_prefix.into(),
        }
    }

    /// Whether they can ever work, without asking Redis. Reads the file of `ca_file`.
    ///
    /// # Errors
    /// [`RoutingError::Settings`], with the setting and what is wrong with it.
    pub fn check(&self) -> Result<(), RoutingError> {
        self.understood().map(drop)
    }

    pub(crate) fn understood(&self) -> Result<Whereabouts, RoutingError> {
        let wrong = |setting, reason: &str| Err(refused(setting, reason));
        if self.key_prefix.contains(['{', '}']) {
            return wrong("redis.key_prefix", "it must not contain braces");
        }
        if self.cluster && self.sentinel_master.is_some() {
            let reason = "redis.cluster is set, too: a cluster has no sentinels";
            return wrong("redis.sentinel_master", reason);
        }
        if self.sentinel_password.is_some() && self.sentinel_master.is_none() {
            let reason = "redis.sentinel_master must be given with it";
            return wrong("redis.sentinel_password", reason);
        }
        let port = self.sentinel_master.as_ref().map(|_| SENTINEL_PORT);
        let each = each_host(&self.url, port).ok_or_else(unusable)?;
        if each.len() > 1 && !self.cluster && self.sentinel_master.is_none() {
            let reason = "it names several servers: set redis.cluster if they are nodes of a cluster, or \
                          redis.sentinel_master if they are sentinels";
            return wrong("redis.url", reason);
        }
        let each: Vec<ConnectionInfo> = each
            .iter()
            .map(|url| url.as_str().into_connection_info())
            .collect::<Result<_, _>>()
            .map_err(|_| unusable())?;
        let begin: Option<Vec<Address>> = each.iter().map(address).collect();
        let begin = begin.ok_or_else(unusable)?;
        let like = each.into_iter().next().ok_or_else(unusable)?;
        if self.cluster && like.redis_settings().db() != 0 {
            let reason = "a cluster has no databases: leave out what is behind the /";
            return wrong("redis.url", reason);
        }
        let way = self.way(like)?;
        // What the client library does not like is known now.
        for address in &begin {
            way.client(address).map_err(|_| unusable())?;
        }
        let guide = match &self.sentinel_master {
            Some(master) => Guide::Sentinels {
                master: master.clone(),
                way: Box::new(way.to_sentinels(self.sentinel_password.as_deref())),
            },
            None if self.cluster => Guide::Cluster,
            None => Guide::Nobody,
        };
        Ok(Whereabouts { begin, way, guide })
    }

    fn way(&self, like: ConnectionInfo) -> Result<Way, RoutingError> {
        let tls = matches!(like.addr(), ConnectionAddr::TcpTls { .. });
        let certificates = self
            .ca_file
            .as_ref()
            .map(|file| {
                if !tls {
                    let reason = "it is of use with rediss:// in redis.url only";
                    return Err(refused("redis.ca_file", reason));
                }
                authorities(file)
            })
            .transpose()?;
        if tls {
            // Fails when somebody has chosen one already, which serves as well.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_user_timeout(UNACKNOWLEDGED);
        Ok(Way {
            like: like.set_tcp_settings(tcp),
            tls,
            certificates,
            answer_within: ANSWER_WITHIN,
            observer: None,
        })
    }
}

/// The certificates in a file; the client library takes none for granted silently.
fn authorities(file: &std::path::Path) -> Result<TlsCertificates, RoutingError> {
    let told = |reason: String| refused("redis.ca_file", &format!("{}: {reason}", file.display()));
    let pem = std::fs::read(file).map_err(|error| told(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(told("there is no certificate in it".to_owned())),
        Ok(found) => {
            // Here, as the client library's refusal would be taken for one of the URL.
            let mut trusted = rustls::RootCertStore::empty();
            for (at, certificate) in (1..).zip(found) {
                let added = trusted.add(certificate);
                added.map_err(|error| told(format!("certificate {at} in it: {error}")))?;
            }
            Ok(TlsCertificates {
                client_tls: None,
                root_cert: Some(pem),
            })
        }
        Err(error) => Err(told(error.to_string())),
    }
}

/// `scheme://user:password@a,b/0` as a URL for each of its hosts; `port` for those without one.
fn each_host(url: &str, port: Option<&str>) -> Option<Vec<String>> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // A password may itself hold an '@'.
    let hosts = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, hosts) = authority.split_at(hosts);
    let with_port = |host: &str| match port {
        // Of an IPv6 address only what is behind its bracket counts.
        Some(port) if !host.rsplit(']').next().unwrap_or(host).contains(':') => {
            format!("{host}:{port}")
        }
        _ => host.to_owned(),
    };
    let hosts = hosts.split(',').map(str::trim);
    let urls = hosts.map(|host| format!("{scheme}://{user}{}{tail}", with_port(host)));
    Some(urls.collect())
}

/// None for what is no network address.
fn address(info: &ConnectionInfo) -> Option<Address> {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some(Address {
                host: host.clone(),
                port: *port,
            })
        }
        _ => None,
    }
}

fn refused(setting: &'static str, reason: &str) -> RoutingError {
    RoutingError::Settings {
        setting,
        reason: reason.to_owned(),
    }
}

/// The message of the client's own error could repeat the URL, and with it the password.
pub(crate) fn unusable() -> RoutingError {
    refused(
        "redis.url",
        "it is not of the form redis://host:port, or rediss://host:port for TLS",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(change: impl Fn(&mut RedisSettings)) -> Result<Whereabouts, String> {
        let mut settings = RedisSettings::new("redis://ann:secret@a:1,b,[::1]:3/0", "");
        change(&mut settings);
        assert!(!format!("{settings:?}").contains("secret"));
        settings.understood().map_err(|error| {
            let text = error.to_string();
            assert!(!text.contains("secret"), "{text}");
            text
        })
    }

    fn begin(settings: Result<Whereabouts, String>) -> String {
        let begin = settings.unwrap().begin;
        let each: Vec<String> = begin.iter().map(Address::to_string).collect();
        each.join(" ")
    }

    #[test]
    fn several_hosts_are_a_clusters_nodes_or_sentinels() {
        let cluster = understood(|it| it.cluster = true);
        assert_eq!(begin(cluster), "a:1 b:6379 [::1]:3");
        let sentinels = understood(|it| it.sentinel_master = Some("main".to_owned()));
        assert_eq!(begin(sentinels), "a:1 b:26379 [::1]:3");
        let one = understood(|it| it.url = "redis://:p@w@h/7".to_owned());
        assert_eq!(begin(one), "h:6379");
    }

    #[test]
    fn a_sentinel_is_not_told_the_password_of_redis() {
        let told = |password: Option<&str>| {
            let settings = understood(|it| {
                it.sentinel_master = Some("main".to_owned());
                it.sentinel_password = password.map(str::to_owned);
            });
            let Ok(Whereabouts {
                guide: Guide::Sentinels { way, .. },
                ..
            }) = settings
            else {
                panic!("no sentinels")
            };
            let redis = way.like.redis_settings();
            assert_eq!((redis.username(), redis.db()), (None, 0));
            redis.password().map(str::to_owned)
        };
        assert_eq!(told(None), None);
        assert_eq!(told(Some("another")).as_deref(), Some("another"));
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        type Change = fn(&mut RedisSettings);
        let cases: [(&str, &str, Change); 9] = [
            ("redis.url", "redis.cluster", |_| {}),
            ("redis.sentinel_master", "redis.cluster", |it| {
                it.cluster = true;
                it.sentinel_master = Some("main".to_owned());
            }),
            ("redis.sentinel_password", "redis.sentinel_master", |it| {
                it.cluster = true;
                it.sentinel_password = Some("secret".to_owned());
            }),
            ("redis.url", "databases", |it| {
                it.cluster = true;
                it.url = "redis://h/1".to_owned();
            }),
            ("redis.ca_file", "rediss://", |it| {
                it.url = "redis://h".to_owned();
                it.ca_file = Some("ca.pem".into());
            }),
            ("redis.ca_file", "/nowhere/ca.pem", |it| {
                it.url = "rediss://h".to_owned();
                it.ca_file = Some("/nowhere/ca.pem".into());
            }),
            ("redis.url", "redis://host:port", |it| {
                it.url = "ann:secret@h".to_owned();
            }),
            ("redis.url", "redis://host:port", |it| {
                it.url = "unix:///run/redis".to_owned();
            }),
            ("redis.key_prefix", "braces", |it| {
                it.key_prefix = "{a}".to_owned();
            }),
        ];
        for (setting, reason, change) in cases {
            let error = understood(change).err().unwrap();
            assert!(
                error.starts_with(setting) && error.contains(reason),
                "{setting}: {error}"
            );
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_none_of_authorities() {
        let dir = std::env::temp_dir().join(format!("routing-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        let file = dir.join("ca.pem");
        let refusal = |holds: &str| {
            std::fs::write(&file, holds).unwrap();
            let refused = understood(|it| {
                it.url = "rediss://h".to_owned();
                it.ca_file = Some(file.clone());
            });
            refused.err().unwrap()
        };
        let empty = refusal("no certificate");
        let nonsense = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n";
        let nonsense = refusal(nonsense);
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(empty.contains("no certificate in it"), "{empty}");
        assert!(nonsense.starts_with("redis.ca_file"), "{nonsense}");
        assert!(nonsense.contains("certificate 1 in it"), "{nonsense}");
    }
}

//! What a gateway is told: names, addresses, keys, bounds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use protocol::{Limits, MAX_BODY_BYTES, MAX_BODY_CHARS, MAX_FRAME_BYTES};
use routing::{HomeSettings, ROUTE_CACHE, RedisSettings, RoutingError};
use service::kafka::KafkaSettings;
use service::lifecycle::chain;
use service::settings::{AdminSettings, HOMES, Key, POSTGRES_KEYS, REDIS_KEYS, Secret, Values};
use service::trace::TraceSettings;
use store::{StoreError, StoreSettings};

use crate::auth::{AuthSettings, Keys};
use crate::rate::Rate;
use crate::session::Rules;
use crate::socket::Bound;

/// Sections that other programs read from the same file and environment.
pub const ELSEWHERE: &[&str] = &[
    "classifier.",
    "push.",
    "group.",
    "lanes",
    "kafka.replication",
    "kafka.min_insync",
];

/// Its keys, in the order of `--help`; those of logs are every program's.
pub const TABLES: &[&[Key]] = &[
    KEYS,
    POSTGRES_KEYS,
    REDIS_KEYS,
    AUTH_KEYS,
    KafkaSettings::KEYS,
    AdminSettings::KEYS,
    TraceSettings::KEYS,
];

const KEYS: &[Key] = &[
    Key::new(
        "was.listen",
        "127.0.0.1:8080",
        "address of sockets and REST",
    ),
    Key::bare(
        "was.name",
        "name that keeps its home over restarts [default: LISTEN@HOST]",
    ),
    Key::new(
        "was.max_sockets",
        "50000",
        "sockets open at once; more are told to come back",
    ),
    Key::new(
        "was.max_connections",
        "4096",
        "connections open at once beside the sockets; more wait to be accepted",
    ),
    Key::new(
        "was.sessions_per_user",
        "50",
        "sessions that a user may have at once, on all gateways together",
    ),
    Key::new(
        "was.rooms_per_user",
        "2000",
        "rooms that a user may be in at once",
    ),
    Key::new(
        "was.home_lease",
        "2s",
        "how long the home stays claimed without being renewed",
    ),
    Key::new("was.drain", "10s", "how long a stop may take"),
    Key::new(
        "was.drain_spread",
        "2s",
        "over how long a stop spreads its byes, at most half of was.drain",
    ),
    Key::new(
        "was.greet_within",
        "5s",
        "how long a socket may be open without a hello",
    ),
    Key::new(
        "was.ping_every",
        "25s",
        "how often a socket is pinged at least; each 10s while something is unconfirmed",
    ),
    Key::new(
        "was.audit_least",
        "60s",
        "shortest time between two audits of a session",
    ),
    Key::new(
        "was.audit_most",
        "120s",
        "longest time between two audits of a session",
    ),
    Key::new(
        "was.queue_frames",
        "2048",
        "frames that may wait for one socket",
    ),
    Key::new(
        "was.queue_bytes",
        "4194304",
        "bytes that may wait for one socket",
    ),
    Key::new(
        "was.replay_room",
        "300",
        "messages replayed in one room; more is a gap",
    ),
    Key::new("was.replay_total", "1000", "messages replayed in all rooms"),
    Key::new(
        "was.rate_per_second",
        "20",
        "commands a second that a user may send for long",
    ),
    Key::new(
        "was.rate_burst",
        "100",
        "commands that a user may send at once",
    ),
    Key::new(
        "was.command_timeout",
        "5s",
        "how long Kafka may take to acknowledge a command",
    ),
    Key::new(
        "was.outcome_timeout",
        "5s",
        "how long a request waits for its command's outcome",
    ),
    HOMES,
];

const AUTH_KEYS: &[Key] = &[
    Key::secret(
        "auth.hs256_secret",
        "secret of HS256 tokens, at least 32 bytes",
    ),
    Key::bare(
        "auth.key_file",
        "public key (PEM) of RS256, ES256 or EdDSA tokens",
    ),
    Key::bare("auth.jwks_file", "JWKS file with the keys of tokens"),
    Key::bare("auth.issuer", "iss that tokens must have [default: any]"),
    Key::bare("auth.audience", "aud that tokens must have [default: any]"),
    Key::new(
        "auth.leeway",
        "5s",
        "how far the token issuer's clock may be off",
    ),
    Key::new(
        "auth.dev_tokens",
        "false",
        "give tokens to whoever asks: development only",
    ),
];

/// All of it, checked.
#[derive(Clone)]
pub struct Settings {
    /// Address of sockets and REST.
    pub listen: SocketAddr,
    /// Health and metrics.
    pub admin: AdminSettings,
    /// Kafka.
    pub kafka: KafkaSettings,
    /// Postgres.
    pub store: StoreSettings,
    /// Redis.
    pub redis: RedisSettings,
    /// The home to ask for.
    pub home: HomeSettings,
    /// Tokens.
    pub auth: AuthSettings,
    /// Sessions.
    pub rules: Rules,
    /// What may wait for one socket.
    pub queue: Bound,
    /// How fast a user may send.
    pub rate: Rate,
    /// Sockets open at once.
    pub max_sockets: usize,
    /// Sessions that a user may have at once, wherever they are.
    pub sessions_per_user: usize,
    /// Rooms that a user may be in at once.
    pub rooms_per_user: i64,
    /// Connections open at once that are not (yet) sockets.
    pub max_connections: usize,
    /// How long Kafka may take to acknowledge a command (trap 11).
    pub command_timeout: Duration,
    /// How long a request waits for its command's outcome.
    pub outcome_timeout: Duration,
    /// How long a stop may take.
    pub drain: Duration,
    /// Over how long a stop sends its sessions away.
    pub drain_spread: Duration,
    /// Whether and where traces go.
    pub trace: TraceSettings,
}

/// Between the bound of the route cache and the settling query: what a look-up may be late by
/// between its check of the cache and its record's arrival.
const SETTLE_MARGIN: Duration = Duration::from_millis(500);

impl Settings {
    /// Reads and checks everything; mistakes are kept in `values`.
    pub fn read(values: &mut Values) -> Self {
        let listen: SocketAddr = values.get("was.listen");
        let name = values
            .optional("was.name")
            .unwrap_or_else(|| own_name(listen));
        let rate = Rate {
            per_second: values.within("was.rate_per_second", 1..=100_000),
            burst: values.within("was.rate_burst", 1..=100_000),
        };
        let limits = Limits {
            body_chars: MAX_BODY_CHARS,
            body_bytes: MAX_BODY_BYTES,
            frame_bytes: MAX_FRAME_BYTES,
            rate_per_second: rate.per_second,
            rate_burst: rate.burst,
            replay_room: values.within("was.replay_room", 1..=10_000),
            replay_total: values.within("was.replay_total", 1..=100_000),
        };
        let queue = Bound {
            frames: values.within("was.queue_frames", 16..=1_000_000),
            // One frame of the largest size must fit.
            bytes: values.within("was.queue_bytes", 2 * MAX_FRAME_BYTES..=1 << 30),
        };
        let rules = Rules {
            was: name.clone(),
            greet_within: values.within("was.greet_within", ms(100)..=ms(300_000)),
            ping_every: values.within("was.ping_every", ms(1_000)..=ms(600_000)),
            settle_after: ROUTE_CACHE + SETTLE_MARGIN,
            audit_least: values.within("was.audit_least", ms(1_000)..=ms(86_400_000)),
            audit_most: values.within("was.audit_most", ms(1_000)..=ms(86_400_000)),
            retry_after: Duration::from_secs(1),
            held_frames: queue.frames,
            held_bytes: queue.bytes,
            cursors: 10_000,
            errors: 100,
            limits,
        };
        if rules.audit_least > rules.audit_most {
            values.mistake("was.audit_least", "must not be above was.audit_most");
        }
        let drain = values.within("was.drain", ms(1_000)..=ms(600_000));
        let drain_spread = values.within("was.drain_spread", ms(0)..=ms(300_000));
        // The last to be told must still have the time to leave.
        if drain_spread > drain / 2 {
            values.mistake("was.drain_spread", "must not be above half of was.drain");
        }
        // Above it "unavailable" would be said while the command is still on its way (trap 11).
        let command_timeout = values.within("was.command_timeout", ms(100)..=ms(5_000));
        let store = StoreSettings {
            tls: values.parsed("postgres.tls"),
            ca_file: values.optional("postgres.ca_file"),
            pool_size: values.within("postgres.pool", 1..=1_000),
            ..StoreSettings::new(values.get::<Secret>("postgres.url").expose())
        };
        if let Err(StoreError::Settings { setting, reason }) = store.check() {
            values.check(setting, Err(reason));
        }
        let redis = RedisSettings {
            url: values.get::<Secret>("redis.url").expose().to_owned(),
            cluster: values.get("redis.cluster"),
            sentinel_master: values.optional("redis.sentinel_master"),
            sentinel_password: values.optional("redis.sentinel_password"),
            ca_file: values.optional("redis.ca_file"),
            key_prefix: values.text("redis.key_prefix"),
        };
        if let Err(RoutingError::Settings { setting, reason }) = redis.check() {
            values.check(setting, Err(reason));
        }
        Self {
            listen,
            admin: AdminSettings::read(values),
            kafka: KafkaSettings::read(values),
            store,
            redis,
            home: HomeSettings {
                name,
                homes: values.within("homes", 1..=10_000),
                lease: values.within("was.home_lease", ms(200)..=ms(60_000)),
            },
            auth: auth(values),
            rules,
            queue,
            rate,
            max_sockets: values.within("was.max_sockets", 1..=10_000_000),
            sessions_per_user: values.within("was.sessions_per_user", 1..=10_000),
            // Each of them has a cursor in a hello, which takes so many.
            rooms_per_user: values.within("was.rooms_per_user", 1..=10_000),
            max_connections: values.within("was.max_connections", 1..=1_000_000),
            command_timeout,
            outcome_timeout: values.within("was.outcome_timeout", ms(100)..=ms(10_000)),
            drain,
            drain_spread,
            trace: TraceSettings::read(values),
        }
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The same after a restart, so that it finds its home, and nobody else's: pods of one deployment
/// all listen on the same address. The host last: a StatefulSet's ordinal is at its end.
fn own_name(listen: SocketAddr) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => format!("{listen}@was"),
        host => format!("{listen}@{host}"),
    }
}

fn auth(values: &mut Values) -> AuthSettings {
    let settings = AuthSettings {
        hs256_secret: values.optional("auth.hs256_secret"),
        key_file: values.optional::<PathBuf>("auth.key_file"),
        jwks_file: values.optional::<PathBuf>("auth.jwks_file"),
        issuer: values.optional("auth.issuer"),
        audience: values.optional("auth.audience"),
        leeway: values.within("auth.leeway", ms(0)..=ms(300_000)),
        dev_tokens: values.get("auth.dev_tokens"),
    };
    match &settings.hs256_secret {
        Some(secret) if secret.expose().len() < 32 => {
            values.mistake("auth.hs256_secret", "must have at least 32 bytes");
        }
        None if settings.dev_tokens => {
            values.mistake(
                "auth.dev_tokens",
                "needs auth.hs256_secret to sign tokens with",
            );
        }
        None if settings.key_file.is_none() && settings.jwks_file.is_none() => {
            let text = "must be set, or auth.key_file, or auth.jwks_file: nobody could connect";
            values.mistake("auth.hs256_secret", text);
        }
        _ => {}
    }
    if settings.key_file.is_some() || settings.jwks_file.is_some() {
        // Now rather than at the start: `check-config` is to find what can't be read.
        if let Err(error) = Keys::read(&settings) {
            values.mistake(error.setting(), &chain(&error));
        }
    }
    settings
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;

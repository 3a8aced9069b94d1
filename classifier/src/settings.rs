//! The classifier's settings.

use std::time::Duration;

use routing::{RedisSettings, RoutingError};
use service::kafka::KafkaSettings;
use service::settings::{AdminSettings, HOMES, Key, POSTGRES_KEYS, REDIS_KEYS, Values};
use service::trace::TraceSettings;
use store::{StoreError, StoreSettings};

use crate::push::{self, PushSettings};

/// Its keys, in the order of `--help`; those of logs are every program's.
pub const TABLES: &[&[Key]] = &[
    KEYS,
    POSTGRES_KEYS,
    REDIS_KEYS,
    push::KEYS,
    KafkaSettings::KEYS,
    AdminSettings::KEYS,
    TraceSettings::KEYS,
];

const KEYS: &[Key] = &[
    Key::bare(
        "classifier.name",
        "name that it owns lanes, or partitions of chat-push, under; each process its own [default: HOSTNAME-PID]",
    ),
    Key::new(
        "classifier.workers",
        "1",
        "append workers: batches that commit side by side",
    ),
    Key::new("classifier.drain", "10s", "how long a stop may take"),
    Key::new("group.limit", "100", "the most members of a group"),
    Key::new("lanes", "24", "partitions of chat-send and chat-signal"),
    HOMES,
    Key::new(
        "kafka.replication",
        "1",
        "copies of each partition, for setup; 3 in production",
    ),
    Key::new(
        "kafka.min_insync",
        "1",
        "copies that must have a record before it is accepted, for setup; 2 in production",
    ),
];

/// Sections of other programs that may share the file and the environment.
pub const ELSEWHERE: &[&str] = &["was.", "auth."];

/// Connections to Postgres beside those of the workers: a renewal, a signal and a claim must not wait
/// for appends.
const BESIDE_WORKERS: usize = 3;

/// How long a stop may be allowed to take.
const SHORTEST_DRAIN: Duration = Duration::from_secs(1);
const LONGEST_DRAIN: Duration = Duration::from_secs(600);

/// Everything that the classifier is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The owner of its lanes.
    pub name: String,
    /// Append workers.
    pub workers: usize,
    /// How long a stop may take.
    pub drain: Duration,
    /// The most members of a group.
    pub group_limit: usize,
    /// Partitions of `chat-send`.
    pub lanes: i32,
    /// Partitions of `chat-receive`, the broadcast partition left out.
    pub homes: usize,
    /// Copies of each partition.
    pub replication: u16,
    /// Copies that must have a record.
    pub min_insync: u16,
    /// Kafka.
    pub kafka: KafkaSettings,
    /// Postgres.
    pub store: StoreSettings,
    /// Redis.
    pub redis: RedisSettings,
    /// Health and metrics.
    pub admin: AdminSettings,
    /// How people who are not connected are told.
    pub push: PushSettings,
    /// Whether and where traces go.
    pub trace: TraceSettings,
}

impl Settings {
    /// Reads them, noting every mistake.
    pub fn read(values: &mut Values) -> Self {
        let replication = values.within("kafka.replication", 1..=32);
        let min_insync = values.within("kafka.min_insync", 1..=32);
        if min_insync > replication {
            values.mistake("kafka.min_insync", "must not be above kafka.replication");
        }
        let workers = values.within("classifier.workers", 1..=64);
        let store = StoreSettings {
            tls: values.parsed("postgres.tls"),
            ca_file: values.optional("postgres.ca_file"),
            pool_size: values.within("postgres.pool", 1..=1_000),
            ..StoreSettings::new(values.get::<String>("postgres.url"))
        };
        if workers + BESIDE_WORKERS > store.pool_size {
            let message = format!("must be at least classifier.workers + {BESIDE_WORKERS}");
            values.mistake("postgres.pool", &message);
        }
        let redis = RedisSettings {
            url: values.get("redis.url"),
            cluster: values.get("redis.cluster"),
            sentinel_master: values.optional("redis.sentinel_master"),
            sentinel_password: values.optional("redis.sentinel_password"),
            ca_file: values.optional("redis.ca_file"),
            key_prefix: values.text("redis.key_prefix"),
        };
        if let Err(StoreError::Settings { setting, reason }) = store.check() {
            values.check(setting, Err(reason));
        }
        if let Err(RoutingError::Settings { setting, reason }) = redis.check() {
            values.check(setting, Err(reason));
        }
        Self {
            name: values.optional("classifier.name").unwrap_or_else(own_name),
            workers,
            drain: values.within("classifier.drain", SHORTEST_DRAIN..=LONGEST_DRAIN),
            // One record holds the event that made a group: its members must fit.
            group_limit: values.within("group.limit", 2..=10_000),
            lanes: values.within("lanes", 1..=10_000),
            homes: values.within("homes", 1..=10_000),
            replication,
            min_insync,
            kafka: KafkaSettings::read(values),
            store,
            redis,
            admin: AdminSettings::read(values),
            push: PushSettings::read(values),
            trace: TraceSettings::read(values),
        }
    }

    /// [`Settings::homes`], as partitions are counted.
    pub fn home_count(&self) -> i32 {
        i32::try_from(self.homes).unwrap_or(i32::MAX)
    }
}

/// Two processes of one name would take each other's lanes without end.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "classifier",
        host => host,
    };
    format!("{host}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn mistakes(args: &[&str]) -> String {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let mut values = Values::load_from(TABLES, ELSEWHERE, args, []);
        let _ = Settings::read(&mut values);
        values
            .finish()
            .err()
            .map(|m| m.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let told = mistakes(&[
            "--lanes",
            "0",
            "--kafka-min-insync",
            "2",
            "--group-limit",
            "x",
        ]);
        for name in [
            "lanes",
            "kafka.min_insync",
            "group.limit",
            "kafka.brokers",
            "postgres.url",
            "redis.url",
        ] {
            assert!(told.contains(name), "{name} is not in:\n{told}");
        }
    }

    fn with_addresses(postgres: &str, redis: &str, more: &[&str]) -> String {
        let mut args = vec!["--kafka-brokers", "127.0.0.1:9092"];
        args.extend(["--postgres-url", postgres, "--redis-url", redis]);
        args.extend(more);
        mistakes(&args)
    }

    #[test]
    fn addresses_that_can_never_work_are_named() {
        let told = with_addresses("http://u:secret@h/d", "127.0.0.1:6379", &[]);
        for name in ["postgres.url", "redis.url"] {
            assert!(told.contains(name), "{name} is not in:\n{told}");
        }
        assert!(!told.contains("secret"), "{told}");
        let braces = ["--redis-key-prefix", "{a}"];
        let told = with_addresses("postgres://u@h/d", "redis://h", &braces);
        assert!(told.contains("redis.key_prefix"), "{told}");
    }

    /// One of no length would drop what every stop leaves to do.
    #[test]
    fn a_stop_has_bounds() {
        for drain in ["0s", "11m"] {
            let drain = ["--classifier-drain", drain];
            let told = with_addresses("postgres://u@h/d", "redis://h", &drain);
            assert!(told.contains("classifier.drain"), "{told}");
        }
    }

    /// A pool that the workers alone can fill would make renewals wait for appends.
    #[test]
    fn a_pool_has_room_beside_the_workers() {
        let pool = |pool| {
            let more = ["--classifier-workers", "4", "--postgres-pool", pool];
            with_addresses("postgres://u@h/d", "redis://h", &more)
        };
        assert!(pool("6").contains("classifier.workers + 3"));
        assert_eq!(pool("7"), "");
    }

    /// A section that no program has is a typing error.
    #[test]
    fn a_section_of_nobody_is_unknown() {
        let typo = [("SWITCHBOARD_CLIENT_URL".into(), "x".into())];
        let mut values = Values::load_from(TABLES, ELSEWHERE, Vec::new(), typo);
        let told = values.finish().err().map(|mistakes| mistakes.to_string());
        assert!(told.unwrap_or_default().contains("SWITCHBOARD_CLIENT_URL"));
    }

    #[test]
    fn defaults_and_three_addresses_are_enough() {
        let told = with_addresses("postgres://u@127.0.0.1/d", "redis://127.0.0.1", &[]);
        assert_eq!(told, "");
    }
}

//! Settings that more than one program reads: each has one name, one default and one line of help.
//!
//! Only the keys are here: what Postgres and Redis are told is for the crates that own them to say.

use super::Key;

/// How many homes there are: who writes to them and who reads them must agree.
pub const HOMES: Key = Key::new(
    "homes",
    "64",
    "partitions of chat-receive beside the broadcast partition",
);

/// Where Postgres is.
pub const POSTGRES_KEYS: &[Key] = &[
    Key::secret(
        "postgres.url",
        "postgres://user:password@host:port/database",
    ),
    Key::new(
        "postgres.tls",
        "disable",
        "disable, require (encrypted) or verify-full (and the server's certificate is checked)",
    ),
    Key::bare(
        "postgres.ca_file",
        "PEM file of who may sign the certificate of Postgres [default: the system's]",
    ),
    Key::new("postgres.pool", "16", "connections to Postgres"),
];

/// Where Redis is.
pub const REDIS_KEYS: &[Key] = &[
    Key::secret(
        "redis.url",
        "redis://host:port; of a cluster or of sentinels several: redis://host:port,host:port",
    ),
    Key::new(
        "redis.cluster",
        "false",
        "redis.url names nodes of a cluster",
    ),
    Key::bare(
        "redis.sentinel_master",
        "redis.url names sentinels, which call the primary by this name",
    ),
    Key::secret("redis.sentinel_password", "password of the sentinels"),
    Key::bare(
        "redis.ca_file",
        "PEM file of who may sign the certificate of Redis [default: the system's]",
    ),
    Key::new("redis.key_prefix", "", "stands before every key in Redis"),
];

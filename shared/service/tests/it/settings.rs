//! Settings: three sources, all mistakes at once, nothing secret shown.

use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use service::kafka::KafkaSettings;
use service::settings::{AdminSettings, Key, LogSettings, Secret, Values};

const KEYS: &[Key] = &[
    Key::new("was.listen", "127.0.0.1:8080", "where"),
    Key::new("was.patience", "5s", "how long"),
    Key::new("lanes", "24", "how many"),
    Key::bare("postgres.url", "database"),
    Key::secret("auth.hs256_secret", "signs tokens"),
];

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = file("lanes = 1\n[was]\npatience = \"1s\"\nlisten = \"127.0.0.1:1\"\n");
    let path = file.path().to_str().unwrap();
    let mut values = Values::load_from(
        &[KEYS],
        &[],
        words(&["--config", path, "--was-listen=127.0.0.1:3"]),
        environment(&[
            ("SWITCHBOARD_WAS_LISTEN", "127.0.0.1:2"),
            ("SWITCHBOARD_WAS_PATIENCE", "2s"),
            ("SWITCHBOARD_POSTGRES_URL", "postgres://ann:hidden@db/chat"),
            ("PATH", "/bin"),
        ]),
    );
    let listen: std::net::SocketAddr = values.get("was.listen");
    assert_eq!(listen.port(), 3);
    assert_eq!(
        values.get::<Duration>("was.patience"),
        Duration::from_secs(2)
    );
    assert_eq!(values.get::<usize>("lanes"), 1);
    assert_eq!(
        values.get::<Secret>("postgres.url").expose(),
        "postgres://ann:hidden@db/chat"
    );
    assert!(values.optional::<Secret>("auth.hs256_secret").is_none());
    values.finish().unwrap();
}

#[test]
fn every_mistake_is_named_at_once() {
    let file = file("lanes = \"many\"\nlains = 3\n[was]\nlisten = \"here\"\n");
    let path = file.path().to_str().unwrap();
    let mut values = Values::load_from(
        &[KEYS],
        &[],
        words(&["--config", path, "--was-lissten", "x", "stray", "--lanes"]),
        environment(&[
            ("SWITCHBOARD_WAS_PATIENCE", "5"),
            ("SWITCHBOARD_LANEZ", "5"),
        ]),
    );
    let _: std::net::SocketAddr = values.get("was.listen");
    let _: Duration = values.get("was.patience");
    let _: usize = values.get("lanes");
    let _: Secret = values.get("postgres.url");
    let told = values.finish().unwrap_err().to_string();
    for expected in [
        "unknown setting lains",
        "is lanes meant?",
        "unknown setting SWITCHBOARD_LANEZ in the environment",
        "unknown flag --was-lissten (is was.listen meant?)",
        "\"stray\" is not a flag",
        "flag --lanes has no value",
        "lanes = \"many\"",
        "was.listen = \"here\"",
        "was.patience = \"5\" (SWITCHBOARD_WAS_PATIENCE): expected a duration",
        "postgres.url is missing: set it in the file, as SWITCHBOARD_POSTGRES_URL or as --postgres-url",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in {told}");
    }
}

#[test]
fn nothing_secret_is_shown_by_settings_or_their_mistakes() {
    let mut values = Values::load_from(
        &[KEYS, KafkaSettings::KEYS],
        &[],
        words(&["--auth-hs256-secret", "hidden"]),
        environment(&[
            ("SWITCHBOARD_POSTGRES_URL", "postgres://ann:hidden@db/chat"),
            ("SWITCHBOARD_KAFKA_SASL_PASSWORD", "hidden"),
            ("SWITCHBOARD_KAFKA_BROKERS", "127.0.0.1:9092"),
        ]),
    );
    let kafka = KafkaSettings::read(&mut values);
    let shown = values.shown();
    values.mistake("postgres.url", "wrong");
    values.mistake("auth.hs256_secret", "too short");
    let told = values.finish().unwrap_err().to_string();
    for text in [&shown, &told, &format!("{kafka:?}")] {
        assert!(!text.contains("hidden"), "{text}");
    }
    assert!(shown.contains("postgres://ann:***@db/chat"), "{shown}");
    assert!(
        shown.contains("auth.hs256_secret = \"***\"  # --auth-hs256-secret"),
        "{shown}"
    );
    assert!(told.contains("auth.hs256_secret (--auth-hs256-secret): too short"));
}

#[test]
fn sections_of_other_programs_are_theirs_to_check() {
    let file = file("lanes = 2\n[classifier]\nworkers = 3\n");
    let path = file.path().to_str().unwrap();
    let load = |elsewhere: &[&str]| {
        Values::load_from(
            &[KEYS],
            elsewhere,
            words(&["--config", path]),
            environment(&[
                ("SWITCHBOARD_CLASSIFIER_NAME", "c"),
                ("SWITCHBOARD_STACK", "{}"),
            ]),
        )
        .finish()
    };
    load(&["classifier."]).unwrap();
    assert_eq!(load(&[]).unwrap_err().0.len(), 2);
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_a_mistake() {
    let broken = file("lanes = = 2");
    for path in ["/nowhere/at/all.toml", broken.path().to_str().unwrap()] {
        let mut values = Values::load_from(&[KEYS], &[], words(&["--config", path]), []);
        let told = values.finish().unwrap_err().to_string();
        assert!(told.contains(path), "{told}");
    }
}

#[test]
fn kafka_settings_must_fit_together() {
    let mut values = Values::load_from(
        &[KafkaSettings::KEYS, LogSettings::KEYS, AdminSettings::KEYS],
        &[],
        words(&[
            "--kafka-brokers",
            "one:9092,two",
            "--kafka-topic-prefix",
            "a b",
            "--kafka-security-protocol",
            "sasl_ssl",
            "--kafka-ca-file",
            "/nowhere/ca.pem",
            "--log-level",
            "was=loud",
            "--admin-listen",
            "9090",
        ]),
        [],
    );
    KafkaSettings::read(&mut values);
    LogSettings::read(&mut values);
    AdminSettings::read(&mut values);
    let told = values.finish().unwrap_err();
    assert_eq!(told.0.len(), 7, "{told}");
}

//! Settings whose text lies in a file of its own, as secrets are handed to a process.

use std::ffi::OsString;
use std::io::Write as _;

use service::settings::{Key, Secret, Values};

const KEYS: &[Key] = &[
    Key::new("lanes", "24", "how many"),
    Key::secret("postgres.url", "database"),
    Key::secret("redis.url", "cache"),
    Key::bare("kafka.ca_file", "a setting that is a file itself"),
];

fn holding(bytes: &[u8]) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

fn load(flags: &[String], environment: &[(&str, &str)]) -> Values {
    let flags = flags.iter().map(OsString::from).collect::<Vec<_>>();
    let environment = environment
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    Values::load_from(&[KEYS], &[], flags, environment)
}

fn url(values: &mut Values) -> String {
    values.get::<Secret>("postgres.url").expose().to_owned()
}

#[test]
fn each_source_may_name_a_file_and_the_end_of_its_line_is_no_part_of_it() {
    for (bytes, expected) in [
        ("postgres://u:p@h/d", "postgres://u:p@h/d"),
        ("postgres://u:p@h/d\n", "postgres://u:p@h/d"),
        ("two\nlines \r\n\n", "two\nlines "),
    ] {
        let (_secret, path) = holding(bytes.as_bytes());
        let (_file, config) = holding(format!("[postgres]\nurl_file = {path:?}\n").as_bytes());
        let variable = [("SWITCHBOARD_POSTGRES_URL_FILE", &*path)];
        for mut values in [
            load(&["--config".into(), config], &[]),
            load(&[], &variable),
            load(&[format!("--postgres-url-file={path}")], &[]),
        ] {
            assert_eq!(url(&mut values), expected);
            values.finish().unwrap();
            let shown = values.shown();
            assert!(!shown.contains(expected), "{shown}");
            assert!(shown.contains(&path), "{shown}");
        }
    }
}

/// Where a text comes from decides, not whether it lies in a file; what is replaced need not be there.
#[test]
fn higher_sources_replace_lower_ones() {
    let (_secret, path) = holding(b"of the file\n");
    let variable = [("SWITCHBOARD_POSTGRES_URL_FILE", "/nowhere/at/all")];
    let mut values = load(&["--postgres-url=of a flag".into()], &variable);
    assert_eq!(url(&mut values), "of a flag");
    values.finish().unwrap();
    let variable = [("SWITCHBOARD_POSTGRES_URL", "of a variable")];
    let mut values = load(&["--postgres-url-file".into(), path.clone()], &variable);
    assert_eq!(url(&mut values), "of the file");
    values.finish().unwrap();
    // An empty text is absence, as everywhere.
    for (text, file, expected) in [("", &*path, "of the file"), ("the text", "", "the text")] {
        let variables = [
            ("SWITCHBOARD_POSTGRES_URL", text),
            ("SWITCHBOARD_POSTGRES_URL_FILE", file),
        ];
        let mut values = load(&[], &variables);
        assert_eq!(url(&mut values), expected);
        values.finish().unwrap();
    }
}

/// One mistake each, which names who said what, and never a text.
#[test]
fn what_can_not_be_read_is_named_once() {
    let (_secret, path) = holding(b"hidden");
    let (_empty, empty) = holding(b"\n");
    let (_bytes, bytes) = holding(b"\xff\xfe");
    let variables = [
        ("SWITCHBOARD_POSTGRES_URL", "hidden"),
        ("SWITCHBOARD_POSTGRES_URL_FILE", &*path),
        ("SWITCHBOARD_REDIS_URL_FILE", "/nowhere/at/all"),
    ];
    let flags = ["--lanes-file".to_owned(), bytes];
    for (mut values, told) in [
        (
            load(&flags, &variables),
            &[
                "SWITCHBOARD_POSTGRES_URL and SWITCHBOARD_POSTGRES_URL_FILE are both in the environment",
                "SWITCHBOARD_REDIS_URL_FILE = \"/nowhere/at/all\": can't be read: No such file",
                "--lanes-file",
            ][..],
        ),
        (
            load(
                &["--postgres-url-file".into(), empty, "--redis-url=x".into()],
                &[],
            ),
            &["the file is empty"],
        ),
    ] {
        url(&mut values);
        values.get::<Secret>("redis.url");
        values.within::<usize>("lanes", 5..=10);
        values.mistake("postgres.url", "does not fit");
        let mistakes = values.finish().unwrap_err();
        let text = mistakes.to_string();
        for expected in told {
            assert!(text.contains(expected), "{expected:?} is not in {text}");
        }
        assert!(!text.contains("hidden"), "{text}");
        assert!(!text.contains("missing"), "{text}");
    }
}

/// `…_file` of a setting that is one itself means what it always meant.
#[test]
fn a_setting_that_is_a_file_is_not_read() {
    let variables = [
        ("SWITCHBOARD_KAFKA_CA_FILE", "/nowhere/ca.pem"),
        ("SWITCHBOARD_POSTGRES_URLS_FILE", "/nowhere/url"),
    ];
    let mut values = load(&[], &variables);
    assert_eq!(values.get::<String>("kafka.ca_file"), "/nowhere/ca.pem");
    let told = values.finish().unwrap_err();
    assert_eq!(told.0.len(), 1, "{told}");
    assert!(told.to_string().contains("SWITCHBOARD_POSTGRES_URLS_FILE"));
}

//! Settings of encryption and logins: what contradicts itself, or can't be used, is told before anything starts.

use std::fs;
use std::path::Path;

use service::kafka::{KafkaSettings, SecurityProtocol};
use service::settings::Values;
use stack::Certificates;

/// Reads Kafka's settings, given as (name, value) without the `kafka.` before it.
fn read(settings: &[(&str, &str)]) -> (KafkaSettings, Vec<String>) {
    let brokers = [("brokers", "127.0.0.1:1")];
    let environment = brokers.iter().chain(settings).map(|(name, value)| {
        let name = format!("SWITCHBOARD_KAFKA_{}", name.to_uppercase());
        (name.into(), (*value).into())
    });
    let mut values = Values::load_from(&[KafkaSettings::KEYS], &[], [], environment);
    let settings = KafkaSettings::read(&mut values);
    let mistakes = values.finish().err();
    let told = mistakes.map(|all| all.0.iter().map(ToString::to_string).collect());
    (settings, told.unwrap_or_default())
}

fn made(dir: &Path) -> [String; 4] {
    let made = Certificates::make(dir).unwrap();
    [
        made.ca(),
        made.client(),
        made.client_key(),
        made.stranger_client_key(),
    ]
    .map(|file| file.to_str().unwrap().to_owned())
}

#[test]
fn each_protocol_is_what_its_settings_say() {
    let dir = tempfile::tempdir().unwrap();
    let [ca, certificate, key, _] = &made(dir.path());
    let login = [("sasl_username", "ann"), ("sasl_password", "secret")];
    let identity = [
        ("ca_file", ca.as_str()),
        ("certificate_file", certificate),
        ("key_file", key),
    ];
    for (protocol, given) in [
        (SecurityProtocol::Plaintext, vec![]),
        (SecurityProtocol::Ssl, vec![]),
        (SecurityProtocol::Ssl, identity.to_vec()),
        (SecurityProtocol::SaslPlaintext, login.to_vec()),
        (SecurityProtocol::SaslSsl, login.to_vec()),
        (SecurityProtocol::SaslSsl, [&login[..], &identity].concat()),
    ] {
        let named = [("security_protocol", protocol.name())];
        let (settings, mistakes) = read(&[&named[..], &given].concat());
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(settings.security.protocol(), protocol);
        let tls = settings.security.tls.as_ref();
        let has = |(name, _): &(&str, _)| name.ends_with("_file");
        assert_eq!(
            tls.is_some_and(|tls| tls.identity.is_some()),
            given.iter().any(has)
        );
    }
}

/// What is given, the setting to be named, and what is said of it.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

/// What is given and would not be used, or is used and not given, is one mistake each, which names the setting and what to do.
#[test]
fn contradictions_are_told_by_their_setting() {
    let dir = tempfile::tempdir().unwrap();
    let [ca, certificate, key, another_key] = &made(dir.path());
    let encrypted = dir.path().join("encrypted.key");
    fs::write(&encrypted, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
    let broken = dir.path().join("broken.pem");
    fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let (encrypted, broken) = (encrypted.to_str().unwrap(), broken.to_str().unwrap());
    let ssl = ("security_protocol", "ssl");
    let cases: [Case<'_>; 14] = [
        (
            &[("sasl_username", "ann")],
            "kafka.sasl_username",
            "set that, or leave this out",
        ),
        (
            &[ssl, ("sasl_password", "hidden")],
            "kafka.sasl_password",
            "set that, or leave this out",
        ),
        (
            &[("security_protocol", "sasl_ssl"), ("sasl_username", "ann")],
            "kafka.sasl_password",
            "must be given",
        ),
        (
            &[
                ("security_protocol", "sasl_plaintext"),
                ("sasl_mechanism", "PLAIN"),
                ("sasl_username", "ann"),
                ("sasl_password", "hidden"),
            ],
            "kafka.sasl_mechanism",
            "choose SCRAM-SHA-512",
        ),
        (
            &[("ca_file", ca)],
            "kafka.ca_file",
            "set that, or leave this out",
        ),
        (
            &[ssl, ("certificate_file", certificate)],
            "kafka.key_file",
            "must be given with kafka.certificate_file",
        ),
        (
            &[ssl, ("key_file", key)],
            "kafka.certificate_file",
            "must be given with kafka.key_file",
        ),
        (
            &[ssl, ("ca_file", "/nowhere/ca.pem")],
            "kafka.ca_file",
            "can't be read",
        ),
        (&[ssl, ("ca_file", "/")], "kafka.ca_file", "can't be read"),
        (&[ssl, ("ca_file", key)], "kafka.ca_file", "holds a key"),
        (
            &[ssl, ("ca_file", broken)],
            "kafka.ca_file",
            "can't be used",
        ),
        (
            &[ssl, ("certificate_file", certificate), ("key_file", ca)],
            "kafka.key_file",
            "holds a certificate",
        ),
        (
            &[
                ssl,
                ("certificate_file", certificate),
                ("key_file", encrypted),
            ],
            "kafka.key_file",
            "is encrypted",
        ),
        (
            &[
                ssl,
                ("certificate_file", certificate),
                ("key_file", another_key),
            ],
            "kafka.key_file",
            "is not the key of kafka.certificate_file",
        ),
    ];
    for (given, setting, expected) in cases {
        let (_, mistakes) = read(given);
        let [told] = &mistakes[..] else {
            panic!("{given:?}: {mistakes:?}");
        };
        assert!(
            told.starts_with(setting) && told.contains(expected),
            "{given:?}: {told}"
        );
        assert!(!told.contains("hidden"), "{told}");
    }
}

/// `check-config` changes nothing and needs no servers: the files are loaded, nobody is connected to.
#[test]
fn checking_settings_connects_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let [ca, certificate, key, _] = &made(dir.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let brokers = listener.local_addr().unwrap().to_string();
    let (_, mistakes) = read(&[
        ("brokers", &brokers),
        ("security_protocol", "ssl"),
        ("ca_file", ca),
        ("certificate_file", certificate),
        ("key_file", key),
    ]);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let connected = listener.accept().map(|(_, from)| from);
    assert_eq!(
        connected.unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

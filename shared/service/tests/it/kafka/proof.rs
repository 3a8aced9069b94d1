//! Brokers that want proof, and clients that have it or not.

use std::time::{Duration, Instant};

use service::kafka::{
    Admin, Consumer, Identity, KafkaError, KafkaSettings, ProduceError, Producer, SaslMechanism,
    Security, Tls,
};
use service::settings::Secret;
use stack::Space;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::place::{PATIENCE, Place, commit, next, text};

/// How long a client that is not let in tries, where it is to fail.
const TRIES: Duration = Duration::from_secs(3);

/// By each mechanism, and by a certificate: topics are made, records produced, read, committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_proves_who_it_is_produces_and_reads() {
    let by_password = |mechanism| move |space: &Space| space.kafka_by_password(mechanism);
    tokio::join!(
        round_trip(by_password(SaslMechanism::ScramSha512)),
        round_trip(by_password(SaslMechanism::ScramSha256)),
        round_trip(by_password(SaslMechanism::Plain)),
        round_trip(Space::kafka_by_certificate),
    );
}

async fn round_trip(way: impl Fn(&Space) -> KafkaSettings) {
    let place = Place::reached(1, way).await;
    let topic = place.settings.topics().send().clone();
    let producer = place.producer();
    for n in 0..3 {
        place.put(&producer, 0, &n.to_string()).await;
    }
    let consumer = place.consumer();
    let start = consumer.start_of(&topic, 0, PATIENCE).await.unwrap();
    let mut feed = consumer.add(&topic, 0, start.offset()).unwrap();
    for n in 0..3 {
        assert_eq!(text(&next(&mut feed).await), n.to_string());
    }
    commit(&consumer, &topic, &[(0, 3)]).await;
    let committed = place.consumer().committed(&topic, 0, PATIENCE).await;
    assert_eq!(committed.unwrap(), Some(3));
}

/// Each kind of client tells in time which setting is wrong: what librdkafka itself answers is "timed out".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_in_is_told_which_setting_to_look_at() {
    let place = Place::with_lanes(1).await;
    let elsewhere = forwarded(&place.space).await;
    let mut all = JoinSet::new();
    for (what, setting, settings) in refused(&place.space, elsewhere) {
        all.spawn(async move {
            let began = Instant::now();
            let admin = Admin::connect(&settings, TRIES).unwrap();
            let topics = settings.topics();
            let consumer = Consumer::start(&settings, "test", "test").unwrap();
            loop {
                let (described, committed) = tokio::join!(
                    admin.partitions(topics.send()),
                    consumer.committed(topics.send(), 0, TRIES),
                );
                let all = [described.unwrap_err(), committed.unwrap_err()];
                let is_told = |told: &KafkaError| match told {
                    KafkaError::NotLetIn { .. } => told.to_string().starts_with(setting),
                    // A connection that is closed without a word may have any reason.
                    KafkaError::Unreachable { .. } => CLOSED.contains(&what),
                    _ => false,
                };
                if all.iter().all(is_told) {
                    assert!(
                        all.iter().all(|told| told.to_string().contains(setting)),
                        "{what}: {all:?}"
                    );
                    return;
                }
                // Who could not even ask, as the machine stood still, asks again.
                let unheard = |told: &KafkaError| matches!(told, KafkaError::Unreachable { .. });
                assert!(
                    all.iter().all(|told| is_told(told) || unheard(told)),
                    "{what}: {all:?}"
                );
                assert!(began.elapsed() < PATIENCE, "{what}: {all:?}");
            }
        });
    }
    all.join_all().await;
}

/// What brokers close the connection for, silently.
const CLOSED: [&str; 2] = ["no TLS where TLS is wanted", "no login where one is wanted"];

/// What brokers refuse: what it is, the setting to name, and how it looks.
fn refused(space: &Space, elsewhere: String) -> Vec<(&'static str, &'static str, KafkaSettings)> {
    const LOGIN: &str = "kafka.sasl_username, kafka.sasl_password";
    const PROTOCOL: &str = "kafka.security_protocol";
    const AUTHORITY: &str = "kafka.ca_file";
    const IDENTITY: &str = "kafka.certificate_file";
    let certificates = space.certificates();
    let by_password = || space.kafka_by_password(SaslMechanism::ScramSha512);
    let with = |security: Security, of: KafkaSettings| KafkaSettings { security, ..of };
    let tls = |identity: Option<Identity>| Security {
        login: None,
        tls: Some(Tls {
            ca_file: Some(certificates.ca()),
            identity,
        }),
    };
    let trusting = |ca_file| {
        let mut settings = by_password();
        settings.security.tls = Some(Tls {
            ca_file,
            identity: None,
        });
        settings
    };
    let log_in = |username: &str, password: &str| {
        let mut settings = by_password();
        if let Some(login) = &mut settings.security.login {
            login.username = username.to_owned();
            login.password = Secret::new(password);
        }
        settings
    };
    let stranger = Identity {
        certificate_file: certificates.stranger_client(),
        key_file: certificates.stranger_client_key(),
    };
    let plain = KafkaSettings::plain(space.kafka_brokers(), space.topic_prefix());
    vec![
        ("a wrong password", LOGIN, log_in("switchboard", "wrong")),
        ("an unknown user", LOGIN, log_in("nobody", "wrong")),
        (
            "an authority that did not sign",
            AUTHORITY,
            trusting(Some(certificates.stranger_ca())),
        ),
        ("the system's authorities", AUTHORITY, trusting(None)),
        (
            "a certificate for another name",
            AUTHORITY,
            KafkaSettings {
                brokers: elsewhere,
                ..by_password()
            },
        ),
        (
            "no TLS where TLS is wanted",
            PROTOCOL,
            with(Security::default(), by_password()),
        ),
        ("TLS where there is none", PROTOCOL, with(tls(None), plain)),
        (
            "no login where one is wanted",
            PROTOCOL,
            with(tls(None), by_password()),
        ),
        (
            "no certificate where one is wanted",
            IDENTITY,
            with(tls(None), space.kafka_by_certificate()),
        ),
        (
            "a stranger's certificate",
            IDENTITY,
            with(tls(Some(stranger)), space.kafka_by_certificate()),
        ),
    ]
}

/// The listener for passwords at an address that is not in the broker's certificate.
async fn forwarded(space: &Space) -> String {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let broker = space.kafka_by_password(SaslMechanism::Plain).brokers;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(broker).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

/// I1: what is sent without proof is not accepted, and told so in time; what is accepted before and after is there,
/// and nothing else.
#[tokio::test]
async fn i1_what_is_sent_without_proof_is_never_accepted() {
    let by_password = |space: &Space| space.kafka_by_password(SaslMechanism::ScramSha512);
    let place = Place::reached(1, by_password).await;
    let mut wrong = place.settings.clone();
    if let Some(login) = &mut wrong.security.login {
        login.password = Secret::new("wrong");
    }
    let producer = place.producer();
    place.put(&producer, 0, "before").await;

    let refused = Producer::start(&wrong, "test", Duration::from_secs(1)).unwrap();
    let began = Instant::now();
    let fates: Vec<_> = (0..20)
        .map(|n| refused.send(&place.record(Some(0), "1", &n.to_string())))
        .collect();
    for fate in fates {
        assert_eq!(fate.unwrap().await, Err(ProduceError::TimedOut));
    }
    assert!(began.elapsed() < PATIENCE);

    place.put(&producer, 0, "after").await;
    let consumer = place.consumer();
    let mut feed = consumer.add(place.settings.topics().send(), 0, 0).unwrap();
    assert_eq!(text(&next(&mut feed).await), "before");
    assert_eq!(text(&next(&mut feed).await), "after");
    let marks = consumer
        .watermarks(place.settings.topics().send(), 0, PATIENCE)
        .await;
    assert_eq!(marks.unwrap().high, 2);
}

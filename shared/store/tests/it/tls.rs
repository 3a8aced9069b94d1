//! Over TLS, on the user whom the server lets in no other way.

use stack::{Space, Stack};
use store::{Store, StoreError, StoreSettings, TlsMode, admin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;

use crate::place::{bare, patient, until};

async fn refused(settings: &StoreSettings) -> String {
    let error = Store::connect(settings).await.err().unwrap();
    // What is wrong may be the server's certificate of today: who waits for it waits on.
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    error.to_string()
}

/// Waits until the guarded user has so many connections. None was ever seen that is not encrypted.
async fn encrypted(space: &Space, expected: i64) {
    // One that was closed is seen for as long as its server process takes to end.
    until("only open connections are left", || async {
        let (encrypted, plain) = connections(space).await;
        assert_eq!(plain, 0);
        let found = encrypted == expected;
        found.then_some(()).ok_or(encrypted)
    })
    .await;
}

/// How many connections of the guarded user there are, as the server sees them: encrypted and not.
async fn connections(space: &Space) -> (i64, i64) {
    let connecting = tokio_postgres::connect(space.postgres_url(), NoTls);
    let (client, connection) = connecting.await.unwrap();
    tokio::spawn(connection);
    let sql = "select count(*) filter (where ssl), count(*) filter (where not ssl)
               from pg_stat_activity join pg_stat_ssl using (pid)
               where usename = 'guarded' and datname = current_database()";
    let row = client.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn pool_schema_and_databases_go_over_tls_and_the_server_is_who_it_says() {
    let space = bare().await;
    let settings = patient(space.guarded_postgres());
    assert_eq!(settings.tls, TlsMode::VerifyFull);
    let store = Store::connect(&settings).await.unwrap();
    store.setup().await.unwrap();
    store.ensure_lanes(2).await.unwrap();
    encrypted(&space, 1).await;
    let name = format!("{}_t", space.name());
    let made = admin::create_database(&settings, &name).await.unwrap();
    assert!(made.ends_with(&name), "{made}");
    admin::drop_database(&settings, &name).await.unwrap();
}

#[tokio::test]
async fn require_takes_any_certificate() {
    let space = bare().await;
    let settings = StoreSettings {
        tls: TlsMode::Require,
        ca_file: None,
        ..patient(space.guarded_postgres())
    };
    let store = Store::connect(&settings).await.unwrap();
    encrypted(&space, 1).await;
    drop(store);
}

#[tokio::test]
async fn a_certificate_of_a_stranger_or_for_another_host_is_refused() {
    let stack = Stack::shared().await.unwrap();
    let space = stack.space().await.unwrap();
    let stranger = StoreSettings {
        ca_file: Some(stack.certificates().stranger_ca()),
        ..patient(space.guarded_postgres())
    };
    let told = refused(&stranger).await;
    assert!(told.contains("postgres.ca_file"), "{told}");
    let guarded = patient(space.guarded_postgres());
    let elsewhere = StoreSettings {
        url: guarded.url.replace("@127.0.0.1", "@example.org") + "?hostaddr=127.0.0.1",
        ..guarded
    };
    let told = refused(&elsewhere).await;
    assert!(told.contains("postgres.url"), "{told}");
    // Nobody said the password to a server that could be anybody's.
    assert_eq!(connections(&space).await, (0, 0));
}

#[tokio::test]
async fn a_server_that_wants_tls_says_which_setting_to_change() {
    let space = bare().await;
    let plain = StoreSettings {
        tls: TlsMode::Disable,
        ca_file: None,
        ..patient(space.guarded_postgres())
    };
    let told = refused(&plain).await;
    assert!(told.contains("postgres.tls = disable"), "{told}");
    assert!(told.contains("verify-full"), "{told}");
}

/// Answers every connection as a server does that was built or started without TLS.
async fn without_tls() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"N").await.unwrap();
            // It waits for what the client makes of that.
            assert_eq!(stream.read(&mut request).await.unwrap(), 0);
        }
    });
    port
}

#[tokio::test]
async fn nothing_is_said_to_a_server_without_tls() {
    let port = without_tls().await;
    let settings = StoreSettings {
        tls: TlsMode::Require,
        ..patient(StoreSettings::new(format!(
            "postgres://u:hidden@127.0.0.1:{port}/d"
        )))
    };
    let told = refused(&settings).await;
    assert!(told.contains("postgres.tls = require"), "{told}");
    assert!(told.contains("ssl = on"), "{told}");
    assert!(!told.contains("hidden"), "{told}");
}

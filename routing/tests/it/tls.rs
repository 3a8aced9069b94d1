//! Redis over TLS, with an authority of one's own.

use std::path::PathBuf;
use std::time::Instant;

use routing::{Markers, ROUTE_CACHE, Redis, RedisSettings, RouteTable};
use stack::{RedisAlone, RedisKind};

use crate::place::{eventually, known, route, user};

#[tokio::test]
async fn a_server_is_known_by_its_certificate() {
    let servers = RedisAlone::start(RedisKind::One).await.unwrap();
    let connect = |ca_file: Option<PathBuf>| {
        let mut settings = RedisSettings::new(servers.tls_url().unwrap(), "t:");
        settings.ca_file = ca_file;
        Redis::connect(&settings).unwrap()
    };
    let certificates = servers.certificates();
    let redis = connect(Some(certificates.ca()));
    let table = RouteTable::new(&redis);
    let looked = Markers::new(&redis).look().await;
    assert_eq!(looked.lost.len(), 256, "{looked:?}");
    let mine = route(1, 1);
    table.write(user(7), "phone", &mine).await.unwrap();
    assert_eq!(*known(&table, user(7)).await, [mine]);
    // Hints come by a connection of their own.
    let hearing = table.clone();
    let hints = tokio::spawn(async move { hearing.hear_hints(std::future::pending()).await });
    let heard = || async {
        let begun = Instant::now();
        // Kept from now on, unless a hint comes.
        if table.fresh(&[user(7)]).await.failure.is_some() {
            return false;
        }
        let moved = route(2, 2);
        table.write(user(7), "phone", &moved).await.unwrap();
        while begun.elapsed() < ROUTE_CACHE / 2 {
            if *known(&table, user(7)).await == [moved] {
                return true;
            }
        }
        false
    };
    eventually("a hint", heard, |heard| *heard).await;
    hints.abort();

    for ca_file in [Some(certificates.stranger_ca()), None] {
        let stranger = connect(ca_file.clone());
        let looked = Markers::new(&stranger).look().await;
        let failure = looked.failure.map(|error| format!("{error:?}"));
        let told = failure.is_some_and(|error| error.contains("ertificate"));
        assert!(told && looked.lost.is_empty(), "{ca_file:?}");
    }
}

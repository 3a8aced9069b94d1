//! Redis over TLS, with an authority of one's own: one server, a cluster, and what sentinels watch.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use routing::{Markers, ROUTE_CACHE, Redis, RedisSettings, RouteTable};
use stack::{RedisAlone, RedisKind, RedisServers};

use crate::place::{answered, connection, eventually, known, look, route, user};

/// To the first that it is reached by: of the others one is told.
fn first_of(servers: &RedisAlone) -> RedisSettings {
    let urls = servers.tls_url().unwrap();
    let mut settings = RedisSettings::new(urls.split(',').next().unwrap(), "t:");
    settings.ca_file = Some(servers.certificates().ca());
    settings
}

/// Who trusts another authority, or the system's, speaks to none of them; returns what they are told.
async fn strangers_told(servers: &RedisAlone, settings: &RedisSettings) -> Vec<String> {
    let told = |ca_file: Option<PathBuf>| async {
        let mut settings = settings.clone();
        settings.ca_file = ca_file;
        let stranger = Redis::connect(&settings).unwrap();
        let looked = Markers::new(&stranger).look().await;
        assert!(looked.lost.is_empty(), "{settings:?}: {looked:?}");
        format!("{:?}", looked.failure.unwrap())
    };
    let another = servers.certificates().stranger_ca();
    let (another, systems) = tokio::join!(told(Some(another)), told(None));
    vec![another, systems]
}

#[tokio::test]
async fn a_server_is_known_by_its_certificate() {
    let servers = RedisAlone::start(RedisKind::One).await.unwrap();
    let settings = first_of(&servers);
    let redis = Redis::connect(&settings).unwrap();
    let table = RouteTable::new(&redis);
    assert_eq!(look(&mut Markers::new(&redis)).await.len(), 256);
    let mine = route(1, 1);
    answered(|| table.write(user(7), "phone", &mine)).await;
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
        answered(|| table.write(user(7), "phone", &moved)).await;
        while begun.elapsed() < ROUTE_CACHE / 2 {
            if *known(&table, user(7)).await == [moved] {
                return true;
            }
            // What is kept is told without waiting for anything: hints have to get their turn.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    };
    eventually("a hint", heard, |heard| *heard).await;
    hints.abort();

    let told = || strangers_told(&servers, &settings);
    eventually("why they are not let in", told, |told| {
        told.iter().all(|one| one.contains("ertificate"))
    })
    .await;
}

/// The other nodes are found where they listen for TLS, and a slot is followed to where it has moved.
#[tokio::test]
async fn all_nodes_of_a_cluster_are_known_by_their_certificates() {
    let servers = RedisAlone::encrypted(RedisKind::Cluster).await.unwrap();
    let mut settings = first_of(&servers);
    settings.cluster = true;
    let redis = Redis::connect(&settings).unwrap();
    let (table, mut markers) = (RouteTable::new(&redis), Markers::new(&redis));
    assert_eq!(look(&mut markers).await.len(), 256);
    let mine = route(1, 1);
    let all: Vec<_> = (1..=256).map(user).collect();
    for each in &all {
        answered(|| table.write(*each, "phone", &mine)).await;
    }
    let routes = answered(|| table.current(&all)).await;
    assert!(routes.iter().all(|routes| **routes == [mine]));

    let mut nodes = Vec::new();
    for url in servers.urls() {
        nodes.push(connection(&url).await);
    }
    let cluster = |word: &str| {
        let mut command = redis::cmd("CLUSTER");
        command.arg(word);
        command
    };
    let slot: u16 = cluster("KEYSLOT")
        .arg("{r7}")
        .query_async(&mut nodes[0])
        .await
        .unwrap();
    // The owner comes first; a node gives away no slot with keys in it.
    for at in 0..nodes.len() {
        let mut asked = cluster("GETKEYSINSLOT");
        asked.arg(slot).arg(100);
        let keys: Vec<String> = asked.query_async(&mut nodes[at]).await.unwrap();
        if !keys.is_empty() {
            let mut gone = redis::cmd("DEL");
            gone.arg(keys).exec_async(&mut nodes[at]).await.unwrap();
            nodes.swap(0, at);
        }
    }
    let target: String = cluster("MYID").query_async(&mut nodes[1]).await.unwrap();
    // The third node believes who has the highest number, and would take the slot from the other again.
    let numbered = cluster("BUMPEPOCH");
    numbered.exec_async(&mut nodes[1]).await.unwrap();
    for at in [1, 0] {
        let mut moved = cluster("SETSLOT");
        moved.arg(slot).arg("NODE").arg(&target);
        moved.exec_async(&mut nodes[at]).await.unwrap();
    }
    let moved = route(2, 2);
    let write = || async { table.write(user(7), "phone", &moved).await };
    let written = eventually("it is followed", write, Result::is_ok).await;
    written.unwrap();
    let now = answered(|| table.current(&all[6..7])).await;
    assert_eq!(*now[0], [moved]);

    strangers_told(&servers, &settings).await;
}

/// Who takes a dead primary's place is told by the sentinels where it listens for TLS.
#[tokio::test]
async fn a_new_primary_is_known_by_its_certificate() {
    let servers = RedisAlone::encrypted(RedisKind::Sentinel).await.unwrap();
    let mut settings = first_of(&servers);
    settings.sentinel_master = Some(RedisServers::master().to_owned());
    let redis = Redis::connect(&settings).unwrap();
    let table = RouteTable::new(&redis);
    assert_eq!(look(&mut Markers::new(&redis)).await.len(), 256);
    strangers_told(&servers, &settings).await;
    let mine = route(1, 1);
    answered(|| table.write(user(7), "phone", &mine)).await;
    servers.followed().await.unwrap();
    let replica = connection(&servers.urls()[1]).await;
    let has = || {
        let mut replica = replica.clone();
        async move { replica.exists::<_, u8>("t:route:{r7}:7").await.unwrap() }
    };
    eventually("it has it", has, |found| *found == 1).await;

    servers.all()[0].kill();
    let next = route(2, 2);
    let write = || async { table.write(user(8), "phone", &next).await };
    let written = eventually("it is followed", write, Result::is_ok).await;
    written.unwrap();
    let both = [user(7), user(8)];
    let now = answered(|| table.current(&both)).await;
    assert_eq!((&*now[0], &*now[1]), (&[mine][..], &[next][..]));
}

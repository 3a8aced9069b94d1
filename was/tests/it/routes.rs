//! What stays in Redis of sessions that come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{CloseCode, Home};
use routing::{
    HomeKeeper, HomeSettings, HomeState, HomeTable, Redis, RedisSettings, Route, RouteTable,
};
use service::kafka::Producer;
use service::metrics::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;
use was::Identity;
use was::commands::Commands;
use was::metrics::Observed;
use was::registry::Registry;
use was::routes::Routes;
use was::session::{Writing, Written};
use was::socket::{Bound, Item, Mailbox};

use crate::desk::user;
use crate::house::{House, until};

const HOMES: i32 = 4;
/// Routes that a user may have.
const MOST: usize = 2;
const BOUND: Bound = Bound {
    frames: 16,
    bytes: 1 << 20,
};

struct Place {
    redis: Redis,
    registry: Arc<Registry>,
    observed: Arc<Observed>,
    routes: Routes,
}

impl Place {
    fn new(house: &House) -> Self {
        Self::over(house, house.redis())
    }

    fn over(house: &House, redis: Redis) -> Self {
        let observed = Arc::new(Observed::new(&Metrics::new()));
        let registry = Arc::new(Registry::default());
        let producer = Producer::start(&house.kafka, "routes", Duration::from_secs(5)).unwrap();
        let commands = Commands::new(
            producer,
            house.kafka.topics(),
            Arc::clone(&observed),
            CancellationToken::new(),
        );
        let table = RouteTable::new(&redis).with_most(MOST);
        let homes = HomeTable::new(&redis, HOMES);
        Self {
            redis,
            routes: Routes::new(
                table,
                homes,
                commands,
                Arc::clone(&registry),
                Arc::clone(&observed),
                BOUND,
            ),
            registry,
            observed,
        }
    }

    /// A session on the phone of a user, not entered anywhere.
    fn session(id: i64, home: i32) -> Identity {
        Identity {
            user: user(id),
            device: "phone".into(),
            route: Route {
                home: Home(home),
                incarnation: 1,
                session: Uuid::new_v4(),
            },
            turn: Arc::default(),
        }
    }

    fn enter(&self, who: &Identity) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        self.registry.enter(who.user, who.route.session, &mailbox);
        mailbox
    }

    /// What stands there now.
    async fn stand(&self, id: i64) -> Vec<Route> {
        let found = RouteTable::new(&self.redis).current(&[user(id)]).await;
        found.unwrap()[0].to_vec()
    }
}

/// A write whose turn comes after the session's removal leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_gone_writes_no_route() {
    let place = Place::new(&House::new().await);
    for id in [1, 2] {
        let gone = Place::session(id, 1);
        place.enter(&gone);
        place.registry.leave(gone.user, gone.route.session);
        place.routes.remove(&gone).await;
        let again = id == 2;
        let written = if again {
            place.routes.restore(&gone, Writing::Audit).await
        } else {
            place.routes.write(&gone).await
        };
        assert_eq!(written, Written::Failed);
        assert_eq!(place.stand(id).await, []);
    }
}

/// However a session's end falls into the write of its route: the route is gone afterwards, and the
/// session that had the device before is either told to close or stands as it stood.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_neither_stays_nor_costs_another_its_device() {
    let place = Place::new(&House::new().await);
    // Written when the session had gone already, and taken back.
    let mut taken_back = 0;
    for id in 1..=3_000 {
        if id > 300 && taken_back > 0 {
            break;
        }
        let other = Place::session(id, 2);
        let mailbox = place.enter(&other);
        assert_eq!(place.routes.write(&other).await, Written::Stands);
        let late = Place::session(id, 1);
        place.enter(&late);
        let (routes, writing) = (place.routes.clone(), late.clone());
        let write = tokio::spawn(async move { routes.write(&writing).await });
        // Anywhere from before the write to after it.
        let (begun, pause) = (Instant::now(), id.unsigned_abs() % 30 * 50);
        while begun.elapsed() < Duration::from_micros(pause) {
            tokio::task::yield_now().await;
        }
        place.registry.leave(late.user, late.route.session);
        place.routes.remove(&late).await;
        let written = write.await.unwrap();
        let told = !mailbox.take().unwrap().is_empty();
        let expected = if told { vec![] } else { vec![other.route] };
        assert_eq!(place.stand(id).await, expected, "told: {told}");
        taken_back += usize::from(!told && written == Written::Stands);
    }
    assert!(taken_back > 0, "no write was late");
}

/// A session that ends while Redis is away leaves no route behind: its removal is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_failed_is_tried_again() {
    let house = House::new().await;
    let near = Place::new(&house);
    let port = stack::free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let nowhere = RedisSettings::new(url, house.space.key_prefix());
    let far = Place::over(&house, Redis::connect(&nowhere).unwrap());
    let gone = Place::session(1, 1);
    near.enter(&gone);
    assert_eq!(near.routes.write(&gone).await, Written::Stands);

    let (routes, leaving) = (far.routes.clone(), gone.clone());
    let removal = tokio::spawn(async move { routes.remove(&leaving).await });
    until("a removal failed", || async {
        let failed = far.observed.route_failures.get();
        if failed > 0 {
            Ok(())
        } else {
            Err("none".to_owned())
        }
    })
    .await;
    assert_eq!(near.stand(1).await, [gone.route]);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let redis = house.space.redis_url().trim_start_matches("redis://");
    let redis = redis.split('/').next().unwrap().to_owned();
    let line = tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(&redis).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    removal.await.unwrap();
    assert_eq!(near.stand(1).await, []);
    line.abort();
}

/// I9: a user gets no more routes than one may have. What a gateway that died has left does not count: it
/// would stay until somebody writes to the user.
#[tokio::test(flavor = "multi_thread")]
async fn i9_only_routes_that_lead_somewhere_are_too_many() {
    let place = Place::new(&House::new().await);
    let homes = HomeTable::new(&place.redis, HOMES);
    let claim = async |home| {
        let claimed = homes.claim(Home(home), "other", 0, Duration::from_secs(600));
        claimed.await.unwrap().unwrap()
    };
    let (ended, lives) = (claim(2).await, claim(3).await);
    assert!(homes.release(Home(2), "other", ended).await.unwrap());
    let table = RouteTable::new(&place.redis);
    let at = |home, incarnation| Route {
        home: Home(home),
        incarnation,
        session: Uuid::new_v4(),
    };
    let (dead, elsewhere) = (at(2, ended), at(3, lives));
    table.write(user(1), "tablet", &dead).await.unwrap();
    table.write(user(1), "desk", &elsewhere).await.unwrap();

    let mine = Place::session(1, 1);
    place.enter(&mine);
    assert_eq!(place.routes.write(&mine).await, Written::Stands);
    let mut both = [elsewhere, mine.route];
    both.sort_by_key(|route| route.home);
    let stand = async || {
        let mut stand = place.stand(1).await;
        stand.sort_by_key(|route| route.home);
        stand
    };
    assert_eq!(stand().await, both);

    let third = Identity {
        device: "tablet".into(),
        ..Place::session(1, 1)
    };
    place.enter(&third);
    assert_eq!(place.routes.write(&third).await, Written::Full);
    assert_eq!(stand().await, both);

    // In the grace nobody knows whether these are alive: to be tried again when it is over.
    let _grace = grace(&place).await;
    assert_eq!(place.routes.write(&third).await, Written::Failed);
    assert_eq!(stand().await, both);
}

/// Another session stands in the place of one whose route is made sure of. If its claim has ended, or it
/// should be here and is not, it is dead: a Redis that failed over to an older copy shows such. Nobody is
/// closed for it, and nobody in the grace, where it can't be known.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_session_costs_nobody_its_device() {
    let house = House::new().await;
    let place = Place::new(&house);
    let homes = HomeTable::new(&place.redis, HOMES);
    let lease = Duration::from_secs(600);
    let claim = async |home| {
        let claimed = homes.claim(Home(home), "other", 0, lease).await;
        claimed.unwrap().unwrap()
    };
    let (ended, lives) = (claim(2).await, claim(3).await);
    assert!(homes.release(Home(2), "other", ended).await.unwrap());
    let at = |home, incarnation| Route {
        home: Home(home),
        incarnation,
        session: Uuid::new_v4(),
    };
    let stands = [
        (at(2, ended), true),
        (at(3, lives - 1), true),
        (at(1, 1), true),
        (at(3, lives), false),
    ];
    for ((id, (other, is_dead)), why) in (1..).zip(stands).zip([
        Writing::Audit,
        Writing::Rebuild,
        Writing::Audit,
        Writing::Audit,
    ]) {
        let mine = Place::session(id, 1);
        let mailbox = place.enter(&mine);
        let table = RouteTable::new(&place.redis);
        table.write(user(id), "phone", &other).await.unwrap();
        let written = place.routes.restore(&mine, why).await;
        let told = mailbox.take().unwrap_or_default();
        if is_dead {
            assert_eq!(written, Written::Restored, "{other}");
            assert_eq!(place.stand(id).await, [mine.route]);
            assert!(told.is_empty(), "{told:?}");
        } else {
            assert_eq!(place.stand(id).await, [other]);
            let ended = matches!(told.front(), Some(Item::End(CloseCode::Replaced)));
            assert!(ended, "{told:?}");
        }
    }

    let _grace = grace(&place).await;
    let mine = Place::session(9, 1);
    let mailbox = place.enter(&mine);
    let table = RouteTable::new(&place.redis);
    let other = at(2, ended);
    table.write(user(9), "phone", &other).await.unwrap();
    let written = place.routes.restore(&mine, Writing::Rebuild).await;
    assert_eq!(written, Written::Failed, "tried again later");
    assert_eq!(place.stand(9).await, [other]);
    assert!(mailbox.take().unwrap_or_default().is_empty());
}

/// A gateway that takes part in a new table begins the grace, of 600 s.
async fn grace(place: &Place) -> AbortOnDropHandle<()> {
    let (keeper, mut state) = HomeKeeper::new(
        &place.redis,
        HomeSettings {
            name: "newcomer".to_owned(),
            homes: HOMES,
            lease: Duration::from_secs(600),
        },
    );
    let keeping = AbortOnDropHandle::new(tokio::spawn(keeper.run(std::future::pending())));
    let waits = |state: &HomeState| matches!(state, HomeState::Waiting { .. });
    state.wait_for(waits).await.unwrap();
    keeping
}

//! Who was away, or comes while a room is written to, misses nothing (I4, I5).

use std::time::Duration;

use loadtest::Paced;

use super::bench::Bench;

/// I4, I5: 50 messages missed come on return, in order, each once.
#[tokio::test(flavor = "multi_thread")]
async fn i5_what_was_missed_comes_on_return() {
    let mut bench = Bench::shared(2, 1).await;
    let scenario = &mut bench.scenario;
    scenario.users(2).await.unwrap();
    scenario.room(&[0, 1]).await.unwrap();
    scenario.connect_all().await.unwrap();
    scenario.say(1, 0, "before").unwrap();
    bench.settle_well().await;
    bench.scenario.leave(1).await;
    for n in 0..50 {
        bench.scenario.say(0, 0, format!("{n}")).unwrap();
    }
    bench.scenario.connect(1, 0).await.unwrap();
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.delivered, 51 * 2);
    assert_eq!(bench.scenario.gauge().gaps(), 0);
}

/// I5: more than is replayed is told as a gap, and paging it yields exactly what it named.
#[tokio::test(flavor = "multi_thread")]
async fn i5_too_much_missed_is_an_honest_gap() {
    let mut bench = Bench::shared(1, 1).await;
    let scenario = &mut bench.scenario;
    scenario.users(2).await.unwrap();
    scenario.room(&[0, 1]).await.unwrap();
    scenario.connect(0, 0).await.unwrap();
    for n in 0..400 {
        scenario.say(0, 0, format!("{n}")).unwrap();
    }
    // Only the sender is there; what waits for the other is outstanding, so it is the gap that is waited for.
    let session = scenario.session(1);
    let mut options =
        client::Options::new(bench.cluster.urls(), session.token().to_owned(), "reader");
    let room = bench.scenario.room_at(0).id;
    super::bench::until("400 stored", Duration::from_secs(20), || async {
        let view = bench.scenario.rest(0, 0).room(room).await.ok()?;
        (view.head.get() == 401).then_some(())
    })
    .await;
    options.cursors = [(room, protocol::Seq::new(1).unwrap())].into();
    let (_client, mut events) = client::Client::connect(options);
    let (mut gap, mut seen) = (None, Vec::new());
    tokio::time::timeout(Duration::from_secs(20), async {
        while seen.last() != Some(&401) {
            match events.next().await.unwrap() {
                client::Event::Gap { from, to, .. } => gap = Some((from.get(), to.get())),
                client::Event::Message(message) => seen.push(message.seq.get()),
                _ => {}
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("gap {gap:?}, seen {seen:?}"));
    let (from, to) = gap.expect("400 missed is over the limit of 300");
    assert_eq!(seen, (to + 1..=401).collect::<Vec<_>>());
    let paged: Vec<_> = bench
        .seqs(1, 0, room)
        .await
        .into_iter()
        .filter(|seq| (from..=to).contains(seq))
        .collect();
    assert_eq!(paged, (2..=to).collect::<Vec<_>>());
}

/// I4: 210 sessions that come while their room is written to at 500 a second, on every gateway, miss
/// none. `route_cache` is the constant of 2 s, so many come while a look-up without them is cached.
#[tokio::test(flavor = "multi_thread")]
async fn i4_who_connects_under_fire_misses_nothing() {
    let mut bench = Bench::shared(3, 2).await;
    let scenario = &mut bench.scenario;
    scenario.users(30).await.unwrap();
    let everyone: Vec<_> = (0..30).collect();
    scenario.room(&everyone).await.unwrap();
    // Few writers stay connected; the others come and go. A group's members send in turn, so a room of
    // the writers alone would not be the one that is watched: writers write to the big room by hand.
    for writer in 0..3 {
        scenario.connect(writer, writer).await.unwrap();
    }
    let mut connects = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let mut sent = 0_u32;
    for round in 0..8 {
        for comer in 3..30 {
            let connecting = bench.scenario.connect(comer, comer + round);
            tokio::pin!(connecting);
            connecting.await.unwrap();
            connects += 1;
            // What was due while that one connected is sent now: 500 a second on the whole.
            for _ in 0..5 {
                ticks.tick().await;
                let writer = sent as usize % 3;
                bench.scenario.say(writer, 0, format!("{sent}")).unwrap();
                sent += 1;
            }
        }
        if round < 7 {
            for comer in 3..30 {
                bench.scenario.leave(comer).await;
            }
        }
    }
    assert!(connects >= 200);
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.accepted, u64::from(sent));
    assert_eq!(verdict.delivered, u64::from(sent) * 30);
}

/// I5 at leisure: the room goes on while somebody comes late to it, many rooms at once.
#[tokio::test(flavor = "multi_thread")]
async fn i5_pairs_keep_talking_while_one_side_comes_and_goes() {
    let mut bench = Bench::shared(3, 2).await;
    let scenario = &mut bench.scenario;
    scenario.users(20).await.unwrap();
    let pairs = (0..10).map(|n| vec![2 * n, 2 * n + 1]).collect();
    scenario.rooms_of(pairs).await.unwrap();
    scenario.connect_all().await.unwrap();
    for round in 0..3 {
        for n in 0..10 {
            bench.scenario.leave(2 * n + 1).await;
        }
        for n in 0..10 {
            for k in 0..5 {
                bench.scenario.say(2 * n, n, format!("{round}.{k}")).unwrap();
            }
            bench.scenario.connect(2 * n + 1, n + round).await.unwrap();
        }
        let paced = Paced {
            rate: 200.0,
            lasting: Duration::from_millis(500),
            ..Paced::default()
        };
        bench.scenario.send(&paced).await;
    }
    bench.settle_well().await;
}

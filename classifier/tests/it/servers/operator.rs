//! What an operator asks from the command line, asked of a cluster that works.

use std::process::Output;
use std::time::Duration;

use classifier::operator::{self, Form, OperatorError, Order, Refused};
use protocol::Home;
use routing::{HomeTable, Redis};
use serde_json::Value;

use super::bench::{Bench, PATIENCE, user};
use super::say;

/// The program itself, as it is called.
async fn classifier(bench: &Bench, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_classifier"));
    command.args(args).envs(bench.env()).kill_on_drop(true);
    command.output().await.unwrap()
}

/// Every lane is shown with its live owner, and what is not routed yet; every home with its lease
/// and what its reader has not committed.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_who_owns_what_and_how_far_behind() {
    let mut bench = Bench::start(1).await;
    bench.gateways.connect(user(1), 2).await;
    let room = bench.create_group(1, &[]).await;
    bench.command(room, 1, say("one")).await;
    assert_eq!(bench.gateways.events(2, room, 2).await, [1, 2]);

    let settings = bench.settings();
    let lanes = bench.caught_up().await;
    assert_eq!(lanes.len(), 2);
    for line in &lanes {
        assert_eq!(line.owner.as_deref(), Some("classifier-1"), "{line:?}");
        assert!(line.epoch > 1_600_000_000_000, "{line:?}");
        assert_eq!((line.applied, line.routed), (line.end - 1, line.end - 1));
        let lease = Duration::from_secs(2);
        assert!(
            !line.lease_left.is_zero() && line.lease_left <= lease,
            "{line:?}"
        );
    }
    assert_eq!(lanes.iter().map(|line| line.end).sum::<i64>(), 2);

    let redis = Redis::connect_patiently(&settings.redis, PATIENCE).unwrap();
    let (table, minute) = (HomeTable::new(&redis, 4), Duration::from_secs(60));
    let incarnation = table.claim(Home(2), "gateway", 0, minute).await.unwrap();
    let homes = operator::homes(&settings).await.unwrap();
    assert_eq!(homes.len(), 4);
    assert_eq!((homes[0].owner.as_deref(), homes[0].incarnation), (None, 0));
    let held = &homes[1];
    assert_eq!(held.owner.as_deref(), Some("gateway"));
    assert_eq!(Some(held.incarnation), incarnation);
    assert!(held.lease_left > minute / 2, "{held:?}");
    assert_eq!((held.committed, held.lag), (None, held.end));
    // Three have no owner, and the only gateway reads them.
    let stewards: Vec<_> = homes.iter().map(|line| line.steward.as_deref()).collect();
    let gateway = Some("gateway");
    assert_eq!(stewards, [gateway, None, gateway, gateway]);
    bench.commit_home(2, held.end - 1).await;
    let homes = operator::homes(&settings).await.unwrap();
    assert_eq!((homes[1].committed, homes[1].lag), (Some(held.end - 1), 1));
    // Only looked at: the lease was not renewed.
    assert!(homes[1].lease_left < minute, "{:?}", homes[1]);

    let mut wrong = settings.clone();
    wrong.homes = 5;
    let told = operator::homes(&wrong).await.unwrap_err().to_string();
    assert!(told.starts_with("homes = 5, but "), "{told}");

    let shown = classifier(&bench, &["homes"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.starts_with("HOME  OWNER    SINCE"), "{shown}");
    assert_eq!(shown.lines().count(), 5, "{shown}");
    let shown = classifier(&bench, &["lanes", "--json"]).await;
    let lines: Vec<Value> = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(lines[1]["owner"], "classifier-1");
    assert_eq!(lines[1]["behind"], 0);
}

/// I11: what was buried is listed with where it came from; sent back, it goes the way that it would
/// have gone. What has no origin stays where it is.
#[tokio::test(flavor = "multi_thread")]
async fn i11_a_dead_letter_is_listed_and_sent_back() {
    let mut bench = Bench::start(1).await;
    bench.gateways.connect(user(1), 1).await;
    let room = bench.create_group(1, &[]).await;
    let lane = bench.lane(room);
    // In the wrong lane, under the right key.
    let stray = bench.make(room, 1, say("stray")).encode();
    bench.raw(1 - lane, room, &stray).await;
    assert_eq!(bench.dead_letters(1).await, ["wrong_lane"]);

    let settings = bench.settings();
    let letters = operator::letters(&settings, 10).await.unwrap();
    let [letter] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!(letter.reason.as_deref(), Some("wrong_lane"));
    assert_eq!(letter.key, Some(room.to_string()));
    assert_eq!(letter.bytes, stray.len());
    let origin = letter.origin.as_ref().unwrap();
    assert_eq!(
        (&*origin.0, &*origin.1),
        (&**settings.kafka.topics().send(), &*(1 - lane).to_string())
    );

    let place = (letter.partition, letter.offset);
    let replayed = operator::replay(&settings, place.0, place.1).await.unwrap();
    assert_eq!((replayed.letter, replayed.placed.partition), (place, lane));
    assert_eq!(bench.gateways.events(1, room, 2).await, [1, 2]);

    let made = bench.letter_without_origin().await;
    let refused = operator::replay(&settings, made.partition, made.offset).await;
    assert!(
        matches!(refused, Err(OperatorError::Refused(Refused::NoOrigin))),
        "{refused:?}"
    );
    match operator::replay(&settings, made.partition, made.offset + 1).await {
        Err(OperatorError::Refused(Refused::Absent { high, .. })) => {
            assert_eq!(high, made.offset + 1);
        }
        other => panic!("{other:?}"),
    }
    let refused = operator::replay(&settings, 3, 0).await;
    assert!(
        matches!(refused, Err(OperatorError::Refused(Refused::Partition(3)))),
        "{refused:?}"
    );

    // The newest of both, by the same ways as from a shell.
    let order = Order::Letters {
        limit: 1,
        form: Form::Json,
    };
    let shown = operator::run(order, &settings).await.unwrap();
    let lines: Vec<Value> = serde_json::from_str(&shown).unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["reason"], &lines[0]["origin"]),
        (&Value::from("undeliverable"), &Value::Null)
    );
}

/// A mistake in an option is named with all others, before anything is asked.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_options_are_bad_settings() {
    let bench = Bench::start(0).await;
    let wrong = classifier(&bench, &["dlq", "replay", "--offset", "first"]).await;
    assert_eq!(wrong.status.code(), Some(64));
    let told = String::from_utf8(wrong.stderr).unwrap();
    for part in ["--partition is missing", "--offset \"first\""] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    let absent = classifier(
        &bench,
        &["dlq", "replay", "--offset", "0", "--partition", "0"],
    )
    .await;
    assert_eq!(absent.status.code(), Some(1));
    let told = String::from_utf8(absent.stderr).unwrap();
    assert!(told.contains("no record is there"), "{told}");
}

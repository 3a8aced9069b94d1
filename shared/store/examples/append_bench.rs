//! How long one `append` takes, by its rows: `cargo run -p store --example append_bench -- URL`.
//!
//! URL is any database of the server; a new one is made beside it and dropped in the end. Twelve
//! lanes, 64 rooms, bodies of 256 bytes; the server's settings are its own.
#![expect(clippy::print_stdout, reason = "the figures are its result")]

use std::time::{Duration, Instant};

use protocol::{Event, EventKind, Lane, Role, RoomId, RoomKind, Seq, UserId};
use store::{Batch, LaneAdvance, StayOpened, Store, StoreSettings};
use uuid::Uuid;

const LANES: i32 = 12;
const ROOMS: i64 = 64;
const LEASE: Duration = Duration::from_secs(60);
const CALLS: usize = 200;
const WARM_UP: usize = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: append_bench URL")?;
    let name = format!("bench_{}", Uuid::new_v4().simple());
    let server = StoreSettings::new(&url);
    let own = store::admin::create_database(&server, &name).await?;
    let done = bench(&own).await;
    store::admin::drop_database(&server, &name).await?;
    done
}

async fn bench(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::connect(&StoreSettings::new(url)).await?;
    store.setup().await?;
    store.ensure_lanes(LANES).await?;
    let mut lanes = Vec::new();
    for lane in (0..LANES).map(Lane) {
        let claim = store.claim("bench", lane, "topic", LEASE).await?;
        let claim = claim.ok_or("a lane of a new database is not free")?;
        lanes.push(LaneAdvance {
            lane,
            epoch: claim.epoch,
            expected_applied: claim.applied,
            applied: claim.applied,
            routed: claim.routed,
        });
    }
    let mut batch = Batch {
        owner: "bench".to_owned(),
        lease: LEASE,
        lanes,
        ..Batch::default()
    };
    let mut heads = vec![Seq::ZERO; usize::try_from(ROOMS)?];
    for (n, head) in (1..).zip(&mut heads) {
        create(&mut batch, n, head)?;
    }
    append(&store, &mut batch).await?;

    println!("rows  calls  p50 ms  p90 ms  p99 ms  max ms  rows/s");
    for rows in [1, 20, 100, 500] {
        let mut took = Vec::with_capacity(CALLS);
        for call in 0..WARM_UP + CALLS {
            for row in 0..rows {
                let n = (call * rows + row) % heads.len();
                say(&mut batch, i64::try_from(n)? + 1, &mut heads[n])?;
            }
            let started = Instant::now();
            append(&store, &mut batch).await?;
            if call >= WARM_UP {
                took.push(started.elapsed());
            }
        }
        print(rows, &mut took);
    }
    Ok(())
}

async fn append(store: &Store, batch: &mut Batch) -> Result<(), store::AppendError> {
    for lane in &mut batch.lanes {
        lane.applied += 1;
    }
    store.append(batch).await?;
    for lane in &mut batch.lanes {
        lane.expected_applied = lane.applied;
        lane.routed = lane.applied;
    }
    batch.events.clear();
    batch.opened.clear();
    Ok(())
}

fn create(batch: &mut Batch, room: i64, head: &mut Seq) -> Result<(), protocol::IdError> {
    let members = vec![UserId::new(room * 2)?, UserId::new(room * 2 + 1)?];
    let id = RoomId::new(room)?;
    batch.opened.extend(members.iter().map(|user| StayOpened {
        room: id,
        user: *user,
        joined_seq: Seq::ZERO.next(),
        role: Role::Member,
    }));
    let kind = EventKind::Created {
        room_kind: RoomKind::Group,
        name: "bench".to_owned(),
        members,
    };
    event(batch, room, head, kind)
}

fn say(batch: &mut Batch, room: i64, head: &mut Seq) -> Result<(), protocol::IdError> {
    event(batch, room, head, EventKind::message("x".repeat(256)))
}

fn event(
    batch: &mut Batch,
    room: i64,
    head: &mut Seq,
    kind: EventKind,
) -> Result<(), protocol::IdError> {
    *head = head.next();
    batch.events.push(Event {
        room: RoomId::new(room)?,
        seq: *head,
        id: Uuid::new_v4(),
        from: UserId::new(room * 2)?,
        at: 0,
        kind,
    });
    Ok(())
}

fn print(rows: usize, took: &mut [Duration]) {
    took.sort();
    let at = |share: usize| took[(took.len() - 1) * share / 1000].as_secs_f64() * 1e3;
    let all: Duration = took.iter().sum();
    let rows_of_all = u32::try_from(rows * took.len()).unwrap_or(u32::MAX);
    println!(
        "{rows:4}  {:5}  {:6.2}  {:6.2}  {:6.2}  {:6.2}  {:6.0}",
        took.len(),
        at(500),
        at(900),
        at(990),
        at(1000),
        f64::from(rows_of_all) / all.as_secs_f64(),
    );
}

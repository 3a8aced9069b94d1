//! What the statements look at of tables that are cut by the room: as if the parts were on several servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use store::{Store, StoreSettings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::every::every_statement;
use crate::place::{Place, patient};
use crate::writer::{Writer, room, user};

/// The tables of rooms are made anew, in four parts each: as many as show it, since each is planned
/// for. Postgres refuses keys without the room then, as whatever spreads tables would.
const CUT: &str = "do $$
    declare t text;
    begin
        foreach t in array array['room', 'membership', 'read_mark', 'message'] loop
            execute format('alter table %I rename to whole', t);
            execute format('create table %I (like whole including all) partition by hash (room_id)', t);
            drop table whole;
            for n in 0..3 loop
                execute format('create table %s_%s partition of %I
                                for values with (modulus 4, remainder %s)', t, n, t, n);
            end loop;
        end loop;
    end $$";

/// Each execution is told to its client as a plan with what was really run of it. Tables this small
/// would be read whole and joined by hashes.
const TELLING: &str = "session_preload_libraries=auto_explain auto_explain.log_min_duration=0 \
    auto_explain.log_level=notice auto_explain.log_format=json auto_explain.log_analyze=on \
    auto_explain.log_timing=off auto_explain.log_nested_statements=on \
    plan_cache_mode=force_custom_plan enable_seqscan=off enable_hashjoin=off enable_mergejoin=off";

/// Begin at rooms, and carry their keys to all that they look at.
const OF_ROOMS: &[&str] = &[
    "append",
    "find_events",
    "find_outcome",
    "history_after",
    "history_before",
    "load_messages",
    "load_rooms",
    "notices",
    "raise_marks",
    "room",
];

/// Begin at users, whose rooms may lie anywhere.
const OF_USERS: &[&str] = &["catch_up", "rooms_of", "rooms_per_user"];

/// The parts that were looked at, by statement.
#[derive(Default)]
struct Heard {
    since: Mutex<BTreeSet<i64>>,
    by_statement: Mutex<BTreeMap<&'static str, BTreeSet<i64>>>,
}

impl Heard {
    /// A notice of the server: fields of a letter and a text each.
    fn notice(&self, body: &[u8]) {
        let mut fields = body.split(|byte| *byte == 0);
        let message = fields.find_map(|field| field.strip_prefix(b"M")).unwrap();
        let message = std::str::from_utf8(message).unwrap();
        let (_, plan) = message.split_once("plan:\n").expect(message);
        let plan: Value = serde_json::from_str(plan).unwrap();
        self.node(&plan["Plan"]);
    }

    fn node(&self, node: &Value) {
        let run = node["Actual Loops"].as_f64().unwrap() > 0.0;
        let changes = node["Node Type"] == "ModifyTable"; // what it reads is below it
        if let (true, false, Some(table)) = (run, changes, node["Relation Name"].as_str()) {
            let part: Option<i64> = table.rsplit_once('_').and_then(|(_, n)| n.parse().ok());
            self.since.lock().unwrap().extend(part);
        }
        for below in node["Plans"].as_array().into_iter().flatten() {
            self.node(below);
        }
    }

    /// All that was heard since the last statement's end belongs to this one.
    fn ended(&self, statement: &'static str) {
        let since = std::mem::take(&mut *self.since.lock().unwrap());
        let mut all = self.by_statement.lock().unwrap();
        all.entry(statement).or_default().extend(since);
    }
}

/// A store whose one session tells its plans, by a way on which they are heard.
async fn listened_to(place: &Place, heard: &Arc<Heard>) -> Store {
    let config: tokio_postgres::Config = place.url().parse().unwrap();
    let port = config.get_ports()[0];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let (from, to) = (format!(":{port}/"), format!(":{own}/"));
    let words = TELLING.split(' ').map(|word| format!("-c {word} "));
    let options = words.collect::<String>().replace(' ', "%20");
    let url = place.url().replace(&from, &to) + "?options=" + &options.replace('=', "%3D");
    let ear = Arc::clone(heard);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
            tokio::spawn(carry(from_server, to_client, Arc::clone(&ear)));
        }
    });
    let settings = StoreSettings {
        pool_size: 1,
        ..patient(StoreSettings::new(url))
    };
    let ear = Arc::clone(heard);
    let observer = Arc::new(move |statement, _, _| ear.ended(statement));
    Store::connect_observed(&settings, observer).await.unwrap()
}

/// Passes the server's messages on, each a letter and its length with what follows.
async fn carry(
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    heard: Arc<Heard>,
) {
    let mut from = BufReader::new(from);
    while let Ok(letter) = from.read_u8().await {
        let length = from.read_u32().await.unwrap();
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        from.read_exact(&mut body).await.unwrap();
        if letter == b'N' {
            heard.notice(&body);
        }
        let whole = [&[letter], &length.to_be_bytes()[..], &body].concat();
        if to.write_all(&whole).await.is_err() {
            break;
        }
    }
}

/// Every statement is in one of three sets, by what it was seen to look at; a new one has to be put
/// into one of them.
#[tokio::test]
async fn what_is_asked_of_a_room_is_looked_for_where_the_room_lies() {
    let place = Place::new().await;
    place.client().await.batch_execute(CUT).await.unwrap();
    let heard = Arc::new(Heard::default());
    let store = listened_to(&place, &heard).await;
    let mut writer = Writer::claim(&store, "a", 0).await;
    for n in 1..=12 {
        writer.create(room(n), &[user(1), user(2)]);
    }
    writer.commit().await;
    heard.by_statement.lock().unwrap().clear();

    every_statement(&store, &mut writer, room(7)).await;
    let lies = "select n::bigint from generate_series(0, 3) n
                where satisfies_hash_partition('message'::regclass, 4, n, 7::bigint)";
    let own = BTreeSet::from([place.number(lies).await]);
    let mut by_statement = heard.by_statement.lock().unwrap().clone();
    for name in Store::STATEMENTS {
        let parts = by_statement.remove(name).expect(name);
        let kinds = (OF_ROOMS.contains(name), OF_USERS.contains(name));
        match kinds {
            (true, false) => assert_eq!(parts, own, "{name}"),
            (false, true) => assert!(parts.len() > 1 && parts.is_superset(&own), "{name}"),
            (false, false) => assert_eq!(parts, BTreeSet::new(), "{name}"),
            (true, true) => panic!("{name} is in two lists"),
        }
    }
    assert_eq!(by_statement.len(), 0, "{by_statement:?}");
}

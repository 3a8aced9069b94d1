//! What a connection costs while nothing happens.

use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::house::{Gateway, House, until};
use crate::socket::Socket;

const WARM: usize = 200;
const MORE: usize = 600;
/// So many are opened side by side.
const AT_ONCE: usize = 10;
/// Messages of each catch-up, the last of them large.
const BURST: usize = 30;

/// What a connection may leave in the process, in bytes: 1.7 to 3.5 KB are usual, differing from run to
/// run. Any of the buffers that trap 14 is about would be more (the WebSocket library's 134 KB,
/// hyper's 8 KiB). `loadtest bench` measures the figure itself.
const IDLE: usize = 5_000;
/// The same after a large frame; the producer's own memory is in it too.
const AFTER: usize = 8_000;

/// The memory of the process that no file backs: pages of the program itself come and go as the
/// machine likes.
fn anonymous(gateway: &Gateway) -> usize {
    let path = format!("/proc/{}/status", gateway.child.id().unwrap());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    line.trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .unwrap()
        * 1024
}

/// Sockets of users who were away for [`BURST`] messages.
async fn open(gateway: &Gateway, tokens: &[(i64, String)], from: usize, to: usize) -> Vec<Socket> {
    let one = async |n: usize| {
        let (_, token) = &tokens[n % tokens.len()];
        let mut socket = gateway
            .greeted(token, &format!("device-{n}"), &[(1, 1)])
            .await;
        for seq in 0..BURST {
            assert_eq!(socket.next().await["seq"], seq + 2);
        }
        socket
    };
    let mut sockets = Vec::new();
    for first in (from..to).step_by(AT_ONCE) {
        let some = (first..to.min(first + AT_ONCE)).map(&one);
        sockets.extend(join_all(some).await);
    }
    sockets
}

/// Trap 14: an idle connection costs a few KB, whatever has gone over it: a catch-up of many
/// messages, a message of 100 kB each way. What remains in the socket itself is proven exactly in
/// `src/socket/line.rs`; this is about all that a connection leaves in the process.
#[tokio::test(flavor = "multi_thread")]
async fn trap_14_an_idle_connection_is_small_whatever_went_over_it() {
    let house = House::new().await;
    let env = [
        ("SWITCHBOARD_WAS_AUDIT_LEAST", "1h"),
        ("SWITCHBOARD_WAS_AUDIT_MOST", "1h"),
        // Nobody reads the sockets while others are opened.
        ("SWITCHBOARD_WAS_PING_EVERY", "10m"),
        // glibc's: what is large goes back to the machine when it is let go, and the holes that
        // the catch-ups leave do not depend on which threads served them.
        ("MALLOC_ARENA_MAX", "1"),
        ("MALLOC_MMAP_THRESHOLD_", "8192"),
    ];
    let gateway = house.gateway("was-0", &env).await;
    let mut tokens = Vec::new();
    // Each says hello as often as a user may at once.
    for n in 0..40 {
        tokens.push(gateway.token(&format!("user-{n}")).await);
    }
    let members: Vec<i64> = tokens.iter().map(|token| token.0).collect();
    let mut desk = house.desk().await;
    desk.create(1, &members).await;
    let (short, large) = ("y".repeat(1_000), "x".repeat(99_000));
    let mut bodies = vec![short.as_str(); BURST - 1];
    bodies.push(&large);
    desk.store(1, members[0], &bodies).await;

    let settled = |count: usize| {
        let (gateway, count) = (&gateway, i64::try_from(count).unwrap());
        async move {
            // The hello's query and the settle, of each.
            until("settled", || async {
                let asked = gateway.metric("was_catch_up_sessions_sum").await;
                if asked >= 2 * count {
                    Ok(())
                } else {
                    Err(asked.to_string())
                }
            })
            .await;
        }
    };
    let _warm = open(&gateway, &tokens, 0, WARM).await;
    settled(WARM).await;
    let before = anonymous(&gateway);
    let mut sockets = open(&gateway, &tokens, WARM, WARM + MORE).await;
    settled(WARM + MORE).await;
    let idle = anonymous(&gateway).saturating_sub(before) / MORE;

    for socket in &mut sockets {
        let send = json!({ "type": "send", "room": 1, "id": Uuid::new_v4(), "body": large });
        socket.put(&send).await;
        let answer = socket.next().await;
        // Taken or not: a user has several of the sockets, and Kafka is slow where it is busy.
        let kind = &answer["type"];
        assert!(kind == "accepted" || kind == "rejected", "{answer}");
    }
    let after = anonymous(&gateway).saturating_sub(before) / MORE;
    println!("{idle} bytes an idle connection, {after} after a large frame");
    assert!(idle < IDLE, "{idle} bytes an idle connection");
    assert!(
        after < AFTER,
        "{after} bytes a connection after a large frame"
    );
}

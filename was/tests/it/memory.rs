//! What a connection costs while nothing happens.

use serde_json::json;
use uuid::Uuid;

use crate::house::{Gateway, House, until};
use crate::socket::Socket;

const WARM: usize = 200;
const MORE: usize = 600;

fn resident(gateway: &Gateway) -> usize {
    let path = format!("/proc/{}/status", gateway.child.id().unwrap());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .unwrap()
        * 1024
}

async fn open(gateway: &Gateway, tokens: &[(i64, String)], from: usize, to: usize) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for n in from..to {
        let mut socket = gateway.socket().await;
        let (_, token) = &tokens[n % tokens.len()];
        socket.hello(token, &format!("device-{n}"), &[]).await;
        assert_eq!(socket.next().await["type"], "welcome");
        sockets.push(socket);
    }
    sockets
}

/// Trap 14: an idle connection costs a few KB, also after it has sent a frame of 100 kB; the bound
/// leaves room for the allocator and for code that is not optimised, and lies far below the 134 KB
/// of the default buffers and the 100 KB that a frame would leave behind.
#[tokio::test(flavor = "multi_thread")]
async fn trap_14_an_idle_connection_is_small_also_after_a_large_frame() {
    let house = House::new().await;
    let gateway = house
        .gateway("was-0", &[("SWITCHBOARD_WAS_AUDIT_LEAST", "110s")])
        .await;
    let mut tokens = Vec::new();
    for n in 0..20 {
        tokens.push(gateway.token(&format!("user-{n}")).await);
    }
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
    let before = resident(&gateway);
    let mut sockets = open(&gateway, &tokens, WARM, WARM + MORE).await;
    settled(WARM + MORE).await;
    let idle = resident(&gateway).saturating_sub(before) / MORE;

    let body = "x".repeat(99_000);
    for socket in &mut sockets {
        let send = json!({ "type": "send", "room": 1, "id": Uuid::new_v4(), "body": body });
        socket.put(&send).await;
        let answer = socket.next().await;
        assert!(
            answer["type"] == "accepted" || answer["code"] == "rate_limited",
            "{answer}"
        );
    }
    let after = resident(&gateway).saturating_sub(before) / MORE;
    println!("{idle} bytes an idle connection, {after} after a large frame");
    assert!(idle < 16_000, "{idle} bytes an idle connection");
    // The producer's own memory is in it too.
    assert!(
        after < 40_000,
        "{after} bytes a connection after a large frame"
    );
}

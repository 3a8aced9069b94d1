//! Frames that are wrong, too large or too many.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use uuid::Uuid;

use crate::house::House;
use crate::socket::Socket;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_frames_get_an_error_or_a_code() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let mut socket = gateway.session("ann", "phone", &[]).await;
    for (frame, code) in [
        ("not json", "malformed"),
        ("[1,2]", "malformed"),
        (r#"{"type":"send","room":0,"id":"x"}"#, "malformed"),
        (r#"{"type":"dance"}"#, "unknown_type"),
        (r#"{"type":"watch","users":[1]}"#, "not_available"),
        (
            r#"{"type":"hello","token":"x","device":"y"}"#,
            "already_greeted",
        ),
    ] {
        socket.0.send(Message::text(frame)).await.unwrap();
        let error = socket.next().await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!(code)),
            "{frame}"
        );
    }
    // Trap 12, and the limits of a body.
    for body in [
        "a\0b".to_owned(),
        "x".repeat(100_001),
        "𝄞".repeat(100_001),
        String::new(),
    ] {
        let send = json!({ "type": "send", "room": 1, "id": Uuid::new_v4(), "body": body });
        socket.put(&send).await;
        let rejected = socket.next().await;
        assert_eq!(
            (&rejected["type"], &rejected["code"]),
            (&json!("rejected"), &json!("invalid"))
        );
    }
    socket.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(socket.closed().await.0, 1003);

    let mut socket = gateway.session("ann", "phone", &[]).await;
    let begun = Instant::now();
    let large = Message::text("x".repeat(1_400_000));
    // The gateway may have closed by now.
    let _ = socket.0.send(large).await;
    let code = socket.ended_since(begun, "too large").await;
    assert!(code.is_none_or(|code| code == 1009), "{code:?}");
}

/// What is random in a frame.
#[derive(Clone, Copy, Debug)]
enum Chaos {
    /// The characters of a text.
    Text,
    /// The bytes of a text: hardly ever UTF-8.
    Utf8,
    /// The bytes of a binary frame.
    Binary,
    /// Everything, its head too.
    Wire,
}

async fn disturb(socket: &mut Socket, chaos: Chaos, bytes: Vec<u8>) -> bool {
    let frame = |kind, bytes| Message::Frame(Frame::message(bytes, OpCode::Data(kind), true));
    let message = match chaos {
        Chaos::Text => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
        Chaos::Utf8 => frame(Data::Text, bytes),
        Chaos::Binary => frame(Data::Binary, bytes),
        Chaos::Wire => {
            return socket.plain().write_all(&bytes).await.is_ok();
        }
    };
    socket.0.send(message).await.is_ok()
}

/// 10,000 frames of random bytes, 101 to a socket: each socket ends with a clear code, and the
/// gateway serves on.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_random_frames_harm_nobody() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()[0]
    };
    let all = [Chaos::Text, Chaos::Utf8, Chaos::Binary, Chaos::Wire];
    let mut codes = BTreeSet::new();
    for (n, chaos) in all.into_iter().cycle().take(100).enumerate() {
        // No user comes more often than he may.
        let user = format!("user-{}", n % 10);
        let mut socket = gateway.session(&user, "phone", &[]).await;
        let begun = Instant::now();
        // One more than the malformed frames that are forgiven.
        for len in 0..=100 {
            let bytes = (0..=len).map(|_| random()).collect();
            // The gateway may have closed by now.
            if !disturb(&mut socket, chaos, bytes).await {
                break;
            }
        }
        if matches!(chaos, Chaos::Wire) {
            // Half a frame may be left over: nothing more comes.
            let _ = socket.plain().shutdown().await;
        }
        let expected: &[u16] = match chaos {
            Chaos::Text => &[4007],
            Chaos::Utf8 => &[1007],
            Chaos::Binary => &[1003],
            // An unmasked frame or an unknown opcode; also a frame of the other kinds, a size above
            // the limit; none after a close by the client, or half a frame at the end.
            Chaos::Wire => &[1002, 1003, 1007, 1009],
        };
        let what = format!("{chaos:?}");
        let code = match chaos {
            Chaos::Wire => socket.ended(&what).await,
            _ => socket.ended_since(begun, &what).await,
        };
        assert!(
            code.is_none_or(|code| expected.contains(&code)),
            "{what}: {code:?}"
        );
        codes.extend(code);
    }
    assert!(
        codes.is_superset(&[1002, 1003, 1007, 4007].into()),
        "{codes:?}"
    );
    let mut socket = gateway.session("ann", "phone", &[]).await;
    let send = json!({ "type": "send", "room": 1, "id": Uuid::new_v4(), "body": "still here" });
    socket.put(&send).await;
    assert_eq!(socket.next().await["type"], "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_fast_is_told_when_to_go_on() {
    let house = House::new().await;
    // So slow a rate that the burst is used up however long the sending takes.
    let env = [("SWITCHBOARD_WAS_RATE_PER_SECOND", "1")];
    let gateway = house.gateway("was-0", &env).await;
    let start = Instant::now();
    // Over two sockets: the limit is the user's.
    let mut one = gateway.session("ann", "phone", &[]).await;
    let mut other = gateway.session("ann", "desk", &[]).await;
    let (mut accepted, mut limited) = (0, 0);
    for _ in 0..80 {
        for socket in [&mut one, &mut other] {
            let send = json!({ "type": "send", "room": 1, "id": Uuid::new_v4(), "body": "x" });
            socket.put(&send).await;
        }
    }
    let mut wait = 0;
    for socket in [&mut one, &mut other] {
        for _ in 0..80 {
            let frame = socket.next().await;
            match frame["type"].as_str().unwrap() {
                "accepted" => accepted += 1,
                _ => {
                    assert_eq!(frame["code"], "rate_limited");
                    wait = frame["retry_after_ms"].as_u64().unwrap();
                    assert!((1..=10_000).contains(&wait), "{wait}");
                    limited += 1;
                }
            }
        }
    }
    let most = 101 + start.elapsed().as_secs();
    assert!(
        (100..=most).contains(&accepted) && limited > 0,
        "{accepted} accepted, {limited} limited"
    );
    tokio::time::sleep(Duration::from_millis(wait + 50)).await;
    let send = json!({ "type": "send", "room": 1, "id": Uuid::new_v4(), "body": "x" });
    one.put(&send).await;
    assert_eq!(one.next().await["type"], "accepted");
}

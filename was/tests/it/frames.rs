//! Frames that are wrong, too large or too many.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::house::House;

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
    socket
        .0
        .send(Message::text("x".repeat(1_400_000)))
        .await
        .unwrap();
    assert_eq!(socket.closed().await.0, 1009);
}

/// 10,000 frames of random bytes, as texts and as binary ones: each socket ends with a clear answer
/// or code, and the gateway serves on.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_random_frames_harm_nobody() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let mut seed = 1_u64;
    let mut sent = 0;
    let mut codes = std::collections::BTreeSet::new();
    while sent < 10_000 {
        let mut socket = gateway.session("ann", "phone", &[]).await;
        for _ in 0..200 {
            let mut bytes = Vec::new();
            for _ in 0..(sent % 64) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.push(seed.to_be_bytes()[0]);
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            sent += 1;
            if socket.0.send(Message::text(text)).await.is_err() {
                break;
            }
        }
        let (code, answers) = socket.closed().await;
        assert!(answers.iter().all(|frame| frame["type"] == "error"));
        codes.insert(code);
    }
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), [4007]);
    let mut socket = gateway.session("ann", "phone", &[]).await;
    let send = json!({ "type": "send", "room": 1, "id": Uuid::new_v4(), "body": "still here" });
    socket.put(&send).await;
    assert_eq!(socket.next().await["type"], "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_fast_is_told_when_to_go_on() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
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
    assert!(
        accepted >= 100 && limited >= 20,
        "{accepted} accepted, {limited} limited"
    );
    tokio::time::sleep(Duration::from_millis(wait + 50)).await;
    let send = json!({ "type": "send", "room": 1, "id": Uuid::new_v4(), "body": "x" });
    one.put(&send).await;
    assert_eq!(one.next().await["type"], "accepted");
}

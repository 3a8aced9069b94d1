//! Who gets in, and what is answered to those who don't.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::house::{House, until};

fn signed(house: &House, claims: &Value) -> String {
    let key = EncodingKey::from_secret(house.space.token_secret().as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_first_frames() {
    let house = House::new().await;
    let soon = [("SWITCHBOARD_WAS_GREET_WITHIN", "100ms")];
    let (gateway, impatient) =
        tokio::join!(house.gateway("was-0", &[]), house.gateway("was-1", &soon));
    let now = jsonwebtoken::get_current_timestamp();

    let good = signed(&house, &json!({ "sub": "7", "exp": now + 600 }));
    let mut socket = gateway.socket().await;
    socket.hello(&good, "phone", &[]).await;
    let welcome = socket.next().await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["user"], 7);
    assert_eq!(welcome["was"], "was-0");
    assert_eq!(welcome["limits"]["body_chars"], 100_000);
    assert_eq!(welcome["limits"]["rate_per_second"], 20);
    assert_eq!(welcome["limits"]["rate_burst"], 100);

    for (token, code) in [
        (
            signed(&house, &json!({ "sub": "7", "exp": now - 10 })),
            4003,
        ),
        ("wrong".to_owned(), 4002),
        (String::new(), 4002),
    ] {
        let mut socket = gateway.socket().await;
        socket.hello(&token, "phone", &[]).await;
        assert_eq!(socket.closed().await.0, code, "{token}");
    }
    // No hello, another frame first, and a device that is none.
    assert_eq!(impatient.socket().await.closed().await.0, 4001);
    let mut socket = gateway.socket().await;
    socket.put(&json!({ "type": "typing", "room": 1 })).await;
    assert_eq!(socket.closed().await.0, 4000);
    let mut socket = gateway.socket().await;
    socket.hello(&good, "", &[]).await;
    assert_eq!(socket.closed().await.0, 4000);
    // A hello without a token, and requests without one, with a wrong one and an expired one.
    let mut socket = gateway.socket().await;
    socket
        .put(&json!({ "type": "hello", "device": "phone" }))
        .await;
    assert_eq!(socket.closed().await.0, 4000);
    let expired = signed(&house, &json!({ "sub": "7", "exp": now - 10 }));
    for token in [None, Some("wrong"), Some(expired.as_str()), Some(&good)] {
        let mut request = gateway.http.get(gateway.url("/v1/rooms"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        if token == Some(&good) {
            assert_eq!(answer.status(), 200);
            continue;
        }
        assert_eq!(answer.status(), 401, "{token:?}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
}

/// I9: each hello costs a route and a catch-up: a user who comes too often is told to come later, and is
/// welcome again then.
#[tokio::test(flavor = "multi_thread")]
async fn i9_who_says_hello_too_often_comes_later() {
    let house = House::new().await;
    let many = [("SWITCHBOARD_WAS_SESSIONS_PER_USER", "100")];
    let gateway = house.gateway("was-0", &many).await;
    let (_, often) = gateway.token("often").await;
    // All at once: what is waited for in between would be forgiven meanwhile, on a slow machine.
    let mut crowd = Vec::new();
    for n in 0..80 {
        let mut socket = gateway.socket().await;
        socket.hello(&often, &format!("device-{n}"), &[]).await;
        crowd.push(socket);
    }
    let mut ends = Vec::new();
    for socket in &mut crowd {
        ends.extend(socket.ended_or_welcome().await);
    }
    assert!(!ends.is_empty(), "all were welcome");
    assert!(ends.iter().all(|code| *code == 1013), "{ends:?}");
    drop(crowd);
    gateway.session("seldom", "phone", &[]).await;
    until("welcome again", || async {
        let mut socket = gateway.socket().await;
        socket.hello(&often, "device-0", &[]).await;
        match socket.ended_or_welcome().await {
            None => Ok(()),
            Some(code) => Err(code.to_string()),
        }
    })
    .await;
}

/// I9: one user's sessions don't take everybody's places. A device that comes back takes its own, and a
/// place is free again once its session has ended.
#[tokio::test(flavor = "multi_thread")]
async fn i9_a_user_has_so_many_sessions() {
    let house = House::new().await;
    let two = [("SWITCHBOARD_WAS_SESSIONS_PER_USER", "2")];
    let gateway = house.gateway("was-0", &two).await;
    let (ann, token) = gateway.token("ann").await;
    let mut phone = gateway.session("ann", "phone", &[]).await;
    let mut desk = gateway.session("ann", "desk", &[]).await;
    let come = async |device| {
        let mut socket = gateway.socket().await;
        socket.hello(&token, device, &[]).await;
        socket.ended_or_welcome().await
    };
    assert_eq!(come("tablet").await, Some(4008));
    gateway.session("bob", "tablet", &[]).await;
    let _phone = gateway.session("ann", "phone", &[]).await;
    assert_eq!(phone.closed().await.0, 4004);
    assert_eq!(come("tablet").await, Some(4008));

    desk.0.close(None).await.unwrap();
    house.desk().await.routes_of(ann, 1).await;
    assert_eq!(come("tablet").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_websocket_is_told_so() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let plain = gateway.http.get(gateway.url("/ws")).send().await.unwrap();
    assert_eq!(plain.status(), 426);
    assert_eq!(plain.headers()["content-type"], "application/problem+json");
    let other = gateway
        .http
        .get(gateway.url("/ws"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "chat.v9.xml")
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), 400);
}

//! REST: the devices that are pushed.

use serde_json::{Value, json};

use crate::house::{Gateway, House, until};
use crate::rest::call;

async fn post(gateway: &Gateway, token: &str, body: Value) -> (u16, Value) {
    call(gateway, "POST", "/v1/devices", token, None, Some(body)).await
}

async fn listed(gateway: &Gateway, token: &str) -> Vec<(i64, String)> {
    let (status, answer) = call(gateway, "GET", "/v1/devices", token, None, None).await;
    assert_eq!(status, 200);
    let devices = answer["devices"].as_array().unwrap().iter();
    devices
        .map(|one| {
            let keys: Vec<&String> = one.as_object().unwrap().keys().collect();
            // The token is nobody's to read.
            assert_eq!(keys, ["id", "platform", "since"]);
            assert!(one["since"].as_str().unwrap().ends_with('Z'), "{one}");
            let platform = one["platform"].as_str().unwrap().to_owned();
            (one["id"].as_i64().unwrap(), platform)
        })
        .collect()
}

async fn delete(gateway: &Gateway, token: &str, id: &str) -> u16 {
    let url = gateway.url(&format!("/v1/devices/{id}"));
    until("Postgres", || async {
        let request = gateway.http.delete(url.as_str()).bearer_auth(token);
        match request.send().await.unwrap().status().as_u16() {
            503 => Err("no answer in time"),
            status => Ok(status),
        }
        .map_err(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_registered_listed_and_removed() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let (_, ann) = gateway.token("ann").await;
    let (_, bob) = gateway.token("bob").await;
    assert_eq!(listed(&gateway, &ann).await, []);
    let phone = json!({ "platform": "android", "token": "phone" });
    let (status, answer) = post(&gateway, &ann, phone.clone()).await;
    assert_eq!(status, 200);
    let id = answer["id"].as_i64().unwrap();
    assert_eq!(post(&gateway, &ann, phone.clone()).await.1["id"], id);
    assert_eq!(listed(&gateway, &ann).await, [(id, "android".to_owned())]);

    // Nobody removes another's; who signs in on it next has it.
    assert_eq!(delete(&gateway, &bob, &id.to_string()).await, 404);
    assert_eq!(post(&gateway, &bob, phone).await.1["id"], id);
    assert_eq!(listed(&gateway, &ann).await, []);
    assert_eq!(delete(&gateway, &bob, &id.to_string()).await, 204);
    assert_eq!(delete(&gateway, &bob, &id.to_string()).await, 404);
    assert_eq!(listed(&gateway, &bob).await, []);
}

/// I9: what can't be one is refused, and a user has so many.
#[tokio::test(flavor = "multi_thread")]
async fn i9_bad_devices_and_too_many_are_problems() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let (_, ann) = gateway.token("ann").await;
    let long = "x".repeat(1_025);
    for body in [
        json!({}),
        json!({ "platform": "android" }),
        json!({ "platform": "fridge", "token": "t" }),
        json!({ "platform": "android", "token": "" }),
        json!({ "platform": "android", "token": "a b" }),
        json!({ "platform": "android", "token": "a\u{0}" }),
        json!({ "platform": "android", "token": "é" }),
        json!({ "platform": "android", "token": 5 }),
        json!({ "platform": "android", "token": long }),
    ] {
        let (status, problem) = post(&gateway, &ann, body.clone()).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("malformed")),
            "{body}"
        );
        // Not even the one who sent it is told a token: who reads problems may be a log.
        assert!(!problem.to_string().contains(&long));
    }
    assert_eq!(post(&gateway, "x", json!({})).await.0, 401);
    for id in ["0", "-1", "99999999999999999999", "x"] {
        assert_eq!(delete(&gateway, &ann, id).await, 404, "{id}");
    }
    assert_eq!(listed(&gateway, &ann).await, []);

    let device = |n: i64| json!({ "platform": "web", "token": format!("page-{n}") });
    for n in 0..store::MAX_DEVICES {
        assert_eq!(post(&gateway, &ann, device(n)).await.0, 200);
    }
    let (status, problem) = post(&gateway, &ann, device(-1)).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("too_many_devices"))
    );
    assert_eq!(post(&gateway, &ann, device(0)).await.0, 200);
}

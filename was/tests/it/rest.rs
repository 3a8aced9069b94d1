//! REST: problems, documents, outcomes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use protocol::{CommandKind, RejectCode, RoomKind, Seq, ServerFrame};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::{Gateway, House, until};

pub(crate) async fn call(
    gateway: &Gateway,
    method: &str,
    path: &str,
    token: &str,
    key: Option<Uuid>,
    body: Option<Value>,
) -> (u16, Value) {
    let method: reqwest::Method = method.parse().unwrap();
    until("Postgres", || async {
        let mut request = gateway
            .http
            .request(method.clone(), gateway.url(path))
            .bearer_auth(token);
        if let Some(key) = key {
            request = request.header("idempotency-key", key.to_string());
        }
        if let Some(body) = &body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let (status, body) = understood(request.send().await.unwrap()).await;
        // What a machine that stands still looks like.
        if body["detail"] == "the store can't be reached, try again" {
            return Err(body.to_string());
        }
        Ok((status, body))
    })
    .await
}

async fn understood(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let expected = if status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    assert_eq!(kind, expected);
    let body: Value = answer.json().await.unwrap();
    if status >= 400 {
        assert_eq!(body["status"], status);
        assert!(
            body["detail"].is_string() && body["title"].is_string(),
            "{body}"
        );
    }
    (status, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_problems_and_the_document_names_every_path() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let (_, token) = gateway.token("ann").await;
    let code = |answer: (u16, Value)| (answer.0, answer.1["code"].as_str().unwrap().to_owned());
    let get = |path: &'static str| call(&gateway, "GET", path, &token, None, None);
    assert_eq!(
        code(call(&gateway, "GET", "/v1/rooms", "x", None, None).await).0,
        401
    );
    let without = gateway.http.get(gateway.url("/v1/rooms")).send().await;
    let without = without.unwrap();
    assert_eq!(without.status(), 401);
    assert_eq!(without.headers()["www-authenticate"], "Bearer");
    assert_eq!(
        code(get("/v1/nothing").await),
        (404, "no_such_path".to_owned())
    );
    assert_eq!(
        code(get("/v1/rooms/0").await),
        (404, "no_such_path".to_owned())
    );
    assert_eq!(
        code(get("/v1/rooms/77").await),
        (404, "not_member".to_owned())
    );
    assert_eq!(
        code(get("/v1/rooms/77/messages").await),
        (404, "not_member".to_owned())
    );
    assert_eq!(
        code(get("/v1/rooms/77/messages?limit=x").await),
        (400, "malformed".to_owned())
    );
    assert_eq!(
        code(get("/v1/rooms/77/messages?limit=0").await),
        (400, "malformed".to_owned())
    );
    let post = |body: Value| call(&gateway, "POST", "/v1/rooms", &token, None, Some(body));
    assert_eq!(code(post(json!({ "kind": "castle" })).await).0, 422);
    assert_eq!(
        code(post(json!({ "kind": "direct", "members": [] })).await).0,
        422
    );
    assert_eq!(
        code(post(json!({ "kind": "group", "name": "" })).await).0,
        422
    );
    assert_eq!(
        code(call(&gateway, "PUT", "/v1/rooms", &token, None, None).await).0,
        405
    );
    for page in ["/v1/rooms", "/v1/rooms?after=7&limit=500"] {
        assert_eq!(get(page).await, (200, json!({ "rooms": [] })));
    }
    for page in ["/v1/rooms?limit=501", "/v1/rooms?after=-1"] {
        assert_eq!(code(get(page).await), (400, "malformed".to_owned()));
    }

    let (_, document) = get("/v1/openapi.json").await;
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/v1/dev/token",
            "/v1/devices",
            "/v1/devices/{device}",
            "/v1/rooms",
            "/v1/rooms/{room}",
            "/v1/rooms/{room}/members",
            "/v1/rooms/{room}/members/{user}",
            "/v1/rooms/{room}/messages",
        ]
    );
}

/// The outcome comes back at the request's own address; what comes too late is looked up, and if it
/// is not stored, it is unknown. A repeat with the key names the same room and the same command, on
/// whichever gateway.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_its_outcome() {
    let house = House::new().await;
    let soon = [("SWITCHBOARD_WAS_OUTCOME_TIMEOUT", "100ms")];
    let (impatient, gateway) =
        tokio::join!(house.gateway("was-0", &soon), house.gateway("was-1", &[]));
    let mut desk = house.desk().await;
    let (ann, token) = gateway.token("ann").await;
    let (bob, _) = gateway.token("bob").await;
    let key = Uuid::new_v4();
    let new = json!({ "kind": "group", "name": "garden", "members": [bob] });
    let create = |gateway| {
        call(
            gateway,
            "POST",
            "/v1/rooms",
            &token,
            Some(key),
            Some(new.clone()),
        )
    };

    let (answer, first) = tokio::join!(create(&impatient), desk.command());
    assert_eq!(answer.0, 503, "{}", answer.1);
    assert_eq!(answer.1["detail"], "unknown, repeat with this key");
    let (answer, second) = tokio::join!(create(&gateway), async {
        let (command, _) = desk.command().await;
        let done = ServerFrame::Stored {
            id: key,
            room: command.room,
            seq: Seq::ZERO.next(),
        };
        desk.answer(&command, &done).await;
        command
    });
    assert_eq!(answer.0, 201, "{}", answer.1);
    assert_eq!((first.0.room, first.0.id), (second.room, second.id));
    assert_eq!(answer.1, json!({ "room": second.room }));
    assert!(second.retry, "the store is asked first");
    let CommandKind::Create {
        room_kind,
        name,
        members,
    } = second.kind
    else {
        panic!("create")
    };
    assert_eq!((room_kind, name.as_str()), (RoomKind::Group, "garden"));
    assert_eq!(
        members.iter().map(|m| m.get()).collect::<Vec<_>>(),
        [ann, bob]
    );

    let path = format!("/v1/rooms/{}", second.room);
    let (answer, ()) = tokio::join!(
        call(
            &gateway,
            "PATCH",
            &path,
            &token,
            None,
            Some(json!({ "name": "yard" }))
        ),
        async {
            let (command, _) = desk.command().await;
            desk.answer(
                &command,
                &ServerFrame::Rejected {
                    id: command.id,
                    code: RejectCode::Forbidden,
                    message: "no".to_owned(),
                    retry_after_ms: None,
                },
            )
            .await;
        }
    );
    assert_eq!((answer.0, &answer.1["code"]), (403, &json!("forbidden")));
}

/// I9: nobody comes into more rooms than one may be in, and into their own as before; a user at the limit
/// is welcome and gets what was missed in every room.
#[tokio::test(flavor = "multi_thread")]
async fn i9_a_user_is_in_so_many_rooms() {
    // Ids that no request gets.
    const ROOMS: RangeInclusive<i64> = 10_001..=10_100;
    let house = House::new().await;
    let most = [("SWITCHBOARD_WAS_ROOMS_PER_USER", "100")];
    let gateway = house.gateway("was-0", &most).await;
    let mut desk = house.desk().await;
    let (ann, token) = gateway.token("ann").await;
    let (bob, bobs) = gateway.token("bob").await;
    desk.create(20_000, &[bob]).await;
    for room in ROOMS {
        desk.create(room, &[ann, bob]).await;
    }
    let group = json!({ "kind": "group", "name": "garden", "members": [ann] });
    let direct = json!({ "kind": "direct", "members": [bob] });
    let add = json!({ "user": ann });
    for (token, path, body) in [
        (&token, "/v1/rooms", group.clone()),
        (&bobs, "/v1/rooms", group),
        (&token, "/v1/rooms", direct),
        (&bobs, "/v1/rooms/20000/members", add.clone()),
    ] {
        let (status, answer) = call(&gateway, "POST", path, token, None, Some(body)).await;
        assert_eq!((status, &answer["code"]), (409, &json!("too_many_rooms")));
        assert!(answer["detail"].as_str().unwrap().contains("100"));
    }
    // A repeat of what was done before goes the usual way: the classifier knows it.
    let path = "/v1/rooms/10001/members";
    let repeat = call(&gateway, "POST", path, &token, None, Some(add));
    let (answer, ()) = tokio::join!(repeat, async {
        let (command, _) = desk.command().await;
        let (id, room, seq) = (command.id, command.room, Seq::ZERO.next());
        let done = ServerFrame::Stored { id, room, seq };
        desk.answer(&command, &done).await;
    });
    assert_eq!(answer.0, 200, "{}", answer.1);

    for room in ROOMS {
        desk.store(room, bob, &["hi"]).await;
    }
    let cursors: Vec<_> = ROOMS.map(|room| (room, 1)).collect();
    let mut socket = gateway.session("ann", "phone", &cursors).await;
    let mut rooms = BTreeSet::new();
    for _ in ROOMS {
        let message = socket.next().await;
        assert_eq!(
            (&message["seq"], &message["body"]),
            (&json!(2), &json!("hi"))
        );
        rooms.insert(message["room"].as_i64().unwrap());
    }
    assert!(rooms.into_iter().eq(ROOMS));
}

/// Reads have a rate of their own, each request is counted by its route and status, and what clients
/// make up is one series.
#[tokio::test(flavor = "multi_thread")]
async fn reads_have_a_rate_and_requests_are_counted() {
    let house = House::new().await;
    let gateway = house
        .gateway(
            "was-0",
            &[
                ("SWITCHBOARD_WAS_RATE_PER_SECOND", "1"),
                ("SWITCHBOARD_WAS_RATE_BURST", "3"),
            ],
        )
        .await;
    let (_, token) = gateway.token("ann").await;
    let paths = ["/v1/rooms", "/v1/rooms/77", "/v1/rooms/77/messages"];
    let mut limited = Vec::new();
    // Far more than a second gives: whatever is answered slowly, most come too soon.
    for path in paths.iter().cycle().take(60) {
        let (status, answer) = call(&gateway, "GET", path, &token, None, None).await;
        if status == 429 {
            assert_eq!(answer["code"], "rate_limited");
            assert!(answer["retry_after_ms"].as_u64().unwrap() >= 1);
            limited.push(*path);
        }
    }
    for path in paths {
        assert!(limited.contains(&path), "{path} has no limit: {limited:?}");
    }
    // The rate of commands is untouched.
    let body = Some(json!({ "name": "" }));
    let answer = call(&gateway, "PATCH", "/v1/rooms/77", &token, None, body).await;
    assert_eq!(answer.0, 422);

    let counted = |route: &str, status: u16| {
        format!("was_rest_requests_total{{route=\"{route}\",status=\"{status}\"}}")
    };
    assert!(gateway.metric(&counted("GET /v1/rooms/{room}", 429)).await > 0);
    let renames = counted("PATCH /v1/rooms/{room}", 422);
    assert_eq!(gateway.metric(&renames).await, 1);
    call(&gateway, "GET", "/v1/made-up", &token, None, None).await;
    assert_eq!(gateway.metric(&counted("none", 404)).await, 1);
    let timed = "was_rest_request_seconds_count{route=\"PATCH /v1/rooms/{room}\"}";
    assert_eq!(gateway.metric(timed).await, 1);
}

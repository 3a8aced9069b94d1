//! Something that behaves like FCM and like the server that gives access to it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::bench::PATIENCE;
use super::http::{Received, read};

const PRIVATE: &str = include_str!("../../../../was/tests/keys/rs.pem");
const PUBLIC: &str = include_str!("../../../../was/tests/keys/rs.pub");
const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

/// What a message to a device is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Taken,
    /// 404, `UNREGISTERED`.
    Unregistered,
    /// 400, about the token.
    NoToken,
    /// 429, to be tried again after so many seconds.
    Quota(u64),
    /// 401, `THIRD_PARTY_AUTH_ERROR`: Apple's servers refuse the project.
    ThirdParty,
    /// 403, `SENDER_ID_MISMATCH`.
    OtherSender,
    /// Something else, without an error of FCM's own.
    Status(u16),
}

/// A message as it came.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) device: String,
    pub(super) seq: i64,
    pub(super) message: Value,
    pub(super) taken: bool,
    pub(super) at: Instant,
}

#[derive(Default)]
struct State {
    next: HashMap<String, VecDeque<Said>>,
    always: HashMap<String, Said>,
    sent: Vec<Sent>,
    /// How often access was asked for; the number is in the token.
    grants: usize,
    /// Grants that fail from now on.
    failing: usize,
    /// Devices whose messages come and are not answered yet.
    held: HashSet<String>,
}

pub(super) struct Fcm {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
    folder: TempDir,
}

impl Drop for Fcm {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fcm {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let serving = Arc::clone(&state);
        let server = tokio::spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                served.spawn(serve(socket, address, Arc::clone(&serving)));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let key = json!({
            "type": "service_account",
            "project_id": "chat-1",
            "private_key_id": "key-1",
            "private_key": PRIVATE,
            "client_email": "push@chat-1.example",
            "token_uri": format!("http://{address}/token"),
        });
        std::fs::write(folder.path().join("key.json"), key.to_string()).unwrap();
        Self {
            address,
            state,
            server,
            folder,
        }
    }

    /// The key file of an account that has access.
    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key.json")
    }

    /// The next messages to a device are answered so, before what is always answered.
    pub(super) fn next_for(&self, device: &str, said: &[Said]) {
        let mut state = self.state.lock().unwrap();
        state
            .next
            .entry(device.to_owned())
            .or_default()
            .extend(said);
    }

    pub(super) fn always_for(&self, device: &str, said: Said) {
        let mut state = self.state.lock().unwrap();
        state.always.insert(device.to_owned(), said);
    }

    /// What comes for this device is not answered until it is released.
    pub(super) fn hold(&self, device: &str) {
        self.state.lock().unwrap().held.insert(device.to_owned());
    }

    /// What came for any device is answered.
    pub(super) fn release(&self) {
        self.state.lock().unwrap().held.clear();
    }

    /// So many of the next questions for access fail.
    pub(super) fn deny(&self, times: usize) {
        self.state.lock().unwrap().failing = times;
    }

    /// The access that was given is good no more.
    pub(super) fn revoke(&self) {
        self.state.lock().unwrap().grants += 1;
    }

    pub(super) fn grants(&self) -> usize {
        self.state.lock().unwrap().grants
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.state.lock().unwrap().sent.clone()
    }

    /// Seqs that a device has taken, in order.
    pub(super) fn taken(&self, device: &str) -> Vec<i64> {
        let sent = self.sent();
        let taken = sent.iter().filter(|one| one.taken && one.device == device);
        taken.map(|one| one.seq).collect()
    }

    /// Waits until so many messages to a device have come.
    pub(super) async fn asked(&self, device: &str, times: usize) {
        let began = Instant::now();
        while self
            .sent()
            .iter()
            .filter(|one| one.device == device)
            .count()
            < times
        {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.sent());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn serve(socket: TcpStream, address: SocketAddr, state: Arc<Mutex<State>>) {
    let mut socket = BufReader::new(socket);
    while let Some(request) = read(&mut socket).await {
        let (status, more, body) = match request.path.as_str() {
            "/token" => grant(&request, address, &state),
            "/v1/projects/chat-1/messages:send" => {
                let answer = send(&request, &state);
                while is_held(&request, &state) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                answer
            }
            other => panic!("{other}"),
        };
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        let whole = head + &body;
        // Who has hung up does not want it any more.
        if socket.write_all(whole.as_bytes()).await.is_err() {
            return;
        }
    }
}

type Answer = (u16, String, String);

/// Google's rules for an assertion: RS256, the account's key, the scope, itself as audience, an hour.
fn grant(request: &Received, address: SocketAddr, state: &Mutex<State>) -> Answer {
    let form = "application/x-www-form-urlencoded";
    assert_eq!(request.headers["content-type"], form);
    let raw = String::from_utf8(request.raw.clone()).unwrap();
    let assertion = raw.strip_prefix(GRANT).unwrap();
    let header = decode_header(assertion).unwrap();
    assert_eq!(header.kid.as_deref(), Some("key-1"));
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&[format!("http://{address}/token")]);
    rules.set_issuer(&["push@chat-1.example"]);
    let key = DecodingKey::from_rsa_pem(PUBLIC.as_bytes()).unwrap();
    let claims = decode::<Value>(assertion, &key, &rules).unwrap().claims;
    let scope = "https://www.googleapis.com/auth/firebase.messaging";
    assert_eq!(claims["scope"], scope);
    let lasts = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lasts, 3_600);

    let mut state = state.lock().unwrap();
    if state.failing > 0 {
        state.failing -= 1;
        let error = json!({ "error": "invalid_grant", "error_description": "…" });
        return (400, String::new(), error.to_string());
    }
    state.grants += 1;
    let token = format!("access-{}", state.grants);
    let granted = json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" });
    (200, String::new(), granted.to_string())
}

fn is_held(request: &Received, state: &Mutex<State>) -> bool {
    let body: Value = serde_json::from_slice(&request.raw).unwrap();
    let device = body["message"]["token"].as_str().unwrap();
    state.lock().unwrap().held.contains(device)
}

fn send(request: &Received, state: &Mutex<State>) -> Answer {
    let mut state = state.lock().unwrap();
    let access = format!("Bearer access-{}", state.grants);
    if request.headers.get("authorization") != Some(&access) {
        return (401, String::new(), error(401, "UNAUTHENTICATED", "…", None));
    }
    let body: Value = serde_json::from_slice(&request.raw).unwrap();
    let message = body["message"].clone();
    let device = message["token"].as_str().unwrap().to_owned();
    let planned = state.next.get_mut(&device).and_then(VecDeque::pop_front);
    let always = state.always.get(&device).copied();
    let said = planned.or(always).unwrap_or(Said::Taken);
    state.sent.push(Sent {
        device,
        seq: message["data"]["seq"].as_str().unwrap().parse().unwrap(),
        message,
        taken: said == Said::Taken,
        at: Instant::now(),
    });
    let plain = String::new();
    match said {
        Said::Taken => {
            let name = json!({ "name": "projects/chat-1/messages/1" });
            (200, plain, name.to_string())
        }
        Said::Unregistered => {
            let text = "Requested entity was not found.";
            (
                404,
                plain,
                error(404, "NOT_FOUND", text, Some("UNREGISTERED")),
            )
        }
        Said::NoToken => {
            let text = "The registration token is not a valid FCM registration token";
            let code = "INVALID_ARGUMENT";
            (400, plain, error(400, code, text, Some(code)))
        }
        Said::Quota(seconds) => {
            let after = format!("retry-after: {seconds}\r\n");
            let code = Some("QUOTA_EXCEEDED");
            (429, after, error(429, "RESOURCE_EXHAUSTED", "…", code))
        }
        Said::ThirdParty => {
            let code = Some("THIRD_PARTY_AUTH_ERROR");
            (401, plain, error(401, "UNAUTHENTICATED", "…", code))
        }
        Said::OtherSender => {
            let code = Some("SENDER_ID_MISMATCH");
            (403, plain, error(403, "PERMISSION_DENIED", "…", code))
        }
        Said::Status(status) => (status, plain, error(status, "UNKNOWN", "…", None)),
    }
}

/// An error as Google's APIs tell it.
fn error(status: u16, word: &str, text: &str, code: Option<&str>) -> String {
    let details: Vec<Value> = code
        .map(|code| {
            json!({
                "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
                "errorCode": code,
            })
        })
        .into_iter()
        .collect();
    let error = json!({ "code": status, "message": text, "status": word, "details": details });
    json!({ "error": error }).to_string()
}

//! A webhook played by hand.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use classifier::push::{SIGNATURE, TIMESTAMP, signature};
use serde_json::Value;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bench::PATIENCE;
use super::http::{Received, read};

/// What a request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u16),
    /// Nothing, for longer than anybody waits.
    Slow,
    /// The connection ends.
    Hangup,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    headers: HashMap<String, String>,
    raw: Vec<u8>,
    pub(super) body: Value,
    pub(super) taken: bool,
}

impl Request {
    /// Whether its signature is that of this secret, made a short while ago.
    pub(super) fn is_signed(&self, secret: &str) -> bool {
        let timestamp: i64 = self.headers[TIMESTAMP].parse().unwrap();
        let age = service::clock::Clock::system().wall_ms() / 1_000 - timestamp;
        let expected = format!("v1={}", signature(secret, timestamp, &self.raw));
        (0..600).contains(&age) && self.headers[SIGNATURE] == expected
    }
}

#[derive(Default)]
struct Plan {
    next: HashMap<i64, VecDeque<Answer>>,
    always: HashMap<i64, Answer>,
}

pub(super) struct Hook {
    pub(super) address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    requests: watch::Receiver<Vec<Request>>,
    server: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Hook {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let (told, requests) = watch::channel(Vec::new());
        let answers = Arc::clone(&plan);
        let server = tokio::spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                served.spawn(serve(socket, Arc::clone(&answers), told.clone()));
            }
        });
        Self {
            address,
            plan,
            requests,
            server,
        }
    }

    /// The next requests for a user are answered so, in this order, before what is always answered.
    pub(super) fn next_for(&self, user: i64, answers: &[Answer]) {
        let mut plan = self.plan.lock().unwrap();
        plan.next.entry(user).or_default().extend(answers);
    }

    /// 200 if nothing else is said.
    pub(super) fn always_for(&self, user: i64, answer: Answer) {
        self.plan.lock().unwrap().always.insert(user, answer);
    }

    /// What has come so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// Waits until so many requests for a user have come.
    pub(super) async fn asked(&self, user: i64, times: usize) {
        let mut requests = self.requests.clone();
        let come = requests
            .wait_for(|all| all.iter().filter(|one| one.body["user"] == user).count() >= times);
        let come = tokio::time::timeout(PATIENCE, come).await;
        assert!(come.is_ok(), "{:?}", self.requests());
    }
}

async fn serve(socket: TcpStream, plan: Arc<Mutex<Plan>>, told: watch::Sender<Vec<Request>>) {
    let mut socket = BufReader::new(socket);
    while let Some(Received { headers, raw, .. }) = read(&mut socket).await {
        let body: Value = serde_json::from_slice(&raw).unwrap();
        let answer = {
            let user = body["user"].as_i64().unwrap();
            let mut plan = plan.lock().unwrap();
            let planned = plan.next.get_mut(&user).and_then(VecDeque::pop_front);
            let always = plan.always.get(&user).copied();
            planned.or(always).unwrap_or(Answer::Status(200))
        };
        told.send_modify(|all| {
            all.push(Request {
                headers,
                raw,
                body,
                taken: answer == Answer::Status(200),
            });
        });
        match answer {
            Answer::Status(status) => {
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n");
                if socket.write_all(head.as_bytes()).await.is_err() {
                    return;
                }
            }
            Answer::Slow => tokio::time::sleep(Duration::from_secs(600)).await,
            Answer::Hangup => return,
        }
    }
}

//! A collector of traces: takes spans by OTLP over HTTP, as OpenTelemetry's own does, and remembers them.
//! What comes for another path it takes unread, so that it may stand in for a webhook.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// No request is as large.
const MOST: usize = 16 << 20;

/// Listens on a port of its own until it is dropped.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    taken: Arc<Mutex<Taken>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Taken {
    status: &'static str,
    heads: Vec<String>,
    spans: Vec<Collected>,
}

/// A span that came. Ids in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// `service.name` and `service.instance.id`, with a blank between.
    pub by: String,
    /// Its trace.
    pub trace: String,
    /// Itself.
    pub id: String,
    /// The span above it; empty if there is none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Its attributes, numbers in decimal.
    pub attributes: BTreeMap<String, String>,
    /// It says that it failed.
    pub failed: bool,
    /// From when to when, in ns since 1970.
    pub time: (u64, u64),
}

impl Collector {
    /// Listens, and takes everything.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let taken = Arc::new(Mutex::new(Taken {
            status: "200 OK",
            heads: Vec::new(),
            spans: Vec::new(),
        }));
        let task = tokio::spawn(serve(listener, Arc::clone(&taken)));
        Ok(Self { port, taken, task })
    }

    /// From now on every request with spans is answered with this status (`503 Service Unavailable`); only what is
    /// answered with a 200 is remembered.
    pub fn answer(&self, status: &'static str) {
        self.taken().status = status;
    }

    /// `trace.endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All spans that came.
    pub fn spans(&self) -> Vec<Collected> {
        self.taken().spans.clone()
    }

    /// The heads of all requests with spans, as they came.
    pub fn heads(&self) -> Vec<String> {
        self.taken().heads.clone()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        lock(&self.taken)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, taken: Arc<Mutex<Taken>>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(answer(stream, Arc::clone(&taken)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Requests one after another, each with its length, as HTTP/1.1 clients send them.
async fn answer(stream: TcpStream, taken: Arc<Mutex<Taken>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some((head, length)) = head(&mut stream).await? {
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let status = take(&mut lock(&taken), head, &body);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

fn take(taken: &mut Taken, head: String, body: &[u8]) -> &'static str {
    if !head.starts_with("POST /v1/traces ") {
        return "200 OK";
    }
    taken.heads.push(head);
    if taken.status != "200 OK" {
        return taken.status;
    }
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            taken.spans.extend(collected(request));
            taken.status
        }
        Err(_) => "400 Bad Request",
    }
}

/// The next request's head and the length of its body; none at the end of the connection.
async fn head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<(String, usize)>> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let begun = head.len();
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
        let header = head[begun..].trim_end();
        if header.is_empty() {
            return Ok(Some((head, length)));
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            let told = value.trim().parse().ok().filter(|length| *length <= MOST);
            length = told.ok_or(io::ErrorKind::InvalidData)?;
        }
    }
}

fn collected(request: ExportTraceServiceRequest) -> Vec<Collected> {
    let mut all = Vec::new();
    for of_one in request.resource_spans {
        let who = texts(of_one.resource.map_or_else(Vec::new, |who| who.attributes));
        let said = |key: &str| who.get(key).map_or("", String::as_str);
        let by = format!("{} {}", said("service.name"), said("service.instance.id"));
        let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| {
            Collected {
                by: by.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                attributes: texts(span.attributes),
                failed: span
                    .status
                    .is_some_and(|status| status.code() == StatusCode::Error),
                time: (span.start_time_unix_nano, span.end_time_unix_nano),
            }
        }));
    }
    all
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.into_iter();
    let pairs = pairs.map(|pair| (pair.key, text(pair.value.and_then(|value| value.value))));
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

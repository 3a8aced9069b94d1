//! The first span of a command that is traced: from its coming until Kafka has it, or, of a request, until its
//! outcome is known. Nothing of what a message says is in it, nor who sends it.

use axum::extract::MatchedPath;
use http::request::Parts;
use protocol::Command;
use service::trace::{Given, Kind, Span, TRACEPARENT, Tracer};

use crate::rest::Problem;

/// A frame came. It says nothing of traces: whether it is traced is for chance to say.
pub(crate) fn of_frame(tracer: &Tracer, command: &Command) -> Option<Span> {
    let word = command.kind.event_kind();
    let mut span = tracer.enter(None, Kind::Server, || format!("ws {word}"))?;
    describe(&mut span, command);
    Some(span)
}

/// A request came, which may say whether it is traced.
pub(crate) fn of_request(tracer: &Tracer, parts: &Parts) -> Option<Span> {
    if !tracer.is_on() {
        return None;
    }
    let given = parts.headers.get(TRACEPARENT);
    let given = given.and_then(|value| Given::read(value.as_bytes()));
    let (method, path) = (parts.method.as_str(), parts.extensions.get::<MatchedPath>());
    let route = path.map_or("", MatchedPath::as_str);
    let mut span = tracer.enter(given, Kind::Server, || format!("{method} {route}"))?;
    span.note("http.request.method", method);
    span.note("http.route", route);
    span.note("url.path", parts.uri.path());
    span.note("url.scheme", "http");
    Some(span)
}

/// Says which command it is.
pub(crate) fn describe(span: &mut Span, command: &Command) {
    span.note("switchboard.command", command.kind.event_kind());
    span.note("switchboard.room", command.room.get());
    span.note("switchboard.id", command.id.to_string());
}

/// Kafka has the command, or it is not known whether it has.
pub(crate) fn end(span: Option<Span>, taken: bool) {
    let Some(mut span) = span else { return };
    if !taken {
        span.fail("unavailable");
    }
    span.end();
}

/// The request is answered.
pub(crate) fn answered<T>(span: Option<Span>, outcome: &Result<T, Problem>) {
    let Some(mut span) = span else { return };
    if let Err(problem) = outcome {
        let status = problem.status();
        span.note("http.response.status_code", i64::from(status));
        // What the client did wrong is no failure of ours.
        if status >= 500 {
            span.fail(&status.to_string());
        }
    }
    span.end();
}

//! The task behind a client: connects, greets, writes what is due, reads what comes, and begins again.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, SinkExt, StreamExt};
use protocol::{ClientFrame, CloseCode, RejectCode, ServerFrame, UserId};
use rand::{RngExt, seq::SliceRandom};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message as Raw};

use crate::{
    Options,
    backoff::Backoff,
    event::{Connected, Ending, Event, Frame},
    outgoing::Shared,
    output::Output,
    socket::{self, Socket},
};

/// Frames read in one go before the outbox is looked at again.
const BURST: usize = 64;
/// Silence allowed, in heartbeats of the server.
const HEARTBEATS: f64 = 2.5;
/// How long an `unavailable` command waits for its next attempt, at least; as much again is jitter.
const UNAVAILABLE_WAIT: Duration = Duration::from_millis(250);
/// A close is answered if that takes no longer than this.
const FAREWELL: Duration = Duration::from_millis(100);

pub(crate) struct Task {
    options: Options,
    shared: Arc<Shared>,
    output: Output,
    backoff: Backoff,
    url: usize,
    lost_at: Option<Instant>,
}

/// One connection, from its greeting on.
struct Session {
    heard: Instant,
    silence: Duration,
    greeted: Option<Instant>,
    user: Option<UserId>,
    bye: Option<Duration>,
}

impl Task {
    pub(crate) fn new(mut options: Options, shared: Arc<Shared>, output: Output) -> Self {
        // Everyone who loses the same gateway would try the same next one otherwise.
        if let Some(others) = options.urls.get_mut(1..) {
            others.shuffle(&mut rand::rng());
        }
        let backoff = Backoff::new(options.backoff, options.backoff_cap);
        Self {
            options,
            shared,
            output,
            backoff,
            url: 0,
            lost_at: None,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let mut session = Session::new(self.options.greeting_timeout);
            let cause = self.connection(&mut session).await;
            self.shared.lock().disconnected();
            let now = Instant::now();
            if session.greeted.is_some() {
                self.lost_at = Some(now);
            }
            if session
                .greeted
                .is_some_and(|at| now - at >= self.options.stable_after)
            {
                self.backoff.reset();
            }
            if self.stops(&cause) {
                self.output
                    .tell(Event::Stopped { cause }, &self.shared.stop)
                    .await;
                break;
            }
            let retry_in = self.backoff.next(rand::rng().random());
            let retry_in = session.bye.unwrap_or(retry_in);
            self.url = (self.url + 1) % self.options.urls.len().max(1);
            self.output
                .tell(Event::Disconnected { cause, retry_in }, &self.shared.stop)
                .await;
            tokio::select! {
                () = sleep(retry_in) => {}
                () = self.shared.stop.cancelled() => {}
            }
        }
        self.shared.ended.cancel();
    }

    fn stops(&self, cause: &Ending) -> bool {
        let final_code = match cause {
            Ending::Closed { code, .. } => {
                CloseCode::from_code(*code).is_some_and(|code| !code.reconnects())
            }
            _ => false,
        };
        final_code || self.shared.stop.is_cancelled()
    }

    /// From connecting to its end.
    async fn connection(&mut self, session: &mut Session) -> Ending {
        if self.shared.stop.is_cancelled() {
            return Ending::Asked;
        }
        let Some(url) = self.options.urls.get(self.url).cloned() else {
            return Ending::Broken("no URL to connect to".to_owned());
        };
        let stop = self.shared.stop.clone();
        let socket = tokio::select! {
            socket = timeout(self.options.connect_timeout, socket::connect(&url)) => socket,
            () = stop.cancelled() => return Ending::Asked,
        };
        let mut socket = match socket {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Ending::Broken(error),
            Err(_) => return Ending::Broken(format!("{url}: no connection in time")),
        };
        session.heard = Instant::now();
        let result = self.converse(&mut socket, session, &url).await;
        let Err(ending) = result;
        if matches!(ending, Ending::Asked | Ending::Closed { .. }) {
            // Best effort: the end is the same if the other side does not hear of it.
            let _ = timeout(FAREWELL, socket.close(None)).await;
        }
        ending
    }

    /// Returns only with the end.
    async fn converse(
        &mut self,
        socket: &mut Socket,
        session: &mut Session,
        url: &str,
    ) -> Result<std::convert::Infallible, Ending> {
        let (token, device) = (self.options.token.clone(), self.options.device.clone());
        let cursors = self.shared.lock().cursors.clone();
        let shared = Arc::clone(&self.shared);
        let hello = ClientFrame::Hello {
            token,
            device,
            cursors,
        };
        write(socket, &[hello], session, &shared).await?;
        let mut alarm = std::pin::pin!(sleep_until(session.silent_at()));
        loop {
            let due = if session.greeted.is_some() {
                let (frames, next) = shared.lock().take(Instant::now());
                write(socket, &frames, session, &shared).await?;
                next
            } else {
                None
            };
            set(
                &mut alarm,
                due.unwrap_or(session.silent_at()).min(session.silent_at()),
            );
            tokio::select! {
                raw = socket.next() => {
                    self.received(raw, session, url).await?;
                    for _ in 0..BURST {
                        let Some(raw) = socket.next().now_or_never() else { break };
                        self.received(raw, session, url).await?;
                    }
                }
                () = shared.wake.notified() => {}
                () = &mut alarm => {
                    if Instant::now() >= session.silent_at() {
                        return Err(Ending::Silent);
                    }
                }
                () = shared.stop.cancelled() => return Err(Ending::Asked),
            }
        }
    }

    async fn received(
        &mut self,
        raw: Option<Result<Raw, tungstenite::Error>>,
        session: &mut Session,
        url: &str,
    ) -> Result<(), Ending> {
        session.heard = Instant::now();
        match raw {
            Some(Ok(Raw::Text(text))) => match Frame::decode(&text) {
                Ok(frame) => self.understood(frame, session, url).await,
                Err(_) => {
                    self.tell(Event::Unreadable {
                        text: text.chars().take(200).collect(),
                    })
                    .await
                }
            },
            Some(Ok(Raw::Close(frame))) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (frame.code.into(), frame.reason.to_string())
                });
                Err(Ending::Closed { code, reason })
            }
            // Pings are answered by the socket itself on the next read.
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(broken(error)),
            None => Err(Ending::Broken("connection lost".to_owned())),
        }
    }

    async fn understood(
        &mut self,
        frame: Frame,
        session: &mut Session,
        url: &str,
    ) -> Result<(), Ending> {
        let event = match frame {
            Frame::Message(message) => {
                let mut state = self.shared.lock();
                state.saw(message.room, message.seq);
                state.outbox.settle(message.id);
                drop(state);
                Event::Message(message)
            }
            Frame::Room(event) => {
                let mut state = self.shared.lock();
                state.saw(event.room, event.seq);
                if event.ends_stay_of(session.user) {
                    state.left(event.room);
                }
                state.outbox.settle(event.id);
                drop(state);
                Event::Room(event)
            }
            Frame::Control(frame) => match self.control(frame, session, url) {
                Some(event) => event,
                None => return Ok(()),
            },
        };
        self.tell(event).await
    }

    fn control(&mut self, frame: ServerFrame, session: &mut Session, url: &str) -> Option<Event> {
        let now = session.heard;
        let mut state = self.shared.lock();
        Some(match frame {
            ServerFrame::Welcome {
                session: name,
                user,
                was,
                heartbeat_ms,
                limits,
                cursors,
            } => {
                session.greeted = Some(now);
                session.user = Some(user);
                session.silence = Duration::from_millis(heartbeat_ms.max(1)).mul_f64(HEARTBEATS);
                state.connected = true;
                state
                    .outbox
                    .reconnected(now, limits.rate_per_second, limits.rate_burst);
                for (room, seq) in &cursors {
                    state.saw(*room, *seq);
                }
                drop(state);
                let away = self.lost_at.take().map(|lost| now - lost);
                Event::Connected(Connected {
                    url: url.to_owned(),
                    session: name,
                    user,
                    was,
                    limits,
                    cursors,
                    away,
                })
            }
            ServerFrame::Accepted { id } => Event::Accepted { id },
            ServerFrame::Stored { id, room, seq } => {
                state.outbox.settle(id);
                Event::Stored { id, room, seq }
            }
            ServerFrame::Rejected {
                id,
                code,
                message,
                retry_after_ms,
            } => {
                let resend_in = resend_in(code, retry_after_ms);
                let kept = match resend_in {
                    Some(wait) if code == RejectCode::RateLimited => {
                        state.outbox.hold(id, now, wait)
                    }
                    Some(wait) => state.outbox.postpone(id, now, wait),
                    None => state.outbox.settle(id),
                };
                Event::Rejected {
                    id,
                    code,
                    message,
                    resend_in: resend_in.filter(|_| kept),
                }
            }
            ServerFrame::Gap { room, from, to } => {
                state.saw(room, to);
                Event::Gap { room, from, to }
            }
            ServerFrame::Read { room, user, upto } => Event::Read { room, user, upto },
            ServerFrame::Typing { room, user } => Event::Typing { room, user },
            ServerFrame::Presence { user, state } => Event::Presence { user, state },
            ServerFrame::CursorClamped { room, head } => {
                state.cursors.insert(room, head);
                Event::CursorClamped { room, head }
            }
            ServerFrame::Bye {
                code,
                retry_after_ms,
            } => {
                let retry_after = Duration::from_millis(retry_after_ms);
                session.bye = Some(retry_after);
                Event::Bye { code, retry_after }
            }
            ServerFrame::Error { code, message, id } => {
                // Sent again it would not be understood either.
                if let Some(id) = id {
                    state.outbox.settle(id);
                }
                Event::Error { code, message, id }
            }
            ServerFrame::Evict { .. } => return None,
        })
    }

    async fn tell(&mut self, event: Event) -> Result<(), Ending> {
        if self.output.tell(event, &self.shared.stop).await {
            Ok(())
        } else {
            Err(Ending::Asked)
        }
    }
}

/// Writes them in one go. A server that takes nothing for so long that it counts as silent ends it: nothing is heard while
/// this waits.
async fn write(
    socket: &mut Socket,
    frames: &[ClientFrame],
    session: &Session,
    shared: &Shared,
) -> Result<(), Ending> {
    if frames.is_empty() {
        return Ok(());
    }
    let write = async {
        for frame in frames {
            socket::feed(socket, frame).await?;
        }
        socket.flush().await
    };
    tokio::select! {
        // First: what can be written at once arms no timer.
        biased;
        written = write => written.map_err(broken),
        () = shared.stop.cancelled() => Err(Ending::Asked),
        () = sleep_until(session.silent_at()) => Err(Ending::Silent),
    }
}

impl Session {
    fn new(greeting: Duration) -> Self {
        Self {
            heard: Instant::now(),
            silence: greeting,
            greeted: None,
            user: None,
            bye: None,
        }
    }

    fn silent_at(&self) -> Instant {
        self.heard + self.silence
    }
}

/// Whether the same command with the same id may succeed later.
fn resend_in(code: RejectCode, retry_after_ms: Option<u64>) -> Option<Duration> {
    match code {
        RejectCode::Unavailable => {
            Some(UNAVAILABLE_WAIT.mul_f64(1.0 + rand::rng().random::<f64>()))
        }
        RejectCode::RateLimited => {
            Some(retry_after_ms.map_or(UNAVAILABLE_WAIT, Duration::from_millis))
        }
        _ => None,
    }
}

/// Arms the alarm only when it is too late: one that rings early is armed again, and moving it with every frame would
/// cost a timer per frame.
fn set(alarm: &mut Pin<&mut Sleep>, at: Instant) {
    if alarm.is_elapsed() || alarm.deadline() > at {
        alarm.as_mut().reset(at);
    }
}

fn broken(error: tungstenite::Error) -> Ending {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            Ending::Broken("connection lost".to_owned())
        }
        other => Ending::Broken(other.to_string()),
    }
}

//! One task per socket: it steps the session with whatever happens and carries its outputs out.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use protocol::{Address, ClientFrame, CloseCode, UserId};
use routing::Held;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::fragment::{PIECE, pieces};
use super::incoming::{Came, read};
use super::line::Line;
use super::mailbox::{Item, Mailbox};
use crate::gateway::{Gateway, Identity};
use crate::session::{Hello, Input, Output, Session};

type Socket = Line<TcpStream>;

/// How long one batch of frames may take to leave: a client that reads nothing for so long is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// How long the close may take, once it is decided.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What the ping before a close carries.
const LAST: Bytes = Bytes::from_static(b"last");

/// Why a socket ends.
enum End {
    /// The client has gone, or the stream failed.
    Gone,
    /// The session closes it; all that it wanted sent before was written.
    Close(CloseCode),
    /// It is closed with something unwritten.
    Cut(CloseCode),
}

/// One served socket.
struct Served {
    gateway: Arc<Gateway>,
    session: Session,
    mailbox: Arc<Mailbox>,
    identity: Option<Box<Identity>>,
    out: Vec<Output>,
}

/// Serves a socket until it ends; then the session leaves the registry and its route is removed.
pub(super) async fn serve(gateway: Arc<Gateway>, mut socket: Socket) {
    gateway.observed.sockets.inc();
    let address = Address::new_v4();
    let seed = address.as_u64_pair().0;
    let mut served = Served {
        session: Session::new(address, seed, gateway.now(), &gateway.rules),
        mailbox: Arc::new(Mailbox::default()),
        identity: None,
        out: Vec::new(),
        gateway,
    };
    let end = served.run(&mut socket).await;
    let mut left = served.leave();
    let ask = match end {
        End::Close(code) => is_sound(code) && left.as_ref().is_some_and(|left| left.sent_all),
        End::Cut(_) | End::Gone => false,
    };
    // What the close can't confirm is handed on while it goes on.
    if !ask && let Some(Left { user, .. }) = left.take() {
        served.gateway.registry.ended(user, address, false);
    }
    let mut all = false;
    match end {
        End::Close(code) | End::Cut(code) => {
            served.gateway.observed.close(code);
            // What can't be said in time is not said: the client is told by the end of the stream.
            // Boxed, as whatever is not awaited while the socket is idle: idle sockets are many.
            let closing = Box::pin(close(&mut socket, code, ask));
            all = tokio::time::timeout(CLOSE_WITHIN, closing)
                .await
                .unwrap_or(false);
        }
        // The answer to a close, if there was one; there is nothing to wait for.
        End::Gone => drop(socket.flush().now_or_never()),
    }
    if let Some(Left { user, .. }) = left {
        served.gateway.registry.ended(user, address, all);
    }
    served.gateway.observed.sockets.dec();
}

impl Served {
    async fn run(&mut self, socket: &mut Socket) -> End {
        let mut wake = self.session.deadline();
        let mut sleep = pin!(tokio::time::sleep_until(wake.into()));
        loop {
            tokio::select! {
                () = self.mailbox.ready() => self.take_mail(),
                message = socket.next() => match read(message) {
                    Came::Gone => return End::Gone,
                    came => self.came(came),
                },
                () = &mut sleep => self.tick(socket.midway_since()),
            }
            if !self.out.is_empty() {
                match Box::pin(self.carry(socket)).await {
                    Ok(None) => {}
                    Ok(Some(code)) => return End::Close(code),
                    Err(end) => return end,
                }
            }
            if self.session.deadline() != wake || sleep.is_elapsed() {
                wake = self.session.deadline();
                sleep.as_mut().reset(wake.into());
            }
        }
    }

    fn step(&mut self, input: Input) {
        let now = self.gateway.now();
        self.session
            .step(input, now, &self.gateway.rules, &mut self.out);
    }

    /// Time has passed; the client is in the middle of a message since `midway`. If a ping is due, it
    /// confirms what the home's reader had queued before the round that is under way now: all of that is
    /// taken first.
    fn tick(&mut self, midway: Option<Instant>) {
        if midway.is_some_and(|since| since.elapsed() >= self.gateway.rules.whole_within()) {
            return self.step(Input::End(CloseCode::TooSlow));
        }
        let present = self.gateway.registry.present();
        self.take_mail();
        self.step(Input::Turned(present));
        self.step(Input::Tick);
    }

    fn take_mail(&mut self) {
        match self.mailbox.take() {
            Ok(items) => self.step_all(items),
            Err(code) => self.step(Input::End(code)),
        }
    }

    fn step_all(&mut self, items: VecDeque<Item>) {
        let now = self.gateway.now();
        for item in items {
            if let Item::Rebuild(held) = &item
                && !self.rehome(held)
            {
                continue;
            }
            self.session
                .step(item.into(), now, &self.gateway.rules, &mut self.out);
        }
    }

    /// The session's route leads to the home as it is claimed now; false for word of a claim that
    /// was overtaken by a later one.
    fn rehome(&mut self, held: &Held) -> bool {
        match &mut self.identity {
            Some(identity) if identity.route.incarnation <= held.incarnation => {
                identity.route.home = held.home;
                identity.route.incarnation = held.incarnation;
                true
            }
            _ => false,
        }
    }

    fn came(&mut self, came: Came) {
        match came {
            Came::Frame(ClientFrame::Hello {
                token,
                device,
                cursors,
            }) => {
                self.hello(&token, &device, cursors.into_iter().collect());
            }
            Came::Frame(frame) => {
                self.gateway.observed.frames.inc();
                let now = self.gateway.now();
                let allowed = match &self.identity {
                    Some(identity) => self.gateway.allow(identity.user, &frame, now.tick),
                    None => Ok(()),
                };
                self.step(Input::Frame(frame, allowed));
            }
            Came::Malformed(code, message) => self.step(Input::Malformed(code, message)),
            Came::Wrong(code) => self.step(Input::End(code)),
            Came::Pong(count) => self.step(Input::Pong(count)),
            Came::Other | Came::Gone => {}
        }
    }

    fn hello(
        &mut self,
        token: &str,
        device: &str,
        cursors: Vec<(protocol::RoomId, protocol::Seq)>,
    ) {
        if self.identity.is_some() {
            let frame = ClientFrame::Hello {
                token: String::new(),
                device: String::new(),
                cursors: std::collections::BTreeMap::new(),
            };
            return self.step(Input::Frame(frame, Ok(())));
        }
        if cursors.len() > self.gateway.rules.cursors {
            return self.step(Input::Refused(CloseCode::HelloExpected));
        }
        match self.gateway.identify(token, device, self.session.address()) {
            Ok(identity) => {
                let hello = Hello {
                    user: identity.user,
                    home: identity.route.home,
                    cursors,
                };
                self.identity = Some(Box::new(identity));
                self.step(Input::Hello(hello));
            }
            Err(code) => self.step(Input::Refused(code)),
        }
    }

    /// Carries out what the session wants, in order; frames leave together in one flush. Returns
    /// the code when the session closes.
    async fn carry(&mut self, socket: &mut Socket) -> Result<Option<CloseCode>, End> {
        let mailbox = Arc::clone(&self.mailbox);
        let out = std::mem::take(&mut self.out);
        // A write that blocks is given up for when the session is ended from outside meanwhile.
        tokio::select! {
            biased;
            result = self.write(socket, out) => result.map_err(|_| End::Gone),
            code = mailbox.ended() => Err(End::Cut(code)),
            () = tokio::time::sleep(WRITE_WITHIN) => Err(End::Cut(CloseCode::TooSlow)),
        }
    }

    async fn write(
        &mut self,
        socket: &mut Socket,
        outputs: Vec<Output>,
    ) -> Result<Option<CloseCode>, Error> {
        let mut written = false;
        for output in outputs {
            match output {
                Output::Deliver(frame) => {
                    self.gateway.observed.deliveries.written.inc();
                    feed(socket, frame).await?;
                    written = true;
                }
                Output::Send(frame) => {
                    feed(socket, frame).await?;
                    written = true;
                }
                Output::Ping(count) => {
                    let count = Bytes::copy_from_slice(&count.to_be_bytes());
                    socket.feed(Message::Ping(count)).await?;
                    written = true;
                }
                Output::Close(code) => {
                    if written {
                        socket.flush().await?;
                    }
                    return Ok(Some(code));
                }
                other => self.effect(other),
            }
        }
        if written {
            socket.flush().await?;
        }
        Ok(None)
    }

    fn effect(&mut self, output: Output) {
        let (gateway, mailbox) = (&self.gateway, &self.mailbox);
        let observed = &gateway.observed;
        match output {
            Output::Seen => observed.deliveries.seen.inc(),
            Output::Gap => observed.gaps.inc(),
            Output::HeldOverflow => observed.held_overflows.inc(),
            Output::Confirmed { upto, seen } => {
                if let Some(identity) = &self.identity {
                    let (user, session) = (identity.user, identity.route.session);
                    gateway.registry.confirmed(user, session, upto, seen);
                }
            }
            Output::Audited(found) => observed.audited.inc_by(found as u64),
            Output::Refused(code) => observed.refuse(code),
            Output::Produce(command) => gateway.produce(&command, mailbox),
            Output::Signal(signal) => gateway.commands.signal(&signal),
            Output::Register(_) => {
                if let Some(identity) = &self.identity {
                    gateway.enter(identity, mailbox);
                    observed.sessions.inc();
                }
            }
            Output::WriteRoute(why) => {
                if let Some(identity) = &self.identity {
                    gateway.write_route(identity, why, mailbox);
                }
            }
            Output::Query(query) => {
                if let Some(identity) = &self.identity {
                    let limits = &gateway.rules.limits;
                    gateway.catch_up.ask(identity.user, query, limits, mailbox);
                }
            }
            Output::Deliver(_) | Output::Send(_) | Output::Ping(_) | Output::Close(_) => {}
        }
    }

    /// Nothing more comes for the session; none if it was not greeted.
    fn leave(&mut self) -> Option<Left> {
        let identity = self.identity.take();
        let gateway = &self.gateway;
        if let Some(identity) = &identity {
            let session = identity.route.session;
            gateway.registry.leave(identity.user, session);
        }
        // Only now: until then more was queued.
        let unwritten = self.mailbox.abandon();
        let identity = identity?;
        let user = identity.user;
        gateway.observed.deliveries.ended.inc_by(unwritten as u64);
        gateway.observed.sessions.dec();
        gateway.remove_route(*identity);
        Some(Left {
            user,
            sent_all: unwritten == 0 && self.session.has_sent_all(),
        })
    }
}

/// A session that has left the registry.
struct Left {
    user: UserId,
    /// All that was queued for it was written.
    sent_all: bool,
}

/// Buffers a frame. Pieces of a large one leave one by one: of what waits for a slow client only a
/// piece is copied (trap 14).
async fn feed(socket: &mut Socket, frame: Bytes) -> Result<(), Error> {
    let large = frame.len() > PIECE;
    for piece in pieces(frame) {
        if large {
            socket.flush().await?;
        }
        socket.feed(piece).await?;
    }
    Ok(())
}

/// Whether a socket that is closed with this code has nothing wrong with it.
fn is_sound(code: CloseCode) -> bool {
    matches!(
        code,
        CloseCode::GoingAway | CloseCode::TryAgainLater | CloseCode::Replaced
    )
}

/// Sends the close frame and waits for the client's: a stream closed with unread input would be
/// reset, and the code lost. If asked to, a ping goes before it: true when its pong came, and with it
/// all that was written.
async fn close(socket: &mut Socket, code: CloseCode, ask: bool) -> bool {
    let frame = CloseFrame {
        code: WireCode::from(code.code()),
        reason: code.reason().into(),
    };
    if ask && socket.feed(Message::Ping(LAST)).await.is_err() {
        return false;
    }
    if socket.feed(Message::Close(Some(frame))).await.is_err() {
        return false;
    }
    let mut heard = false;
    loop {
        match socket.next().await {
            Ok(Message::Pong(count)) => heard |= ask && count == LAST,
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return heard,
            // What comes is no WebSocket any more; where it ends it does.
            Err(_) => {
                socket.drain().await;
                return heard;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Trap 14: what is kept for every socket, idle or not; see also `tests/it/memory.rs`.
    #[test]
    fn trap_14_a_socket_is_small() {
        let task = size_of_future(serve);
        assert!(task <= 900, "{task} bytes");
    }
}

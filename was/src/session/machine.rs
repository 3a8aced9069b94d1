//! The phases of a session and what moves it from one to the next.

use std::time::{Duration, Instant};

use protocol::{
    Address, ClientFrame, CloseCode, ErrorCode, Home, Origin, RejectCode, ServerFrame, UserId,
};

use super::asked::asked;
use super::heartbeat::Heartbeat;
use super::jitter::jitter;
use super::message::{Answer, Hello, Input, Now, Output, Writing, Written};
use super::order::{Order, Rooms};
use super::refusal::{error, reject};
use super::rules::Rules;

/// Where a session is on its way (docs/architecture.md, "Connecting").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Open, no `hello` yet.
    Greeting,
    /// Entered locally, live frames are held, the route is being written.
    Registering,
    /// The route is acknowledged; the catch-up query is under way.
    CatchingUp {
        /// When the settling query is due.
        settle: Instant,
    },
    /// Frames flow; the settling query is still to come while `settle` is set.
    Live {
        /// When the settling query is due.
        settle: Option<Instant>,
    },
    /// Nothing is done any more.
    Closing,
}

/// One session; a value, so that a model can try every order of what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    address: Address,
    phase: Phase,
    user: Option<UserId>,
    home: Home,
    order: Order,
    greet_by: Instant,
    heartbeat: Heartbeat,
    audit_at: Instant,
    /// The route is being written; its query follows.
    writing: Option<Writing>,
    /// What is being written is out of date by now.
    rewrite: bool,
    /// When a rebuild that failed is tried again.
    rebuild_at: Option<Instant>,
    /// The query whose findings are what a lost route cost.
    audit: Option<u32>,
    retry_at: Option<Instant>,
    errors: u16,
    /// It is closing, and every record that it took was sent before, or dropped as seen.
    sent_all: bool,
    /// The jitter's state: injected once, so that the machine has no randomness of its own.
    seed: u64,
}

impl Session {
    /// A socket that has just been opened.
    pub fn new(address: Address, seed: u64, now: Now, rules: &Rules) -> Self {
        Self {
            address,
            phase: Phase::Greeting,
            user: None,
            home: Home(0),
            order: Order::default(),
            greet_by: now.tick + rules.greet_within,
            heartbeat: Heartbeat::new(now.tick + rules.ping_every),
            audit_at: now.tick + rules.audit_most,
            writing: None,
            rewrite: false,
            rebuild_at: None,
            audit: None,
            retry_at: None,
            errors: 0,
            sent_all: false,
            seed,
        }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Its phase.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// It is closing, and every record that it took was sent before, or dropped as seen.
    pub fn has_sent_all(&self) -> bool {
        self.sent_all
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Greeting => self.greet_by,
            Phase::Live { settle } => [settle, self.retry_at, self.rebuild_at]
                .into_iter()
                .flatten()
                .fold(self.heartbeat.due().min(self.audit_at), Instant::min),
            _ => self.heartbeat.due(),
        }
    }

    /// Takes one input and appends what is to be done.
    pub fn step(&mut self, input: Input, now: Now, rules: &Rules, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Closing) {
            self.sent_all &= !matches!(input, Input::Live { .. });
            return;
        }
        match input {
            Input::Hello(hello) => self.hello(hello, now, rules, out),
            Input::Refused(code) | Input::End(code) => self.close(code, out),
            Input::Frame(frame, allowed) => self.frame(frame, allowed, now, out),
            Input::Malformed(code, message) => self.malformed(code, message, rules, out),
            Input::Pong(count) => self.pong(count, out),
            Input::Turned(present) => self.heartbeat.turned(present),
            Input::Press(present) => {
                self.heartbeat.turned(present);
                if self.heartbeat.is_late(now.tick) {
                    self.close(CloseCode::HeartbeatLost, out);
                } else if self.heartbeat.is_pressed() {
                    self.ping(now, rules, out);
                }
            }
            Input::Drain(retry_after_ms) => {
                let code = CloseCode::GoingAway;
                self.bye(code, retry_after_ms, out);
            }
            Input::Rebuild(home) => self.rebuild(home, out),
            Input::RouteWritten(written) => self.route_written(written, now, rules, out),
            Input::Answered { number, answer } => match answer {
                Some(answer) => {
                    if let (Phase::CatchingUp { .. }, Some(user)) = (&self.phase, self.user) {
                        out.push(self.welcome(user, &answer, rules));
                    }
                    let brought = self.order.answered(number, answer, out);
                    self.caught_up(number, brought, out);
                }
                None => self.unanswered(number, now, rules, out),
            },
            Input::Live {
                room,
                seq,
                frame,
                round,
            } => {
                if let Some(round) = round {
                    self.heartbeat.took(round, now.tick);
                }
                self.order.live(room, seq, frame, round, rules, out);
            }
            Input::Signal(frame) => match self.phase {
                Phase::Live { .. } => out.push(Output::Send(frame)),
                // Not before the welcome. A mark that the query under way may not know is read by
                // the settle; what comes before the query is known to it.
                Phase::CatchingUp { .. } => self.order.ask_for_marks(),
                _ => {}
            },
            Input::Direct(frame) => out.push(Output::Send(frame)),
            Input::Produced(id, true) => {
                out.push(Output::Send(ServerFrame::Accepted { id }.encode()));
            }
            Input::Produced(id, false) => {
                let message = "unknown whether it was taken: resend with the same id";
                out.push(reject(
                    id,
                    RejectCode::Unavailable,
                    message.to_owned(),
                    None,
                ));
            }
            Input::Tick => self.tick(now, rules, out),
        }
    }

    fn hello(&mut self, hello: Hello, now: Now, rules: &Rules, out: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Greeting) {
            let message = "hello was said before".to_owned();
            out.push(error(ErrorCode::AlreadyGreeted, message, None));
            return;
        }
        let Hello {
            user,
            home,
            cursors,
        } = hello;
        self.user = Some(user);
        self.home = home;
        self.order = Order::new(cursors);
        self.audit_at = now.tick + self.audit_pause(rules);
        self.phase = Phase::Registering;
        out.push(Output::Register(user));
        self.write_route(Writing::First, out);
    }

    /// Only now, when it is known where each room begins: what the client sends after its welcome is
    /// above that, so it sees its own message too.
    fn welcome(&self, user: UserId, answer: &Answer, rules: &Rules) -> Output {
        let unnamed = answer
            .rooms
            .iter()
            .filter(|room| self.order.last(room.room).is_none());
        let welcome = ServerFrame::Welcome {
            session: self.address,
            user,
            was: rules.was.clone(),
            heartbeat_ms: u64::try_from(rules.ping_every.as_millis()).unwrap_or(u64::MAX),
            limits: rules.limits.clone(),
            cursors: unnamed.map(|room| (room.room, room.from)).collect(),
        };
        Output::Send(welcome.encode())
    }

    fn write_route(&mut self, why: Writing, out: &mut Vec<Output>) {
        self.writing = Some(why);
        self.rewrite = false;
        self.rebuild_at = None;
        out.push(Output::WriteRoute(why));
    }

    fn rebuild(&mut self, home: Home, out: &mut Vec<Output>) {
        if self.user.is_none() {
            return;
        }
        self.home = home;
        if self.writing.is_some() {
            // Two writes at once could arrive in either order, and the older one stay.
            self.rewrite = true;
        } else {
            self.write_route(Writing::Rebuild, out);
        }
    }

    fn route_written(&mut self, written: Written, now: Now, rules: &Rules, out: &mut Vec<Output>) {
        let Some(why) = self.writing.take() else {
            return;
        };
        let registering = matches!(self.phase, Phase::Registering);
        match written {
            Written::Failed if registering => return self.come_back(out),
            Written::Full => return self.close(CloseCode::TooManySessions, out),
            _ => {}
        }
        if self.rewrite {
            self.write_route(Writing::Rebuild, out);
            return;
        }
        let due = now.tick + rules.settle_after;
        match &mut self.phase {
            // Only now may the query be sent: what is stored before is found by it, what is stored
            // later finds the route.
            Phase::Registering => {
                self.phase = Phase::CatchingUp { settle: due };
            }
            _ if why == Writing::Rebuild && written == Written::Failed => {
                self.rebuild_at = Some(
                    now.tick + jitter(&mut self.seed, rules.retry_after, 2 * rules.retry_after),
                );
                return;
            }
            // As at the beginning: what was looked up before is settled once more.
            Phase::CatchingUp { settle } if why == Writing::Rebuild => *settle = due,
            Phase::Live { settle } if why == Writing::Rebuild => *settle = Some(due),
            // While Redis is away Postgres is asked all the same: nothing else finds what was missed.
            Phase::Live { settle } => {
                if written == Written::Restored {
                    *settle = Some(due);
                    self.audit = Some(self.order.ask(Rooms::All, out));
                    return;
                }
            }
            _ => return,
        }
        self.order.ask(Rooms::All, out);
    }

    fn caught_up(&mut self, number: u32, brought: usize, out: &mut Vec<Output>) {
        if let Phase::CatchingUp { settle } = self.phase {
            self.phase = Phase::Live {
                settle: Some(settle),
            };
        }
        if self.audit == Some(number) {
            self.audit = None;
            if brought > 0 {
                out.push(Output::Audited(brought));
            }
        }
    }

    fn unanswered(&mut self, number: u32, now: Now, rules: &Rules, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::CatchingUp { .. }) {
            self.come_back(out);
            return;
        }
        self.order.failed(number);
        self.audit = None;
        self.retry_at = Some(now.tick + rules.retry_after);
    }

    fn tick(&mut self, now: Now, rules: &Rules, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Greeting) {
            if now.tick >= self.greet_by {
                self.close(CloseCode::HelloTimeout, out);
            }
            return;
        }
        if now.tick >= self.heartbeat.due() {
            self.ping(now, rules, out);
        }
        let Phase::Live { settle } = self.phase else {
            return;
        };
        if settle.is_some_and(|at| now.tick >= at) {
            self.phase = Phase::Live { settle: None };
            self.order.ask(Rooms::All, out);
        }
        if self.retry_at.is_some_and(|at| now.tick >= at) {
            self.retry_at = None;
            self.order.ask(Rooms::All, out);
        }
        let rebuild = self.rebuild_at.is_some_and(|at| now.tick >= at);
        let audit = now.tick >= self.audit_at;
        if audit {
            self.audit_at = now.tick + self.audit_pause(rules);
        }
        if self.writing.is_none() {
            if rebuild || (audit && self.rebuild_at.is_some()) {
                self.write_route(Writing::Rebuild, out);
            } else if audit {
                self.write_route(Writing::Audit, out);
            }
        }
    }

    fn ping(&mut self, now: Now, rules: &Rules, out: &mut Vec<Output>) {
        let held = self.order.oldest_round();
        match self.heartbeat.ping(held, now.tick, rules.ping_every) {
            Some(count) => out.push(Output::Ping(count)),
            None => self.close(CloseCode::HeartbeatLost, out),
        }
    }

    fn pong(&mut self, count: u64, out: &mut Vec<Output>) {
        if let Some(upto) = self.heartbeat.pong(count) {
            let seen = self.order.take_seen();
            out.push(Output::Confirmed { upto, seen });
        }
    }

    fn frame(
        &mut self,
        frame: ClientFrame,
        allowed: Result<(), Duration>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(sender) = self.user else {
            self.close(CloseCode::HelloExpected, out);
            return;
        };
        self.errors = self.errors.saturating_sub(1);
        let origin = Origin {
            home: self.home,
            session: self.address,
        };
        out.extend(asked(frame, sender, origin, allowed, now));
    }

    fn malformed(
        &mut self,
        code: ErrorCode,
        message: String,
        rules: &Rules,
        out: &mut Vec<Output>,
    ) {
        if self.user.is_none() {
            self.close(CloseCode::HelloExpected, out);
            return;
        }
        self.errors += 1;
        if self.errors > rules.errors {
            self.close(CloseCode::TooManyErrors, out);
        } else {
            out.push(error(code, message, None));
        }
    }

    /// A store can't be reached: the client is told to come back, with jitter.
    fn come_back(&mut self, out: &mut Vec<Output>) {
        let (least, most) = (Duration::from_millis(500), Duration::from_secs(3));
        let pause = jitter(&mut self.seed, least, most);
        let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.bye(CloseCode::TryAgainLater, ms, out);
    }

    fn bye(&mut self, code: CloseCode, retry_after_ms: u64, out: &mut Vec<Output>) {
        let bye = ServerFrame::Bye {
            code: code.reason().to_owned(),
            retry_after_ms,
        };
        out.push(Output::Send(bye.encode()));
        self.close(code, out);
    }

    fn close(&mut self, code: CloseCode, out: &mut Vec<Output>) {
        self.phase = Phase::Closing;
        self.sent_all = self.order.oldest_round().is_none();
        self.order = Order::default();
        out.push(Output::Close(code));
    }

    fn audit_pause(&mut self, rules: &Rules) -> Duration {
        jitter(&mut self.seed, rules.audit_least, rules.audit_most)
    }
}

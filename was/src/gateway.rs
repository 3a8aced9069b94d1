//! What every socket and request shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::{ClientFrame, CloseCode, Command, MessageId, UserId};
use routing::{Held, Route};
use service::clock::Clock;
use service::trace::Tracer;
use store::Store;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::task::TaskTracker;

use crate::auth::Authority;
use crate::catchup::CatchUp;
use crate::commands::Commands;
use crate::entry;
use crate::metrics::Observed;
use crate::rate::{Rate, RateLimits};
use crate::registry::{RETURN_WITHIN, Registry, Serving, come_back};
use crate::routes::Routes;
use crate::session::{Now, Rules, Writing};
use crate::socket::{Bound, Item, Mailbox};

/// One gateway.
pub struct Gateway {
    /// Times and bounds of sessions.
    pub rules: Rules,
    /// The bound of every mailbox.
    pub bound: Bound,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// The home that sessions enter on.
    pub serving: Serving,
    /// Tokens.
    pub authority: Authority,
    /// How fast users send commands.
    pub rates: RateLimits,
    /// How fast users send typing and read marks.
    pub signal_rates: RateLimits,
    /// How fast users read over REST.
    pub read_rates: RateLimits,
    /// How fast users say hello.
    pub hello_rates: RateLimits,
    /// Into Kafka.
    pub commands: Commands,
    /// In Redis.
    pub routes: Routes,
    /// From Postgres, for sessions.
    pub catch_up: CatchUp,
    /// From Postgres, for requests.
    pub store: Store,
    /// Requests that may still ask it.
    pub store_turns: Semaphore,
    /// Metrics.
    pub observed: Arc<Observed>,
    /// The time.
    pub clock: Clock,
    /// Begins the traces of commands.
    pub tracer: Tracer,
    /// Connections that may still be accepted; one that has become a socket is none any more.
    pub connections: Arc<Semaphore>,
    /// Sockets that may still be opened.
    pub sockets: Arc<Semaphore>,
    /// Sockets and what works for them.
    pub tasks: TaskTracker,
    /// Set when the gateway stops: no new sockets.
    pub stopping: AtomicBool,
    /// How long a request waits for its command's outcome.
    pub outcome_timeout: Duration,
    /// Rooms that a user may be in at once.
    pub rooms_per_user: i64,
}

/// Whose session it is, and by which route it is found.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Whose.
    pub user: UserId,
    /// Of which device.
    pub device: Box<str>,
    /// Where.
    pub route: Route,
    /// Held by whoever does something about the route: one at a time.
    pub turn: Arc<Mutex<()>>,
}

impl Identity {
    /// Where its route stands, and the route.
    pub fn entry(&self) -> (UserId, &str, &Route) {
        (self.user, &self.device, &self.route)
    }
}

/// How fast a user may say hello, with all devices: each costs a route and a catch-up. Who comes back
/// again and again as the protocol has it is far below.
pub(crate) const HELLOS: Rate = Rate {
    per_second: 2,
    burst: 20,
};
/// The longest device id, in bytes.
const MAX_DEVICE: usize = 128;

impl Gateway {
    /// The time, for a session.
    pub fn now(&self) -> Now {
        Now {
            tick: Instant::now(),
            wall_ms: self.clock.wall_ms(),
        }
    }

    /// The home, unless the gateway stops or has none.
    pub fn open(&self) -> Option<Held> {
        if self.stopping.load(Ordering::Relaxed) {
            None
        } else {
            self.serving.held()
        }
    }

    /// Who says hello: the token is verified, the device is looked at, and how often the user came.
    pub fn identify(
        &self,
        token: &str,
        device: &str,
        session: protocol::Address,
    ) -> Result<Identity, CloseCode> {
        let held = self.open().ok_or(CloseCode::TryAgainLater)?;
        let user = self
            .authority
            .verify(token)
            .map_err(crate::auth::Refused::close_code)?;
        let fits = !device.is_empty()
            && device.len() <= MAX_DEVICE
            && !device.chars().any(char::is_control);
        if !fits {
            return Err(CloseCode::HelloExpected);
        }
        if self.hello_rates.take(user, Instant::now()).is_err() {
            return Err(CloseCode::TryAgainLater);
        }
        let route = Route {
            home: held.home,
            incarnation: held.incarnation,
            session,
        };
        Ok(Identity {
            user,
            device: device.into(),
            route,
            turn: Arc::default(),
        })
    }

    /// Enters a session on its home. If that was claimed anew since the session was identified, or
    /// the gateway began to stop, the session was not there when the others were told: it is now.
    pub fn enter(&self, identity: &Identity, mailbox: &Arc<Mailbox>) {
        let route = &identity.route;
        self.registry.enter(identity.user, route.session, mailbox);
        match self.open() {
            Some(held) if held.incarnation == route.incarnation => {}
            Some(held) => {
                mailbox.push(Item::Rebuild(held), self.bound);
            }
            None => {
                mailbox.push(come_back(RETURN_WITHIN), self.bound);
            }
        }
    }

    /// Whether a frame may be sent now, or how long to wait.
    pub fn allow(&self, user: UserId, frame: &ClientFrame, now: Instant) -> Result<(), Duration> {
        match frame {
            ClientFrame::Send { .. } | ClientFrame::Edit { .. } | ClientFrame::Delete { .. } => {
                self.rates.take(user, now)
            }
            ClientFrame::Read { .. } | ClientFrame::Typing { .. } => {
                self.signal_rates.take(user, now)
            }
            ClientFrame::Hello { .. } | ClientFrame::Watch { .. } => Ok(()),
        }
    }

    /// Produces a session's command; the fate arrives in its mailbox.
    pub fn produce(&self, command: &Command, mailbox: &Arc<Mailbox>) {
        let id: MessageId = command.id;
        let mut entered = entry::of_frame(&self.tracer, command);
        let Some(sending) = self.commands.produce(command, entered.as_ref()) else {
            entry::end(entered.take(), false);
            self.observed.refuse(protocol::RejectCode::Unavailable);
            mailbox.push(Item::Produced(id, false), self.bound);
            return;
        };
        let (commands, mailbox) = (self.commands.clone(), Arc::clone(mailbox));
        let (bound, observed) = (self.bound, Arc::clone(&self.observed));
        self.tasks.spawn(async move {
            let taken = commands.settle(sending).await;
            entry::end(entered, taken);
            if !taken {
                observed.refuse(protocol::RejectCode::Unavailable);
            }
            mailbox.push(Item::Produced(id, taken), bound);
        });
    }

    /// Writes a session's route, or makes sure of it; the outcome arrives in its mailbox.
    pub fn write_route(&self, identity: &Identity, why: Writing, mailbox: &Arc<Mailbox>) {
        let (routes, mailbox, bound) = (self.routes.clone(), Arc::clone(mailbox), self.bound);
        let identity = identity.clone();
        self.tasks.spawn(async move {
            let written = match why {
                Writing::First => routes.write(&identity).await,
                Writing::Audit | Writing::Rebuild => routes.restore(&identity, why).await,
            };
            mailbox.push(Item::RouteWritten(written), bound);
        });
    }

    /// Removes a session's route, once the session has ended.
    pub fn remove_route(&self, identity: Identity) {
        let routes = self.routes.clone();
        self.tasks
            .spawn(async move { routes.remove(&identity).await });
    }
}

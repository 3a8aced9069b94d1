//! Who is connected here: users → sessions, addresses → sessions and waiting requests.

mod confirmations;
mod home;
mod keeping;
mod queues;
mod reader;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use protocol::{Address, CloseCode, UserId};
use routing::{Held, Shard};
use tokio::sync::oneshot;

use crate::custody::Round;
use crate::socket::{Bound, Item, Mailbox, Pushed};

use confirmations::Confirmations;
pub use home::{HomeTask, Serving};

/// Sessions that have no home any more come back within this time, each at its own moment.
pub const RETURN_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Slot {
    address: Address,
    mailbox: Arc<Mailbox>,
    /// The round in which the home's reader wrote to it last.
    round: AtomicU64,
}

#[derive(Debug, Default)]
struct Sessions {
    users: HashMap<UserId, Vec<Slot>>,
    addresses: HashMap<Address, Arc<Mailbox>>,
}

/// Everybody who is connected here.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: RwLock<Sessions>,
    confirmations: Confirmations,
    requests: Mutex<HashMap<Address, oneshot::Sender<Bytes>>>,
}

/// A request that waits at its address; dropping it gives the address up.
#[derive(Debug)]
pub struct Waiter<'a> {
    registry: &'a Registry,
    address: Address,
    answer: oneshot::Receiver<Bytes>,
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, Sessions> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<Address, oneshot::Sender<Bytes>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session: from here on records of the home reach its mailbox. Done before its route
    /// is written, so that a route without a session is known to be dead.
    pub fn enter(&self, user: UserId, address: Address, mailbox: &Arc<Mailbox>) {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let slot = Slot {
            address,
            mailbox: Arc::clone(mailbox),
            round: AtomicU64::default(),
        };
        sessions
            .users
            .entry(user)
            .or_insert_with(|| Vec::with_capacity(1))
            .push(slot);
        sessions.addresses.insert(address, Arc::clone(mailbox));
    }

    /// Takes a session out: nothing more is queued for it. [`ended`](Self::ended) is to follow.
    pub fn leave(&self, user: UserId, address: Address) {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.addresses.remove(&address);
        if let Some(slots) = sessions.users.get_mut(&user) {
            slots.retain(|slot| slot.address != address);
            if slots.is_empty() {
                sessions.users.remove(&user);
            }
        }
    }

    /// A session has left. Unless its client has received `all` that was queued for it, what it had not
    /// confirmed is handed on (I8).
    pub fn ended(&self, user: UserId, address: Address, all: bool) {
        if all {
            self.confirmations.parted((user, address));
        } else {
            self.confirmations.ended((user, address));
        }
    }

    /// Whether a session is here.
    pub fn has(&self, address: Address) -> bool {
        self.read().addresses.contains_key(&address)
    }

    /// Ends a session, if it is here.
    pub fn end(&self, address: Address, code: CloseCode, bound: Bound) -> bool {
        let sessions = self.read();
        let Some(mailbox) = sessions.addresses.get(&address) else {
            return false;
        };
        mailbox.push(Item::End(code), bound) == Pushed::Queued
    }

    /// The client of a session has received all up to a round of the home's reader; since it said so
    /// last, `seen` records were dropped as already seen.
    pub fn confirmed(&self, user: UserId, address: Address, upto: Round, seen: u64) {
        self.confirmations.confirmed((user, address), upto, seen);
    }

    /// The round of the home's reader that is under way: all that was queued in rounds before it is in
    /// the mailboxes.
    pub fn present(&self) -> Round {
        self.confirmations.present()
    }

    /// Has a session ping now.
    fn press(&self, address: Address, present: Round, bound: Bound) {
        if let Some(mailbox) = self.read().addresses.get(&address) {
            mailbox.push(Item::Press(present), bound);
        }
    }

    /// The mailboxes of everybody who is here now.
    pub fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.read().addresses.values().map(Arc::clone).collect()
    }

    /// Tells every session that its home is claimed anew, and says how many were told.
    pub fn rebuild(&self, held: &Held, bound: Bound) -> usize {
        let sessions = self.read();
        for mailbox in sessions.addresses.values() {
            mailbox.push(Item::Rebuild(*held), bound);
        }
        sessions.addresses.len()
    }

    /// Tells one session that its route was lost; false when it is not here any more.
    pub fn rebuild_one(&self, address: Address, held: &Held, bound: Bound) -> bool {
        let sessions = self.read();
        let Some(mailbox) = sessions.addresses.get(&address) else {
            return false;
        };
        mailbox.push(Item::Rebuild(*held), bound) == Pushed::Queued
    }

    /// Who is here whose routes are in shards that are `wanted`: users with their sessions.
    pub fn in_shards(&self, wanted: impl Fn(Shard) -> bool) -> Vec<(UserId, Vec<Address>)> {
        let sessions = self.read();
        let addresses = |slots: &Vec<Slot>| slots.iter().map(|slot| slot.address).collect();
        sessions
            .users
            .iter()
            .filter(|(user, _)| wanted(Shard::of(**user)))
            .map(|(user, slots)| (*user, addresses(slots)))
            .collect()
    }

    /// Tells those sessions of some users that are here, and says how many took it no more. Who has no
    /// session here is passed over.
    pub fn tell(&self, users: &[UserId], item: impl Fn() -> Item, bound: Bound) -> u64 {
        let sessions = self.read();
        let slots = users.iter().filter_map(|user| sessions.users.get(user));
        let pushed = slots
            .flatten()
            .map(|slot| slot.mailbox.push(item(), bound))
            .filter(|pushed| *pushed != Pushed::Queued);
        pushed.count() as u64
    }

    /// Tells every session to come back within a time, each at a moment of its own.
    pub fn send_away(&self, within: Duration, bound: Bound) {
        for mailbox in self.read().addresses.values() {
            mailbox.push(come_back(within), bound);
        }
    }

    /// An address at which a request waits for its command's outcome.
    pub fn wait_at(&self, address: Address) -> Waiter<'_> {
        let (sender, answer) = oneshot::channel();
        self.requests().insert(address, sender);
        Waiter {
            registry: self,
            address,
            answer,
        }
    }

    fn answer_request(&self, address: Address, frame: Bytes) -> bool {
        let waiting = self.requests().remove(&address);
        waiting.is_some_and(|sender| sender.send(frame).is_ok())
    }
}

/// What sends a session away, to come back somewhere within a time.
pub fn come_back(within: Duration) -> Item {
    let most = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    Item::Drain(rand::random_range(0..most.max(1)))
}

impl Waiter<'_> {
    /// The answer; none when the registry has gone.
    pub async fn answer(&mut self) -> Option<Bytes> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.registry.requests().remove(&self.address);
    }
}

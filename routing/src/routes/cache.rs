//! Answers kept for a moment, the empty ones too.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use protocol::UserId;

use super::Route;

/// For how long an answer may be used, from when its read was *issued*: from then on a route may have
/// been written that it does not show. Sessions settle a margin after this time (I4), so it is a
/// constant and no setting: two processes must not differ about it.
pub const ROUTE_CACHE: Duration = Duration::from_secs(2);

/// Users in one generation; about 20 MB in both.
const GENERATION: usize = 100_000;

/// Two generations of answers. New ones go into the young one; when it is full, or as old as an
/// answer may be, it becomes the old one and what was old is forgotten at once. So the cache is
/// bounded without a list of who was used last.
pub struct Cache {
    young: HashMap<UserId, Answer>,
    old: HashMap<UserId, Answer>,
    young_since: Duration,
    generation: usize,
}

struct Answer {
    /// None: forgotten. It stays for a while, so that an answer that was asked for before is not kept.
    routes: Option<Arc<[Route]>>,
    issued: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self::with_generation(GENERATION)
    }
}

impl Cache {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    fn with_generation(generation: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_since: Duration::ZERO,
            generation,
        }
    }

    /// An answer that may still be used at `now`.
    pub fn get(&self, user: UserId, now: Duration) -> Option<Arc<[Route]>> {
        let answer = self.young.get(&user).or_else(|| self.old.get(&user))?;
        let age = now.checked_sub(answer.issued)?;
        answer.routes.clone().filter(|_| age < ROUTE_CACHE)
    }

    /// Keeps an answer whose read was issued at `issued`. Answers may come out of order: the one that
    /// was asked for later wins.
    pub fn put(&mut self, user: UserId, routes: Arc<[Route]>, issued: Duration) {
        self.keep(user, Some(routes), issued);
    }

    /// Forgets what is kept of a user, and does not keep what was asked for before `now`, either.
    pub fn forget(&mut self, user: UserId, now: Duration) {
        self.keep(user, None, now);
    }

    fn keep(&mut self, user: UserId, routes: Option<Arc<[Route]>>, issued: Duration) {
        let full = self.young.len() >= self.generation && !self.young.contains_key(&user);
        if full || issued >= self.young_since + ROUTE_CACHE {
            self.old = mem::take(&mut self.young);
            self.young_since = issued;
        }
        let known = self.young.get(&user).or_else(|| self.old.get(&user));
        if known.is_none_or(|known| known.issued <= issued) {
            self.young.insert(user, Answer { routes, issued });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn nobody() -> Arc<[Route]> {
        Arc::new([])
    }

    fn somebody() -> Arc<[Route]> {
        Arc::new([Route {
            home: protocol::Home(1),
            incarnation: 1,
            session: uuid::Uuid::nil(),
        }])
    }

    /// I4: no answer, and no empty one, is used when its read was issued `ROUTE_CACHE` ago.
    #[test]
    fn i4_an_answer_ends_route_cache_after_its_read_was_issued() {
        let mut cache = Cache::new();
        cache.put(user(1), nobody(), START);
        let last = START + ROUTE_CACHE - Duration::from_nanos(1);
        assert_eq!(cache.get(user(1), last), Some(nobody()));
        assert_eq!(cache.get(user(1), START + ROUTE_CACHE), None);
    }

    #[test]
    fn an_answer_lives_its_whole_time_when_generations_change() {
        let mut cache = Cache::new();
        cache.put(user(1), nobody(), START);
        let later = START + ROUTE_CACHE - Duration::from_millis(1);
        cache.put(user(2), nobody(), later);
        cache.put(user(3), nobody(), START + ROUTE_CACHE);
        let end = later + ROUTE_CACHE - Duration::from_millis(1);
        assert_eq!(cache.get(user(2), end), Some(nobody()));
        assert_eq!(cache.get(user(1), end), None);
    }

    /// I9: bounded, and what is full forgets the oldest.
    #[test]
    fn i9_it_never_holds_more_than_two_generations() {
        let mut cache = Cache::with_generation(10);
        for id in 1..=1_000 {
            cache.put(user(id), nobody(), START);
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert_eq!(cache.get(user(1_000), START), Some(nobody()));
        assert_eq!(cache.get(user(1), START), None);
    }

    #[test]
    fn an_older_read_does_not_replace_a_newer_one() {
        let mut cache = Cache::new();
        cache.put(user(1), somebody(), START + Duration::from_millis(5));
        cache.put(user(1), nobody(), START);
        assert_eq!(
            cache.get(user(1), START + Duration::from_millis(6)),
            Some(somebody())
        );
    }

    /// A hint: what is kept is not used any more, nor what was asked for before it and comes after it.
    #[test]
    fn what_is_forgotten_is_asked_for_again() {
        let mut cache = Cache::new();
        let hint = START + Duration::from_millis(5);
        cache.put(user(1), nobody(), START);
        cache.forget(user(1), hint);
        assert_eq!(cache.get(user(1), hint), None);
        cache.put(user(1), nobody(), hint - Duration::from_millis(1));
        assert_eq!(cache.get(user(1), hint), None, "asked for before the hint");
        cache.put(user(1), somebody(), hint);
        assert_eq!(cache.get(user(1), hint), Some(somebody()));
    }

    /// A clock that is behind the answer says nothing about its age.
    #[test]
    fn an_answer_from_the_future_is_not_used() {
        let mut cache = Cache::new();
        cache.put(user(1), nobody(), START);
        assert_eq!(cache.get(user(1), START - Duration::from_secs(1)), None);
    }
}

//! The rounds that are not done yet, and how many hold each.

use std::collections::VecDeque;

/// The number of a round; each is one above the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub u64);

impl Round {
    /// The next round.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The round before; none before the first.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

/// A span of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Span {
    /// Its first record in custody; none while there is none.
    first: Option<i64>,
    /// Sessions whose oldest unconfirmed round it is.
    holders: usize,
    /// Orphans of its records that are not handed on yet.
    orphans: usize,
}

impl Span {
    fn is_held(&self) -> bool {
        self.holders > 0 || self.orphans > 0
    }
}

/// All rounds from the oldest that is held to the present one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rounds {
    oldest: Round,
    /// Never empty: the last is the present one.
    spans: VecDeque<Span>,
}

impl Rounds {
    pub(super) fn new(present: Round) -> Self {
        Self {
            oldest: present,
            spans: VecDeque::from([Span::default()]),
        }
    }

    pub(super) fn oldest(&self) -> Round {
        self.oldest
    }

    pub(super) fn present(&self) -> Round {
        Round(self.oldest.0 + self.spans.len() as u64 - 1)
    }

    fn span(&mut self, round: Round) -> Option<&mut Span> {
        let index = round.0.checked_sub(self.oldest.0)?;
        self.spans.get_mut(usize::try_from(index).ok()?)
    }

    /// Begins the next round, if anything is in custody in this one.
    pub(super) fn turn(&mut self) {
        if self.spans.back().is_some_and(|span| span.first.is_some()) {
            self.spans.push_back(Span::default());
        }
    }

    /// A record that is in custody belongs to the present round.
    pub(super) fn reach(&mut self, offset: i64) {
        if let Some(span) = self.spans.back_mut() {
            span.first.get_or_insert(offset);
        }
    }

    pub(super) fn first(&mut self, round: Round) -> Option<i64> {
        self.span(round).and_then(|span| span.first)
    }

    pub(super) fn hold(&mut self, round: Round) {
        if let Some(span) = self.span(round) {
            span.holders += 1;
        }
    }

    pub(super) fn let_go(&mut self, round: Round) {
        if let Some(span) = self.span(round) {
            span.holders -= 1;
        }
    }

    pub(super) fn orphan(&mut self, round: Round) {
        if let Some(span) = self.span(round) {
            span.orphans += 1;
        }
    }

    pub(super) fn handed(&mut self, round: Round, orphans: usize) {
        if let Some(span) = self.span(round) {
            span.orphans -= orphans;
        }
    }

    /// Forgets a round at the front that nothing holds, and names it. The present one stays, empty.
    pub(super) fn close_oldest(&mut self) -> Option<Round> {
        let (closed, only) = (self.oldest, self.spans.len() == 1);
        let front = self.spans.front_mut()?;
        if front.is_held() || front.first.is_none() {
            return None;
        }
        if only {
            front.first = None;
        } else {
            self.spans.pop_front();
            self.oldest = closed.next();
        }
        Some(closed)
    }

    /// The first record of the oldest round that is held.
    pub(super) fn open_at(&self) -> Option<i64> {
        self.spans.front().and_then(|span| span.first)
    }
}

//! What no run may have. Pure.

use serde::Serialize;

use crate::oracle::Verdict;

/// The oracle's counts that are 0 after a good run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Failings {
    /// Pairs of an accepted message and a recipient without it.
    pub lost: u64,
    /// Arrivals of what the recipient had.
    pub duplicated: u64,
    /// First arrivals below a number that the recipient had.
    pub out_of_order: u64,
    /// Messages with two numbers, numbers with two messages.
    pub misnumbered: u64,
    /// Arrivals of what nobody issued, or at who is no member.
    pub foreign: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Neither promised nor refused at the end.
    pub unanswered: u64,
}

impl Failings {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lost + self.duplicated + self.out_of_order + self.misnumbered + self.foreign == 0
            && self.rejected + self.unanswered == 0
    }
}

impl From<&Verdict> for Failings {
    fn from(verdict: &Verdict) -> Self {
        Self {
            lost: verdict.lost,
            duplicated: verdict.duplicated,
            out_of_order: verdict.out_of_order,
            misnumbered: verdict.conflicting,
            foreign: verdict.foreign,
            rejected: verdict.rejected,
            unanswered: verdict.unanswered,
        }
    }
}

impl std::fmt::Display for Failings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            lost,
            duplicated,
            out_of_order,
            ..
        } = self;
        write!(
            f,
            "lost {lost}, doubled {duplicated}, out of order {out_of_order}"
        )?;
        let others = [
            ("misnumbered", self.misnumbered),
            ("foreign", self.foreign),
            ("rejected", self.rejected),
            ("unanswered", self.unanswered),
        ];
        for (what, number) in others.iter().filter(|(_, number)| *number > 0) {
            write!(f, ", {what} {number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each count alone is a failing, and is told.
    #[test]
    fn one_of_anything_is_a_failing() {
        assert!(Failings::default().is_empty());
        let spoilt: [fn(&mut Failings); 7] = [
            |it| it.lost = 9,
            |it| it.duplicated = 9,
            |it| it.out_of_order = 9,
            |it| it.misnumbered = 9,
            |it| it.foreign = 9,
            |it| it.rejected = 9,
            |it| it.unanswered = 9,
        ];
        for spoil in spoilt {
            let mut failings = Failings::default();
            spoil(&mut failings);
            assert!(!failings.is_empty(), "{failings:?}");
            assert!(failings.to_string().contains(" 9"), "{failings}");
        }
    }
}

//! How long to wait before the same thing is tried again, and when to give up. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// What a webhook or FCM may ask for at most.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// One delivery's tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    give_up: Duration,
    step: Duration,
}

impl Patience {
    /// Tries for `give_up`, counted from the first one.
    pub(super) fn new(give_up: Duration) -> Self {
        Self {
            give_up,
            step: FIRST,
        }
    }

    /// How long to wait after a try that failed `elapsed` after the first one began; none: it is
    /// over. `chance` is from 0 to 1 and differs from process to process and user to user: what
    /// failed together is not tried again together. `asked` is what the other side asked for.
    pub(super) fn next(
        &mut self,
        elapsed: Duration,
        asked: Option<Duration>,
        chance: f64,
    ) -> Option<Duration> {
        let pause = self.step.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        self.step = (self.step * 2).min(LONGEST);
        let pause = pause.max(asked.unwrap_or_default().min(LONGEST_ASKED));
        (elapsed + pause < self.give_up).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_spread() {
        let mut patience = Patience::new(Duration::from_secs(3_600));
        let mut pauses = |chance| patience.next(Duration::ZERO, None, chance).unwrap();
        assert_eq!(pauses(0.0), ms(250));
        assert_eq!(pauses(1.0), ms(1_000));
        assert_eq!(pauses(0.5), ms(1_500));
        for _ in 0..10 {
            pauses(1.0);
        }
        assert_eq!(pauses(1.0), LONGEST);
    }

    #[test]
    fn what_is_asked_for_is_waited_for_within_bounds() {
        let next = |asked| Patience::new(ms(100_000)).next(Duration::ZERO, Some(asked), 1.0);
        assert_eq!(next(ms(2_000)), Some(ms(2_000)));
        assert_eq!(next(ms(1)), Some(ms(500)));
        assert_eq!(next(Duration::MAX), Some(LONGEST_ASKED));
    }

    #[test]
    fn a_pause_that_ends_too_late_is_not_begun() {
        let next = |elapsed| Patience::new(ms(5_000)).next(elapsed, None, 1.0);
        assert_eq!(next(ms(4_499)), Some(ms(500)));
        assert_eq!(next(ms(4_500)), None);
    }
}

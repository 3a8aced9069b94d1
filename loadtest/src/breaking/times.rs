//! From every single arrival to what a row and a picture tell. Pure.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use serde::Serialize;

use crate::{Away, scenario::Delivery};

/// A message is late when it took longer than three times the 99th percentile before the fault, within these bounds: what
/// takes a second is late however slow the machine is.
const LATE_US: RangeInclusive<u64> = 250_000..=1_000_000;
/// How wide a point of the picture is, in µs.
const STEP_US: u64 = 500_000;

/// When what happened in a round, in µs on its scenario's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moments {
    /// The load was steady from here on.
    pub(crate) steady_us: u64,
    /// The fault.
    pub(crate) fault_us: u64,
}

/// Over clients, in ms; by the nearest rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the clients took no longer.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The last one.
    pub max: f64,
}

impl Spread {
    pub(crate) fn of(times: impl Iterator<Item = u64>) -> Self {
        let Away { p50, p99, max, .. } = Away::of(times.map(Duration::from_micros).collect());
        Self { p50, p99, max }
    }
}

/// What the arrivals tell about a fault.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Times {
    /// The 99th percentile from due to arrival before the fault, in ms.
    pub(crate) steady_p99_ms: f64,
    /// What took longer is late, in ms.
    pub(crate) late_ms: f64,
    /// From the fault to the first arrival of a message that was due after it, over the affected that had one.
    pub(crate) first: Option<Spread>,
    /// From the fault to the last late arrival, over the affected; nothing for who had no late one.
    pub(crate) caught_up: Spread,
    /// Affected clients to which nothing due after the fault has come.
    pub(crate) silent: usize,
}

/// Reads the arrivals of a round.
pub(crate) fn times(deliveries: &[Delivery], moments: Moments, affected: &[usize]) -> Times {
    let fault = moments.fault_us;
    let steady = deliveries
        .iter()
        .filter(|one| one.due_us >= moments.steady_us && one.at_us < fault);
    let steady = Spread::of(steady.map(took));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a latency in µs is positive and far below 2^52"
    )]
    let late_us = ((steady.p99 * 3_000.0) as u64).clamp(*LATE_US.start(), *LATE_US.end());

    let mut clients: BTreeMap<usize, (Option<u64>, u64)> =
        affected.iter().map(|index| (*index, (None, 0))).collect();
    for one in deliveries.iter().filter(|one| one.at_us >= fault) {
        let Some((first, caught_up)) = clients.get_mut(&one.session) else {
            continue;
        };
        let since = one.at_us - fault;
        // What was due before may have been on the socket already.
        if one.due_us >= fault {
            *first = Some(first.map_or(since, |first| first.min(since)));
        }
        if took(one) > late_us {
            *caught_up = (*caught_up).max(since);
        }
    }
    let heard: Vec<u64> = clients.values().filter_map(|(first, _)| *first).collect();
    let silent = clients.len() - heard.len();
    let first = (!heard.is_empty()).then(|| Spread::of(heard.into_iter()));
    Times {
        steady_p99_ms: steady.p99,
        late_ms: Duration::from_micros(late_us).as_secs_f64() * 1000.0,
        first,
        caught_up: Spread::of(clients.values().map(|(_, caught_up)| *caught_up)),
        silent,
    }
}

const fn took(one: &Delivery) -> u64 {
    one.at_us.saturating_sub(one.due_us)
}

/// Half a second of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// Its beginning, in seconds from the fault.
    pub(super) at: f64,
    /// Arrivals a second.
    pub(super) per_second: f64,
    /// The 99th percentile from due to arrival of what came in it, in ms; none when nothing came.
    pub(super) p99_ms: Option<f64>,
}

/// The arrivals in steps of half a second, from the steady load on; a step in which nothing came is a point as well.
pub(super) fn points(deliveries: &[Delivery], moments: Moments) -> Vec<Point> {
    let mut steps: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for one in deliveries
        .iter()
        .filter(|one| one.at_us >= moments.steady_us)
    {
        let step = (one.at_us - moments.steady_us) / STEP_US;
        steps.entry(step).or_default().push(took(one));
    }
    let last = steps.keys().next_back().copied();
    let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
    let before = seconds(moments.fault_us.saturating_sub(moments.steady_us));
    let point = |step: u64| {
        let took = steps.get(&step).map_or(&[][..], Vec::as_slice);
        #[expect(clippy::cast_precision_loss, reason = "a number of arrivals")]
        let count = took.len() as f64;
        Point {
            at: seconds(step * STEP_US) - before,
            per_second: count / seconds(STEP_US),
            p99_ms: (!took.is_empty()).then(|| Spread::of(took.iter().copied()).p99),
        }
    };
    last.map_or_else(Vec::new, |last| (0..=last).map(point).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENTS: Moments = Moments {
        steady_us: 0,
        fault_us: 1_000_000,
    };

    fn delivery(session: usize, due_ms: u64, at_ms: u64) -> Delivery {
        Delivery {
            session,
            due_us: due_ms * 1000,
            at_us: at_ms * 1000,
        }
    }

    #[test]
    fn only_what_was_due_after_the_fault_shows_that_it_is_over() {
        let all = [
            delivery(0, 500, 510),
            delivery(0, 995, 1_005),
            delivery(0, 1_100, 1_900),
            delivery(0, 2_000, 2_010),
            delivery(1, 1_050, 1_060),
            delivery(2, 1_010, 1_020),
        ];
        let times = times(&all, MOMENTS, &[0, 1, 3]);
        let first = times.first.unwrap();
        assert_eq!((first.p50, first.max), (60.0, 900.0));
        assert_eq!((times.caught_up.p50, times.caught_up.max), (0.0, 900.0));
        assert_eq!(times.silent, 1, "client 3 has nothing");
        assert_eq!((times.steady_p99_ms, times.late_ms), (10.0, 250.0));
    }

    #[test]
    fn late_is_measured_by_what_is_usual() {
        let all = [delivery(0, 100, 400), delivery(0, 1_100, 1_900)];
        let told = times(&all, MOMENTS, &[0]);
        assert_eq!((told.late_ms, told.caught_up.max), (900.0, 0.0));
        let slow = times(
            &[delivery(0, 100, 999), delivery(0, 1_100, 2_101)],
            MOMENTS,
            &[0],
        );
        assert_eq!((slow.late_ms, slow.caught_up.max), (1_000.0, 1_101.0));
        let none = times(&[], MOMENTS, &[0]);
        assert_eq!((none.first, none.silent), (None, 1));
    }

    #[test]
    fn a_step_without_arrivals_is_a_point_at_zero() {
        let all = [
            delivery(0, 0, 10),
            delivery(0, 20, 40),
            delivery(0, 30, 1_600),
        ];
        let points = points(&all, MOMENTS);
        let told: Vec<_> = points
            .iter()
            .map(|point| (point.at, point.per_second, point.p99_ms.map(f64::round)))
            .collect();
        assert_eq!(
            told,
            [
                (-1.0, 4.0, Some(20.0)),
                (-0.5, 0.0, None),
                (0.0, 0.0, None),
                (0.5, 2.0, Some(1_570.0))
            ]
        );
    }
}

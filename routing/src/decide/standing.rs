//! Whether a route still leads to anybody.

use std::cmp::Ordering;

use protocol::Home;
use uuid::Uuid;

use super::View;
use crate::Route;

/// What a route is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its claim stands, as far as anybody knows: a record for it goes to its home, whose reader
    /// decides.
    Alive,
    /// Its session is no more: the route can be removed, compared with what was read (trap 6).
    Dead,
    /// Its claim is above the one in the table, which was read before it was made: to be looked at
    /// again with a newer one. Until then it is alive.
    Ahead,
}

/// How `route` stands, for a process that has read the table (`view`), holds `own`, its home and
/// incarnation, and knows which sessions are `here`. `afterwards`: the table was read after the route.
///
/// A process knows its own sessions, so routes to its own home are judged by that alone, in the grace,
/// too: a session is entered before its route is written, and every earlier claim of the home has
/// ended. Routes to other homes are dead when the table says that their claim has ended, and never in
/// the grace.
pub fn standing(
    route: &Route,
    view: &View,
    afterwards: bool,
    own: Option<(Home, i64)>,
    here: impl FnOnce(Uuid) -> bool,
) -> Standing {
    if here(route.session) {
        return Standing::Alive;
    }
    let mine = own.filter(|(home, _)| *home == route.home);
    if mine.is_some_and(|(_, mine)| route.incarnation <= mine) {
        return Standing::Dead;
    }
    if view.in_grace() {
        return Standing::Alive;
    }
    let slot = (view.table.slots.iter()).find(|slot| slot.partition == route.home);
    // As it was read, not as it might be by now: a lease that had ended then is never renewed, one that
    // had not may have been.
    let ended = slot.is_none_or(|slot| slot.ttl_left.is_zero());
    match slot.map(|slot| slot.claim.cmp(&route.incarnation)) {
        // There is no such home, so nobody reads it.
        None => Standing::Dead,
        Some(Ordering::Greater) => Standing::Dead,
        Some(Ordering::Equal) if ended => Standing::Dead,
        Some(Ordering::Less) if !afterwards => Standing::Ahead,
        // Redis has forgotten the claim. Who made it finds that out, claims anew and has its sessions
        // catch up. Were the route alive, its home's reader would hand records on to itself for ever.
        Some(Ordering::Less) if ended || mine.is_some() => Standing::Dead,
        Some(Ordering::Equal | Ordering::Less) => Standing::Alive,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decide::{Slot, Table};

    const LEASE: Duration = Duration::from_secs(2);

    /// Home 1 is claimed under 10, the lease of home 2 ended under 20, nobody ever had home 3.
    fn view() -> View {
        let slot = |home, claim, ttl_left| Slot {
            partition: Home(home),
            owner: (claim > 0).then(|| format!("was-{home}")),
            claim,
            ttl_left,
        };
        View {
            table: Table {
                read_at: Duration::ZERO,
                members: Vec::new(),
                slots: vec![
                    slot(1, 10, LEASE),
                    slot(2, 20, Duration::ZERO),
                    slot(3, 0, Duration::ZERO),
                ],
            },
            grace_left: Duration::ZERO,
        }
    }

    fn route(home: i32, incarnation: i64) -> Route {
        Route {
            home: Home(home),
            incarnation,
            session: Uuid::nil(),
        }
    }

    fn judged(home: i32, incarnation: i64, view: &View, afterwards: bool) -> Standing {
        let own = Some((Home(4), 40));
        standing(&route(home, incarnation), view, afterwards, own, |_| false)
    }

    /// Trap 6: only a claim that the table says has ended is dead; what is newer than the table is not.
    #[test]
    fn trap_6_dead_is_what_the_table_says_has_ended() {
        let cases = [
            (1, 10, Standing::Alive),
            (1, 9, Standing::Dead),
            (1, 11, Standing::Ahead),
            (2, 20, Standing::Dead),
            (2, 19, Standing::Dead),
            (2, 21, Standing::Ahead),
            (3, 1, Standing::Ahead),
            (9, 1, Standing::Dead),
        ];
        for (home, incarnation, expected) in cases {
            let found = judged(home, incarnation, &view(), false);
            assert_eq!(found, expected, "{home}:{incarnation}");
        }
    }

    /// A claim that even a newer table does not show was forgotten by Redis: its records go to the
    /// home's owner, and to nobody when there is none.
    #[test]
    fn a_forgotten_claim_is_as_dead_as_its_home() {
        assert_eq!(judged(1, 11, &view(), true), Standing::Alive);
        assert_eq!(judged(2, 21, &view(), true), Standing::Dead);
        assert_eq!(judged(3, 1, &view(), true), Standing::Dead);
        let own = Some((Home(1), 10));
        let at_home = standing(&route(1, 11), &view(), true, own, |_| false);
        assert_eq!(at_home, Standing::Dead);
    }

    /// Trap 9: while the grace runs no claim of another has ended.
    #[test]
    fn trap_9_no_route_to_another_is_dead_in_the_grace() {
        let mut view = view();
        view.grace_left = LEASE;
        for home in [1, 2, 3, 9] {
            for incarnation in [1, 10, 30] {
                assert_eq!(judged(home, incarnation, &view, false), Standing::Alive);
            }
        }
    }

    /// Its own sessions a process knows without any table, in the grace, too.
    #[test]
    fn routes_to_ones_own_home_are_judged_by_who_is_here() {
        let mut view = view();
        let own = Some((Home(1), 10));
        for grace_left in [Duration::ZERO, LEASE] {
            view.grace_left = grace_left;
            for incarnation in [9, 10] {
                let route = route(1, incarnation);
                let absent = standing(&route, &view, false, own, |_| false);
                assert_eq!(absent, Standing::Dead, "{incarnation} {grace_left:?}");
                let here = standing(&route, &view, false, own, |_| true);
                assert_eq!(here, Standing::Alive, "{incarnation} {grace_left:?}");
            }
        }
        view.grace_left = Duration::ZERO;
        // Another process of the name may have taken it over meanwhile.
        let above = standing(&route(1, 11), &view, false, own, |_| false);
        assert_eq!(above, Standing::Ahead);
    }

    /// A session that is here, under whichever claim, is alive: it is about to write its route anew.
    #[test]
    fn a_session_that_is_here_is_alive() {
        let own = Some((Home(1), 10));
        let here = standing(&route(2, 20), &view(), true, own, |_| true);
        assert_eq!(here, Standing::Alive);
    }
}

//! What the routes of a user come to. Pure.

use protocol::{Address, Home};
use routing::Route;
use routing::decide::{Standing, View, standing};

/// What the routes of one user come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judged {
    /// Where records for the user go, each home once.
    pub homes: Vec<Home>,
    /// Routes that lead to nobody.
    pub dead: Vec<Route>,
    /// A route is above the table: that has to be read again before this is acted on.
    pub ahead: bool,
}

impl Judged {
    /// Judges `routes` by a table that was read before them, or (`afterwards`) after them. `own` is the
    /// reader's own home and its incarnation, `here` says which sessions are with it.
    pub fn of(
        routes: &[Route],
        view: &View,
        afterwards: bool,
        own: Option<(Home, i64)>,
        here: impl Fn(Address) -> bool,
    ) -> Self {
        let mut judged = Self::default();
        for route in routes {
            match standing(route, view, afterwards, own, &here) {
                Standing::Dead => judged.dead.push(*route),
                alive => {
                    judged.ahead |= alive == Standing::Ahead;
                    // A session that is here, about to write its route to the home as it is now.
                    let moved = own.filter(|_| here(route.session));
                    let home = moved.map_or(route.home, |(home, _)| home);
                    if !judged.homes.contains(&home) {
                        judged.homes.push(home);
                    }
                }
            }
        }
        judged
    }
}

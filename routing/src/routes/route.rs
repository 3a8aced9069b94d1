//! One route, and how it is written down.

use std::fmt;
use std::str::FromStr;

use protocol::Home;
use uuid::Uuid;

/// On which home one session of one user is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// The home whose reader knows the session.
    pub home: Home,
    /// The claim of that home under which the session was connected.
    pub incarnation: i64,
    /// The session.
    pub session: Uuid,
}

/// A text that is not a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a route is written home:incarnation:session")]
pub struct BadRoute;

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.home, self.incarnation, self.session)
    }
}

impl FromStr for Route {
    type Err = BadRoute;

    fn from_str(text: &str) -> Result<Self, BadRoute> {
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(BadRoute);
        let home = part()?.parse().map_err(|_| BadRoute)?;
        let incarnation = part()?.parse().map_err(|_| BadRoute)?;
        let session = part()?.parse().map_err(|_| BadRoute)?;
        Ok(Self {
            home: Home(home),
            incarnation,
            session,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(home: i32, incarnation: i64, session: u128) {
            let route = Route {
                home: Home(home),
                incarnation,
                session: Uuid::from_u128(session),
            };
            prop_assert_eq!(route.to_string().parse(), Ok(route));
        }

        #[test]
        fn nothing_else_breaks_the_reader(text: String) {
            if let Ok(route) = text.parse::<Route>() {
                prop_assert_eq!(route.to_string().parse(), Ok(route));
            }
        }
    }

    #[test]
    fn what_is_no_route_is_refused() {
        for text in [
            "",
            "1",
            "1:2",
            "1:2:3",
            "a:2:00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(text.parse::<Route>(), Err(BadRoute), "{text}");
        }
    }
}

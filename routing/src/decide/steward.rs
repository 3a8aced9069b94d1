//! Who reads a home that nobody owns.
//!
//! Records come to such a home for as long as a route leads there, so somebody has to answer for them
//! (I8). Every gateway finds out by itself, and from the same table all find the same one.

use std::time::Duration;

use protocol::Home;

use super::Table;

/// What one look at the table of homes showed.
#[derive(Debug, Clone)]
pub struct View {
    /// The homes.
    pub table: Table<Home>,
    /// For how long the grace still ran then; zero when it did not. While it runs everybody looks dead
    /// who could not be heard (trap 9): nobody stewards, and no route is dead by this table.
    pub grace_left: Duration,
}

impl View {
    /// Whether the grace ran when the table was read. It may have ended since: the next look tells.
    pub fn in_grace(&self) -> bool {
        !self.grace_left.is_zero()
    }

    /// Whether `home` had an owner when the table was read.
    fn is_owned(&self, home: Home) -> bool {
        let slot = self.table.slots.iter().find(|slot| slot.partition == home);
        slot.is_some_and(|slot| slot.owner.is_some() && !slot.ttl_left.is_zero())
    }

    /// Those who held a home when the table was read.
    fn holders(&self) -> impl Iterator<Item = &str> {
        let live = self.table.slots.iter();
        live.filter(|slot| !slot.ttl_left.is_zero())
            .filter_map(|slot| slot.owner.as_deref())
    }

    /// Who is to read `home` while it has no owner: of those who hold a home, the one with the highest
    /// hash for it (rendezvous hashing: when one comes or goes, no home moves between two others).
    /// Nobody when it has an owner, in the grace, and when nobody holds any.
    ///
    /// Leases count as they stood when the table was read, so that all who read the same agree. One
    /// that is released and taken again between two looks may have two readers for a moment, which
    /// costs a record handed on twice.
    pub fn steward_of(&self, home: Home) -> Option<&str> {
        if self.in_grace() || self.is_owned(home) {
            return None;
        }
        // Of two with the same hash the one with the later name.
        self.holders()
            .max_by_key(|name| (weight(name, home), *name))
    }

    /// Whether `me` holds a home, by this table, and its lease stands at `now`. Whoever could not renew
    /// for a lease stewards nothing and commits nothing.
    pub fn is_live(&self, me: &str, now: Duration) -> bool {
        self.table
            .slots
            .iter()
            .any(|slot| self.table.owner(slot, now) == Some(me))
    }

    /// The homes that `me` is to read for want of an owner, as of `now`.
    pub fn stewarded_by(&self, me: &str, now: Duration) -> Vec<Home> {
        if !self.is_live(me, now) {
            return Vec::new();
        }
        let homes = self.table.slots.iter().map(|slot| slot.partition);
        homes
            .filter(|home| self.steward_of(*home) == Some(me))
            .collect()
    }
}

/// How much a name wants a home: FNV-1a over both, then murmur3's last step, without which names that
/// differ in one letter would want nearly the same ones. Written out here because every gateway must
/// come to the same, whatever compiled it.
fn weight(name: &str, home: Home) -> u64 {
    let bytes = name.bytes().chain(home.0.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::decide::Slot;

    const READ: Duration = Duration::from_secs(100);
    const LEASE: Duration = Duration::from_secs(2);

    /// A home's owner, and whether its lease stands.
    type Row = Option<(usize, bool)>;

    fn name(n: usize) -> String {
        format!("was-{n}")
    }

    fn view(rows: &[Row]) -> View {
        let slot = |(home, row): (i32, &Row)| Slot {
            partition: Home(home),
            owner: row.map(|(owner, _)| name(owner)),
            claim: i64::from(row.is_some()),
            ttl_left: match row {
                Some((_, true)) => LEASE,
                _ => Duration::ZERO,
            },
        };
        View {
            table: Table {
                read_at: READ,
                members: Vec::new(),
                slots: (1..).zip(rows).map(slot).collect(),
            },
            grace_left: Duration::ZERO,
        }
    }

    fn stewards(view: &View) -> BTreeMap<Home, Option<String>> {
        let slots = view.table.slots.iter();
        slots
            .map(|slot| slot.partition)
            .map(|home| (home, view.steward_of(home).map(str::to_owned)))
            .collect()
    }

    /// Each home free, or of a member that holds no other; some of the leases have ended.
    fn rows() -> impl Strategy<Value = Vec<Row>> {
        prop::collection::vec(any::<Option<bool>>(), 1..64).prop_map(|homes| {
            let row = |(n, live): (usize, Option<bool>)| live.map(|live| (n, live));
            homes.into_iter().enumerate().map(row).collect()
        })
    }

    proptest! {
        /// I8: every home has exactly one reader: its owner or its one steward, as long as anybody
        /// holds a home; whoever asks, and whenever within the lease.
        #[test]
        fn i8_every_home_has_exactly_one_reader(rows in rows(), later in 0_u64..2_000) {
            let seen = view(&rows);
            let now = READ + Duration::from_millis(later);
            let live: Vec<usize> = rows.iter().flatten().filter(|row| row.1).map(|row| row.0).collect();
            let mut read: BTreeMap<Home, usize> = BTreeMap::new();
            for member in 0..64 {
                let homes = seen.stewarded_by(&name(member), now);
                prop_assert!(homes.is_empty() || live.contains(&member));
                for home in homes {
                    *read.entry(home).or_default() += 1;
                }
            }
            for (home, row) in (1..).map(Home).zip(&rows) {
                let owned = matches!(row, Some((_, true)));
                let expected = usize::from(!owned && !live.is_empty());
                prop_assert_eq!(read.get(&home).copied().unwrap_or(0), expected, "{:?}", home);
            }
        }

        /// When one goes, only the homes that it stewarded find others, and its own finds one; when it
        /// comes back, only these move.
        #[test]
        fn when_one_goes_only_its_homes_move(mut rows in rows(), gone: prop::sample::Index) {
            let live: Vec<usize> = (0..rows.len()).filter(|n| matches!(rows[*n], Some((_, true)))).collect();
            prop_assume!(live.len() > 1);
            let before = stewards(&view(&rows));
            let gone = live[gone.index(live.len())];
            rows[gone] = Some((gone, false));
            for (home, after) in stewards(&view(&rows)) {
                let had = &before[&home];
                let moved = *had == Some(name(gone)) || (1..).map(Home).nth(gone) == Some(home);
                prop_assert!(moved || *had == after, "{:?}: {:?} {:?}", home, had, after);
                prop_assert!(after.is_some() || had.is_none());
            }
        }

        /// Trap 9: in the grace everybody who was not heard yet looks dead: nobody stewards.
        #[test]
        fn trap_9_nobody_stewards_in_the_grace(rows in rows(), left in 1_u64..2_000) {
            let mut seen = view(&rows);
            seen.grace_left = Duration::from_millis(left);
            prop_assert!(stewards(&seen).values().all(Option::is_none));
            for member in 0..64 {
                prop_assert_eq!(seen.stewarded_by(&name(member), READ), vec![]);
            }
        }
    }

    /// 60 homes without an owner, four gateways: each has a fair part of them.
    #[test]
    fn homes_are_spread() {
        let mut rows: Vec<Row> = (0..4).map(|n| Some((n, true))).collect();
        rows.resize(64, None);
        let seen = view(&rows);
        for member in 0..4 {
            let homes = seen.stewarded_by(&name(member), READ).len();
            assert!((8..=24).contains(&homes), "{} has {homes}", name(member));
        }
    }

    /// Who could not renew for a lease stewards nothing any more, though nobody told it.
    #[test]
    fn a_steward_without_a_lease_is_none() {
        let seen = view(&[Some((0, true)), None]);
        let end = READ + LEASE;
        let before = end - Duration::from_millis(1);
        assert_eq!(seen.stewarded_by("was-0", before), [Home(2)]);
        assert_eq!(seen.stewarded_by("was-0", end), []);
        assert!(!seen.is_live("was-0", end));
    }
}

//! Rules that can be taken out, one at a time, to see that the simulation finds it.

/// A rule that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Without {
    /// No session asks once more after the bound of the route cache (I4).
    Settle,
    /// The fence compares owner and epoch only, not `applied` (trap 15).
    Applied,
    /// What is at or below `applied` is answered and not routed again (trap 4).
    Rerouting,
    /// A route that a reader found dead is removed whatever stands there by then (trap 6).
    Compare,
    /// After Redis was away anybody may claim any home at once (trap 9).
    Grace,
    /// A shard of routes is believed as soon as it has a marker again (trap 10).
    GoodFrom,
    /// What nobody at a home can confirm is forgotten (trap 5).
    HandOn,
    /// What a session drops as seen already belongs to no round.
    SeenRounds,
    /// A home's reader begins at the end (trap 7).
    FixedStart,
}

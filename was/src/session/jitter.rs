//! Chance without randomness: a seed given once, and what follows from it.

use std::time::Duration;

/// Somewhere between the two, by splitmix64 over the seed.
pub(super) fn jitter(seed: &mut u64, least: Duration, most: Duration) -> Duration {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
    least + Duration::from_micros(z % span.max(1))
}

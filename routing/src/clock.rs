//! The clock that leases and cached answers are judged by on this side.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long the machine has been up, counting the time that it slept (`CLOCK_BOOTTIME`).
///
/// Not [`std::time::Instant`]: that one stands still while a machine is suspended, and an answer
/// that slept for an hour would look fresh.
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(secs, nanos)
}

//! Times as clients see them.

use time::OffsetDateTime;
use time::macros::format_description;

/// Milliseconds since 1970 as RFC 3339 in UTC with exactly three decimals. What lies outside the
/// years that RFC 3339 can write is shown as its nearest end, never as an error: a time is only
/// shown, nothing is decided by it.
pub fn format_ms(ms: i64) -> String {
    const LAST: i64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z
    let ms = ms.clamp(0, LAST);
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&format).ok())
        .unwrap_or_default() // within the clamp both succeed
}

#[cfg(test)]
mod tests {
    #[test]
    fn three_decimals_always() {
        assert_eq!(super::format_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            super::format_ms(1_700_000_000_120),
            "2023-11-14T22:13:20.120Z"
        );
        assert_eq!(super::format_ms(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(super::format_ms(-5), "1970-01-01T00:00:00.000Z");
    }
}

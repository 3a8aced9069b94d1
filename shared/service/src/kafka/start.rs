//! Where a reader begins.

/// What a partition holds: offsets from `low` to below `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset that is still there.
    pub low: i64,
    /// The offset that the next record gets.
    pub high: i64,
}

/// Where to begin, and whether that is where the last one stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nobody has read here before: from the first record that is there.
    First(i64),
    /// Where the last reader stopped.
    Resumed(i64),
    /// What comes next was deleted (retention): from the first that is there. Records were lost
    /// for this reader.
    Truncated {
        /// Where to begin.
        at: i64,
        /// Where the last one stopped.
        wanted: i64,
    },
    /// The last reader stopped beyond the end: the log is another one, or lost its end. From its
    /// first record, since which are new can't be told.
    Beyond {
        /// Where to begin.
        at: i64,
        /// Where the last one stopped.
        wanted: i64,
    },
}

impl Start {
    /// The offset.
    pub fn offset(self) -> i64 {
        match self {
            Self::First(at)
            | Self::Resumed(at)
            | Self::Truncated { at, .. }
            | Self::Beyond { at, .. } => at,
        }
    }
}

/// I1, trap 7: a reader never starts behind an accepted record: at what was committed, else at
/// the earliest there is, never at the latest.
pub(super) fn start_offset(committed: Option<i64>, marks: Watermarks) -> Start {
    match committed {
        None => Start::First(marks.low),
        Some(wanted) if wanted < marks.low => Start::Truncated {
            at: marks.low,
            wanted,
        },
        Some(wanted) if wanted > marks.high => Start::Beyond {
            at: marks.low,
            wanted,
        },
        Some(wanted) => Start::Resumed(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trap 7: nothing committed means the earliest, never the end.
    #[test]
    fn i1_trap7_never_starts_at_the_end_unasked() {
        let marks = Watermarks { low: 3, high: 9 };
        assert_eq!(start_offset(None, marks), Start::First(3));
        assert_eq!(start_offset(Some(3), marks), Start::Resumed(3));
        assert_eq!(start_offset(Some(9), marks), Start::Resumed(9));
        assert_eq!(
            start_offset(Some(1), marks),
            Start::Truncated { at: 3, wanted: 1 }
        );
        let beyond = start_offset(Some(10), marks);
        assert_eq!(beyond, Start::Beyond { at: 3, wanted: 10 });
        assert_eq!(beyond.offset(), 3);
    }
}

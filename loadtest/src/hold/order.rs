//! A line, and what it means. Pure.

use std::str::FromStr;

use anyhow::bail;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// `kill -9`.
    Kill(String),
    /// Start what was killed, and wait until it is ready.
    Start(String),
    /// SIGSTOP.
    Pause(String),
    /// SIGCONT.
    Resume(String),
    /// FLUSHALL.
    Flush,
    /// The routes of all who stay.
    Forget,
    /// Records that nobody can read.
    Poison,
    /// Sockets that nobody reads, and much for them.
    Flood,
    /// The end of that.
    Calm,
    /// Users who leave for good.
    Vanish,
    /// The end of the load, and the verdict.
    Settle,
    /// Load again.
    Load,
    /// All logs, for who wants to know what went wrong.
    Keep,
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words[..] {
            ["kill", name] => Self::Kill(name.to_owned()),
            ["start", name] => Self::Start(name.to_owned()),
            ["pause", name] => Self::Pause(name.to_owned()),
            ["resume", name] => Self::Resume(name.to_owned()),
            ["flush"] => Self::Flush,
            ["forget"] => Self::Forget,
            ["poison"] => Self::Poison,
            ["flood"] => Self::Flood,
            ["calm"] => Self::Calm,
            ["vanish"] => Self::Vanish,
            ["settle"] => Self::Settle,
            ["load"] => Self::Load,
            ["keep"] => Self::Keep,
            _ => bail!("not an order: {line}; `loadtest hold --help` tells them"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_word_or_two() {
        let read = |line: &str| line.parse::<Order>().ok();
        assert_eq!(read(" pause  redis "), Some(Order::Pause("redis".into())));
        assert_eq!(read("settle"), Some(Order::Settle));
        for wrong in ["", "pause", "pause a b", "settle now", "kil was-1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}

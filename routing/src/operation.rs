//! What is done in Redis by a script.

use redis::Script;

/// A script, what running it is called, and whether it waits for its turn.
pub(crate) struct Operation {
    /// As errors have it: "Redis could not …".
    pub(crate) name: &'static str,
    pub(crate) script: Script,
    pub(crate) when: When,
}

/// When an operation is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// A lease hangs on it: at once, whatever else waits.
    AtOnce,
    /// Like everything else.
    InTurn,
}

impl Operation {
    /// One that a lease hangs on.
    pub(crate) fn at_once(name: &'static str, script: &str) -> Self {
        Self {
            name,
            script: Script::new(script),
            when: When::AtOnce,
        }
    }

    /// Any other.
    pub(crate) fn in_turn(name: &'static str, script: &str) -> Self {
        Self {
            when: When::InTurn,
            ..Self::at_once(name, script)
        }
    }
}

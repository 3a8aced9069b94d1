//! A statement has a name: what it is measured and reported under.

/// One statement of this crate.
#[derive(Debug)]
pub(crate) struct Statement {
    /// What it is measured under.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) sql: &'static str,
}

impl Statement {
    pub(crate) const fn new(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql }
    }
}

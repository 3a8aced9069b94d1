//! What one types for a value on the command line.

use clap::ValueEnum;

/// Its name there; nothing for what can't be asked for by name.
pub(crate) fn typed(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

//! What an operator reads of the settings.

use classifier::settings;
use service::settings::LogSettings;

/// Each stands in the documents, with its default.
#[test]
fn every_setting_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    for key in settings::TABLES
        .iter()
        .copied()
        .flatten()
        .chain(LogSettings::KEYS)
    {
        let row = match key.default.filter(|text| !text.is_empty()) {
            Some(default) => format!("| `{}` | `{default}` |", key.name),
            None => format!("| `{}` |", key.name),
        };
        assert!(text.contains(&row), "{row} is not in {path}");
    }
}

//! What an operator reads of the settings.

use classifier::{push, settings};
use service::kafka::KafkaSettings;
use service::settings::{AdminSettings, LogSettings};

/// Each stands in the documents, with its default.
#[test]
fn every_setting_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let keys = [
        settings::KEYS,
        push::KEYS,
        KafkaSettings::KEYS,
        AdminSettings::KEYS,
        LogSettings::KEYS,
    ];
    for key in keys.into_iter().flatten() {
        let row = match key.default.filter(|text| !text.is_empty()) {
            Some(default) => format!("| `{}` | `{default}` |", key.name),
            None => format!("| `{}` |", key.name),
        };
        assert!(text.contains(&row), "{row} is not in {path}");
    }
}

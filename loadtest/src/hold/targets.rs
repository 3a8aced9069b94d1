//! Where metrics are told, as Prometheus's `file_sd_configs` reads it. Pure.

use serde_json::{Value, json};
use stack::Service;

/// Each process with the labels that a `ServiceMonitor` of the chart gives its pod, but those of the installation.
pub(super) fn targets<'a>(services: impl Iterator<Item = &'a Service>) -> Value {
    services
        .map(|one| target(one.name(), &one.admin_url()))
        .collect()
}

fn target(name: &str, url: &str) -> Value {
    // Containers are called as their component.
    let component = name.split('-').next().unwrap_or(name);
    json!({
        "targets": [url.trim_start_matches("http://")],
        "labels": { "pod": name, "component": component, "container": component },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_address_and_its_labels() {
        let expected = json!({
            "targets": ["127.0.0.1:9100"],
            "labels": { "pod": "was-2", "component": "was", "container": "was" },
        });
        assert_eq!(target("was-2", "http://127.0.0.1:9100"), expected);
    }
}

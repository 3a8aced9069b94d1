//! Who owns which home and lane, as `classifier homes --json` and `classifier lanes --json` tell. Pure.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

/// The numbers of homes or lanes, by who holds a lease on them.
pub(super) type Owned = BTreeMap<String, Vec<i64>>;

/// Reads either list; `what` is `home` or `lane`.
pub(super) fn owned(text: &str, what: &str) -> anyhow::Result<Owned> {
    let list: Vec<Value> = serde_json::from_str(text)
        .with_context(|| format!("read what `classifier {what}s --json` says"))?;
    let mut owned = Owned::new();
    for line in &list {
        let number = line[what].as_i64().context("a line without a number")?;
        if let Some(owner) = line["owner"].as_str()
            && line["lease_left_ms"].as_f64().unwrap_or(0.0) > 0.0
        {
            owned.entry(owner.to_owned()).or_default().push(number);
        }
    }
    Ok(owned)
}

/// Whether so many hold one each, and nobody else holds any.
pub(super) fn one_each(owned: &Owned, count: usize) -> bool {
    owned.len() == count && owned.values().all(|has| has.len() == 1)
}

/// Whether so many hold all of them together.
pub(super) fn hold_all(owned: &Owned, count: usize, all: i32) -> bool {
    let held: usize = owned.values().map(Vec::len).sum();
    owned.len() == count && i32::try_from(held) == Ok(all)
}

/// Who was there before and is there now, and holds something else: in words.
pub(super) fn moved(before: &Owned, now: &Owned) -> Vec<String> {
    let changed = |(name, had): (&String, &Vec<i64>)| {
        let has = now.get(name)?;
        (has != had).then(|| format!("{name} had {had:?} and has {has:?}"))
    };
    before.iter().filter_map(changed).collect()
}

/// How many each holds: `a 12, b 12`.
pub(super) fn shares(owned: &Owned) -> String {
    let words = owned
        .iter()
        .map(|(name, has)| format!("{name} {}", has.len()));
    words.collect::<Vec<_>>().join(", ")
}

/// Who holds what: `a 1, b 2`.
pub(super) fn places(owned: &Owned) -> String {
    let words = owned.iter().map(|(name, has)| {
        let numbers: Vec<_> = has.iter().map(i64::to_string).collect();
        format!("{name} {}", numbers.join("+"))
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOMES: &str = r#"[
        {"home": 1, "owner": "was-0", "lease_left_ms": 1600},
        {"home": 2, "owner": "was-1", "lease_left_ms": 0},
        {"home": 3, "owner": null, "lease_left_ms": 0},
        {"home": 4, "owner": "was-2", "lease_left_ms": 12.5}]"#;

    #[test]
    fn who_has_no_lease_owns_nothing() {
        let owned = owned(HOMES, "home").unwrap();
        assert_eq!(places(&owned), "was-0 1, was-2 4");
        assert_eq!(shares(&owned), "was-0 1, was-2 1");
        assert!(super::owned("{}", "home").is_err());
        assert!(super::owned("[{}]", "home").is_err());
    }

    /// One that is on its way from one to another is nobody's: they do not hold all yet.
    #[test]
    fn they_hold_all_once_none_is_on_its_way() {
        let mut homes = owned(HOMES, "home").unwrap();
        assert!(one_each(&homes, 2) && !one_each(&homes, 3));
        assert!(hold_all(&homes, 2, 2) && !hold_all(&homes, 2, 3) && !hold_all(&homes, 1, 2));
        homes.insert("was-0".to_owned(), vec![1, 2]);
        assert!(!one_each(&homes, 2) && hold_all(&homes, 2, 3));
    }

    #[test]
    fn who_comes_or_goes_has_not_moved() {
        let before = owned(HOMES, "home").unwrap();
        let mut now = before.clone();
        now.insert("was-3".to_owned(), vec![5]);
        now.remove("was-2");
        assert!(moved(&before, &now).is_empty());
        now.insert("was-0".to_owned(), vec![2]);
        assert_eq!(moved(&before, &now), ["was-0 had [1] and has [2]"]);
    }
}

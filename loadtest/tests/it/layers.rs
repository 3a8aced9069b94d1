//! The fence between the layers: who may depend on what, read from Cargo itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// The crates that talk to the world, and the one member that may name each.
const OWNERS: [(&str, &str); 6] = [
    ("rdkafka", "service"),
    ("redis", "routing"),
    ("tokio-postgres", "store"),
    ("deadpool-postgres", "store"),
    ("refinery", "store"),
    ("axum", "was service"),
];

/// Members that decide and encode only: no sockets, no runtime, no clock or randomness of their own.
const PURE: [&str; 1] = ["protocol"];

/// Members that run others' pure parts: what those bring with them is there, and is not named.
const NAMES_NO_IO: [&str; 1] = ["simulation"];

/// The one impure crate that such a member may name: its outbox takes tokio's type of time.
const TIME: &str = "tokio";

/// What no pure member may reach, directly or through others.
const IMPURE: [&str; 12] = [
    "tokio",
    "rdkafka",
    "redis",
    "tokio-postgres",
    "deadpool-postgres",
    "axum",
    "hyper",
    "reqwest",
    "rustix",
    "mio",
    "rand",
    "tokio-tungstenite",
];

/// Dependencies between members point down only: who may use whom, tests aside.
const MAY_USE: [(&str, &str); 10] = [
    ("protocol", ""),
    ("store", "protocol"),
    ("service", "protocol"),
    ("routing", "protocol"),
    ("was", "protocol store service routing"),
    ("classifier", "protocol store service routing"),
    ("client", "protocol"),
    ("stack", "service store"),
    ("loadtest", "protocol client stack"),
    ("simulation", "protocol store routing was classifier client"),
];

/// Read once for all tests here.
fn metadata() -> &'static Metadata {
    static READ: LazyLock<Metadata> = LazyLock::new(read_metadata);
    &READ
}

fn read_metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    // A build downloads no crates of other platforms.
    let platform = format!(
        "--filter-platform={}-unknown-linux-gnu",
        std::env::consts::ARCH
    );
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(vec!["--offline".to_owned(), platform])
        .exec()
        .unwrap()
}

fn members(metadata: &Metadata) -> BTreeMap<String, &Package> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.to_string(), package))
        .collect()
}

/// What a member names in its manifest: `tests` with what only its tests use.
fn named(package: &Package, tests: bool) -> BTreeSet<String> {
    let wanted = |kind| tests || kind != DependencyKind::Development;
    package
        .dependencies
        .iter()
        .filter(|one| wanted(one.kind))
        .map(|one| one.name.clone())
        .collect()
}

fn set(words: &str) -> BTreeSet<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn one_crate_owns_each_client_library() {
    let metadata = metadata();
    for (library, owners) in OWNERS {
        for (name, package) in members(metadata) {
            let uses = named(package, false).contains(library);
            assert!(
                !uses || set(owners).contains(&name),
                "{name} uses {library}, which belongs to {owners}"
            );
        }
    }
}

/// Tests may not go around the owner either, but for the owners' own.
#[test]
fn tests_of_others_use_no_client_library_of_the_three_stores() {
    let metadata = metadata();
    for (library, owners) in &OWNERS[..5] {
        for (name, package) in members(metadata) {
            let uses = named(package, true).contains(*library);
            assert!(
                !uses || set(owners).contains(&name),
                "tests of {name} use {library}, which belongs to {owners}"
            );
        }
    }
}

#[test]
fn pure_crates_reach_no_io() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: BTreeMap<&PackageId, _> =
        resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    for name in PURE {
        let root = &members(metadata)[name].id;
        let (mut seen, mut next) = (BTreeSet::new(), vec![root]);
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                // What only runs while building or testing is not in the program.
                let normal = nodes[id].deps.iter().filter(|dep| {
                    dep.dep_kinds
                        .iter()
                        .any(|kind| kind.kind == DependencyKind::Normal)
                });
                next.extend(normal.map(|dep| &dep.pkg));
            }
        }
        for id in seen {
            let package = metadata[id].name.to_string();
            assert!(
                !IMPURE.contains(&package.as_str()),
                "{name} is pure and reaches {package}"
            );
        }
    }
}

/// One seed is one run: whatever a simulation did with the world would be another run each time.
#[test]
fn simulations_name_no_io() {
    let metadata = metadata();
    for name in NAMES_NO_IO {
        let used = named(members(metadata)[name], true);
        let impure = IMPURE
            .iter()
            .find(|one| **one != TIME && used.contains(**one));
        assert_eq!(impure, None, "{name} talks to the world");
    }
}

#[test]
fn members_depend_downwards_only() {
    let metadata = metadata();
    let members = members(metadata);
    let all: BTreeSet<String> = members.keys().cloned().collect();
    assert_eq!(
        all,
        MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect(),
        "a new member needs its line here"
    );
    for (name, may) in MAY_USE {
        for used in named(members[name], false).intersection(&all) {
            assert!(
                set(may).contains(used),
                "{name} uses {used}, which lies above or beside it"
            );
        }
    }
}

#[test]
fn every_member_inherits_the_lints() {
    let metadata = metadata();
    for (name, package) in members(metadata) {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let inherits = manifest.split("\n[").any(|table| {
            let mut lines = table
                .lines()
                .map(|line| line.split_whitespace().collect::<String>());
            lines
                .next()
                .is_some_and(|head| head.trim_start_matches('[') == "lints]")
                && lines.any(|line| line == "workspace=true")
        });
        assert!(inherits, "{name} does not inherit the workspace's lints");
    }
}

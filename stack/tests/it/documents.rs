//! The documents name files and tests: they must be there.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What stands between backticks, in order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `folder/file.rs`: `a_test`, `another`: each is a function of that file.
#[test]
fn every_test_that_proves_an_invariant_exists() {
    let text = fs::read_to_string(house().join("docs/invariants.md")).unwrap();
    let (_, tables) = text.split_once("## Invariants").unwrap();
    let mut file = String::new();
    let mut found = 0;
    for word in quoted(tables) {
        if word.ends_with(".rs") {
            file = fs::read_to_string(house().join(word)).unwrap_or_else(|_| panic!("no {word}"));
        } else if word.contains('_') && word.chars().all(|c| c == '_' || c.is_alphanumeric()) {
            assert!(file.contains(&format!("fn {word}(")), "no test {word}");
            found += 1;
        }
    }
    assert!(found > 50, "only {found} tests are named");
}

/// Every document, by its path from the house.
fn documents() -> Vec<PathBuf> {
    let mut all = vec![PathBuf::from("README.md")];
    for folder in ["docs", "docs/decisions"] {
        for entry in fs::read_dir(house().join(folder)).unwrap() {
            let name = PathBuf::from(entry.unwrap().file_name());
            if name.extension().is_some_and(|end| end == "md") {
                all.push(Path::new(folder).join(name));
            }
        }
    }
    all
}

/// Whether it names something of the house by its path.
fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let inside = |(folder, _): (&str, &str)| {
        folder != "target" && !folder.is_empty() && house().join(folder).is_dir()
    };
    word.chars().all(plain) && (word.contains("/src/") || word.split_once('/').is_some_and(inside))
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut found = 0;
    for document in documents() {
        let text = fs::read_to_string(house().join(&document)).unwrap();
        for file in quoted(&text).filter(|word| is_path(word)) {
            assert!(
                house().join(file).exists(),
                "no {file}: {}",
                document.display()
            );
            found += 1;
        }
    }
    assert!(found > 200, "only {found} files are named");
}

/// Links from one document to another, or to a file.
#[test]
fn every_link_leads_somewhere() {
    let mut found = 0;
    for document in documents() {
        let text = fs::read_to_string(house().join(&document)).unwrap();
        let folder = house().join(&document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.starts_with("http") || target.is_empty() {
                continue;
            }
            assert!(
                folder.join(target).exists(),
                "no {target}: {}",
                document.display()
            );
            found += 1;
        }
    }
    assert!(found > 20, "only {found} links");
}

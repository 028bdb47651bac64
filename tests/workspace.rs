//! The rules of the workspace that no compiler holds.

use std::fs;

use crate::support::sources::{root, visit_sources};

/// Longest source file, in lines.
const MAX_LINES: usize = 450;

#[test]
fn a_library_imports_the_core_and_none_of_its_siblings() {
    for library in libraries() {
        let manifest = fs::read_to_string(root().join("crates").join(&library).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let imported = ["dependencies", "dev-dependencies", "build-dependencies"]
            .into_iter()
            .filter_map(|section| manifest.get(section)?.as_table())
            .flat_map(toml::Table::keys);
        for import in imported.filter(|import| import.starts_with("dm-")) {
            assert_eq!(import, "dm-core", "{library} imports {import}");
        }
    }
}

#[test]
fn no_source_file_is_longer_than_one_can_hold_in_mind() {
    let mut long = Vec::new();
    visit_sources(&mut |file, text| {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            long.push(format!("{}: {lines} lines", file.display()));
        }
    });
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("dbg", "!("),
        concat!("FIX", "ME"),
    ];
    visit_sources(&mut |file, text| {
        for mark in marks {
            assert!(!text.contains(mark), "{} contains {mark}", file.display());
        }
    });
}

/// The library crates, one folder each.
fn libraries() -> Vec<String> {
    let entries = fs::read_dir(root().join("crates")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let libraries: Vec<_> = names.collect();
    assert!(libraries.len() >= 9, "{libraries:?}");
    libraries
}

//! The rules of the workspace that no compiler holds.

use std::fs;

use crate::support::sources::{root, visit_sources};

/// Longest source file, in lines.
const MAX_LINES: usize = 450;

#[test]
fn a_library_imports_the_core_and_none_of_its_siblings() {
    for library in libraries() {
        for import in own_crates(&library, &["dependencies", "build-dependencies"]) {
            let is_allowed = match library.as_str() {
                "dm-api" => ["dm-core", "dm-services"].contains(&import.as_str()),
                _ => import == "dm-core",
            };
            assert!(is_allowed, "{library} imports {import}");
        }
    }
}

#[test]
fn tests_of_a_library_import_doubles_and_services_at_most() {
    for library in libraries() {
        for import in own_crates(&library, &["dev-dependencies"]) {
            let is_allowed = ["dm-services", "dm-testing"].contains(&import.as_str());
            assert!(is_allowed, "the tests of {library} import {import}");
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

/// Where a crate has one test program, a file that it does not name is never compiled.
#[test]
fn every_file_of_tests_belongs_to_the_test_program_of_its_crate() {
    let crates = libraries()
        .into_iter()
        .map(|library| root().join("crates").join(library));
    let mut missing = Vec::new();
    for folder in crates.chain([root().to_owned()]).map(|top| top.join("tests")) {
        let Ok(main) = fs::read_to_string(folder.join("main.rs")) else {
            continue;
        };
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let module = path.file_stem().unwrap().to_str().unwrap();
            let has_code = path.extension().is_some_and(|extension| extension == "rs")
                || path.join("mod.rs").exists()
                || path.join("main.rs").exists();
            if has_code && module != "main" && !main.contains(&format!("mod {module};")) {
                missing.push(path.display().to_string());
            }
        }
    }
    assert!(missing.is_empty(), "no test program has {}", missing.join(", "));
}

/// The crates of this workspace that a library names in these sections.
fn own_crates(library: &str, sections: &[&str]) -> Vec<String> {
    let manifest = fs::read_to_string(root().join("crates").join(library).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let imported = sections
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(toml::Table::keys);
    imported
        .filter(|import| import.starts_with("dm-"))
        .cloned()
        .collect()
}

/// The library crates, one folder each.
fn libraries() -> Vec<String> {
    let entries = fs::read_dir(root().join("crates")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let libraries: Vec<_> = names.collect();
    assert!(libraries.len() >= 11, "{libraries:?}");
    libraries
}

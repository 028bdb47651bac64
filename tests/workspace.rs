//! The rules of the workspace that no compiler holds.

use std::{fs, path::Path};

/// The library crates: each imports `dm-core` and none of its siblings.
const LIBRARIES: [&str; 9] = [
    "dm-api",
    "dm-backup",
    "dm-chain",
    "dm-compliance",
    "dm-core",
    "dm-keys",
    "dm-p2p",
    "dm-plugins",
    "dm-storage",
];

/// Longest source file, in lines.
const MAX_LINES: usize = 450;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn a_library_imports_the_core_and_none_of_its_siblings() {
    for library in LIBRARIES {
        let manifest = fs::read_to_string(root().join("crates").join(library).join("Cargo.toml")).unwrap();
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
    for folder in ["crates", "bins", "tests", "examples"] {
        visit(&root().join(folder), &mut |file, text| {
            let lines = text.lines().count();
            if lines > MAX_LINES {
                long.push(format!("{}: {lines} lines", file.display()));
            }
        });
    }
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
    for folder in ["crates", "bins", "tests", "examples"] {
        visit(&root().join(folder), &mut |file, text| {
            for mark in marks {
                assert!(!text.contains(mark), "{} contains {mark}", file.display());
            }
        });
    }
}

/// Calls `look` with each Rust source file below `dir`.
fn visit(dir: &Path, look: &mut impl FnMut(&Path, &str)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" && entry.file_name() != "node_modules" {
            visit(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

//! The sources of the project, for tests of its rules.

use std::{fs, path::Path};

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Calls `look` with each Rust source file of the project.
pub(crate) fn visit_sources(look: &mut impl FnMut(&Path, &str)) {
    for folder in ["crates", "bins", "tests", "examples"] {
        visit_with_extension(&root().join(folder), "rs", look);
    }
}

/// Calls `look` with each file below `dir` that has this extension.
pub(crate) fn visit_with_extension(dir: &Path, extension: &str, look: &mut impl FnMut(&Path, &str)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" && entry.file_name() != "node_modules" {
            visit_with_extension(&path, extension, look);
        } else if path.extension().is_some_and(|found| found == extension) {
            look(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

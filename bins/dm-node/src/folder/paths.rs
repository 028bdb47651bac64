//! The paths in a folder: each is a path on every system, and stays in the folder.

use std::{
    collections::HashSet,
    path::{Component, Path},
};

use anyhow::{Context, ensure};
use dm_core::descriptor::ObjectName;
use unicode_normalization::UnicodeNormalization;

/// Longest path, in bytes.
pub(super) const MAX_PATH: usize = 1024;

/// The paths of one folder, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Paths {
    folders: HashSet<String>,
    /// All of them, as a system sees them that makes the fewest differences.
    folded: HashSet<String>,
}

impl Paths {
    /// Takes the next path, whose parts are separated by `/`.
    ///
    /// # Errors
    /// A path that could lead out of the folder, that some system cannot have or takes for
    /// one that is there, and one whose folder has not come before.
    pub(super) fn add(&mut self, path: &str, is_folder: bool) -> anyhow::Result<()> {
        self.check(path).with_context(|| format!("{path:?}"))?;
        if is_folder {
            self.folders.insert(path.to_owned());
        }
        Ok(())
    }

    fn check(&mut self, path: &str) -> anyhow::Result<()> {
        ensure!(path.len() <= MAX_PATH, "is a path of more than {MAX_PATH} bytes");
        for name in path.split('/') {
            name.parse::<ObjectName>()?;
            // On Windows, a name may begin with that of a drive.
            let mut components = Path::new(name).components();
            let is_plain =
                matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
            ensure!(is_plain, "is no path in a folder here");
        }
        if let Some((folder, _)) = path.rsplit_once('/') {
            ensure!(
                self.folders.contains(folder),
                "is in no folder that came before it"
            );
        }
        ensure!(
            self.folded.insert(folded(path)),
            "has the name of another one, at least on systems that tell fewer names apart"
        );
        Ok(())
    }
}

/// A path without what some systems do not tell apart: case, forms of Unicode, characters
/// that do not show, and dots and blanks at the end of a name.
fn folded(path: &str) -> String {
    let folded = |name: &str| -> String {
        let name = name.trim_end_matches(['.', ' ']);
        let composed: String = name.nfkc().filter(|character| !is_ignored(*character)).collect();
        composed.to_uppercase().to_lowercase().nfkc().collect()
    };
    path.split('/').map(folded).collect::<Vec<_>>().join("/")
}

/// The characters that HFS+ leaves out where it compares names.
fn is_ignored(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn paths_stay_in_their_folder() {
        for path in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/..",
            "../a",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{202e}b",
            "NUL",
            "com1.txt",
        ] {
            let mut paths = Paths::default();
            paths.add("a", true).unwrap();
            assert!(paths.add(path, false).is_err(), "{path:?}");
        }
        let long = "x/".repeat(MAX_PATH / 2) + "x";
        let error = Paths::default().add(&long, false).unwrap_err();
        assert!(format!("{error:#}").contains("more than 1024 bytes"), "{error:#}");
    }

    #[test]
    fn a_path_is_in_a_folder_that_came_before() {
        let mut paths = Paths::default();
        paths.add("a", true).unwrap();
        paths.add("a/b", true).unwrap();
        paths.add("a/b/c", false).unwrap();
        for orphan in ["b/c", "A/x", "a/b/c/d", "a/c/d"] {
            let error = paths.add(orphan, false).unwrap_err();
            assert!(format!("{error:#}").contains("in no folder"), "{error:#}");
        }
    }

    #[test]
    fn names_that_some_system_does_not_tell_apart_are_one() {
        for (name, same) in [
            ("a", "a"),
            ("report", "REPORT"),
            ("straße", "STRASSE"),
            ("\u{e9}t", "e\u{301}t"),
            ("a", "a."),
            ("a", "a "),
            (".git", ".g\u{200c}it"),
            ("\u{fb01}le", "file"),
        ] {
            let mut paths = Paths::default();
            paths.add(name, true).unwrap();
            let error = paths.add(same, false).unwrap_err();
            assert!(format!("{error:#}").contains("another one"), "{error:#}");
        }
        let mut paths = Paths::default();
        for name in ["a", "b", "ä", "a.b", ".a"] {
            paths.add(name, false).unwrap();
        }
    }
}

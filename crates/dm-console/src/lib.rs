#![doc = include_str!("../README.md")]

use dm_core::ports::{ConsolePages, PageFile};

include!("../dist/files.rs");

/// The files that `web/build.mjs` has made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pages;

impl ConsolePages for Pages {
    fn file(&self, path: &str) -> Option<PageFile> {
        let found = FILES.iter().find(|(name, _)| *name == path);
        found.map(|(_, file)| *file)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn the_page_may_load_nothing_from_elsewhere_and_runs_nothing_inline() {
        let page = Pages.file("/").unwrap();
        assert!(page.media_type.starts_with("text/html"));
        assert!(page.policy.starts_with("default-src 'none'"), "{}", page.policy);
        assert!(!page.policy.contains("unsafe"), "{}", page.policy);
        let text = std::str::from_utf8(page.bytes).unwrap();
        for word in ["http:", "https:", "style=", "<script>", "onload"] {
            assert!(!text.contains(word), "{word} is in the page");
        }
    }

    /// It may ask any chain, so it must be nobody who is signed in.
    #[test]
    fn the_checker_of_receipts_has_an_origin_of_its_own() {
        let checker = Pages.file("/receipt.html").unwrap();
        let sandbox = checker.policy.split(';').map(str::trim);
        let sandbox: Vec<_> = sandbox.filter(|part| part.starts_with("sandbox")).collect();
        assert_eq!(sandbox, ["sandbox allow-scripts allow-forms allow-downloads"]);
        assert!(!checker.policy.contains("unsafe"), "{}", checker.policy);
    }

    #[test]
    fn only_files_of_the_page_are_found() {
        for path in ["", "/../Cargo.toml", "/receipt", "/app.js/", "//"] {
            assert_eq!(Pages.file(path), None, "{path}");
        }
    }
}

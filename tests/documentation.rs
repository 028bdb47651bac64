//! What the documents say of the sources is true.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::sources::{root, visit_sources, visit_with_extension};

/// Parts of a name at least, so that it is taken for the name of a test.
const PARTS_OF_A_TEST_NAME: usize = 4;

#[test]
fn every_test_that_a_document_names_exists() {
    let functions = functions();
    let settings = settings();
    let mut cited = 0;
    let mut missing = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for name in code_spans(&text).filter(|name| is_test_name(name) && !is_metric(name)) {
            cited += 1;
            if !functions.contains(name) && !settings.contains(name) {
                missing.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
    assert!(cited > 100, "only {cited} tests are cited: the search is broken");
}

#[test]
fn every_promise_of_the_security_document_names_a_test() {
    let text = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    assert!(sections.len() > 10, "the document has lost its sections");
    for section in sections.iter().filter(|section| section.contains("*Promised*")) {
        let title = section.lines().next().unwrap();
        let shown_by = section.split_once("*Shown by*").map_or("", |(_, names)| names);
        assert!(
            code_spans(shown_by).any(is_test_name),
            "{title:?} promises something and names no test"
        );
    }
}

/// The example of a crate is what its README shows, of which some lines may be hidden. It is
/// in the crate, or in the project `embedding` if it needs several crates.
#[test]
fn an_example_of_a_crate_is_the_code_of_its_readme() {
    let mut examples = 0;
    for library in fs::read_dir(root().join("crates")).unwrap() {
        let library = library.unwrap().path();
        let name = library.file_name().unwrap().to_str().unwrap();
        let readme = fs::read_to_string(library.join("README.md")).unwrap();
        let shown = compact(readme.lines().map(|line| line.trim_start_matches("# ")));
        let mut compare = |file: &Path, text: &str| {
            examples += 1;
            let code = compact(text.lines().filter(|line| !line.starts_with("//!")));
            for statement in code.split([';', '{', '}']) {
                assert!(
                    shown.contains(statement),
                    "{}: {statement} is not shown",
                    file.display()
                );
            }
        };
        visit_with_extension(&library.join("examples"), "rs", &mut |file, text| {
            if text.contains("The code is that of the") {
                compare(file, text);
            }
        });
        visit_with_extension(&root().join("examples/embedding"), "rs", &mut |file, text| {
            if text.contains(&format!("of the README of `{name}`")) {
                compare(file, text);
            }
        });
    }
    assert!(examples >= 6, "{examples} examples");
}

/// Whoever copies an example of a crate's README needs the libraries that it names.
#[test]
fn the_readme_of_a_crate_lists_the_libraries_of_its_examples() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut libraries = libraries_in(&manifest);
    // In the examples this is the module of the standard library.
    libraries.remove("time");
    assert!(
        libraries.len() > 50,
        "the dependencies of the workspace are not found"
    );
    let mut missing = Vec::new();
    for krate in fs::read_dir(root().join("crates")).unwrap() {
        let readme = krate.unwrap().path().join("README.md");
        let text = fs::read_to_string(&readme).unwrap();
        let blocks = code_blocks(&text);
        let (manifests, code): (Vec<_>, Vec<_>) = blocks.iter().partition(|(kind, _)| *kind == "toml");
        let listed: BTreeSet<String> = manifests
            .iter()
            .flat_map(|(_, text)| libraries_in(text))
            .collect();
        for (_, code) in code
            .iter()
            .filter(|(kind, _)| kind.is_empty() || kind.starts_with("rust"))
        {
            let needed = libraries.iter().filter(|library| names_library(code, library));
            missing.extend(
                needed
                    .filter(|library| !listed.contains(*library))
                    .map(|library| format!("{}: {library}", readme.display())),
            );
        }
    }
    assert!(missing.is_empty(), "not listed:\n{}", missing.join("\n"));
}

/// The names of the dependencies in a manifest, or in a part of one.
fn libraries_in(manifest: &str) -> BTreeSet<String> {
    let names = manifest.lines().filter_map(|line| line.split_once(" = "));
    names
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| is_word(c) || c == '-'))
        .map(str::to_owned)
        .collect()
}

/// Whether a path in the code begins with this library.
fn names_library(code: &str, library: &str) -> bool {
    let path = format!("{}::", library.replace('-', "_"));
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|before| !is_word(before) && before != ':')
    })
}

/// The blocks of code of a document, each with its kind.
fn code_blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<&str> = lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .collect();
            blocks.push((kind, block.join("\n")));
        }
    }
    blocks
}

/// Code without what a formatter changes: white space, commas, and line breaks.
fn compact<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let text: String = lines.collect();
    text.replace([' ', ','], "")
}

/// All documents of the project.
fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<_> = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
        .map(|name| root().join(name))
        .into();
    for folder in ["docs", "crates", "bins", "examples"] {
        visit_with_extension(&root().join(folder), "md", &mut |file, _| {
            documents.push(file.to_owned());
        });
    }
    documents
}

/// Names of all functions, also of those that macros make.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    visit_sources(&mut |_, text| {
        let declared = text.split("fn ").skip(1);
        names.extend(declared.map(|rest| leading_word(rest).to_owned()));
    });
    names
}

/// Names of all settings.
fn settings() -> BTreeSet<String> {
    let default = Path::new("bins/dm-node/src/dm-node.default.toml");
    let text = fs::read_to_string(root().join(default)).unwrap();
    text.split(|c: char| !is_word(c)).map(str::to_owned).collect()
}

/// What stands between backticks in one line.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_test_name(span: &str) -> bool {
    span.split('_').filter(|part| !part.is_empty()).count() >= PARTS_OF_A_TEST_NAME
        && span
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether the name is that of a metric.
fn is_metric(span: &str) -> bool {
    dm_metrics::list::all().any(|metric| metric.name == span)
}

fn leading_word(text: &str) -> &str {
    text.split(|c: char| !is_word(c)).next().unwrap_or_default()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tar::Header;
use tempfile::tempdir;

use super::*;

/// An entry whose path nobody has checked.
fn entry(path: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    of_header(header, content)
}

fn of_header(mut header: Header, content: &[u8]) -> Vec<u8> {
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(path: &str) -> Vec<u8> {
    entry(path, b'0', b"content")
}

fn folder(path: &str) -> Vec<u8> {
    entry(path, b'5', b"")
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn declared(entries: u64, files: u64) -> Declared {
    Declared {
        entries,
        bytes: files * b"content".len() as u64,
    }
}

/// Why an archive is refused. Nothing is left of it, neither within the target nor beside.
fn refusal(archive: &[u8], declared: Declared) -> String {
    let home = tempdir().unwrap();
    let error = unpack(archive, declared, &home.path().join("target")).unwrap_err();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "{error:#}");
    format!("{error:#}")
}

#[test]
fn an_archive_becomes_a_folder() {
    let home = tempdir().unwrap();
    let target = home.path().join("target");
    let bytes = archive(&[folder("a"), file("a/b"), folder("c/"), file("d")]);
    unpack(bytes.as_slice(), declared(4, 2), &target).unwrap();
    assert_eq!(fs::read(target.join("a/b")).unwrap(), b"content");
    assert_eq!(fs::read(target.join("d")).unwrap(), b"content");
    assert_eq!(fs::read_dir(target.join("c")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn what_is_there_stays_as_it_is() {
    let home = tempdir().unwrap();
    let target = home.path().join("target");
    let bytes = archive(&[file("a")]);
    fs::write(&target, "mine").unwrap();
    let error = unpack(bytes.as_slice(), declared(1, 1), &target).unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    fs::remove_file(&target).unwrap();
    fs::create_dir(&target).unwrap();
    assert!(unpack(bytes.as_slice(), declared(1, 1), &target).is_err());
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in [
        "../evil",
        "..",
        "/evil",
        "a/../../evil",
        "./evil",
        "a//evil",
        "\\evil",
        "a/.",
    ] {
        let reason = refusal(&archive(&[folder("a"), file(path)]), declared(2, 1));
        assert!(reason.contains("the archive is not unpacked"), "{path}: {reason}");
        let reason = refusal(&archive(&[folder("a"), folder(path)]), declared(2, 0));
        assert!(reason.contains("the archive is not unpacked"), "{path}: {reason}");
    }
}

#[test]
fn the_end_of_a_path_that_stands_apart_is_checked_too() {
    let long = |path: &str| entry("././@LongLink", b'L', format!("{path}\0").as_bytes());
    let deep = "d".repeat(120);
    let good = archive(&[long(&deep), file("cut")]);
    let home = tempdir().unwrap();
    unpack(good.as_slice(), declared(1, 1), &home.path().join("target")).unwrap();

    let out = format!("{}/../../evil", "d".repeat(120));
    refusal(&archive(&[long(&out), file("harmless")]), declared(1, 1));
    let two = archive(&[long(&deep), long("other"), file("cut")]);
    assert!(refusal(&two, declared(1, 1)).contains("two paths"));
    let without_entry = archive(&[file("a"), long(&deep)]);
    assert!(refusal(&without_entry, declared(1, 1)).contains("less in it"));
    let zero = archive(&[long("a\0b"), file("cut")]);
    assert!(refusal(&zero, declared(1, 1)).contains("control characters"));
}

#[test]
fn a_path_without_end_fills_no_memory() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    let bytes = of_header(header, b"");
    let endless = bytes.as_slice().chain(io::repeat(b'a'));
    let home = tempdir().unwrap();
    let error = unpack(endless, declared(1, 1), &home.path().join("target")).unwrap_err();
    assert!(format!("{error:#}").contains("more than 1024 bytes"), "{error:#}");
}

#[test]
fn links_are_refused_and_nothing_is_written_through_them() {
    let home = tempdir().unwrap();
    let outside = home.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for kind in [b'1', b'2'] {
        let mut header = Header::new_gnu();
        header.set_path("link").unwrap();
        header.set_entry_type(EntryType::new(kind));
        header.set_link_name(&outside).unwrap();
        header.set_size(0);
        let bytes = archive(&[of_header(header, b""), file("link/evil")]);
        let reason = refusal(&bytes, declared(2, 1));
        assert!(reason.contains("neither a file nor a folder"), "{reason}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn devices_pipes_and_unknown_kinds_are_refused() {
    for kind in [b'3', b'4', b'6', b'7', b'K', b'V', b'M', b'A', 0xff] {
        let reason = refusal(&archive(&[entry("odd", kind, b"")]), declared(1, 0));
        assert!(reason.contains("neither a file nor a folder"), "{kind}: {reason}");
    }
}

#[test]
fn a_sparse_file_of_any_form_is_refused() {
    let mut header = Header::new_gnu();
    header.set_path("sparse").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.set_real_size(1 << 50);
    }
    let reason = refusal(&archive(&[of_header(header, b"")]), declared(1, 0));
    assert!(reason.contains("kind 'S'"), "{reason}");
    let pax = b"22 GNU.sparse.major=1\n28 GNU.sparse.realsize=999999\n";
    let reason = refusal(&archive(&[entry("x", b'x', pax), file("a")]), declared(1, 1));
    assert!(reason.contains("kind 'x'"), "{reason}");
}

#[test]
fn extensions_that_programs_read_differently_are_refused() {
    for kind in [b'x', b'g'] {
        let bytes = archive(&[entry("pax", kind, b"13 size=4096\n"), file("a")]);
        let reason = refusal(&bytes, declared(1, 1));
        assert!(reason.contains("neither a file nor a folder"), "{reason}");
    }
}

#[test]
fn one_path_comes_once_on_every_system() {
    for (first, second) in [("a", "a"), ("a", "A"), ("\u{e9}t", "e\u{301}t"), ("a", "a.")] {
        let reason = refusal(&archive(&[file(first), file(second)]), declared(2, 2));
        assert!(reason.contains("has the name of another one"), "{reason}");
    }
    refusal(&archive(&[file("a"), folder("a")]), declared(2, 1));
    refusal(&archive(&[file("a"), file("a/b")]), declared(2, 2));
    refusal(&archive(&[folder("a"), file("A/b")]), declared(2, 1));
}

#[test]
fn names_that_deceive_are_refused() {
    for name in [
        "a\x1b[2Jb",
        "a\tb",
        "gpj.\u{202e}exe",
        "NUL",
        "aux.txt",
        "...",
        " ",
    ] {
        let reason = refusal(&archive(&[file(name)]), declared(1, 1));
        assert!(
            reason.contains("the archive is not unpacked"),
            "{name:?}: {reason}"
        );
        assert!(!reason.contains(['\x1b', '\t', '\u{202e}']), "{reason:?}");
    }
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..2].copy_from_slice(b"\xff\xfe");
    header.set_size(0);
    let reason = refusal(&archive(&[of_header(header, b"")]), declared(1, 0));
    assert!(reason.contains("not in UTF-8"), "{reason}");
}

#[test]
fn an_archive_has_what_was_declared_no_more_and_no_less() {
    let bytes = archive(&[file("a"), file("b")]);
    let reason = refusal(&bytes, declared(1, 2));
    assert!(reason.contains("more files"), "{reason}");
    let reason = refusal(&bytes, declared(2, 1));
    assert!(reason.contains("more bytes"), "{reason}");
    for more in [declared(3, 2), declared(2, 3)] {
        let reason = refusal(&bytes, more);
        assert!(reason.contains("less in it"), "{reason}");
    }
}

#[test]
fn a_file_that_claims_more_than_can_be_is_refused_before_it_is_written() {
    let mut header = Header::new_gnu();
    header.set_path("bomb").unwrap();
    header.set_size(u64::MAX / 2);
    let bytes = of_header(header, b"");
    let endless = bytes.as_slice().chain(io::repeat(0));
    let home = tempdir().unwrap();
    let error = unpack(endless, declared(1, 1), &home.path().join("target")).unwrap_err();
    assert!(format!("{error:#}").contains("more bytes"), "{error:#}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn an_archive_that_breaks_off_is_refused_wherever_it_does() {
    let bytes = archive(&[folder("a"), file("a/b"), file("c")]);
    let content_end = 512 + 1024 + 512 + b"content".len();
    for length in (0..content_end).step_by(61) {
        refusal(&bytes[..length], declared(3, 2));
    }
}

#[test]
fn nothing_is_hidden_behind_the_end() {
    let mut bytes = archive(&[file("a")]);
    bytes.extend(file("hidden"));
    let reason = refusal(&bytes, declared(1, 1));
    assert!(reason.contains("behind its end"), "{reason}");
}

#[test]
fn a_folder_with_bytes_of_its_own_and_a_wrong_checksum_are_refused() {
    let reason = refusal(&archive(&[entry("a", b'5', b"content")]), declared(1, 1));
    assert!(reason.contains("bytes of its own"), "{reason}");
    let mut bytes = archive(&[file("a")]);
    bytes[0] = b'b';
    assert!(refusal(&bytes, declared(1, 1)).contains("checksum"));
}

#[test]
fn no_bytes_make_it_panic_or_leave_anything() {
    use proptest::prelude::*;

    let good = archive(&[folder("a"), file("a/b"), file("c")]);
    let changes = proptest::collection::vec((0..good.len(), any::<u8>()), 1..8);
    proptest!(ProptestConfig::with_cases(64), |(changes in changes)| {
        let mut bytes = good.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let home = tempdir().unwrap();
        let target = home.path().join("target");
        let unpacked = unpack(bytes.as_slice(), declared(3, 2), &target);
        prop_assert_eq!(unpacked.is_ok(), target.exists());
        let left = fs::read_dir(home.path()).unwrap().count();
        prop_assert_eq!(left, usize::from(unpacked.is_ok()));
    });
}

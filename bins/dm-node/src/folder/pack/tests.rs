#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::folder::unpack;

fn packed(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let folder = Folder::read(folder)?;
    folder.pack(&mut bytes)?;
    assert_eq!(bytes.len() as u64, folder.archive_len());
    Ok(bytes)
}

fn sample() -> TempDir {
    let home = tempdir().unwrap();
    let place = home.path();
    fs::create_dir_all(place.join("minutes/old")).unwrap();
    fs::create_dir(place.join("nothing in it")).unwrap();
    fs::write(place.join("minutes/novembre-é.txt"), "what was said").unwrap();
    fs::write(place.join("empty"), "").unwrap();
    fs::write(place.join("block"), [7; 512]).unwrap();
    home
}

fn refusal(folder: &Path) -> String {
    format!("{:#}", packed(folder).unwrap_err())
}

#[test]
fn the_same_folder_is_the_same_archive_whoever_has_it_and_whenever() {
    let (first, second) = (sample(), tempdir().unwrap());
    let bytes = packed(first.path()).unwrap();
    let copy = second.path().join("copy");
    let declared = Folder::read(first.path()).unwrap().declared();
    unpack(bytes.as_slice(), declared, &copy).unwrap();
    let later = fs::File::options().append(true).open(copy.join("empty")).unwrap();
    later.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(packed(&copy).unwrap(), bytes);
    fs::write(copy.join("empty"), "!").unwrap();
    assert_ne!(packed(&copy).unwrap(), bytes);
}

#[test]
fn paths_of_every_length_have_room() {
    let home = tempdir().unwrap();
    let folder = "f".repeat(90);
    fs::create_dir(home.path().join(&folder)).unwrap();
    for length in 1..140 {
        let name = "n".repeat(length);
        match length % 2 {
            0 => fs::write(home.path().join(&folder).join(name), name_bytes(length)).unwrap(),
            _ => fs::create_dir(home.path().join(&folder).join(name)).unwrap(),
        }
    }
    let bytes = packed(home.path()).unwrap();
    let declared = Folder::read(home.path()).unwrap().declared();
    let copy = home.path().join("copy");
    unpack(bytes.as_slice(), declared, &copy).unwrap();
    assert_eq!(packed(&copy).unwrap(), bytes);
}

fn name_bytes(length: usize) -> Vec<u8> {
    vec![1; length * 8]
}

#[cfg(unix)]
#[test]
fn only_that_a_file_can_be_executed_is_kept_of_its_rights() {
    use std::os::unix::fs::PermissionsExt;

    let home = sample();
    let set = |name, mode| fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(mode));
    set("empty", 0o4700).unwrap();
    set("block", 0o666).unwrap();
    let bytes = packed(home.path()).unwrap();
    let declared = Folder::read(home.path()).unwrap().declared();
    let copy = home.path().join("copy");
    unpack(bytes.as_slice(), declared, &copy).unwrap();
    let mode = |name| fs::metadata(copy.join(name)).unwrap().permissions().mode();
    assert_eq!(mode("empty") & 0o7100, 0o100);
    assert_eq!(mode("block") & 0o7111, 0);
    assert_ne!(mode("minutes") & 0o100, 0);
}

#[cfg(unix)]
#[test]
fn links_and_special_files_are_not_shared() {
    let home = sample();
    let odd = home.path().join("odd");
    std::os::unix::fs::symlink("/etc/passwd", &odd).unwrap();
    assert!(refusal(home.path()).contains("odd cannot be shared: it is a link"));
    fs::remove_file(&odd).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&odd).unwrap();
    let reason = refusal(home.path());
    assert!(reason.contains("neither a file nor a folder"), "{reason}");
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_other_systems_cannot_have_are_not_shared() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let home = sample();
    for (name, expected) in [
        (OsStr::new("EMPTY"), "has the name of another one"),
        (OsStr::new("nul.txt"), "keeps for a device"),
        (OsStr::new("a\\b"), "without a path"),
        (OsStr::new("line\nbreak"), "control characters"),
        (OsStr::from_bytes(b"\xff"), "not in UTF-8"),
    ] {
        fs::write(home.path().join(name), "").unwrap();
        let reason = refusal(home.path());
        assert!(reason.contains(expected), "{name:?}: {reason}");
        fs::remove_file(home.path().join(name)).unwrap();
    }
}

#[test]
fn a_folder_that_changes_meanwhile_is_not_shared() {
    let changes: [fn(&Path); 4] = [
        |place| fs::write(place, "what was said!").unwrap(),
        |place| fs::write(place, "what").unwrap(),
        |place| fs::remove_file(place).unwrap(),
        |place| {
            fs::remove_file(place).unwrap();
            fs::create_dir(place).unwrap();
        },
    ];
    for change in changes {
        let home = sample();
        let folder = Folder::read(home.path()).unwrap();
        change(&home.path().join("minutes/novembre-é.txt"));
        let error = folder.pack(io::sink()).unwrap_err();
        assert!(
            format!("{error:#}").contains("novembre-é.txt cannot be shared"),
            "{error:#}"
        );
    }
}

#[tokio::test]
async fn a_stream_has_the_archive_or_ends_with_an_error() {
    use futures::TryStreamExt;

    let home = sample();
    fs::write(home.path().join("large"), vec![3; 3 * PIECE]).unwrap();
    let folder = Arc::new(Folder::read(home.path()).unwrap());
    let (pieces, mut fault) = folder.clone().stream();
    let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
    let archive = packed(home.path()).unwrap();
    assert_eq!(pieces.concat(), archive);
    assert!(fault.try_recv().is_err());
    assert_eq!(folder.clone().hash().await.unwrap(), DataHash::of(&archive));

    fs::write(home.path().join("large"), "").unwrap();
    let (pieces, mut fault) = folder.stream();
    assert!(pieces.try_collect::<Vec<Bytes>>().await.is_err());
    let reason = format!("{:#}", fault.try_recv().unwrap());
    assert!(
        reason.contains("large cannot be shared: it was changed"),
        "{reason}"
    );
}

//! Tells the readers of an object which files are in it, before they fetch it.

use dm_core::descriptor::{Description, InvalidDescription, LabelPairs, Labels};

use super::{Folder, contents::Entry};

/// Files of a listing, at most. Each is a label, by which an inbox can be searched.
const MAX_LISTED: usize = 16;
/// Characters of one line, as many as a label may have.
const MAX_LINE: usize = 256;

/// These labels, and the first files of a folder: `listing.01` and so on, each with its
/// bytes and its path, such as `5120 minutes/november.txt`. There are as many as the
/// descriptor has room for.
///
/// # Errors
/// Labels that cannot be said of data.
pub(crate) fn labels_with_listing(
    folder: &Folder,
    description: &Description,
    given: &[(String, String)],
) -> Result<Labels, InvalidDescription> {
    let files = folder.entries.iter().filter(|entry| entry.file.is_some());
    let mut listed: Vec<_> = files.take(MAX_LISTED).enumerate().map(label).collect();
    loop {
        let pairs = given.iter().chain(&listed).cloned();
        let labels = Labels::try_from(pairs.collect::<LabelPairs>());
        let fits = labels.clone().and_then(|labels| {
            let described = Description {
                labels,
                ..description.clone()
            };
            described.ensure_fits()
        });
        // Without a listing, the faults are those of the caller.
        if fits.is_ok() || listed.pop().is_none() {
            return labels;
        }
    }
}

fn label((index, entry): (usize, &Entry)) -> (String, String) {
    let size = entry.file.as_ref().map_or(0, |file| file.size);
    let line = format!("{size} {}", entry.path);
    let line = match line.char_indices().nth(MAX_LINE) {
        // The end of a path says more than its beginning.
        Some(_) => {
            let start = format!("{size} …");
            let kept = MAX_LINE - start.chars().count();
            let behind = entry.path.chars().count() - kept;
            start + &entry.path.chars().skip(behind).collect::<String>()
        }
        None => line,
    };
    (format!("listing.{:02}", index + 1), line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::fs;

    use tempfile::tempdir;

    use super::*;

    fn labels(folder: &Folder, given: &[(String, String)]) -> Vec<(String, String)> {
        let labels = labels_with_listing(folder, &Description::default(), given).unwrap();
        let pairs = labels.iter();
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_listing_has_the_first_files_and_their_sizes() {
        let home = tempdir().unwrap();
        fs::create_dir(home.path().join("sub")).unwrap();
        fs::write(home.path().join("sub/b.txt"), "four").unwrap();
        fs::write(home.path().join("a.txt"), "").unwrap();
        let given = [("stage".to_owned(), "final".to_owned())];
        let expected = [
            ("listing.01", "0 a.txt"),
            ("listing.02", "4 sub/b.txt"),
            ("stage", "final"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(labels(&Folder::read(home.path()).unwrap(), &given), expected);
    }

    #[test]
    fn a_listing_takes_the_room_that_is_left() {
        let home = tempdir().unwrap();
        let folder = "f".repeat(250);
        fs::create_dir(home.path().join(&folder)).unwrap();
        for n in 10..40 {
            fs::write(home.path().join(&folder).join(format!("{n}.txt")), "").unwrap();
        }
        let folder = Folder::read(home.path()).unwrap();
        let many = labels(&folder, &[]);
        assert!((10..=MAX_LISTED).contains(&many.len()), "{}", many.len());
        let (_, line) = &many[0];
        assert!(line.starts_with("0 …fff") && line.ends_with("/10.txt"), "{line}");
        assert_eq!(line.chars().count(), MAX_LINE);

        let given: Vec<_> = (0..30).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(labels(&folder, &given).len(), 32);
        let taken = [("listing.01".to_owned(), String::new())];
        assert_eq!(labels(&folder, &taken), taken);
    }
}

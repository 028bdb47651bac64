//! The form of a data directory as a whole, so that an older version does not work on what a
//! newer one has written. Most stores tell that by themselves; their first change of form may
//! come before any of them is opened.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, bail};

use crate::data_dir::replace_file;

/// The form that this version writes. It grows when an older version would misread or damage
/// what this one leaves behind; `docs/upgrade.md` says what changes.
const FORMAT: u32 = 1;
/// The file that holds the number.
const FILE: &str = "format";

/// Refuses a directory that a newer version has written. One without a number is older.
///
/// # Errors
/// With one sentence, which says what to do.
pub(crate) fn check(data_dir: &Path) -> anyhow::Result<()> {
    let file = data_dir.join(FILE);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let Ok(format) = text.trim().parse::<u32>() else {
        bail!("{} holds no number: restore a backup", file.display());
    };
    if format > FORMAT {
        bail!(
            "{} was written by a newer version of dm-node (format {format}, this version knows {FORMAT}): run that version, or restore a backup that an older one made",
            data_dir.display()
        );
    }
    Ok(())
}

/// Notes that this version writes the directory, where that is not noted yet.
///
/// # Errors
/// As [`check`], and where the note cannot be written.
pub(crate) fn note(data_dir: &Path) -> anyhow::Result<()> {
    check(data_dir)?;
    let file = data_dir.join(FILE);
    let noted = format!("{FORMAT}\n");
    if fs::read(&file).is_ok_and(|text| text == noted.as_bytes()) {
        return Ok(());
    }
    replace_file(data_dir, FILE, &noted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_a_newer_version_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        note(dir.path()).unwrap();
        note(dir.path()).unwrap();
        check(dir.path()).unwrap();
        for (text, expected) in [("2\n", "newer version"), ("99", "format 99"), ("", "no number")] {
            fs::write(dir.path().join(FILE), text).unwrap();
            for refused in [check(dir.path()), note(dir.path())] {
                let refused = refused.unwrap_err().to_string();
                assert!(refused.contains(expected), "{refused}");
            }
            assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), text);
        }
        fs::write(dir.path().join(FILE), "0").unwrap();
        note(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), "1\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

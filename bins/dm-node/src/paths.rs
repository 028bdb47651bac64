//! Paths on the command line.

use std::path::Path;

/// The file that is meant; `-` is standard input.
pub(crate) fn input_path(path: &Path) -> &Path {
    if path.as_os_str() == "-" {
        Path::new("/dev/stdin")
    } else {
        path
    }
}

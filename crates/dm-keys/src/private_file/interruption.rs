//! Lets tests break a process off at each step of its writes.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex},
};

use crate::KeyError;

/// Steps of one [`replace`](super::replace).
pub(crate) const STEPS: u32 = 3;

/// A process that comes to its end.
struct End {
    steps_left: u32,
    has_come: bool,
}

/// By the directory that the process writes in.
static ENDS: LazyLock<Mutex<HashMap<PathBuf, End>>> = LazyLock::new(Mutex::default);

/// Breaks off whatever is written in the directory after so many further steps.
pub(crate) fn after(dir: &Path, steps: u32) {
    let end = End {
        steps_left: steps,
        has_come: false,
    };
    ENDS.lock().unwrap().insert(dir.to_owned(), end);
}

/// Writes go through again; whether any was broken off.
pub(crate) fn end(dir: &Path) -> bool {
    let end = ENDS.lock().unwrap().remove(dir);
    end.is_some_and(|end| end.has_come)
}

/// Fails where the process ends at this step, or has ended before it.
pub(super) fn step(path: &Path) -> Result<(), KeyError> {
    let mut ends = ENDS.lock().unwrap();
    let Some(end) = path.parent().and_then(|dir| ends.get_mut(dir)) else {
        return Ok(());
    };
    match end.steps_left.checked_sub(1) {
        Some(rest) => end.steps_left = rest,
        None => end.has_come = true,
    }
    match end.has_come {
        false => Ok(()),
        true => Err(KeyError::io("write", path)(io::Error::other("interrupted"))),
    }
}

//! Disks that get full or fail.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::NodeSetup;

/// The library that makes a disk fail; the tests of the stores use it as well.
const SHIM: &str = include_str!("../../crates/dm-storage/tests/common/faulty_disk.c");

/// What a machine without the rights or the tools for a test does: nothing, or
/// fail where the environment says that it must have them.
pub(crate) fn skipped(required: &str, reason: &str) {
    assert!(
        std::env::var_os(required).is_none(),
        "{required} is set, but: {reason}"
    );
    println!("skipped: {reason}");
}

/// A file system in memory, mounted as long as this lives.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one, or says why this machine does not allow it.
    pub(crate) fn mount(mib: u64) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path());
        run(&mut mount)?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for size in [1 << 20, 4096] {
            let piece = vec![7; size];
            while filler.write_all(&piece).is_ok() {}
        }
    }

    /// Gives that room back.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that was killed may still be going away.
        if let Err(reason) = run(Command::new("umount").arg("-l").arg(self.path())) {
            println!("{reason}");
        }
    }
}

/// A disk that fails when it is told to.
pub(crate) struct FaultyDisk {
    home: TempDir,
}

impl FaultyDisk {
    /// Makes one, or says why this machine has no compiler for it.
    pub(crate) fn new() -> Result<Self, String> {
        let disk = Self {
            home: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(disk.path()).unwrap();
        compile(SHIM, &disk.shim())?;
        Ok(disk)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("disk")
    }

    /// A node that has its data on this disk.
    pub(crate) fn setup(&self) -> NodeSetup {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        NodeSetup::new(&self.path().join("node"))
            .env("LD_PRELOAD", &text(&self.shim()))
            .env("FAULTY_FOLDER", &text(&self.path()))
            .env("FAULTY_CONTROL", &text(&self.control()))
    }

    /// From now on the disk fails like this: `fsync`, `full`, `readonly` or `slow`.
    pub(crate) fn fails(&self, how: &str) {
        let next = self.home.path().join("next");
        fs::write(&next, how).unwrap();
        fs::rename(next, self.control()).unwrap();
    }

    /// The disk works again.
    pub(crate) fn works(&self) {
        let _ = fs::remove_file(self.control());
    }

    fn shim(&self) -> PathBuf {
        self.home.path().join("faulty_disk.so")
    }

    fn control(&self) -> PathBuf {
        self.home.path().join("control")
    }
}

/// Compiles a library that is loaded before libc (`LD_PRELOAD`), or says why it cannot be.
pub(crate) fn compile(source: &str, library: &Path) -> Result<(), String> {
    let text = library.with_extension("c");
    fs::write(&text, source).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]);
    run(cc.arg(library).arg(&text).arg("-ldl"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", errors.trim()))
}

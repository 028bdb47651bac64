//! A process over a disk that can be told to fail, and killed in the end.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::command;

const SHIM: &str = include_str!("faulty_disk.c");
const FOLDER: &str = "FAULTY_FOLDER";
const CONTROL: &str = "FAULTY_CONTROL";
/// Where it is set, a machine on which the disk cannot be made to fail is a failure.
const REQUIRED: &str = "REQUIRE_FAULTY_DISK";
const SIGKILL: i32 = 9;

/// The disk, as the process that works on it sees it.
pub(crate) struct FaultyDisk {
    folder: PathBuf,
    control: PathBuf,
}

impl FaultyDisk {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on the disk fails like this: `fsync`, `full` or `readonly`.
    pub(crate) fn fails(&self, how: &str) {
        let next = self.control.with_extension("next");
        fs::write(&next, how).unwrap();
        fs::rename(next, &self.control).unwrap();
    }

    /// The disk works again.
    pub(crate) fn works(&self) {
        fs::remove_file(&self.control).unwrap();
    }
}

/// Runs `work` in a process of its own, which is killed after it, and then
/// `checks` in this one. `test` is the path of the test that calls this.
pub(crate) fn killed_after<Work>(
    test: &str,
    work: impl FnOnce(FaultyDisk) -> Work,
    checks: impl AsyncFnOnce(&Path),
) where
    Work: Future<Output = ()>,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let (Some(folder), Some(control)) = (std::env::var_os(FOLDER), std::env::var_os(CONTROL)) {
        let disk = FaultyDisk {
            folder: folder.into(),
            control: control.into(),
        };
        runtime.block_on(work(disk));
        kill_self();
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("disk");
    fs::create_dir(&folder).unwrap();
    let shim = match compile(&home) {
        Ok(shim) => shim,
        Err(reason) if std::env::var_os(REQUIRED).is_none() => {
            println!("skipped: the disk cannot be made to fail here: {reason}");
            return;
        }
        Err(reason) => panic!("the disk cannot be made to fail: {reason}"),
    };
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("LD_PRELOAD", shim)
        .env(FOLDER, &folder)
        .env(CONTROL, home.path().join("control"))
        .stdout(Stdio::inherit())
        .status()
        .unwrap();
    assert_eq!(ended.signal(), Some(SIGKILL), "the work failed: {ended}");
    runtime.block_on(checks(&folder));
}

fn compile(home: &TempDir) -> Result<PathBuf, String> {
    let (source, shim) = (
        home.path().join("faulty_disk.c"),
        home.path().join("faulty_disk.so"),
    );
    fs::write(&source, SHIM).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&shim)
        .arg(&source)
        .arg("-ldl");
    command::run(&mut cc).map(|()| shim)
}

fn kill_self() -> ! {
    let id = std::process::id().to_string();
    let _ = Command::new("kill").args(["-9", &id]).status();
    std::process::abort();
}

//! Helpers for tests that take the disk away.

mod command;
#[cfg(target_os = "linux")]
pub(crate) mod faulty_disk;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use command::run;

/// A small ext4 file system in a file, mounted for as long as this lives.
pub(crate) struct LoopDisk {
    folder: TempDir,
    mounted: bool,
}

impl LoopDisk {
    /// Makes and mounts one, or says why this machine does not allow it.
    pub(crate) fn new(bytes: u64) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut disk = Self {
            folder,
            mounted: false,
        };
        let image = File::create(disk.image()).map_err(|error| error.to_string())?;
        image.set_len(bytes).map_err(|error| error.to_string())?;
        fs::create_dir(disk.path()).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").arg("-q").arg("-F").arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Takes the power away: what is not on the disk by now never gets there.
    pub(crate) fn cut_power(&self) -> Result<(), String> {
        run(Command::new("python3").arg("-c").arg(SHUTDOWN).arg(self.path()))
    }

    /// Mounts it again, as after a restart of the machine.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.image())
            .arg(self.path()))?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        self.mounted = false;
        run(Command::new("umount").arg(self.path()))
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = self.unmount()
        {
            eprintln!("{error}");
        }
    }
}

/// `EXT4_IOC_SHUTDOWN` with the flag that does not even write the file
/// system's own journal out. In Python because an ioctl is unsafe in Rust.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
EXT4_IOC_SHUTDOWN = 0x8004587d
NO_LOG_FLUSH = 2
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), EXT4_IOC_SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
";

/// Number of files in a folder.
pub(crate) fn count_files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

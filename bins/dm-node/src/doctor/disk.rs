//! Room and speed of the disks that the node writes to.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dm_core::config::NodeConfig;

use super::Finding;

const CHECK: &str = "disk";
/// How often a small write is synced; the slowest half does not count.
const SYNCS: usize = 20;
/// Bytes that are written to measure the speed.
const MEASURED: usize = 16 << 20;
/// A disk below this has no room for much more than the node keeps free for itself.
const LITTLE_ROOM: u64 = 1 << 30;
/// Time of a sync from which shares are slow: each acknowledged batch waits for at least one.
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// Bytes a second below which large uploads are slow.
const SLOW_WRITES: u64 = 20_000_000;

/// What was measured of a disk.
#[derive(Debug, Clone, Copy)]
struct Measured {
    free: u64,
    sync: Duration,
    bytes_per_sec: u64,
}

pub(super) async fn examine(config: &NodeConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in folders(config) {
        let measured = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || measure(&folder)).await
        };
        findings.extend(match measured {
            Ok(Ok(measured)) => judge(&folder, measured),
            Ok(Err(error)) => vec![unmeasured(&folder, &error)],
            Err(error) => vec![unmeasured(&folder, &io::Error::other(error))],
        });
    }
    findings
}

/// The folders that are there, of which several may be on one disk.
fn folders(config: &NodeConfig) -> Vec<PathBuf> {
    let catalog = config.catalog_file();
    let folders = [
        Some(config.data_dir.clone()),
        Some(config.objects_dir()),
        catalog.parent().map(Path::to_owned),
    ];
    let mut there: Vec<PathBuf> = folders.into_iter().flatten().filter(|dir| dir.is_dir()).collect();
    there.dedup_by(|folder, before| same_disk(folder, before));
    there
}

fn same_disk(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => one.dev() == other.dev(),
        _ => false,
    }
}

/// Writes a file in the folder, and removes it again.
fn measure(folder: &Path) -> io::Result<Measured> {
    let path = folder.join(format!(".dm-node-doctor-{}", std::process::id()));
    let measured = measure_with(&path, folder);
    std::fs::remove_file(&path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    measured
}

fn measure_with(path: &Path, folder: &Path) -> io::Result<Measured> {
    let disk = rustix::fs::statvfs(folder)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut syncs = (0..SYNCS)
        .map(|_| timed(&mut file, &[0x5A; 4096]))
        .collect::<io::Result<Vec<_>>>()?;
    syncs.sort_unstable();
    // A disk that is nearly full is not filled to measure it.
    let bytes = if free > 4 * MEASURED as u64 {
        MEASURED
    } else {
        4096
    };
    let took = timed(&mut file, &vec![0x5A; bytes])?;
    Ok(Measured {
        free,
        sync: syncs[SYNCS / 2],
        bytes_per_sec: (bytes as f64 / took.as_secs_f64().max(1e-9)) as u64,
    })
}

fn timed(file: &mut File, bytes: &[u8]) -> io::Result<Duration> {
    let started = Instant::now();
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(started.elapsed())
}

fn judge(folder: &Path, measured: Measured) -> Vec<Finding> {
    let place = folder.display();
    let Measured {
        free,
        sync,
        bytes_per_sec,
    } = measured;
    let mut findings = Vec::new();
    if free < LITTLE_ROOM {
        let found = format!("{place}: {} MiB are free", free >> 20);
        let action = "make room, or move data_dir, db_path or sqlite_db_path to a larger disk";
        findings.push(Finding::fault(CHECK, found, action));
    }
    if sync > SLOW_SYNC {
        let found = format!("{place}: a sync takes {:.1} ms", sync.as_secs_f64() * 1e3);
        let action = "use an SSD that is attached to this machine; a sync is what a share waits for";
        findings.push(Finding::warning(CHECK, found, action));
    }
    if bytes_per_sec < SLOW_WRITES {
        let found = format!("{place}: {:.1} MB/s are written", bytes_per_sec as f64 / 1e6);
        let action = "use a faster disk, or look for what else writes to it";
        findings.push(Finding::warning(CHECK, found, action));
    }
    if findings.is_empty() {
        let found = format!(
            "{place}: {} GiB are free, a sync takes {:.1} ms, {} MB/s are written",
            free >> 30,
            sync.as_secs_f64() * 1e3,
            bytes_per_sec / 1_000_000
        );
        findings.push(Finding::good(CHECK, found));
    }
    findings
}

fn unmeasured(folder: &Path, error: &io::Error) -> Finding {
    let found = format!("{}: the disk cannot be measured: {error}", folder.display());
    Finding::fault(
        CHECK,
        found,
        "run this as the user that runs the node, and look at the disk",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    const GOOD: Measured = Measured {
        free: 1 << 40,
        sync: Duration::from_millis(1),
        bytes_per_sec: 500_000_000,
    };

    fn judged(measured: Measured) -> Vec<(Severity, String)> {
        let findings = judge(Path::new("/data"), measured).into_iter();
        findings
            .map(|finding| (finding.severity, finding.found))
            .collect()
    }

    #[test]
    fn a_full_or_slow_disk_is_found() {
        assert_eq!(judged(GOOD)[0].0, Severity::Good);
        let full = judged(Measured {
            free: 5 << 20,
            ..GOOD
        });
        assert_eq!(full, [(Severity::Fault, "/data: 5 MiB are free".to_owned())]);
        let sync = Duration::from_millis(80);
        let slow = judged(Measured {
            sync,
            bytes_per_sec: 1_500_000,
            ..GOOD
        });
        assert_eq!(
            slow[0],
            (Severity::Warning, "/data: a sync takes 80.0 ms".to_owned())
        );
        assert_eq!(
            slow[1],
            (Severity::Warning, "/data: 1.5 MB/s are written".to_owned())
        );
    }

    #[tokio::test]
    async fn a_disk_is_measured_and_nothing_is_left_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = NodeConfig {
            data_dir: dir.path().to_owned(),
            ..NodeConfig::default()
        };
        let findings = examine(&config).await;
        assert!(!findings.is_empty());
        assert!(
            findings
                .iter()
                .all(|finding| !finding.found.contains("cannot be measured")),
            "{findings:?}"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(measure(Path::new("/nowhere")).is_err());
    }
}

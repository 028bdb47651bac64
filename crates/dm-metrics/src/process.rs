//! What the system knows of the process.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use crate::{
    list,
    readings::{Readings, Source},
};

/// Reads what the system knows of this process. Where there is no `/proc`, that is when it
/// started and how many files it may open.
pub struct ProcessSource {
    version: &'static str,
    started: f64,
}

impl ProcessSource {
    /// A source for the process of a program in this version, which has just started.
    pub fn new(version: &'static str) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            version,
            started: since_epoch.map_or(0.0, |since| since.as_secs_f64()),
        }
    }
}

impl Source for ProcessSource {
    fn read(&self, readings: &mut Readings) {
        readings.add(&list::BUILD, &[self.version], 1u64);
        readings.add(&list::START_TIME, &[], self.started);
        if let Some(most) = getrlimit(Resource::Nofile).current {
            readings.add(&list::MAX_FDS, &[], most);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            readings.add(&list::OPEN_FDS, &[], open.count());
        }
        if let Some(bytes) = resident_bytes() {
            readings.add(&list::MEMORY, &[], bytes);
        }
        if let Some(seconds) = cpu_seconds() {
            readings.add(&list::CPU_SECONDS, &[], seconds);
        }
    }
}

/// The second number of `/proc/self/statm` counts pages.
fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// The numbers 14 and 15 of `/proc/self/stat` count ticks; the second field may contain blanks
/// and ends with the last parenthesis.
fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
    let spent = ticks.next()?.ok()? + ticks.next()?.ok()?;
    Some(spent as f64 / clock_ticks_per_second() as f64)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_its_memory_and_its_time() {
        assert!(resident_bytes().unwrap() > 100_000);
        let before = cpu_seconds().unwrap();
        while cpu_seconds().unwrap() < before + 0.02 {}
    }
}

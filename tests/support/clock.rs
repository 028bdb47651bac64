//! Clocks that are wrong.

use std::path::PathBuf;

use tempfile::TempDir;

use super::{NodeSetup, disk::compile};

/// The library that makes a clock wrong.
const SHIM: &str = include_str!("clock.c");

/// A clock that is wrong for the processes that have it.
pub(crate) struct WrongClock {
    home: TempDir,
}

impl WrongClock {
    /// Makes one, or says why this machine has no compiler for it.
    pub(crate) fn new() -> Result<Self, String> {
        let home = tempfile::tempdir().unwrap();
        compile(SHIM, &home.path().join("clock.so"))?;
        Ok(Self { home })
    }

    /// A node whose clock is so many days ahead.
    pub(crate) fn ahead(&self, setup: NodeSetup, days: u64) -> NodeSetup {
        let shim: PathBuf = self.home.path().join("clock.so");
        setup
            .env("LD_PRELOAD", shim.to_str().unwrap())
            .env("CLOCK_AHEAD_SECS", &(days * 24 * 60 * 60).to_string())
    }
}

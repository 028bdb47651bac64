//! Progress of long work, on a terminal only.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` bytes, or a spinner where the total is not known; hidden
/// where standard error is no terminal.
pub(crate) fn bytes(total: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:40} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes} {binary_bytes_per_sec}",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What a long command is at: a line on standard error for each step, and on a terminal how far it is.
pub(crate) struct Steps(ProgressBar);

impl Steps {
    /// Nothing is done yet.
    pub(crate) fn start() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// The next step begins.
    pub(crate) fn begin(&self, step: &str) {
        self.0.set_message("");
        self.0.suspend(|| eprintln!("{step}"));
    }

    /// So much of the step is done.
    pub(crate) fn done(&self, so_far: &str) {
        self.0.set_message(so_far.to_owned());
    }

    /// Everything is done.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}

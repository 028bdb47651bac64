//! What the command line says of itself: completions for shells, and manual pages.

use std::{io, path::Path};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::{cli::Cli, output};

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dm-node", &mut script);
    output::print_raw(&script)
}

/// Writes a manual page for each command into a folder.
pub(crate) fn pages(dir: &Path) -> anyhow::Result<()> {
    let written: io::Result<()> =
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.with_context(|| format!("cannot write into {}", dir.display()))
}

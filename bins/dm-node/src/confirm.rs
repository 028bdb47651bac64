//! Asks before something is done that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};

use crate::cli::ConfirmArgs;

/// Returns where the person at the terminal agrees, or `--yes` was given.
///
/// # Errors
/// Where the answer is no, or nobody is there to ask.
pub(crate) fn confirm(args: &ConfirmArgs, question: &str) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        bail!("nobody is there to confirm; give --yes");
    }
    eprint!("{question}? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was done"),
    }
}

//! Secrets from the environment, from files, or from the person at the terminal; never from
//! the command line, which others can see.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use anyhow::{Context, bail};
use dm_core::secret::SecretString;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::settings;

/// The secret in the variable of this name, else in the file that the variable with
/// `_FILE` names, else what is typed in answer to the question.
///
/// # Errors
/// Where the file cannot be read, and where nobody is there to ask.
pub(crate) fn secret(variable: &str, question: &str) -> anyhow::Result<SecretString> {
    let file_variable = format!("{variable}_FILE");
    if let Some(text) = settings::variable(variable) {
        return Ok(SecretString::new(text));
    }
    if let Some(file) = settings::variable(&file_variable) {
        return secret_in_file(Path::new(&file));
    }
    if !io::stdin().is_terminal() {
        bail!("nobody is there to ask: set {variable}, or {file_variable} to a file that holds it");
    }
    typed(question)
}

/// The first line of a file.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn secret_in_file(path: &Path) -> anyhow::Result<SecretString> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(SecretString::new(text.trim_end_matches(['\r', '\n'])))
}

/// A line from the terminal, which does not show it.
fn typed(question: &str) -> anyhow::Result<SecretString> {
    eprint!("{question}: ");
    io::stderr().flush()?;
    let silence = Silence::begin()?;
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read the answer")?;
    drop(silence);
    eprintln!();
    Ok(SecretString::new(line.trim_end_matches(['\r', '\n'])))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("cannot examine the terminal")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).context("cannot silence the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0) {
            eprintln!("warning: the terminal stays silent: {error}");
        }
    }
}

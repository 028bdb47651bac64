//! A terminal that a test looks at: tmux with a shell in it.

use std::{path::PathBuf, process::Output};

use tempfile::TempDir;
use tokio::process::Command;

use super::{eventually, node::dm_node};

/// A shell in a terminal of its own, which ends with the test.
pub(crate) struct Tmux {
    dir: TempDir,
}

impl Tmux {
    /// Starts a shell in a terminal of this size; `None` where there is no tmux.
    pub(crate) async fn start(columns: u16, rows: u16, env: &[(&str, &str)]) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().await.is_err() {
            assert!(std::env::var_os("REQUIRE_TMUX").is_none(), "there is no tmux");
            eprintln!("skipped: there is no tmux");
            return None;
        }
        let tmux = Self {
            dir: TempDir::new().unwrap(),
        };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let size = ["-x", &columns, "-y", &rows];
        let mut command = tmux.command(&["-f", "/dev/null", "new-session", "-d"]);
        command
            .args(size)
            .args(["env", "PS1=ready> ", "sh"])
            .envs(env.iter().copied());
        let started = command.output().await.unwrap();
        assert!(started.status.success(), "{started:?}");
        Some(tmux)
    }

    /// tmux in the environment that the program under test gets.
    fn command(&self, args: &[&str]) -> Command {
        let program = dm_node();
        let mut command = Command::new("tmux");
        command.env_clear().env("LANG", "C.UTF-8").env("SHELL", "/bin/sh");
        for (name, value) in program.as_std().get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
            .arg("-u")
            .arg("-S")
            .arg(self.dir.path().join("socket"))
            .args(args);
        command
    }

    async fn run(&self, args: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(args).output().await.unwrap();
        assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    /// Types a line.
    pub(crate) async fn type_line(&self, line: &str) {
        self.run(&["send-keys", "-l", line]).await;
        self.press("Enter").await;
    }

    /// Presses a key, such as `q` or `C-c`.
    pub(crate) async fn press(&self, key: &str) {
        self.run(&["send-keys", key]).await;
    }

    pub(crate) async fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.run(&["resize-window", "-x", &columns, "-y", &rows]).await;
    }

    /// What is on the screen.
    pub(crate) async fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"]).await
    }

    /// What is on the screen, with the sequences that colour it.
    pub(crate) async fn coloured_screen(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"]).await
    }

    /// Whether the cursor is seen, and whether the alternate screen is.
    pub(crate) async fn modes(&self) -> String {
        let modes = self
            .run(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"])
            .await;
        modes.trim().to_owned()
    }

    /// Waits until all of these are on the screen.
    pub(crate) async fn shows(&self, texts: &[&str]) -> String {
        eventually(&format!("the screen shows {texts:?}"), async || {
            let screen = self.screen().await;
            texts.iter().all(|text| screen.contains(text)).then_some(screen)
        })
        .await
    }

    /// Runs a command to its end; what it printed. The name of the file is all that stands on
    /// the screen.
    pub(crate) async fn output_of(&self, command: &str) -> String {
        let file: PathBuf = self.dir.path().join("output");
        let done = self.dir.path().join("done");
        let _ = std::fs::remove_file(&done);
        let line = format!("{command} > {}; touch {}", file.display(), done.display());
        self.type_line(&line).await;
        eventually(&format!("{command} ends"), async || done.exists().then_some(())).await;
        std::fs::read_to_string(file).unwrap()
    }

    /// The process that the shell waits for.
    pub(crate) async fn foreground_process(&self) -> String {
        let shell = self.run(&["display-message", "-p", "#{pane_pid}"]).await;
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.trim().to_owned()
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut command = self.command(&["kill-server"]);
        let _ = command.as_std_mut().output();
    }
}

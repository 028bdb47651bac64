//! A child process that is ended with the test.

use std::process::{ExitStatus, Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    task::JoinHandle,
};

use super::PATIENCE;

pub(crate) struct Process {
    child: Child,
    stdout: mpsc::UnboundedReceiver<String>,
    stderr: JoinHandle<String>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = lines(child.stdout.take().unwrap());
        let mut errors = child.stderr.take().unwrap();
        let stderr = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Reads lines of the standard output until `parse` makes something of
    /// what came so far.
    pub(crate) async fn read_until<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let mut output = String::new();
        loop {
            match tokio::time::timeout(PATIENCE, self.stdout.recv()).await {
                Ok(Some(line)) => {
                    output.push_str(&line);
                    output.push('\n');
                    if let Some(parsed) = parse(&output) {
                        return Ok(parsed);
                    }
                }
                Ok(None) => {
                    let status = self.child.wait().await.unwrap();
                    let errors = (&mut self.stderr).await.unwrap();
                    return Err(format!("ended with {status} after printing\n{output}\n{errors}"));
                }
                Err(_) => panic!("the process prints nothing more after\n{output}"),
            }
        }
    }

    /// Ends the process at once, as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends a signal such as `-HUP`.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Asks the process to end, as `kill` does, and waits.
    pub(crate) async fn terminate(self) -> (ExitStatus, String) {
        self.end_by("-TERM").await
    }

    /// Sends a signal, and waits until the process has ended.
    pub(crate) async fn end_by(mut self, signal: &str) -> (ExitStatus, String) {
        self.signal(signal).await;
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("the process does not end when it is asked to")
            .unwrap();
        (status, self.stderr.await.unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the process runs")
    }
}

/// The lines of an output, read also where nobody asks for them: a process
/// whose output is full stands still.
fn lines(output: ChildStdout) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // Nobody wants them any more; they are read on all the same.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Whether there is a process, and it has not ended.
pub(crate) fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Ends a process as a power failure of it would, while others hold it.
pub(crate) async fn kill_9(pid: u32) {
    let sent = Command::new("kill").args(["-9", &pid.to_string()]).status().await;
    assert!(sent.unwrap().success());
}

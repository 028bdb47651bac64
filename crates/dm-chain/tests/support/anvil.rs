//! anvil, a real node, as a child process.

use std::{
    env,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
};

/// A running anvil; ended when dropped.
pub struct Anvil {
    process: Child,
    address: String,
}

impl Anvil {
    /// Starts anvil on a free port. `None` where there is no anvil on this
    /// machine; with `REQUIRE_ANVIL=1` that fails the test.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let program = env::var("ANVIL").unwrap_or_else(|_| "anvil".to_owned());
        let started = Command::new(&program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(arguments)
            // The program may be npm's launcher; its group includes the real one.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                let required = env::var("REQUIRE_ANVIL").is_ok_and(|value| value == "1");
                assert!(
                    !required,
                    "anvil is required, but {program} does not start: {error}"
                );
                eprintln!("skipped: {program} does not start: {error}");
                return None;
            }
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.strip_prefix("Listening on ")
                    .map(|rest| rest.trim().to_owned())
            })
            .expect("anvil says where it listens");
        // A full pipe would stop anvil.
        thread::spawn(move || lines.for_each(drop));
        Some(Self { process, address })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn websocket_url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}

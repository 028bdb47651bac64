//! What somebody needs who helps an operator, without what nobody else may know: an archive
//! of texts, each of which has passed [`Redaction`].

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::Context;
use flate2::{Compression, write::GzEncoder};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::NodeClient,
    doctor::{self, Finding},
    settings::LoadedConfig,
};

mod redaction;
mod written;

use redaction::Redaction;

/// Bytes of the end of a log that are taken.
const LOG_END: u64 = 4 << 20;
/// Folder in the archive that holds everything.
const FOLDER: &str = "dm-node-support";
/// What a running node is asked: name in the archive, and route.
const ASKED: [(&str, &str); 3] = [
    ("health-parts.json", "/health/parts"),
    ("network.json", "/network/stats"),
    ("storage.json", "/network/storage"),
];

/// The texts of a bundle, by their names.
pub(crate) struct Bundle {
    entries: Vec<(String, String)>,
    redaction: Redaction,
}

impl Bundle {
    /// Begins with what is known without the node: version, settings and the doctor's findings.
    /// No secret that is written in `config_file` gets into it, even if the settings in there
    /// cannot be used.
    pub(crate) async fn begin(
        loaded: Result<&LoadedConfig, &anyhow::Error>,
        config_file: Option<&Path>,
        api_key: &str,
    ) -> Self {
        let (findings, settings): (Vec<Finding>, Value) = match loaded {
            Ok(loaded) => (doctor::examine(loaded).await, loaded.shown.clone()),
            Err(error) => (doctor::unusable(error), Value::Null),
        };
        let mut bundle = Self {
            entries: Vec::new(),
            redaction: Redaction::of(loaded.ok().map(|loaded| &loaded.config), config_file, api_key),
        };
        bundle.add("version.json", &version());
        bundle.add("settings.json", &settings);
        bundle.add("doctor.json", &json!(findings));
        bundle
    }

    /// Adds how a running node is and what it counts; why not, where it does not say.
    pub(crate) async fn ask(&mut self, client: &NodeClient) {
        let health = client.health().await;
        self.add("health.json", &answer(health));
        for (name, route) in ASKED {
            let asked = client.answer(client.request(Method::GET, route)).await;
            self.add(name, &answer(asked));
        }
    }

    /// Adds the end of a log.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(crate) fn add_log(&mut self, file: &Path) -> anyhow::Result<()> {
        let end = end_of(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.push("log.txt", &String::from_utf8_lossy(&end));
        Ok(())
    }

    fn add(&mut self, name: &str, document: &Value) {
        self.push(name, &format!("{document:#}\n"));
    }

    fn push(&mut self, name: &str, text: &str) {
        self.entries.push((name.to_owned(), self.redaction.apply(text)));
    }

    /// The names of the texts.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// Where `file` cannot be written.
    pub(crate) fn write(&self, file: File) -> io::Result<()> {
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        for (name, text) in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(jiff::Timestamp::now().as_second().unsigned_abs());
            archive.append_data(&mut header, format!("{FOLDER}/{name}"), text.as_bytes())?;
        }
        archive.into_inner()?.finish()?.sync_all()
    }
}

fn version() -> Value {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    json!({
        "dm_node": env!("CARGO_PKG_VERSION"),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "kernel": read("/proc/version"),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "made_at": jiff::Timestamp::now().to_string(),
    })
}

fn answer(asked: anyhow::Result<Value>) -> Value {
    asked.unwrap_or_else(|error| json!({"not_answered": format!("{error:#}")}))
}

/// The last bytes of a file, from the beginning of a line on.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    // A pipe has no length.
    let skipped = file.metadata()?.len().saturating_sub(LOG_END);
    if skipped > 0 {
        file.seek(SeekFrom::Start(skipped))?;
    }
    let mut end = Vec::new();
    file.take(LOG_END).read_to_end(&mut end)?;
    if skipped > 0
        && let Some(line_end) = end.iter().position(|byte| *byte == b'\n')
    {
        end.drain(..=line_end);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_end_is_taken_by_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "short\n").unwrap();
        assert_eq!(end_of(&path).unwrap(), b"short\n");
        let line = format!("{}\n", "x".repeat(1023));
        std::fs::write(&path, format!("{}the last\n", line.repeat(5000))).unwrap();
        let end = end_of(&path).unwrap();
        assert!(end.len() as u64 <= LOG_END && end.ends_with(b"the last\n"));
        assert!(end.starts_with(line.as_bytes()));
    }
}

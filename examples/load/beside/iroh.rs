//! The work, done by two peers of `iroh-blobs`.

use std::{path::Path, process::Stdio};

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    AGAIN, AT_ONCE, FETCH, FETCH_ALONE, FETCH_CPU, FETCH_SYNCED, Figure, IMPORT, IMPORT_CPU, SMALL,
    SMALL_AT_ONCE, SMALL_CPU, SMALL_EACH, SMALL_OBJECTS,
};
use crate::{node::cpu_of, objects::SIZE, report::median};

pub(super) async fn round(program: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut owner = Peer::start(program).await?;
    let mut reader = Peer::start(program).await?;
    let mut spent = owner.cpu()? + reader.cpu()?;

    let added = owner.does(&format!("add {SIZE}")).await?;
    let hash = added["hash"].as_str().context("a hash")?;
    let mut figures = vec![(IMPORT, seconds(&added, "millis"))];
    figures.push((IMPORT_CPU, since(&mut spent, &owner, &reader)?));

    let fetched = reader.does(&format!("download {} {hash}", owner.address)).await?;
    figures.extend([
        (FETCH, seconds(&fetched, "read")),
        (FETCH_SYNCED, seconds(&fetched, "synced")),
        (FETCH_ALONE, seconds(&fetched, "millis")),
        (FETCH_CPU, since(&mut spent, &owner, &reader)?),
        (AGAIN, seconds(&fetched, "read") - seconds(&fetched, "synced")),
    ]);

    let made = owner
        .does(&format!("objects {} {SMALL}", 2 * SMALL_OBJECTS))
        .await?;
    let hashes: Vec<&str> = made["hashes"]
        .as_array()
        .context("hashes")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    since(&mut spent, &owner, &reader)?;
    let (one_by_one, at_once) = hashes.split_at(SMALL_OBJECTS);
    let each = reader.fetches(&owner.address, 1, one_by_one).await?;
    let of_all = reader.fetches(&owner.address, AT_ONCE, at_once).await?;
    let cpu = since(&mut spent, &owner, &reader)?;
    figures.extend([
        (SMALL_EACH, each),
        (SMALL_AT_ONCE, of_all),
        (SMALL_CPU, cpu * 1000.0 / (2 * SMALL_OBJECTS) as f64),
    ]);
    Ok(figures)
}

/// CPU seconds of both since this was last asked.
fn since(spent: &mut f64, owner: &Peer, reader: &Peer) -> anyhow::Result<f64> {
    let before = std::mem::replace(spent, owner.cpu()? + reader.cpu()?);
    Ok(*spent - before)
}

fn seconds(answer: &Value, field: &str) -> f64 {
    answer[field].as_f64().unwrap_or_default() / 1000.0
}

/// A peer in a process of its own.
struct Peer {
    address: String,
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _home: TempDir,
}

impl Peer {
    async fn start(program: &Path) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let mut child = Command::new(program)
            .arg(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let commands = child.stdin.take().context("its input")?;
        let mut answers = BufReader::new(child.stdout.take().context("its output")?).lines();
        Ok(Self {
            address: answers.next_line().await?.context("its address")?,
            child,
            commands,
            answers,
            _home: home,
        })
    }

    async fn does(&mut self, command: &str) -> anyhow::Result<Value> {
        self.commands.write_all(format!("{command}\n").as_bytes()).await?;
        let answer = self.answers.next_line().await?.context("the peer has ended")?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Fetches objects, so many at once; the milliseconds of the one in the middle.
    async fn fetches(&mut self, from: &str, at_once: usize, hashes: &[&str]) -> anyhow::Result<f64> {
        let fetched = self
            .does(&format!("each {from} {at_once} {}", hashes.join(" ")))
            .await?;
        let took = fetched["millis"].as_array().context("times")?;
        Ok(median(took.iter().filter_map(Value::as_f64).collect()))
    }

    fn cpu(&self) -> anyhow::Result<f64> {
        let pid = self.child.id().context("it has ended")?.to_string();
        Ok(cpu_of(&pid)?.as_secs_f64())
    }
}

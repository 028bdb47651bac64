//! The embedded chain as a process of its own.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{node::dm_node, process::Process};

pub(crate) struct Devnet {
    pub(crate) url: String,
    port: String,
    data_dir: PathBuf,
    process: Process,
}

impl Devnet {
    pub(crate) async fn start(data_dir: &Path) -> Self {
        Self::start_on(data_dir, "0").await
    }

    async fn start_on(data_dir: &Path, port: &str) -> Self {
        let mut command = dm_node();
        command
            .args(["devnet", "--json", "--port", port, "--data-dir"])
            .arg(data_dir);
        let mut process = Process::start(&mut command);
        let printed: Value = process
            .read_until(|output| serde_json::from_str(output).ok())
            .await
            .unwrap_or_else(|failure| panic!("the devnet {failure}"));
        let url = printed["url"].as_str().unwrap().to_owned();
        let port = url.rsplit(':').next().unwrap().to_owned();
        Self {
            url,
            port,
            data_dir: data_dir.to_owned(),
            process,
        }
    }

    /// Unplugs the chain; it comes back at the same place with [`Unplugged::plug_in`].
    pub(crate) async fn unplug(mut self) -> Unplugged {
        self.process.kill().await;
        Unplugged {
            port: self.port,
            data_dir: self.data_dir,
        }
    }

    /// Unplugs the chain as long as `meanwhile` lasts.
    pub(crate) async fn without(&mut self, meanwhile: impl Future<Output = ()>) {
        self.process.kill().await;
        meanwhile.await;
        *self = Self::start_on(&self.data_dir, &self.port).await;
    }
}

pub(crate) struct Unplugged {
    port: String,
    data_dir: PathBuf,
}

impl Unplugged {
    pub(crate) async fn plug_in(self) -> Devnet {
        Devnet::start_on(&self.data_dir, &self.port).await
    }

    /// Lets another chain, which this folder keeps, stand in its place.
    pub(crate) async fn replace(self, data_dir: &Path) -> Devnet {
        Devnet::start_on(data_dir, &self.port).await
    }
}

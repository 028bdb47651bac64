//! How the catalog is: judged by its last write, the room on its disk or the answer of its
//! server, and the rows that cannot be read.

#[cfg(feature = "postgres")]
use std::time::Duration;

use async_trait::async_trait;
use dm_core::{
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use super::SqliteCatalog;
#[cfg(feature = "postgres")]
use super::sql;
use crate::disk::space::Space;

/// How long a server may take to answer to a look.
#[cfg(feature = "postgres")]
const SERVER_PATIENCE: Duration = Duration::from_secs(2);

/// Where the catalog is.
#[derive(Clone)]
pub(super) enum Home {
    /// In a file on a disk with this much room.
    Disk(Space),
    /// In the database of a server, by its address without a password.
    #[cfg(feature = "postgres")]
    Server(String),
}

impl Home {
    /// How much room is left, where that is the node's business.
    fn room(&self) -> Finding {
        match self {
            Self::Disk(space) => space.judge(),
            #[cfg(feature = "postgres")]
            Self::Server(_) => Finding::Working,
        }
    }

    fn cannot_be_written(&self, reason: &str) -> Trouble {
        match self {
            Self::Disk(_) => Trouble::new(
                format!("the catalog cannot be written: {reason}"),
                "make room on the disk of the catalog, mend or replace it, or stop the process that holds its lock; the node goes on by itself",
            ),
            #[cfg(feature = "postgres")]
            Self::Server(place) => Trouble::new(
                format!("the catalog at {place} cannot be written: {reason}"),
                "look at the database's server and the way to it; the node goes on by itself, unless another process has taken the database over",
            ),
        }
    }
}

#[cfg(feature = "postgres")]
impl SqliteCatalog {
    /// Why the database's server cannot be asked, where the catalog is on one.
    async fn unanswered(&self) -> Option<Trouble> {
        let Home::Server(place) = &self.home else {
            return None;
        };
        let asked = sql::query("SELECT 1 AS one").fetch_one(&self.reads);
        let reason = match tokio::time::timeout(SERVER_PATIENCE, asked).await {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "there is no answer".to_owned(),
        };
        Some(Trouble::new(
            format!("the catalog at {place} cannot be reached: {reason}"),
            "start the database's server, or mend the way to it; the node goes on by itself",
        ))
    }
}

#[async_trait]
impl HealthCheck for SqliteCatalog {
    fn part(&self) -> &'static str {
        "catalog"
    }

    async fn check(&self) -> Finding {
        #[cfg(feature = "postgres")]
        if let Some(trouble) = self.unanswered().await {
            return Finding::Failed(trouble);
        }
        if let Err(error) = self.writer.probe().await {
            return Finding::Failed(Trouble::new(error.to_string(), "restart the node"));
        }
        match self.state.fault() {
            Some(fault) => Finding::Failed(self.home.cannot_be_written(&fault.reason).since(fault.since)),
            None => match self.home.room() {
                Finding::Working => self.unreadable.judge(),
                short => short,
            },
        }
    }
}

use std::collections::HashSet;

use async_trait::async_trait;

use super::{NetworkError, PushReport};
use crate::envelope::ObjectId;

/// What a challenge showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenged {
    /// The peer has the bytes.
    Proven,
    /// It says that it does not have them.
    Missing,
    /// It answered, and not from the bytes.
    Wrong,
    /// It did not answer.
    Silent,
}

/// Peers that hold an object which is stored here, or are said to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldersNews {
    /// Which object.
    pub object: ObjectId,
    /// Peer ids in text form.
    pub holders: Vec<String>,
    /// How that is known.
    pub evidence: Evidence,
}

/// How it is known who holds an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The whole object went to the holders, or came from them.
    Transferred,
    /// A peer says so, of itself or of others: worth asking them, and no more.
    Said {
        /// Its peer id in text form.
        by: String,
    },
}

/// Watches and renews the copies of objects at peers. Works on ciphertext:
/// who stores an object can do it, whether or not he can read it.
#[async_trait]
pub trait Replication: Send + Sync {
    /// Has a peer prove that it has the bytes of an object which is stored
    /// here, by questions that cannot be foreseen, and tells it of `known`
    /// holders. Where one of the two has a newer envelope, the other gets it.
    ///
    /// # Errors
    /// [`NetworkError::Local`] where the object cannot be read here.
    async fn challenge(
        &self,
        peer: &str,
        object: &ObjectId,
        known: &[String],
    ) -> Result<Challenged, NetworkError>;

    /// Peers that answer, on the DHT and among the connected ones, and say that
    /// they hold the object.
    async fn search(&self, object: &ObjectId) -> Result<Vec<String>, NetworkError>;

    /// Brings a stored object to `copies` further peers, those closest to its
    /// locator, and to none of `avoid`.
    async fn place(
        &self,
        object: &ObjectId,
        copies: usize,
        avoid: &[String],
    ) -> Result<PushReport, NetworkError>;

    /// Peers that are connected, or answered when they were last asked.
    fn reachable(&self) -> HashSet<String>;

    /// The next thing that the network learned about holders of objects. One
    /// caller at a time; what nobody takes is dropped after a while.
    async fn next_news(&self) -> HoldersNews;
}

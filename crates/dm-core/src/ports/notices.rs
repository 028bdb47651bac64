use alloy_primitives::Address;
use async_trait::async_trait;

use super::NetworkError;
use crate::letter::Letter;

/// Most senders and owners that [`NoticeNetwork::collect`] names to a peer.
pub const MAX_NAMED_SENDERS: usize = 256;

/// Brings letters to their addressees, also to such as are away: notices to recipients, and
/// their acknowledgements to owners.
#[async_trait]
pub trait NoticeNetwork: Send + Sync {
    /// Brings a letter to the peer of its addressee, if its address record names one that
    /// is there, and to the peers closest to the addressee's inbox key, which keep it until
    /// its end. Of the notices of replicas about one envelope a peer keeps one. Sending it again is
    /// harmless.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`] where the network is not running. That nobody was reached is
    /// no error: the report says so.
    async fn send(&self, letter: &Letter) -> Result<NoticeReport, NetworkError> {
        let reports = self.send_all(std::slice::from_ref(letter)).await?;
        Ok(reports.first().copied().unwrap_or_default())
    }

    /// Brings several letters, each as [`NoticeNetwork::send`] does; a report for each, in their
    /// order. Those for one addressee that follow each other travel together.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`] where the network is not running.
    async fn send_all(&self, letters: &[Letter]) -> Result<Vec<NoticeReport>, NetworkError>;

    /// The letters for this node that wait at the peers closest to its inbox key: of each
    /// object the newest, at most one of each sender. Signatures and times have been checked.
    /// Those of the senders in `named`, and of objects of such owners, come first, and a
    /// peer that was once asked for them keeps them rather than others. Every peer gives a
    /// bounded number.
    ///
    /// Peers give letters only to a node that has announced its address record.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`] where the network is not running.
    async fn collect(&self, named: &[Address]) -> Result<Vec<Letter>, NetworkError>;

    /// Whether the peer that the address record of an account names can be reached now. An
    /// account without a known record is not there.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`] where the network is not running.
    async fn is_there(&self, account: Address) -> Result<bool, NetworkError>;

    /// Whether a peer is connected: where none is, nobody takes a letter.
    fn has_peers(&self) -> bool;
}

/// Where a letter has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoticeReport {
    /// Whether the addressee has taken it.
    pub delivered: bool,
    /// How many other peers keep it for the addressee.
    pub kept: usize,
}

/// Takes the letters that are for this node.
#[async_trait]
pub trait NoticeSink: Send + Sync {
    /// Takes letters that came together, whose signatures and times have been checked; of each,
    /// in their order, whether it need not be sent again. The same may come any number of times,
    /// also among these, from anybody.
    async fn arrived(&self, letters: Vec<Letter>) -> Vec<bool>;
}

use alloy_primitives::Address;
use async_trait::async_trait;

/// What an account is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Somebody whose shares are welcome.
    Contact,
    /// Nobody knows.
    Stranger,
    /// Somebody who is not to be heard of.
    Blocked,
}

/// Knows who is known to this node.
#[async_trait]
pub trait Acquaintance: Send + Sync {
    /// What the account is to this node. An answer that cannot be had is
    /// [`Standing::Stranger`].
    async fn standing_of(&self, account: Address) -> Standing;
}

use alloy_primitives::Address;
use async_trait::async_trait;

/// Tells which owners of objects have something at stake: keys cost nothing, an
/// anchored log does, and so does a contact. Room for the objects of others goes to those who have.
#[async_trait]
pub trait OwnerStanding: Send + Sync {
    /// Whether the owner is established. An answer that cannot be had soon is no.
    async fn is_established(&self, owner: Address) -> bool;

    /// Whether the operator keeps the owner out: nothing new of it is taken.
    async fn is_blocked(&self, _owner: Address) -> bool {
        false
    }
}

/// Bytes that the objects of owners who are not established may take together, of the
/// room for the objects of others: half.
pub const fn room_for_strangers(foreign: u64) -> u64 {
    foreign / 2
}

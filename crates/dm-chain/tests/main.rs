//! The embedded chain, and the client: on the embedded chain, on anvil where it
//! is installed, and on nodes that lie.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod allowances;
mod chain_answers;
mod embedded;
mod endpoints;
mod gas;
mod given_up;
mod hand_over;
mod many_at_once;
mod new_chain;
mod odd_tokens;
mod on_anvil;
mod on_embedded;
mod proofs;
mod readme;
mod recovery;
mod refusing_endpoints;
mod signed_transfers;
mod support;
mod transactions;
#[cfg(feature = "ethers")]
mod with_ethers;
mod wrong_answers;

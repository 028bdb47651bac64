//! The embedded chain from outside: through alloy, through JSON-RPC text, and
//! beside anvil.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod anvil;
mod durability;
mod filters;
mod hostile;
mod model;
mod pool;
mod provider;
mod support;

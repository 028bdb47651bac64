//! The embedded chain from outside: through alloy, through JSON-RPC text, and
//! beside anvil.

mod anvil;
mod durability;
mod filters;
mod hostile;
mod model;
mod pool;
mod provider;
mod support;

//! One module a command.

pub(crate) mod api_key;
pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod devnet;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod peers;
pub(crate) mod run;
pub(crate) mod share;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod tokens;
pub(crate) mod verify;

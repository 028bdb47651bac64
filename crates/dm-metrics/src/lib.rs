#![doc = include_str!("../README.md")]

mod format;
mod health;
pub mod list;
mod listener;
mod page;
mod process;
mod readings;

pub use health::ListenerHealth;
pub use list::{Group, Kind, Metric};
pub use listener::{Listener, Server};
pub use page::Page;
pub use process::ProcessSource;
pub use readings::{Readings, Source, Value};

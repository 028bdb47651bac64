#![doc = include_str!("../README.md")]
//! ## Modules
//!
//! | module | what |
//! | --- | --- |
//! | `storage` | [`Storage`]: opens a folder, hands out its ports |
//! | `objects` | the object store: envelopes and small bodies in the engine, large bodies in files |
//! | `namespaces` | key-value namespaces, and copies of them |
//! | `commits` | the one thread that writes to the engine; transactions and counters |
//! | `engine` | the embedded engines, how one is opened anew after a failed write, and tables in PostgreSQL |
//! | `catalog` | [`SqliteCatalog`]: shares, keys, the log, orders and more in one SQLite file |
//! | `disk` | free space, kept room, and how the last writes went, for both stores |

mod blocking;
mod catalog;
mod commits;
mod disk;
mod engine;
mod error;
mod key_range;
mod namespaces;
mod objects;
mod storage;

#[cfg(feature = "postgres")]
pub use catalog::PostgresOptions;
pub use catalog::{CatalogMeter, CatalogSecrets, CatalogTables, SqliteCatalog, TableTotals};
pub use error::StorageFault;
pub use objects::StorageMeter;
pub use storage::Storage;

//! The stores and the catalog, on real disks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[macro_use]
mod conformance;

mod catalog;
mod catalog_file;
mod catalog_orders;
mod catalog_processes;
mod catalog_readers;
mod common;
mod damage;
mod durability;
#[cfg(target_os = "linux")]
mod failing_disk;
mod full_disk;
mod lifecycle;
mod objects;
#[cfg(feature = "postgres")]
mod postgres;
mod quota;
mod resume;
#[cfg(feature = "s3")]
mod s3;
mod unreadable_rows;

//! [`MemoryAnchors`], the conformance suite of [`Anchors`], and the RFC 6962
//! reference that both are measured by.
//!
//! [`Anchors`]: dm_core::ports::Anchors

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod conformance;
mod memory;
pub mod reference;

pub use conformance::AnchorsFixture;
pub use memory::MemoryAnchors;
pub use reference::ReferenceLog;

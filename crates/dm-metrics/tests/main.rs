//! The crate's public face, and the documents that follow its list.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod documents;
mod scraping;

//! The crate's public face, and the documents that follow its list.

mod documents;
mod scraping;

//! Formats that cross the network, as they are read and written.

#![allow(clippy::unwrap_used)]

mod acknowledgement;
mod address_record;
mod envelope;
mod notice;

//! The disk of a store: the room on it, the room that is kept, and how the last writes went.

pub(crate) mod reserve;
pub(crate) mod space;
pub(crate) mod write_state;

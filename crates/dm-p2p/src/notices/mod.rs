//! Notices: brings them to their recipients, and keeps those of others until they are asked
//! for. A notice is a hint: nothing here depends on what it says.

mod collect;
mod exchange;
mod holder;
mod inboxes;
mod message;
mod routes;
mod send;

pub(crate) use collect::collect;
pub(crate) use holder::{Holding, NoticeHolder};
pub(crate) use message::{MAX_PAGE, NoticeRefusal, NoticeReply, NoticeRequest, PROTOCOL};
pub(crate) use routes::NoticeRoutes;
pub(crate) use send::send;

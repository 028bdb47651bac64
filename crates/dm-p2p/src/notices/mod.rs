//! Notices, and the acknowledgements that answer them: brings these letters to their
//! addressees, and keeps those of others until they are asked for. Nothing here depends on
//! what a letter says.

mod collect;
mod exchange;
mod holder;
mod inboxes;
mod message;
mod routes;
mod send;

pub(crate) use collect::collect;
pub(crate) use holder::{Holding, NoticeHolder};
pub(crate) use message::{
    LetterKind, MAX_PAGE, MAX_TOGETHER, NoticeRefusal, NoticeReply, NoticeRequest, Outcome, PROTOCOLS,
};
pub(crate) use routes::NoticeRoutes;
pub(crate) use send::{is_there, send_all};

//! What a transaction is: a [`Call`], tried as a [`Draft`], priced with [`Fees`], and
//! signed as a [`Version`]. Nothing here asks a chain: [`crate::backend`] encodes and
//! signs it, [`crate::transactions`] gets it into a block.

mod call;
mod draft;
mod fees;
mod version;

pub(crate) use self::{
    call::{Call, CallRequest},
    draft::{Draft, EMPTY_GAS, ExpectedTransfer, with_reserve},
    fees::{Fees, Price},
    version::{SigningJob, Version},
};

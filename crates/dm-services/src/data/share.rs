//! Sharing data, for bytes, uploads and further readers alike; [`flow`] is the way of a
//! share from the request to the answer.

use std::sync::Arc;

use bytes::Bytes;
use dm_core::{
    plugin::Notes,
    ports::{KeyRing, ObjectStore, ShareCatalog, UploadCatalog},
};

use super::{
    Basis, DataLocks, DataPorts,
    address::AddressBook,
    collect::Payments,
    consult::Consultation,
    copies::Copies,
    erase::Eraser,
    objects::OwnObjects,
    owed::Owed,
    recorder::Recorder,
    seal::{Sealed, Sealing},
};
use crate::ServiceError;

mod admit;
mod commit;
mod complete;
mod describe;
mod flow;
mod list;
mod request;
mod store;

use admit::Admission;
use describe::Descriptions;
use list::ShareList;

pub(super) use flow::Each;
pub(super) use request::Request;

/// Where the data of a share is.
pub(super) enum Source {
    /// In memory.
    Whole(Bytes),
    /// In the store, under no name until a share takes it, and examined by plugins with
    /// these notes.
    Sealed(Option<Box<Sealed>>, Notes),
    /// In an object of this node's own, and examined by plugins with these notes.
    Stored(Notes),
}

/// Shares data; cheap to clone.
#[derive(Clone)]
pub(super) struct Sharing {
    admission: Arc<Admission>,
    descriptions: Arc<Descriptions>,
    objects: Arc<dyn ObjectStore>,
    shares: Arc<dyn ShareCatalog>,
    uploads: Arc<dyn UploadCatalog>,
    key_ring: Arc<dyn KeyRing>,
    locks: DataLocks,
    own: Arc<OwnObjects>,
    addresses: Arc<AddressBook>,
    sealing: Arc<Sealing>,
    plugins: Arc<Consultation>,
    payments: Arc<Payments>,
    copies: Copies,
    recorder: Arc<Recorder>,
    owed: Arc<Owed>,
    list: Arc<ShareList>,
}

impl Sharing {
    pub(super) fn new(
        ports: &DataPorts,
        basis: &Basis,
        payments: &Arc<Payments>,
        eraser: &Eraser,
    ) -> Result<Self, ServiceError> {
        let list = Arc::new(ShareList::new(ports)?);
        Ok(Self {
            admission: Arc::new(Admission::new(ports, basis, eraser)),
            descriptions: Arc::new(Descriptions::new(ports, basis, &list)),
            objects: ports.objects.clone(),
            shares: ports.catalog.clone(),
            uploads: ports.catalog.clone(),
            key_ring: ports.key_ring.clone(),
            locks: basis.locks.clone(),
            own: basis.own.clone(),
            addresses: basis.addresses.clone(),
            sealing: basis.sealing.clone(),
            plugins: basis.plugins.clone(),
            payments: payments.clone(),
            copies: basis.copies.clone(),
            recorder: basis.recorder.clone(),
            owed: basis.owed.clone(),
            list,
        })
    }
}

//! The node's main job: sharing data and reading it back.
//!
//! [`DataManager`] is the door. Behind it each room works with the ports that it needs:
//! [`share`] is the way of a share from the request to the answer, [`read`], [`erase`],
//! [`revoke`] and [`verify`] do what their names say, and [`upkeep`] completes in the
//! background what they have left open. [`uploads`] takes data in parts. They stand on [`objects`] (this node's own
//! objects), [`address`] (address records and grants), [`seal`] (encryption), [`copies`]
//! (peers), [`recorder`] (the log), [`consult`] (plugins) and [`collect`] (payments).

use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    address_record::SignedAddressRecord,
    event::EventKind,
    hash::{DataHash, Locator},
    health::Finding,
    plugin::Notes,
    ports::HealthCheck,
    receipt::Receipt,
    share::{ShareOutcome, ShareTerms},
    trace::TraceReport,
};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::{Bell, KnownObjects, ServiceError, turns::Turns};

mod address;
mod collect;
mod consult;
mod copies;
mod erase;
mod objects;
mod owed;
mod ports;
mod read;
mod recorder;
mod revoke;
mod seal;
mod share;
mod upkeep;
mod upload;
mod uploads;
mod verify;

pub use erase::Erasure;
pub use ports::{DataConfig, DataPorts, ManyInstances};
pub use read::OpenObject;
pub use revoke::Revocation;
pub use upload::Upload;
pub use uploads::{Counts, UploadError, UploadOutcome, UploadProgress, UploadWriter, Uploads};
/// What became of each share that a request with several recipients asked for, in their order.
pub type ShareOutcomes = share::Each<ShareOutcome>;
pub use verify::VerifiedShare;

use address::AddressBook;
use collect::Payments;
use consult::Consultation;
use copies::Copies;
use erase::Eraser;
use objects::OwnObjects;
use owed::Owed;
use read::Reader;
use recorder::Recorder;
use revoke::Revoker;
use seal::{Intake, Sealing};
use share::{Request, Sharing, Source};
use upkeep::{Upkeep, UpkeepOf};
use verify::Verifier;

/// Locks of data, by its locator: work on the same data waits for the work before it.
type DataLocks = Arc<Turns<Locator>>;

/// What more than one room stands on.
struct Basis {
    locks: DataLocks,
    /// What of the store belongs to a share: for reading.
    known: KnownObjects,
    owed: Arc<Owed>,
    own: Arc<OwnObjects>,
    addresses: Arc<AddressBook>,
    sealing: Arc<Sealing>,
    plugins: Arc<Consultation>,
    copies: Copies,
    recorder: Arc<Recorder>,
}

impl Basis {
    fn new(ports: &DataPorts, config: &DataConfig) -> Result<Self, ServiceError> {
        let owed = Arc::default();
        let turns = ports.instances.as_ref().map(|instances| instances.turns.clone());
        Ok(Self {
            locks: Arc::new(Turns::new(turns)),
            known: KnownObjects::new(
                ports.objects.clone(),
                ports.catalog.clone(),
                ports.signer.address(),
            ),
            own: Arc::new(OwnObjects::new(ports, &owed)),
            addresses: Arc::new(AddressBook::new(ports, config)?),
            sealing: Arc::new(Sealing::new(ports)),
            plugins: Arc::new(Consultation::new(ports.plugins.clone())),
            copies: Copies::new(ports, config, &owed),
            recorder: Arc::new(Recorder::new(ports, config)),
            owed,
        })
    }
}

/// Shares data and reads it back; cheap to clone.
#[derive(Clone)]
pub struct DataManager {
    inner: Arc<Inner>,
}

struct Inner {
    addresses: Arc<AddressBook>,
    sealing: Arc<Sealing>,
    plugins: Arc<Consultation>,
    recorder: Arc<Recorder>,
    sharing: Sharing,
    uploads: Uploads,
    reader: Reader,
    eraser: Eraser,
    revoker: Revoker,
    verifier: Verifier,
    upkeep: Upkeep,
    /// Held for reading by whoever gives stored data another key.
    content_keys: Arc<RwLock<()>>,
}

impl DataManager {
    /// A manager over these ports. What the node owes others is completed by
    /// [`DataManager::run_upkeep`], which the caller runs as a supervised task, beside
    /// [`DataManager::run_own_upkeep`].
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where the node account or the operator account cannot sign.
    pub fn new(ports: &DataPorts, config: DataConfig) -> Result<Self, ServiceError> {
        let basis = Basis::new(ports, &config)?;
        let content_keys = Arc::default();
        let payments = Arc::new(Payments::new(ports, &basis.locks));
        let reader = Reader::new(ports, &basis);
        let eraser = Eraser::new(ports, &basis);
        let revoker = Revoker::new(ports, &basis, &reader, &content_keys);
        let sharing = Sharing::new(ports, &basis, &payments, &eraser)?;
        let uploads = Uploads::new(ports, &basis, &sharing, config.uploads)?;
        let upkeep = UpkeepOf {
            payments: &payments,
            eraser: &eraser,
            reader: &reader,
            revoker: &revoker,
            uploads: &uploads,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                upkeep: Upkeep::new(ports, &config, &basis, &upkeep),
                verifier: Verifier::new(ports, &basis),
                sharing,
                uploads,
                reader,
                eraser,
                revoker,
                content_keys,
                addresses: basis.addresses,
                sealing: basis.sealing,
                plugins: basis.plugins,
                recorder: basis.recorder,
            }),
        })
    }

    /// The account that this node acts for.
    pub fn address(&self) -> Address {
        self.inner.addresses.own_record().address
    }

    /// Shares data that is in memory with a recipient; larger data goes
    /// through [`DataManager::begin_upload`]. The same data to the same
    /// recipient again is the same share.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for empty data; what else can go wrong stands
    /// there. What was acknowledged before is never lost.
    #[tracing::instrument(level = "debug", skip_all, fields(recipient = %terms.recipient, size = data.len()))]
    pub async fn share_bytes(&self, data: Bytes, terms: ShareTerms) -> Result<ShareOutcome, ServiceError> {
        let request = Request::of_data(self.hash(&data).await?, terms);
        self.inner.sharing.share(request, Source::Whole(data)).await
    }

    /// Shares data that is in memory with several recipients, each on terms of its own.
    /// A share that fails does not undo the others.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for empty data. What goes wrong with one share stands in
    /// its outcome.
    #[tracing::instrument(level = "debug", skip_all, fields(recipients = terms.len(), size = data.len()))]
    pub async fn share_bytes_with_each(
        &self,
        data: Bytes,
        terms: Vec<ShareTerms>,
    ) -> Result<ShareOutcomes, ServiceError> {
        let data_hash = self.hash(&data).await?;
        let requests = terms.into_iter().map(|terms| Request::of_data(data_hash, terms));
        let source = Source::Whole(data);
        self.inner.sharing.share_each(requests.collect(), source).await
    }

    /// The name of data that can be shared.
    async fn hash(&self, data: &Bytes) -> Result<DataHash, ServiceError> {
        if data.is_empty() {
            return Err(ServiceError::invalid("data", "cannot be empty"));
        }
        self.inner.sealing.hash(data.clone()).await
    }

    /// Begins to share data that arrives in pieces.
    ///
    /// # Errors
    /// [`ServiceError::StorageFull`] where there is no room, and the faults of
    /// the store and the log.
    pub async fn begin_upload(&self) -> Result<Upload, ServiceError> {
        let inner = &self.inner;
        inner.recorder.ensure_log_accepts()?;
        let intake = Intake::begin(inner.sealing.clone(), inner.plugins.examiner()).await?;
        Ok(Upload::new(inner.sharing.clone(), intake))
    }

    /// Data that comes in parts, through broken connections and restarts.
    pub fn uploads(&self) -> &Uploads {
        &self.inner.uploads
    }

    /// Lets a further address read data that this node has shared: its key is
    /// wrapped for the address in a new envelope, and the chunks stay as they are. The
    /// same grant again is the same; to a reader that has a share already nothing is added.
    /// A grant costs nothing: the terms name no payment.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where this node has no such object of its own, and
    /// what else can go wrong with a share.
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator(), recipient = %terms.recipient))]
    pub async fn grant(&self, data_hash: &DataHash, terms: ShareTerms) -> Result<ShareOutcome, ServiceError> {
        let request = Request {
            data_hash: *data_hash,
            kind: EventKind::Grant,
            terms,
            upload: None,
        };
        let source = Source::Stored(Notes::new());
        self.inner.sharing.share(request, source).await
    }

    /// The addresses that can read data, by the envelope that is stored here: all of
    /// them where the object is this node's own, else this node's own address alone.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where no such object is stored here,
    /// [`ServiceError::NotGranted`] where it is not for this node.
    pub async fn readers(&self, data_hash: &DataHash) -> Result<Vec<Address>, ServiceError> {
        self.inner.reader.readers(data_hash).await
    }

    /// Finds data and opens it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where neither the local store nor a peer has
    /// it, [`ServiceError::NotGranted`] where it exists and this node may not
    /// read it, [`ServiceError::Refused`] where a plugin does not allow it.
    pub async fn open(&self, data_hash: &DataHash) -> Result<OpenObject, ServiceError> {
        self.inner.reader.open(data_hash).await
    }

    /// What a retrieval takes or took, by the id that
    /// [`OpenObject::remembered`] gave; `None` for one that is unknown, or long ago.
    pub fn retrieval(&self, id: &str) -> Option<TraceReport> {
        self.inner.reader.retrieval(id)
    }

    /// Erases data that this node can read. When this returns, no file of this
    /// node holds its key, the chunks are deleted, an event says so, and the peers
    /// that could be reached have the tombstone of an object of this node's own;
    /// others get it when they are met. Erasing again gives the same answer.
    ///
    /// What a reader has read or copied cannot be taken back, and of data that
    /// another node owns only what this node has is erased.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where there is nothing to erase.
    pub async fn erase(&self, data_hash: &DataHash) -> Result<Erasure, ServiceError> {
        self.inner.eraser.erase(data_hash).await
    }

    /// Withdraws the access of `recipient` to data that this node has shared. When
    /// this returns, the data is encrypted under a new key that every other reader
    /// is granted, the key before is destroyed here, an event says so, and the peers that could
    /// be reached have the new object in the place of the old one; others get it
    /// when they are met. Revoking again gives the same answer.
    ///
    /// What the reader has read or copied cannot be taken back, nor the key that it
    /// was granted: whoever kept the old ciphertext and that key can still open it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where this node has no such object of its own,
    /// [`ServiceError::Invalid`] where the address has no access to it, or is that of
    /// this node.
    pub async fn revoke(&self, data_hash: &DataHash, recipient: Address) -> Result<Revocation, ServiceError> {
        self.inner.revoker.revoke(data_hash, recipient).await
    }

    /// Checks a share of this data against the chain, by this node's own log
    /// or by the receipts that travel with its objects.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the chain does not answer.
    pub async fn verify(&self, data_hash: &DataHash) -> Result<VerifiedShare, ServiceError> {
        self.inner.verifier.verify(data_hash).await
    }

    /// The receipt of the newest anchored share of this data, or of the share
    /// with `recipient`.
    ///
    /// # Errors
    /// [`ServiceError::NotAnchored`] while this node's own share waits for its
    /// anchor, [`ServiceError::NotFound`] where nothing is known of a share.
    pub async fn receipt(
        &self,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Receipt, ServiceError> {
        self.inner.verifier.receipt(data_hash, recipient).await
    }

    /// The receipt of the newest anchored `delivery` of this data, to `recipient` if one is
    /// given, or of this node's own `acknowledgement` of it.
    ///
    /// # Errors
    /// [`ServiceError::NotAnchored`] while the event waits for its anchor,
    /// [`ServiceError::NotFound`] where there is none.
    pub async fn evidence(
        &self,
        kind: EventKind,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Receipt, ServiceError> {
        self.inner.verifier.evidence(kind, data_hash, recipient).await
    }

    /// Tells the network which account this node acts for, by which key, and who acts on the
    /// chain for it. What changes later is announced by [`DataManager::run_own_upkeep`].
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the network is not running.
    pub async fn announce(&self) -> Result<(), ServiceError> {
        self.inner.addresses.announce().await
    }

    /// The address record that this node announces.
    pub fn own_record(&self) -> SignedAddressRecord {
        self.inner.addresses.own_record()
    }

    /// Has the address record looked at now, after a change of what it says.
    pub fn announce_changes(&self) {
        self.inner.addresses.announce_changes();
    }

    /// The newest address record of an account that the network knows now, also for the
    /// grants that follow; `None` where there is none.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the network is not running.
    pub async fn address_record(
        &self,
        address: Address,
    ) -> Result<Option<Arc<SignedAddressRecord>>, ServiceError> {
        self.inner.addresses.address_record(address).await
    }

    /// Does in the background what each instance of a node has to do for itself, until
    /// `shutdown`: it shares uploads that are complete, and announces whose peer it is.
    ///
    /// # Errors
    /// Where this node's address record cannot be signed or announced; whoever supervises it
    /// starts it again.
    pub async fn run_own_upkeep(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        self.inner.upkeep.run_own(shutdown).await
    }

    /// The bells that wake [`DataManager::run_upkeep`], each with a name.
    pub fn bells(&self) -> Vec<(&'static str, Bell)> {
        self.inner.upkeep.bells()
    }

    /// Completes in the background what the node owes, until `shutdown`: one instance does it
    /// for all. What fails is tried again after a pause; how far the work is shows in the
    /// health of the part `upkeep`.
    ///
    /// # Errors
    /// Where the copies cannot be listed; whoever supervises it starts it again.
    pub async fn run_upkeep(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        self.inner.upkeep.run(shutdown).await
    }

    /// One round of everything that is due now, and of what belongs to no share. What
    /// fails is left for the next round.
    pub async fn catch_up(&self) {
        self.inner.upkeep.catch_up().await;
    }

    /// A lock: while somebody holds it for writing, no stored data is encrypted under
    /// another key, so that keys and data that are copied one after the other fit
    /// together.
    pub fn content_keys(&self) -> Arc<RwLock<()>> {
        self.inner.content_keys.clone()
    }

    /// Ends the waiting for anchors: shares that are recorded answer `pending`
    /// from now on. For a node that stops.
    pub fn stop_waiting(&self) {
        self.inner.recorder.stop_waiting();
    }
}

#[async_trait]
impl HealthCheck for DataManager {
    fn part(&self) -> &'static str {
        self.inner.upkeep.part()
    }

    async fn check(&self) -> Finding {
        self.inner.upkeep.check().await
    }
}

//! Withdraws a reader's access: the data is encrypted again under a key that the
//! reader does not have, and takes the place of what it could read, here and at
//! the peers that hold it.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use dm_core::{
    clock::now_ms,
    envelope::{Envelope, Grant, ObjectId, SignedEnvelope},
    event::NewEvent,
    hash::DataHash,
    ports::{KeyRing, ObjectStore, Recorded, Revocations, ShareCatalog},
    secret::ContentKey,
    share::ReadableObject,
};
use futures::TryStreamExt;
use tokio::sync::RwLock;

use super::{
    Basis, DataLocks, DataPorts,
    address::AddressBook,
    copies::Copies,
    objects::OwnObjects,
    read::Reader,
    recorder::Recorder,
    seal::{Intake, Sealed, Sealing},
};
use crate::{ServiceError, plugin_manager::Examiner, run_to_completion};

/// Access that was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The data.
    pub data_hash: DataHash,
    /// Who cannot read it any more.
    pub recipient: Address,
    /// When, in milliseconds since the Unix epoch.
    pub revoked_at: u64,
    /// The anchor's transaction, once there is one.
    pub tx_hash: Option<B256>,
    /// Position of the event in the log: the receipt's id.
    pub leaf_index: u64,
    /// Peers that are known to hold the data as it is encrypted now.
    pub replicas: u32,
    /// Readers whose public key was unknown when the data was encrypted again: each
    /// can read it once its node is seen.
    pub waiting: Vec<Address>,
}

/// A revocation that stands in the log.
struct RecordedRevocation {
    event: Recorded,
    replicas: u32,
    waiting: Vec<Address>,
}

/// Withdraws access; cheap to clone.
#[derive(Clone)]
pub(super) struct Revoker {
    objects: Arc<dyn ObjectStore>,
    shares: Arc<dyn ShareCatalog>,
    revocations: Arc<dyn Revocations>,
    key_ring: Arc<dyn KeyRing>,
    locks: DataLocks,
    own: Arc<OwnObjects>,
    addresses: Arc<AddressBook>,
    sealing: Arc<Sealing>,
    copies: Copies,
    recorder: Arc<Recorder>,
    reader: Reader,
    /// Held for reading while stored data gets another key.
    content_keys: Arc<RwLock<()>>,
}

impl Revoker {
    pub(super) fn new(
        ports: &DataPorts,
        basis: &Basis,
        reader: &Reader,
        content_keys: &Arc<RwLock<()>>,
    ) -> Self {
        Self {
            objects: ports.objects.clone(),
            shares: ports.catalog.clone(),
            revocations: ports.catalog.clone(),
            key_ring: ports.key_ring.clone(),
            locks: basis.locks.clone(),
            own: basis.own.clone(),
            addresses: basis.addresses.clone(),
            sealing: basis.sealing.clone(),
            copies: basis.copies.clone(),
            recorder: basis.recorder.clone(),
            reader: reader.clone(),
            content_keys: content_keys.clone(),
        }
    }

    /// See [`DataManager::revoke`](super::DataManager::revoke).
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator(), %recipient))]
    pub(super) async fn revoke(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Revocation, ServiceError> {
        if recipient == self.own.address() {
            return Err(ServiceError::invalid(
                "recipient",
                "is this node, which owns the data: erase the data instead",
            ));
        }
        let (revoker, data_hash) = (self.clone(), *data_hash);
        run_to_completion(async move {
            let turn = revoker.locks.lock(data_hash.locator()).await?;
            revoker.recorder.ensure_log_accepts()?;
            let recorded = turn.work(revoker.revoke_or_find(&data_hash, recipient)).await?;
            drop(turn);
            let tx_hash = revoker.recorder.anchor_of(recorded.event.index).await?;
            Ok(Revocation {
                data_hash,
                recipient,
                revoked_at: recorded.event.event.timestamp,
                tx_hash,
                leaf_index: recorded.event.index,
                replicas: recorded.replicas,
                waiting: recorded.waiting,
            })
        })
        .await
    }

    /// Withdraws access, or finds that it was withdrawn.
    async fn revoke_or_find(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<RecordedRevocation, ServiceError> {
        let object = self.own.own_object(data_hash).await?;
        let object = object.ok_or(ServiceError::NotFound)?;
        if self.may_read(&object, recipient).await? {
            self.recorder.record_waiting(&*self.shares, data_hash).await?;
            let revocations = &self.revocations;
            revocations.begin_revocation(data_hash, recipient).await?;
            return self.finish_revocation(data_hash, recipient).await;
        }
        let event = self.recorder.revocation_event(data_hash, recipient).await?;
        let stranger = || ServiceError::invalid("recipient", "has no access to this data");
        Ok(RecordedRevocation {
            event: event.ok_or_else(stranger)?,
            replicas: self.copies.known_replicas(&object.id).await?,
            waiting: Vec::new(),
        })
    }

    /// Whether the address has a grant, or a share whose grant is still owed.
    async fn may_read(&self, object: &ReadableObject, recipient: Address) -> Result<bool, ServiceError> {
        let shares = &self.shares;
        Ok(shares.share(&object.data_hash, recipient).await?.is_some()
            || self.own.has_grant(&object.id, recipient).await?)
    }

    /// All that follows once the share is forgotten, the peers that can be reached told.
    async fn finish_revocation(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<RecordedRevocation, ServiceError> {
        let (event, waiting) = self.finish_revocation_here(data_hash, recipient).await?;
        let replicas = self.copies.distribute_soon(&self.own.own_id(data_hash)).await?;
        let revocations = &self.revocations;
        revocations.end_revocation(data_hash, recipient).await?;
        Ok(RecordedRevocation {
            event,
            replicas,
            waiting,
        })
    }

    /// Finishes a revocation; peers are told without anybody waiting for it.
    pub(super) async fn finish_revocation_later(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<(), ServiceError> {
        self.finish_revocation_here(data_hash, recipient).await?;
        self.copies.tell_later(&self.own.own_id(data_hash));
        let revocations = &self.revocations;
        Ok(revocations.end_revocation(data_hash, recipient).await?)
    }

    /// What of a revocation is done at this node; each step can be repeated. Returns
    /// the event, and the readers that are owed their grants.
    pub(super) async fn finish_revocation_here(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<(Recorded, Vec<Address>), ServiceError> {
        let id = self.own.own_id(data_hash);
        let waiting = match self.own.has_grant(&id, recipient).await? {
            true => self.encrypt_again(data_hash, recipient).await?,
            false => Vec::new(),
        };
        self.adopt_key_of_stored(&id, data_hash).await?;
        let event = match self.recorder.revocation_event(data_hash, recipient).await? {
            Some(event) => event,
            None => {
                self.recorder
                    .record(NewEvent::revoke(*data_hash, recipient))
                    .await?
            }
        };
        Ok((event, waiting))
    }

    /// The key of the chunks that are stored now becomes the present one, and the
    /// key before is destroyed.
    async fn adopt_key_of_stored(&self, id: &ObjectId, data_hash: &DataHash) -> Result<(), ServiceError> {
        if let Some(stored) = self.objects.envelope(id).await? {
            self.revocations
                .adopt_prepared_key(data_hash, &stored.chunk_list)
                .await?;
        }
        Ok(())
    }

    /// Stores the data under a new key, for all readers but one. The new key is
    /// kept beside the present one before the chunks that it opens replace the
    /// present ones, so that the data can be read at every moment. Returns the
    /// readers that are owed their grants.
    async fn encrypt_again(
        &self,
        data_hash: &DataHash,
        without: Address,
    ) -> Result<Vec<Address>, ServiceError> {
        let Ok(_changing) = self.content_keys.try_read() else {
            return Err(ServiceError::Unavailable(
                "a backup is being made; the access is withdrawn when it is done".into(),
            ));
        };
        let id = self.own.own_id(data_hash);
        // An earlier revocation may have left the key of the stored chunks prepared.
        self.adopt_key_of_stored(&id, data_hash).await?;
        let Some(object) = self.own.own_object(data_hash).await? else {
            return Err(ServiceError::NotFound);
        };
        let Some(current) = self.objects.envelope(&id).await? else {
            return Err(ServiceError::NotFound);
        };
        let key = self.key_ring.unwrap(&object.key)?;
        let sealed = self.seal_again(data_hash, &current, key.clone()).await?;
        let attachments = self.sealing.attachments_under(&current, &key, &sealed.key);
        let next = ReadableObject {
            chunk_list: sealed.chunk_list,
            key: self.key_ring.wrap(&sealed.key),
            ..object
        };
        self.revocations.prepare_key(&next).await?;
        let (grants, waiting) = self
            .grants_without(&current, &sealed.key, data_hash, without)
            .await?;
        let now = now_ms();
        let envelope = self.own.sign_envelope(Envelope {
            id,
            size: sealed.size,
            chunk_list: sealed.chunk_list,
            sequence: current.next_sequence(now),
            created_at: now,
            grants,
            attachments,
            expires_at: current.expires_at,
        })?;
        sealed.writer.finish(&envelope).await?;
        self.own.note_nobody_holds(&envelope).await;
        Ok(waiting)
    }

    /// Decrypts the stored chunks and seals them under a fresh key.
    async fn seal_again(
        &self,
        data_hash: &DataHash,
        envelope: &SignedEnvelope,
        key: ContentKey,
    ) -> Result<Sealed, ServiceError> {
        let mut plaintext = self.reader.read_own(data_hash, envelope.clone(), key);
        let mut intake = Intake::begin(self.sealing.clone(), Examiner::new(None)).await?;
        while let Some(piece) = plaintext.try_next().await? {
            intake.write(piece).await?;
        }
        let (sealed, _) = intake.seal().await?;
        if sealed.data_hash != *data_hash {
            return Err(ServiceError::Damaged(
                "the stored object does not hold what it is stored under".into(),
            ));
        }
        Ok(sealed)
    }

    /// The grants of a new key for all readers but one, and the readers whose keys are unknown at this moment, who are owed theirs.
    async fn grants_without(
        &self,
        current: &Envelope,
        key: &ContentKey,
        data_hash: &DataHash,
        without: Address,
    ) -> Result<(Vec<Grant>, Vec<Address>), ServiceError> {
        let mut grants = Vec::with_capacity(current.grants.len());
        let mut waiting = Vec::new();
        let readers = current.grants.iter().map(|grant| grant.recipient);
        for reader in readers.filter(|reader| *reader != without) {
            match self.addresses.make_grant(key, current.id, reader).await? {
                Some(grant) => grants.push(grant),
                None => {
                    self.own.owe_grant(data_hash, reader).await?;
                    waiting.push(reader);
                }
            }
        }
        Ok((grants, waiting))
    }
}

//! Objects of the node's own: each with its share, its key, its event in the log, and
//! copies that others are known to hold.

use std::{sync::Arc, time::Duration};

use dm_compliance::ComplianceManager;
use dm_core::{
    Address,
    address_record::AddressRecord,
    bus::EventBus,
    clock::now_ms,
    config::ComplianceConfig,
    envelope::{ChunkListHasher, Envelope, ObjectId, SignedEnvelope},
    event::NewEvent,
    hash::DataHash,
    ports::{ComplianceLog, Grants, KeyRing, ObjectStore, Sealer, ShareCatalog, Signer},
    secret::ContentKey,
    share::{NewShare, ReadableObject, ShareRecord},
    span::Tracer,
    tasks::Supervisor,
};
use dm_keys::NodeKeys;
use dm_storage::SqliteCatalog;
use dm_testing::{anchors::MemoryAnchors, chain::MemoryChain};

use super::fill::OBJECT_BYTES;

/// Peers that are known to hold each object.
const REPLICAS: u32 = 3;
/// With whom everything is shared.
const RECIPIENT: Address = Address::repeat_byte(0xb0);

/// Makes own objects; cheap to clone.
#[derive(Clone)]
pub(super) struct Own(Arc<Parts>);

struct Parts {
    objects: Arc<dyn ObjectStore>,
    catalog: Arc<SqliteCatalog>,
    log: Arc<ComplianceManager>,
    supervisor: Supervisor,
    sealer: Arc<dyn Sealer>,
    key_ring: Arc<dyn KeyRing>,
    grants: Arc<dyn Grants>,
    signer: Arc<dyn Signer>,
    recipient: AddressRecord,
}

impl Own {
    pub(super) async fn new(
        keys: &NodeKeys,
        objects: Arc<dyn ObjectStore>,
        catalog: Arc<SqliteCatalog>,
    ) -> anyhow::Result<Self> {
        let (signer, grants, supervisor) = (keys.signer(), keys.grants(), Supervisor::new());
        // No anchor of a chain that the node does not know: the node anchors the log itself.
        let chain = Arc::new(MemoryChain::new(1));
        chain.set_away(true);
        let log = ComplianceManager::start(
            signer.address(),
            catalog.clone(),
            Arc::new(MemoryAnchors::new(chain, signer.address())),
            ComplianceConfig::default(),
            EventBus::new(),
            Tracer::default(),
            &supervisor,
        )
        .await?;
        Ok(Self(Arc::new(Parts {
            objects,
            catalog,
            log,
            supervisor,
            sealer: keys.sealer(),
            key_ring: keys.key_ring(),
            recipient: AddressRecord::new(RECIPIENT, grants.public_key(), String::new(), 1),
            grants,
            signer,
        })))
    }

    /// Makes one object and everything that belongs to its share.
    pub(super) async fn make(self, number: u64) -> anyhow::Result<()> {
        let parts = &self.0;
        let data = format!("{number:0width$}", width = OBJECT_BYTES as usize).into_bytes();
        let data_hash = DataHash::of(&data);
        let (envelope, object) = parts.store(data_hash, &data).await?;
        let share = NewShare {
            object: Some(object),
            ..ShareRecord::new(data_hash, RECIPIENT, envelope.created_at).into()
        };
        parts.catalog.commit_share(&share).await?;
        let event = NewEvent::data_share(data_hash, RECIPIENT);
        tokio::try_join!(
            async { anyhow::Ok(parts.log.record(event).await.map(drop)?) },
            async {
                let (catalog, id) = (&parts.catalog, &envelope.id);
                Ok(catalog.set_replicas(id, envelope.sequence, REPLICAS).await?)
            },
        )?;
        Ok(parts.catalog.set_receipt_spread(&data_hash, RECIPIENT).await?)
    }

    /// Ends the log; whether it ended in time.
    pub(super) async fn stop(&self, patience: Duration) -> bool {
        self.0.supervisor.shut_down(patience).await
    }
}

impl Parts {
    async fn store(
        &self,
        data_hash: DataHash,
        data: &[u8],
    ) -> anyhow::Result<(SignedEnvelope, ReadableObject)> {
        let id = ObjectId {
            locator: data_hash.locator(),
            owner: self.signer.address(),
        };
        let key = ContentKey::random();
        let chunk = self.sealer.seal(&key, data);
        let mut names = ChunkListHasher::default();
        names.push(&chunk.name());
        let (chunk_list, now) = (names.finish(), now_ms());
        let envelope = Envelope {
            id,
            size: OBJECT_BYTES,
            chunk_list,
            sequence: now,
            created_at: now,
            grants: vec![self.grants.grant(&key, &id, &self.recipient)?],
            attachments: Vec::new(),
            expires_at: None,
        };
        let envelope = SignedEnvelope::sign(envelope, &*self.signer)?;
        let mut writer = self.objects.create().await?;
        writer.append(chunk).await?;
        writer.finish(&envelope).await?;
        let object = ReadableObject {
            data_hash,
            id,
            size: OBJECT_BYTES,
            chunk_list,
            key: self.key_ring.wrap(&key),
        };
        Ok((envelope, object))
    }
}

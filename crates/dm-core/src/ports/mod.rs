//! Ports: what the services need from the outside, one capability each.
//!
//! Most ports have an in-memory implementation and a conformance suite in
//! the crate `dm-testing`; an adapter is done when it passes that suite.

mod acquaintance;
mod anchors;
mod api_keys;
mod backups;
mod catalog;
mod chain;
mod chain_control;
mod chunk_opener;
mod compliance;
mod console_pages;
mod contact_book;
mod crypto;
mod deliveries;
mod event_journal;
mod event_log;
mod health_check;
mod holder_index;
mod identity_provider;
mod inbox;
mod instances;
mod json_rpc;
mod key_changes;
mod key_uses;
mod key_value;
mod leads;
mod leases;
mod log_control;
mod master_password;
mod network;
mod notices;
mod object_changes;
mod object_layer;
mod objects;
mod operations;
mod operator_handover;
mod orders;
mod owner_standing;
mod plugins;
mod replication;
mod revocations;
mod secret_files;
mod sent;
mod signer;
mod subscriptions;
mod tokens;
mod uploads;
mod users;
mod webhooks;
mod whole_catalog;

pub use acquaintance::{Acquaintance, Standing};
pub use anchors::{AnchorHead, AnchorRequest, Anchors};
pub use api_keys::{ApiKeyError, ApiKeys, MAX_NAMED, NewApiKey, NewApiKeyRequest};
pub use backups::{
    BackupError, BackupStream, Backups, CatalogCopy, KeyFiles, NamespaceCopy, NamespaceSnapshot,
    PauseRekeying, RekeyingPaused,
};
pub use catalog::{
    ApiKeyCatalog, CatalogError, ErasureCause, Erasures, NumberedShare, PeerCatalog, ReadableObjects,
    Rewrapped, ShareCatalog, ShareInsert,
};
pub use chain::{Chain, ChainError, ChainHead};
pub use chain_control::{ChainControl, ChainSwitchError};
pub use chunk_opener::{ChunkOpener, OpenedChunk};
pub use compliance::{ComplianceError, ComplianceLog, HistoryEntry, HistoryPage, HistoryQuery, Recorded};
pub use console_pages::{ConsolePages, PageFile};
pub use contact_book::ContactBook;
pub use crypto::{GrantError, GrantKeyInfo, Grants, KeyRing, KeyRingError, KeyVersion, Sealer, Unsealable};
pub use deliveries::DeliveryCatalog;
pub use event_journal::{EventJournal, JOURNAL_WINDOW, JournalExtent, JournalPage};
pub use event_log::{AnchoredCheckpoint, EventFilter, EventLog, LogEntry, LogPage, TracedEvent, TreeNode};
pub use health_check::HealthCheck;
pub use holder_index::HolderIndex;
pub use identity_provider::{IdentityError, IdentityProvider, SignInAnswer, SignInAttempt, SignedIn};
pub use inbox::InboxCatalog;
pub use instances::{INSTANCE_KEPT_MS, Instances};
pub use json_rpc::JsonRpc;
pub use key_changes::{BegunKeyChange, KeyChange, KeyChangeDetails, KeyChanges};
pub use key_uses::{KeyUses, Retirement};
pub use key_value::{KeyValueStore, WriteBatch};
pub use leads::{LeaderTask, Leads};
pub use leases::{KEPT_LEASES, Leases};
pub use log_control::{InvalidLogFilter, LogControl};
pub use master_password::{MasterPassword, PasswordError};
pub use network::{
    AddressDirectory, FetchError, Found, Network, NetworkError, NetworkStatus, NotTaken, ObjectExchange,
    PushReport,
};
pub use notices::{MAX_NAMED_SENDERS, NoticeNetwork, NoticeReport, NoticeSink};
pub use object_changes::{ObjectChange, ObjectChanges};
pub use object_layer::ObjectStoreLayer;
pub use objects::{
    Kept, KeptLimits, MAX_OWNERS_LISTED, ObjectStore, ObjectWriter, Resumed, StorageQuota, StoreError,
    StoreUsage, storage_cost,
};
pub use operations::{MinedOperation, OperationState, Operations};
pub use operator_handover::{OperatorHandover, OperatorKeyError, OperatorKeys};
pub use orders::{NumberedOrder, OrderCatalog, OrderInsert, TokenCatalog};
pub use owner_standing::{OwnerStanding, room_for_strangers};
pub use plugins::{NodeFunctions, Plugin, PluginContext, PluginSource};
pub use replication::{Challenged, Evidence, HoldersNews, Replication};
pub use revocations::Revocations;
pub use secret_files::{SecretFiles, SecretFilesError};
pub use sent::SentCatalog;
pub use signer::{Signer, SignerError};
pub use subscriptions::{MAX_DEAD_LETTERS, SubscriptionCatalog};
pub use tokens::{TokenError, Tokens};
pub use uploads::{UnfinishedObjects, UnfinishedWriter, UploadCatalog};
pub use users::{AuthorizedUsers, PublicKey, SignatureFault, UsedMandates, UserKeys};
pub use webhooks::{WebhookAnswer, WebhookCall, Webhooks};
pub use whole_catalog::Catalog;

use super::{
    ApiKeyCatalog, AuthorizedUsers, ContactBook, DeliveryCatalog, Erasures, EventJournal, EventLog,
    InboxCatalog, KeyChanges, KeyUses, OrderCatalog, PeerCatalog, ReadableObjects, Revocations, SentCatalog,
    ShareCatalog, SubscriptionCatalog, TokenCatalog, UploadCatalog, UsedMandates,
};

/// The whole catalog. Its ports only make sense over one and the same store: a commit
/// of a share writes keys, mandates, orders and erasures as well. So it is handed over
/// as one `Arc`, of which whoever needs less takes a part.
pub trait Catalog:
    ApiKeyCatalog
    + AuthorizedUsers
    + ContactBook
    + DeliveryCatalog
    + Erasures
    + EventJournal
    + EventLog
    + InboxCatalog
    + KeyChanges
    + KeyUses
    + OrderCatalog
    + PeerCatalog
    + ReadableObjects
    + Revocations
    + SentCatalog
    + ShareCatalog
    + SubscriptionCatalog
    + TokenCatalog
    + UploadCatalog
    + UsedMandates
{
}

impl<T> Catalog for T where
    T: ApiKeyCatalog
        + AuthorizedUsers
        + ContactBook
        + DeliveryCatalog
        + Erasures
        + EventJournal
        + EventLog
        + InboxCatalog
        + KeyChanges
        + KeyUses
        + OrderCatalog
        + PeerCatalog
        + ReadableObjects
        + Revocations
        + SentCatalog
        + ShareCatalog
        + SubscriptionCatalog
        + TokenCatalog
        + UploadCatalog
        + UsedMandates
{
}

//! What every catalog promises, whatever database keeps it.

macro_rules! catalog_conformance {
    ($empty:path) => {
        dm_testing::share_catalog_conformance!($empty);
        dm_testing::whole_shares_conformance!($empty);
        dm_testing::readable_objects_conformance!($empty);
        dm_testing::key_uses_conformance!($empty);
        dm_testing::key_changes_conformance!($empty);
        dm_testing::erasures_conformance!($empty);
        dm_testing::inbox_catalog_conformance!($empty);
        dm_testing::sent_catalog_conformance!($empty);
        dm_testing::delivery_catalog_conformance!($empty);
        dm_testing::revocations_conformance!($empty);
        dm_testing::event_log_conformance!($empty);
        dm_testing::api_key_catalog_conformance!($empty);
        dm_testing::peer_catalog_conformance!($empty);
        dm_testing::order_catalog_conformance!($empty);
        dm_testing::token_catalog_conformance!($empty);
        dm_testing::event_journal_conformance!($empty);
        dm_testing::subscription_catalog_conformance!($empty);
        dm_testing::authorized_users_conformance!($empty);
        dm_testing::contact_book_conformance!($empty);
        dm_testing::upload_catalog_conformance!($empty);
        dm_testing::used_mandates_conformance!($empty);
        dm_testing::leases_conformance!($empty);
        dm_testing::fenced_catalog_conformance!($empty);
        dm_testing::instances_conformance!($empty);
    };
}

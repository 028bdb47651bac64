//! The whole node as a black box: these tests start the real binary, several
//! at once on loopback, and speak to it as its users do. Each is named after
//! the promise that it holds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod support;

mod acknowledgements;
mod alerts;
mod api_keys;
mod backup;
mod chain_endpoints;
mod chain_trouble;
mod churn;
mod client;
mod command_line;
mod console;
mod contacts;
mod crashes;
mod descriptors;
mod doctor;
mod documentation;
mod erasing;
mod event_kills;
mod events;
mod expiry;
mod failed_shares;
mod failing_over;
mod first_starts;
mod folders;
mod full_disk;
mod grants;
mod inbox;
mod instance_rounds;
mod instances;
mod keys;
mod kill_rounds;
mod liars;
mod lifecycle;
mod links;
mod log;
mod master_password;
mod metrics;
mod migration;
mod money;
mod money_under_fire;
mod network;
mod notices;
mod offline_first;
mod operator_change;
mod plugin_events;
mod plugins;
mod postgres;
mod previous;
mod receipts;
mod receiving;
mod requests;
mod retrieval;
mod routers;
mod s3;
mod service_manager;
mod serving_together;
mod settings;
mod several_recipients;
mod shared_keys;
mod shares;
mod sharing;
mod sign_in;
mod support_bundle;
mod tls;
mod top;
mod traces;
mod uploads;
mod users;
mod vouching;
mod workspace;

//! The services, on in-memory ports.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod acknowledging;
mod acknowledging_again;
mod anchored_owners;
mod consents;
mod contacts;
mod crashes;
mod describing;
mod erasing;
mod expiring;
mod inboxes;
mod instances;
mod key_changes;
mod key_rotation;
mod late_grants;
mod late_notices;
mod leader_health;
mod mandates;
mod notices;
mod ordered;
mod payments;
mod plugin_events;
mod plugins;
mod reading;
mod receiving;
mod refunds;
mod repairing;
mod replica_notices;
mod revoking;
mod scripted;
mod scrubbing;
mod several_recipients;
mod share_schedules;
mod sharing;
mod support;
mod transfers;
mod upkeep;
mod uploading;
mod uploading_crashes;
mod uploading_for_several;
mod users;
mod whole_shares;

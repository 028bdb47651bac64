#![doc = include_str!("../README.md")]

mod anchored_owners;
mod attachments;
mod authorization;
mod authorizer;
mod bells;
mod contacts;
mod cpu;
mod data;
mod deliveries;
mod error;
pub mod events;
mod health_monitor;
pub mod inbox;
mod key_guard;
mod key_journal;
mod key_rotation;
mod known_objects;
mod known_owners;
mod late_news;
mod leader_calls;
mod leadership;
mod listing_keys;
mod membership;
pub mod migration;
mod network_health;
mod notices;
mod object_queue;
mod operator_change;
mod order_executor;
mod own_secret;
mod pauses;
mod payment_processor;
mod people;
mod plugin_manager;
mod queue_front;
mod readiness;
mod remembered;
pub mod repairer;
mod run_to_completion;
mod running;
mod scrubber;
pub mod shares;
mod subscriptions;
mod token_manager;
mod trend;
mod turns;

pub use anchored_owners::AnchoredOwners;
pub use authorization::{AuthorizationConfig, AuthorizationPorts, ShareAuthorization, StatementContext};
pub use authorizer::{Authorizer, AuthorizerError, UserKey};
pub use bells::{Bell, SharedBells};
pub use contacts::{ContactError, ContactPorts, Contacts, NewContact};
pub use data::{
    Counts, DataConfig, DataManager, DataPorts, Erasure, ManyInstances, OpenObject, Revocation,
    ShareOutcomes, Upload, UploadError, UploadOutcome, UploadProgress, UploadWriter, Uploads, VerifiedShare,
};
pub use deliveries::{Deliveries, DeliveryPorts, DeliverySettings};
pub use error::{Cause, ServiceError, Shortfall};
pub use health_monitor::{HealthMonitor, HealthPorts};
pub use key_guard::KeyGuard;
pub use key_rotation::{
    KeyRotation, KeyRotationConfig, KeyRotationPorts, KeyVersionUse, destroy_key_version, key_versions,
};
pub use known_objects::KnownObjects;
pub use known_owners::KnownOwners;
pub use late_news::LateNews;
pub use leader_calls::LeaderCalls;
pub use leadership::{Leadership, LeadershipConfig, Term};
pub use membership::{InstanceList, InstanceTotals, ListedInstance, Membership};
pub use network_health::NetworkHealth;
pub use notices::{Letterbox, NoticePorts, Notices, ReplicaNoticePorts, ReplicaNotices};
pub use operator_change::{OperatorChange, OperatorChangeError, OperatorChangePorts};
pub use order_executor::{MoneyConfig, MoneyPorts, OrderExecutor};
pub use payment_processor::{PaymentProcessor, TransferRequest};
pub use people::People;
pub use plugin_manager::{PluginConfig, PluginManager, PluginReading, RegisteredPlugins};
pub use readiness::Readiness;
pub use repairer::{HeldBy, HeldObject, RepairMeter, RepairPorts, RepairTotals, Repairer};
pub use scrubber::{ScrubConfig, ScrubPorts, ScrubReport, Scrubber, StorageStatus};
pub use subscriptions::{DeliveryMeter, DeliveryTotals, NewSubscription, SubscriptionPorts, Subscriptions};
pub use token_manager::{NewToken, TokenManager};
pub use trend::{Trend, TrendPorts, TrendSample};
pub use turns::SharedTurns;

use run_to_completion::run_to_completion;

//! All metrics of a node. What shows, explains or watches a metric is made from this list
//! or compared with it.

/// What the values of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They go up and down.
    Gauge,
    /// They grow from the start of the process.
    Counter,
    /// Counts of values by their size, from the start of the process.
    Histogram,
    /// Always 1: what it tells is in the labels.
    Info,
}

impl Kind {
    /// The name in the exposition format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// What is known of a metric beside its values.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The whole name, with its unit, and with `_total` or `_info` as queries have it.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, without a full stop.
    pub help: &'static str,
    /// What an operator learns from it or does about it, as a sentence.
    pub action: &'static str,
    /// Whether it is there only where something is: plugins, or requests that have come.
    pub is_optional: bool,
}

/// Metrics that belong together.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// They themselves.
    pub metrics: &'static [&'static Metric],
}

macro_rules! metrics {
    ($($title:literal { $(
        $id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal, $action:literal $(, $optional:ident)?;
    )* })*) => {
        $($(
            #[doc = $help]
            pub static $id: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
                action: $action,
                is_optional: false $(|| stringify!($optional).len() > 0)?,
            };
        )*)*
        /// All of them, in the order in which they are shown.
        pub static GROUPS: &[Group] = &[$(Group { title: $title, metrics: &[$(&$id),*] }),*];
    };
}

metrics! {
    "Requests" {
        HTTP_REQUESTS = Counter "dm_http_requests_total" ["api", "method", "route", "status"]
            "Requests that were answered",
            "Look at the log for the lines of the route with its status: 5xx are faults of the node or of what it needs, 429 is the rate limit, 401 and 403 are wrong or narrow keys.", optional;
        HTTP_SECONDS = Histogram "dm_http_request_duration_seconds" ["api", "method", "route"]
            "Time until the head of an answer was there",
            "Compare it with the commits of the catalog and of the object store, and with the anchors for `/share_data`.", optional;
        WRONG_API_KEYS = Counter "dm_http_wrong_api_keys_total" []
            "Wrong API keys that came",
            "Somebody tries keys, or a client has an old one: its address stands in the log.";
    }
    "Shares, the inbox and orders" {
        SHARES = Counter "dm_shares_total" ["state"]
            "Shares that reached a state: shared, anchored, acknowledged, revoked, erased, expired",
            "`anchored` follows `shared` by one anchor. Where the gap grows, look at the chain.";
        INBOX = Counter "dm_inbox_items_total" ["state"]
            "Data of others that reached a state here: received, fetched",
            "It shows how much comes in. Data that is received and not fetched waits for a program or a person.";
        ORDERS = Counter "dm_orders_total" ["state"]
            "Transfers, payments and refunds that reached a state: completed, failed",
            "Look at `dm-node transfers` for what failed and why.";
    }
    "Log and anchors" {
        LOG_EVENTS = Gauge "dm_log_events" []
            "Events in the log of this node",
            "It only grows. It shrinks where an older catalog was restored: then see the part `log` of `/health`.";
        LOG_UNANCHORED = Gauge "dm_log_unanchored_events" []
            "Events that no anchor covers yet",
            "Where it does not go back to 0, the chain is away, or the operator account cannot pay.";
        LOG_ANCHORS = Counter "dm_log_anchors_total" []
            "Anchors that were made",
            "Each costs gas: events that come together share one.";
        LOG_ANCHOR_SECONDS = Histogram "dm_log_anchor_delay_seconds" []
            "Time from the record of an event to its anchor",
            "It is the time of a block at the least. Where it grows, look at the price of gas and at the endpoints.";
    }
    "Chain" {
        CHAIN_CONNECTED = Gauge "dm_chain_connected" []
            "1 while the chain answers, else 0",
            "Look at the part `chain` of `/health`, which names the endpoint and the reason.";
        CHAIN_PENDING = Gauge "dm_chain_transactions_pending" []
            "Transactions of the operator account that wait for a block",
            "Look at the part `account` of `/health`: it says what the oldest one waits for.";
        CHAIN_MINED = Counter "dm_chain_transactions_total" ["outcome"]
            "Transactions of the operator account: mined, replaced by one with higher fees, refused for good",
            "Many that are replaced: the price of gas rises faster than it is followed. Those that are refused stand in the log with the reason.";
        CHAIN_GAS = Counter "dm_chain_gas_total" []
            "Gas that the transactions of the operator account used",
            "Larger anchors are cheaper for each event; see `compliance.max_batch`.";
        CHAIN_FEES = Counter "dm_chain_fees_gwei_total" []
            "Fees that the operator account paid, in gwei; 0 where the chain does not say the price",
            "Keep coins in the account for some days of this.";
    }
    "Object store" {
        STORE_OBJECTS = Gauge "dm_object_store_objects" []
            "Objects that are stored here, own ones and those of others",
            "It shows the growth of the store.";
        STORE_BYTES = Gauge "dm_object_store_kept_bytes" ["owner"]
            "Bytes that are kept for this node itself (own) and for others (foreign)",
            "Compare it with the limit: beyond it, shares are refused with 507, or copies of others are not taken.";
        STORE_LIMIT = Gauge "dm_object_store_limit_bytes" ["owner"]
            "Bytes that may be kept: `storage.max_own_bytes` and `network.max_foreign_bytes`",
            "Raise the limit where the disk has room.";
        STORE_DAMAGED = Gauge "dm_object_store_damaged_objects" []
            "Stored objects that could not be read and were not brought back yet",
            "Look at `GET /network/storage` and at the disk; they are fetched again from other nodes.";
        STORE_COMMIT_SECONDS = Histogram "dm_object_store_commit_duration_seconds" []
            "Time of a durable commit of the object store",
            "It is the time of one sync of the disk. Where it grows, the disk is busy or fails.";
        STORE_COMMIT_CHANGES = Histogram "dm_object_store_commit_changes" []
            "Changes that shared one commit of the object store",
            "Large groups are good: they show load that shares its syncs.";
        STORE_COMMITS_FAILED = Counter "dm_object_store_commits_failed_total" []
            "Commits of the object store that failed",
            "Look at the part `object_store` of `/health`: the disk is full, read-only or broken.";
        STORE_READ_SECONDS = Histogram "dm_object_store_read_duration_seconds" []
            "Time to read a part of a stored object that is not in memory",
            "Retrievals wait for it. Where it grows, the disk or the bucket is busy or fails.";
        STORE_WAITING = Gauge "dm_object_store_waiting_changes" []
            "Changes that wait for the next commit of the object store",
            "Where it stays in the hundreds, the disk is slower than the load.";
    }
    "Catalog" {
        CATALOG_COMMIT_SECONDS = Histogram "dm_catalog_commit_duration_seconds" []
            "Time of a durable commit of the catalog",
            "It is the time of a sync of the disk, or of a round to PostgreSQL and its commit.";
        CATALOG_COMMIT_CHANGES = Histogram "dm_catalog_commit_changes" []
            "Changes that shared one commit of the catalog",
            "Large groups are good: they show load that shares its commits.";
        CATALOG_COMMITS_FAILED = Counter "dm_catalog_commits_failed_total" []
            "Commits of the catalog that failed",
            "Look at the part `catalog` of `/health`.";
        CATALOG_READ_SECONDS = Histogram "dm_catalog_read_duration_seconds" []
            "Time of a read of the catalog that memory does not answer, with the wait for a connection",
            "Listings and retrievals wait for it. Where it grows, the disk or the database is busy, or `catalog.readers` is too small.";
        CATALOG_WAITING = Gauge "dm_catalog_waiting_changes" []
            "Changes that wait for the next commit of the catalog",
            "Where it stays in the hundreds, the disk or the database is slower than the load.";
    }
    "Copies" {
        REPAIR_OBJECTS = Gauge "dm_repair_objects" []
            "Objects of which this node looks after the copies",
            "It shows how much repair has to do.";
        REPAIR_SHORT = Gauge "dm_repair_short_objects" []
            "Objects with fewer copies than wanted",
            "It goes to 0 within minutes after peers have gone. Where it does not, too few peers have room: `dm-node peers`.";
        REPAIR_CHALLENGES = Counter "dm_repair_challenges_total" ["result"]
            "Challenges of holders: proven, missing, wrong, silent",
            "`wrong` names a peer that has lost or changed bytes; the log says which one.";
        REPAIR_COPIES = Counter "dm_repair_copies_total" ["result"]
            "Copies that were wanted: made, or refused by every peer that was asked",
            "Where most are refused, peers have no room or the objects are too large for them.";
    }
    "Network" {
        NETWORK_PEERS = Gauge "dm_network_peers" ["state"]
            "Peers: known, healthy, connected, banned",
            "Without connected peers nothing is copied and no data of others is found: look at the port and at `initial_peers`.";
        NETWORK_BYTES = Counter "dm_network_bytes_total" ["direction"]
            "Bytes that went to peers (sent) and came from them (received)",
            "It shows the load of the line. Repair is bounded by `network.repair_bytes_per_sec`.";
        NETWORK_NOT_UNDERSTOOD = Counter "dm_network_not_understood_total" []
            "Messages of peers in a later version than this node knows",
            "Peers run a newer version: plan the upgrade.";
    }
    "Events and webhooks" {
        WEBHOOK_SUBSCRIPTIONS = Gauge "dm_webhook_subscriptions" ["state"]
            "Subscriptions: active, paused, ended by the receiver, failing (active, and the last call was not taken)",
            "Look at `dm-node subscriptions` for the reason of those that fail.";
        WEBHOOK_LAG = Gauge "dm_webhook_lag_events" []
            "Events by which the active subscription that is furthest behind is behind the journal",
            "A receiver is slow or away. Events are kept for `events.keep_secs`; what is older is missed.";
        WEBHOOK_CALLS = Counter "dm_webhook_calls_total" ["result"]
            "Calls of receivers: taken, failed, gone",
            "Calls that fail are made again for hours.";
        WEBHOOK_GIVEN_UP = Counter "dm_webhook_given_up_events_total" []
            "Events that were given up after all attempts",
            "Mend the receiver, and have the subscription replayed.";
        WEBHOOK_SECONDS = Histogram "dm_webhook_call_duration_seconds" []
            "Time of a call of a receiver",
            "One subscription has one call at a time: a slow receiver falls behind.";
    }
    "Traces" {
        TRACE_SPANS = Counter "dm_trace_spans_total" ["result"]
            "Spans of traces: exported, dropped because too many waited, lost because the collector did not take them",
            "`dropped` and `lost` grow while the collector is slow or away: see the part `traces` of `/health`. Else lower `traces.sample_percent`.", optional;
    }
    "Instances" {
        INSTANCES = Gauge "dm_instances" ["state"]
            "Processes of this node that have not left: there, or silent for more than 15 s",
            "A silent one was killed or hangs; it is forgotten after a day. `GET /instances` names them.";
        INSTANCE_LEADS = Gauge "dm_instance_leads" []
            "1 while this process does what only one process of its node may do, else 0",
            "The sum over the processes of a node is 1, but for some seconds after the leader was killed. Without a leader nothing is anchored.";
    }
    "Keys" {
        KEY_AGE = Gauge "dm_key_age_seconds" []
            "Age of the newest key-encryption key",
            "Rotate it (`dm-node key rotate`), or set `keys.rotate_after_days`.";
        KEY_VERSIONS = Gauge "dm_key_versions" []
            "Key-encryption keys that are held",
            "Older ones end once nothing is wrapped by them, where `keys.destroy_retired` is set.";
    }
    "Plugins" {
        PLUGIN_RUNNING = Gauge "dm_plugin_running" ["plugin"]
            "1 while the plugin is called, else 0",
            "Look at `dm-node plugins` for the reason. Without a required plugin, what it has a say in is refused.", optional;
        PLUGIN_SECONDS = Histogram "dm_plugin_call_duration_seconds" ["plugin"]
            "Time of a question to the plugin, with the wait for it",
            "Shares and retrievals wait for it.", optional;
        PLUGIN_FAULTS = Counter "dm_plugin_faults_total" ["plugin"]
            "Questions that the plugin did not answer: it failed, panicked or was too slow",
            "Look at the log for the fault; the plugin was started again.", optional;
        PLUGIN_EVENTS_MISSED = Counter "dm_plugin_missed_events_total" ["plugin"]
            "Events that the plugin did not hear of",
            "It was too slow, or away for too long.", optional;
    }
    "Health" {
        HEALTH_STATUS = Gauge "dm_health_status" []
            "How the node is: 0 healthy, 1 degraded, 2 unhealthy",
            "Look at `/health`.";
        HEALTH_PART = Gauge "dm_health_part_status" ["part"]
            "How each part is: 0 healthy, 1 degraded, 2 unhealthy",
            "`/health` says of the part since when, why, and what to do.";
        TASKS_FAILED = Gauge "dm_tasks_failed" []
            "Background tasks that have failed and wait to be started again",
            "`/health` names them under `tasks`, with the reason.";
    }
    "Process" {
        BUILD = Info "dm_build_info" ["version"]
            "The version of the program",
            "Nodes of different versions work together.";
        START_TIME = Gauge "dm_process_start_time_seconds" []
            "When the process started, in seconds since the Unix epoch",
            "A node that starts again and again is killed or crashes: look at its last lines.";
        CPU_SECONDS = Counter "dm_process_cpu_seconds_total" []
            "Processor time that the process has used",
            "Its rate is the number of processors that are busy.";
        MEMORY = Gauge "dm_process_resident_memory_bytes" []
            "Memory of the process",
            "Compare it with the limit of its container or service.";
        OPEN_FDS = Gauge "dm_process_open_fds" []
            "Open files and connections",
            "Where it comes near to the limit, raise that, or look at who connects.";
        MAX_FDS = Gauge "dm_process_max_fds" []
            "Most open files and connections",
            "Raise the limit of the service (`LimitNOFILE`).";
    }
}

/// Every metric.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    GROUPS.iter().flat_map(|group| group.metrics.iter().copied())
}

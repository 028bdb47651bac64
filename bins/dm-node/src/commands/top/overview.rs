//! What is known of the node.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Instant,
};

use serde_json::{Value, json};

use super::watch::{Lists, Look};

/// Rates that are kept for the plots.
const KEPT_RATES: usize = 240;
/// Events that are kept.
const KEPT_EVENTS: usize = 200;

/// How the node is, as far as it has said.
pub(super) struct Overview {
    /// Where it is asked.
    pub(super) api: String,
    /// `healthy`, `degraded` or `unhealthy`.
    pub(super) status: String,
    /// Each part's health by its name.
    pub(super) parts: Value,
    pub(super) network: Value,
    pub(super) peers: Vec<Value>,
    pub(super) storage: Value,
    pub(super) shares: Tally,
    pub(super) inbox: Tally,
    pub(super) anchors: Anchors,
    /// Newest last.
    pub(super) events: VecDeque<Value>,
    /// Newest last.
    pub(super) rates: VecDeque<Rate>,
    /// Why it does not answer now.
    pub(super) trouble: Option<String>,
    measured: Option<(Instant, u64, u64)>,
    heard: HashSet<String>,
}

/// How many of the newest there are in each state.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) by_state: BTreeMap<String, usize>,
    /// Whether there are older ones, which are not counted.
    pub(super) has_more: bool,
}

/// How far the chain has the log.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Anchors {
    /// Events in the log.
    pub(super) events: u64,
    /// Those of the newest that the chain does not hold yet.
    pub(super) waiting: usize,
    /// Transaction of the newest anchor.
    pub(super) newest: Option<String>,
}

/// Bytes a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Overview {
    pub(super) fn of(api: &str, (look, events): (Look, Vec<Value>)) -> Self {
        let mut overview = Self {
            api: api.to_owned(),
            status: String::new(),
            parts: Value::Null,
            network: Value::Null,
            peers: Vec::new(),
            storage: Value::Null,
            shares: Tally::default(),
            inbox: Tally::default(),
            anchors: Anchors::default(),
            events: VecDeque::new(),
            rates: VecDeque::new(),
            trouble: None,
            measured: None,
            heard: HashSet::new(),
        };
        overview.see(look);
        overview.hear(events);
        overview
    }

    /// Takes what the node says of itself now.
    pub(super) fn see(&mut self, look: Look) {
        self.see_at(look, Instant::now());
    }

    fn see_at(&mut self, look: Look, now: Instant) {
        self.trouble = None;
        look.status["status"]
            .as_str()
            .unwrap_or("unknown")
            .clone_into(&mut self.status);
        self.parts = look.parts;
        self.measure(&look.network, now);
        self.network = look.network;
        self.peers = array(look.peers);
        self.storage = look.storage;
        if let Some(Lists { shares, inbox, log }) = look.lists {
            self.shares = Tally::of(&shares["shares"], &shares["next_cursor"]);
            self.inbox = Tally::of(&inbox["items"], &inbox["next_cursor"]);
            self.anchors = Anchors::of(&log["history"]);
        }
    }

    /// A node that was started again counts from the beginning.
    fn measure(&mut self, network: &Value, now: Instant) {
        let count = |field: &str| network[field].as_u64().unwrap_or_default();
        let (sent, received) = (count("data_sent"), count("data_received"));
        if let Some((then, sent_then, received_then)) = self.measured.replace((now, sent, received)) {
            let seconds = now.duration_since(then).as_secs_f64().max(0.001);
            let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds) as u64;
            self.rates.push_back(Rate {
                sent: rate(sent, sent_then),
                received: rate(received, received_then),
            });
            if self.rates.len() > KEPT_RATES {
                self.rates.pop_front();
            }
        }
    }

    /// Takes events in their order; those that are known are passed over.
    pub(super) fn hear(&mut self, events: Vec<Value>) {
        for event in events {
            let id = event["id"].as_str().unwrap_or_default().to_owned();
            if self.heard.insert(id) {
                self.events.push_back(event);
            }
        }
        while self.events.len() > KEPT_EVENTS {
            if let Some(forgotten) = self.events.pop_front() {
                self.heard.remove(forgotten["id"].as_str().unwrap_or_default());
            }
        }
    }

    /// The rates now; none before there are two looks.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.rates.back().copied()
    }

    /// All of it, for programs.
    pub(super) fn document(&self) -> Value {
        json!({
            "status": self.status,
            "parts": self.parts,
            "network": self.network,
            "peers": self.peers,
            "storage": self.storage,
            "shares": {"by_state": self.shares.by_state, "has_more": self.shares.has_more},
            "inbox": {"by_state": self.inbox.by_state, "has_more": self.inbox.has_more},
            "anchors": {
                "events": self.anchors.events, "waiting": self.anchors.waiting, "newest": self.anchors.newest,
            },
            "events": self.events,
        })
    }
}

impl Tally {
    fn of(items: &Value, next_cursor: &Value) -> Self {
        let mut by_state = BTreeMap::new();
        for item in items.as_array().into_iter().flatten() {
            let state = item["state"].as_str().unwrap_or("unknown");
            *by_state.entry(state.to_owned()).or_default() += 1;
        }
        Self {
            by_state,
            has_more: !next_cursor.is_null(),
        }
    }
}

impl Anchors {
    /// From the log, newest first.
    fn of(history: &Value) -> Self {
        let lines = history.as_array().map(Vec::as_slice).unwrap_or_default();
        let index = lines.first().and_then(|line| line["index"].as_u64());
        let newest = lines.iter().find_map(|line| line["tx_hash"].as_str());
        Self {
            events: index.map_or(0, |index| index + 1),
            waiting: lines.iter().filter(|line| line["tx_hash"].is_null()).count(),
            newest: newest.map(str::to_owned),
        }
    }
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    /// A look at a node with something in each list.
    pub(in super::super) fn look() -> Look {
        let share = |state: &str| json!({"state": state});
        Look {
            status: json!({"status": "degraded"}),
            parts: json!({
                "catalog": {"status": "healthy", "since": 1},
                "chain": {"status": "degraded", "since": 1, "reason": "no endpoint answers", "action": "start one"},
            }),
            network: json!({
                "active_peers": 2, "total_peers": 3, "data_sent": 1000, "data_received": 2000,
                "uptime": 7300, "avg_latency_ms": 12.4,
            }),
            peers: json!([
                {"peer_id": "12D3KooWAlpha", "connected": true, "healthy": true, "latency_ms": 12, "last_seen": 1},
                {"peer_id": "12D3KooWBanned", "connected": false, "healthy": false, "banned_until": 9, "last_seen": 1},
            ]),
            storage: json!({"objects": 7, "own_bytes": 2048, "foreign_bytes": 0, "damaged": 0}),
            lists: Some(Lists {
                shares: json!({"shares": [share("notified"), share("acknowledged"), share("notified")], "next_cursor": "x"}),
                inbox: json!({"items": [share("new")], "next_cursor": null}),
                log: json!({"history": [
                    {"index": 41, "tx_hash": null}, {"index": 40, "tx_hash": "0xabc"}, {"index": 39, "tx_hash": "0xdef"},
                ]}),
            }),
        }
    }

    pub(in super::super) fn event(position: u64) -> Value {
        json!({
            "id": format!("0000000000000000-{position}"), "type": "datamgmt.data.shared",
            "time": "2026-11-30T12:00:00Z", "subject": "2cf24dba5fb0a30e26e83b2ac5b9e29e",
            "data": {"recipient": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"},
        })
    }

    #[test]
    fn states_are_counted_and_the_log_tells_what_is_not_anchored() {
        let overview = Overview::of("http://node", (look(), Vec::new()));
        let counted = [("acknowledged", 1), ("notified", 2)].map(|(state, count)| (state.to_owned(), count));
        assert_eq!(overview.shares.by_state, BTreeMap::from(counted));
        assert!(overview.shares.has_more && !overview.inbox.has_more);
        let anchors = Anchors {
            events: 42,
            waiting: 1,
            newest: Some("0xabc".to_owned()),
        };
        assert_eq!(overview.anchors, anchors);
    }

    #[test]
    fn rates_are_bytes_a_second_and_a_restart_is_no_rate() {
        let mut overview = Overview::of("http://node", (look(), Vec::new()));
        let (begin, ..) = overview.measured.unwrap();
        assert_eq!(overview.rate(), None);
        let later = |sent| Look {
            network: json!({"data_sent": sent, "data_received": 2000}),
            lists: None,
            ..look()
        };
        overview.see_at(later(5000), begin + Duration::from_secs(2));
        let rate = |sent| Rate { sent, received: 0 };
        assert_eq!(overview.rate(), Some(rate(2000)));
        overview.see_at(later(10), begin + Duration::from_secs(4));
        assert_eq!(overview.rate(), Some(rate(0)));
        assert_eq!(
            overview.shares.by_state.len(),
            2,
            "what was not asked for is as it was"
        );
    }

    #[test]
    fn events_are_shown_once_and_the_oldest_are_forgotten() {
        let mut overview = Overview::of("http://node", (look(), vec![event(1), event(2)]));
        overview.hear(vec![event(2), event(3)]);
        assert_eq!(overview.events.len(), 3);
        overview.hear((4..=1000).map(event).collect());
        assert_eq!(
            (overview.events.len(), overview.heard.len()),
            (KEPT_EVENTS, KEPT_EVENTS)
        );
        assert_eq!(overview.events.back(), Some(&event(1000)));
    }
}

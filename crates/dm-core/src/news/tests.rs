#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::json;

use super::*;
use crate::bus::NodeEvent;

#[test]
fn events_keep_the_form_that_plugins_and_dashboards_know() {
    let refund = OrderNews {
        id: "0x01".to_owned(),
        kind: "transfer",
        purpose: "refund",
        tx_hash: None,
        movement: Some(Movement {
            token: Address::ZERO,
            from: None,
            to: Address::repeat_byte(0xab),
            amount: "5".to_owned(),
        }),
        reason: Some("paused".to_owned()),
        next_try: Some(1.5),
    };
    let zero = "0x0000000000000000000000000000000000000000";
    let payee = Address::repeat_byte(0xab).to_checksum(None);
    assert_ne!(payee, payee.to_lowercase());
    let expected = [
        (
            News::TokenTransferFailed(refund),
            json!({"type": "token.transfer_failed", "timestamp": 1.5, "data": {
                "id": "0x01", "kind": "transfer", "purpose": "refund", "tx_hash": null,
                "token": zero, "from": null, "to": payee, "amount": "5",
                "reason": "paused", "next_try": 1.5,
            }}),
        ),
        (
            News::SystemError(SystemTrouble::Compliance {
                error: "forked".to_owned(),
            }),
            json!({"type": "system.error", "timestamp": 1.5, "data": {
                "component": "compliance", "error": "forked",
            }}),
        ),
        (
            News::HealthComponentChange(ComponentChange {
                component: "blockchain".to_owned(),
                connected: Some(false),
                health: None,
            }),
            json!({"type": "health.component_change", "timestamp": 1.5, "data": {
                "component": "blockchain", "connected": false,
            }}),
        ),
        (
            News::NodeStopping {},
            json!({"type": "system.node_stopping", "timestamp": 1.5, "data": {}}),
        ),
    ];
    for (news, json) in expected {
        let event = NodeEvent { news, timestamp: 1.5 };
        let written = serde_json::to_value(&event).unwrap();
        assert_eq!(written, json);
    }
}

#[test]
fn what_passes_has_no_topic_of_the_journal() {
    let peer_id = || "somebody".to_owned();
    let passing = [
        News::PeerConnected { peer_id: peer_id() },
        News::PeerHealth(PeerNews {
            peer_id: peer_id(),
            healthy: true,
            banned_until: None,
            reason: None,
        }),
        News::NetworkStatsUpdate(NetworkStats::default()),
        News::TokenBalanceUpdate {
            address: Address::ZERO,
            token: Address::ZERO,
            balance: "5".to_owned(),
        },
    ];
    let kept = [
        News::NodeStopping {},
        News::DataErased {
            data_hash: DataHash::of(b"data"),
        },
    ];
    for news in passing.iter().chain(&kept) {
        let (topic, _) = news.parts();
        assert_eq!(
            news.is_passing(),
            !DURABLE_TOPICS.contains(&topic.as_str()),
            "{topic}"
        );
    }
}

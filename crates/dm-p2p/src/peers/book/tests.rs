use super::*;

fn address(port: u16) -> Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

#[test]
fn a_saved_book_is_the_same_when_it_is_loaded() {
    let peer = PeerId::random();
    let mut book = PeerBook::default();
    book.connected(peer, Some(&address(1)), 1000);
    book.answered_ping(&peer, Duration::from_millis(7), 1500);
    book.succeeded(peer, 2000);
    book.failed(peer, 3000);
    book.disconnected(&peer, 4000);
    let changes = book.take_changes();
    assert_eq!(book.take_changes(), Changes::default());

    let loaded = PeerBook::new(changes.updated.clone()).statuses(5000);
    assert_eq!(loaded, book.statuses(5000));
    let record = &loaded[0].1.record;
    assert_eq!((record.first_seen, record.last_seen), (1000, 4000));
    assert_eq!(
        (record.successes, record.failures, record.latency_ms),
        (1, 1, Some(7))
    );
    assert_eq!(record.addresses, ["/ip4/127.0.0.1/tcp/1"]);
}

#[test]
fn the_book_is_bounded_and_keeps_the_connected() {
    let mut book = PeerBook::default();
    let friend = PeerId::random();
    book.connected(friend, None, 0);
    for now in 1..3000 {
        book.failed(PeerId::random(), now);
    }
    assert!(book.entries.len() <= MAX_PEERS);
    assert!(book.entries.contains_key(&friend));
    assert!(!book.take_changes().removed.is_empty());
}

#[test]
fn addresses_are_bounded_and_the_newest_stand_first() {
    let peer = PeerId::random();
    let mut book = PeerBook::default();
    for port in 1..100 {
        book.connected(peer, Some(&address(port)), 0);
    }
    let addresses = book.statuses(0)[0].1.record.addresses.clone();
    assert_eq!(addresses.len(), MAX_ADDRESSES);
    assert_eq!(addresses[0], "/ip4/127.0.0.1/tcp/99");
}

#[test]
fn health_is_told_when_it_changes() {
    let peer = PeerId::random();
    let mut book = PeerBook::default();
    book.connected(peer, None, 1000);
    assert_eq!(book.take_health_changes(1000, |_| false), [(peer, true)]);
    assert_eq!(book.take_health_changes(2000, |_| false), []);
    let later = 1000 + PeerRecord::HEALTHY_FOR;
    assert_eq!(book.take_health_changes(later, |_| false), [(peer, false)]);
}

#[test]
fn peers_that_fail_come_last() {
    let (good, bad, unknown) = (PeerId::random(), PeerId::random(), PeerId::random());
    let mut book = PeerBook::default();
    book.connected(good, None, 0);
    book.connected(bad, None, 0);
    book.failed(bad, 1);
    book.disconnected(&bad, 2);
    assert!(book.is_doubtful(&bad) && !book.is_doubtful(&good) && !book.is_doubtful(&unknown));
    book.connected(bad, None, 3);
    let mut peers = [unknown, bad, good];
    book.rank(&mut peers);
    assert_eq!(peers, [good, bad, unknown]);
}

#[test]
fn an_entry_without_a_peer_id_is_removed() {
    let mut record = PeerBook::default().entry(PeerId::random(), 0).record.clone();
    record.peer_id = "nobody".to_owned();
    let mut book = PeerBook::new(vec![record]);
    assert_eq!(book.take_changes().removed, ["nobody"]);
}

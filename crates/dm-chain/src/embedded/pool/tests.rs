use alloy::{
    consensus::{SignableTransaction, TxLegacy},
    primitives::Signature,
};

use super::*;

fn candidate(sender: u8, nonce: u64, gas_price: u128) -> Candidate {
    let tx = TxLegacy {
        nonce,
        gas_price,
        ..TxLegacy::default()
    };
    // The hash must differ between senders, as it does with real signatures.
    let tx = TxLegacy {
        gas_limit: sender.into(),
        ..tx
    };
    let transaction = TxEnvelope::from(tx.into_signed(Signature::test_signature()));
    Candidate {
        transaction: Recovered::new_unchecked(transaction, Address::repeat_byte(sender)),
        bytes: 100,
    }
}

fn pool(candidates: impl IntoIterator<Item = Candidate>) -> Pool {
    let mut pool = Pool::default();
    for candidate in candidates {
        pool.insert(candidate).unwrap();
    }
    pool
}

fn order(pool: &mut Pool, nonces: &[(u8, u64)], base_fee: u64) -> Vec<(u8, u64)> {
    let nonces = nonces
        .iter()
        .map(|(sender, nonce)| (Address::repeat_byte(*sender), *nonce))
        .collect();
    let selection = pool.select(&nonces, base_fee, 100);
    let place =
        |candidate: &Arc<Candidate>| (candidate.transaction.signer()[0], candidate.transaction.nonce());
    selection.candidates.iter().map(place).collect()
}

#[test]
fn who_pays_most_is_first_and_nonces_stay_in_order() {
    let mut pool = pool([
        candidate(1, 0, 10),
        candidate(1, 1, 50),
        candidate(2, 0, 20),
        candidate(2, 1, 5),
    ]);
    assert_eq!(
        order(&mut pool, &[(1, 0), (2, 0)], 1),
        [(2, 0), (1, 0), (1, 1), (2, 1)]
    );
}

#[test]
fn what_offers_less_than_the_base_fee_holds_back_what_follows() {
    let mut pool = pool([candidate(1, 0, 10), candidate(1, 1, 50)]);
    assert!(order(&mut pool, &[(1, 0)], 11).is_empty());
    let nonces = HashMap::from([(Address::repeat_byte(1), 0)]);
    assert!(pool.select(&nonces, 11, 100).underpriced);
}

#[test]
fn used_nonces_are_dropped_and_their_senders_told() {
    let mut pool = Pool::default();
    let mut dropped = pool.insert(candidate(1, 0, 10)).unwrap();
    assert_eq!(order(&mut pool, &[(1, 1)], 1), []);
    assert!(dropped.try_recv().is_err());
    assert!(pool.senders().is_empty());
    assert_eq!(pool.bytes, 0);
}

#[test]
fn one_sender_cannot_fill_the_pool() {
    let mut pool = pool((0..MAX_PER_SENDER as u64).map(|nonce| candidate(1, nonce, 10)));
    let one_more = candidate(1, MAX_PER_SENDER as u64, 10);
    assert_eq!(pool.insert(one_more).unwrap_err(), PoolError::Full);
    pool.insert(candidate(2, 0, 10)).unwrap();
}

#[test]
fn the_pool_has_a_limit_in_bytes() {
    let mut pool = Pool::default();
    let large = |nonce| Candidate {
        bytes: MAX_BYTES / 2,
        ..candidate(1, nonce, 10)
    };
    pool.insert(large(0)).unwrap();
    pool.insert(large(1)).unwrap();
    assert_eq!(pool.insert(large(2)).unwrap_err(), PoolError::Full);
}

//! Which records are kept for others.

use std::sync::Arc;

use bytes::Bytes;
use dm_core::{
    address_record::{AddressRecord, SignedAddressRecord},
    signed::{Signed, StatementError},
};
use libp2p::{PeerId, kad};
use tokio::sync::mpsc;

use crate::{addresses::MAX_ADDRESSES, node::Context};

/// A record that a peer wants this node to keep.
pub(crate) struct ReceivedRecord {
    /// Who sent it.
    pub(crate) source: PeerId,
    /// The record.
    pub(crate) record: kad::Record,
    /// The bytes held under the same key.
    pub(crate) held: Option<Vec<u8>>,
}

/// Why a record is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordFault {
    /// No address record: wrong size, form, key or signature.
    Forged,
    /// Of a later version than this node reads: it can be neither checked nor blamed.
    LaterVersion,
    /// A newer one is held.
    Stale,
    /// A newer one by the same publisher is held.
    Outdone,
    /// It names another peer than the one that publishes it.
    NamesAnother,
}

/// Checks an address record against its key and the one that is held.
pub(crate) fn check_address_record(
    key: &[u8],
    value: Bytes,
    held: Option<&[u8]>,
) -> Result<SignedAddressRecord, RecordFault> {
    if key.len() != 32 {
        return Err(RecordFault::Forged);
    }
    let record: SignedAddressRecord = Signed::verify(value).map_err(|error| match error {
        StatementError::UnknownVersion { .. } => RecordFault::LaterVersion,
        _ => RecordFault::Forged,
    })?;
    if AddressRecord::dht_key(record.address) != key {
        return Err(RecordFault::Forged);
    }
    match held_sequence(held) {
        Some(sequence) if sequence > record.sequence => Err(RecordFault::Stale),
        // Of two with one number the first stays, so that replicas agree.
        Some(sequence) if sequence == record.sequence && held != Some(record.bytes()) => {
            Err(RecordFault::Stale)
        }
        _ => Ok(record),
    }
}

fn held_sequence(held: Option<&[u8]>) -> Option<u64> {
    Some(read_held(held)?.sequence)
}

/// Whether the record that is held is by the publisher of an older one: a node of several
/// instances announces a record for those that read only earlier versions as well.
fn is_outdone_by(held: Option<&[u8]>, publisher: &PeerId) -> bool {
    read_held(held).is_some_and(|held| held.names(&publisher.to_base58()))
}

fn read_held(held: Option<&[u8]>) -> Option<SignedAddressRecord> {
    Signed::from_trusted(Bytes::copy_from_slice(held?)).ok()
}

/// Checks that the peer which publishes a record is one that it names, and
/// no other. Whoever passes records of others on has checked this as well.
fn check_publisher(record: &AddressRecord, publisher: &PeerId) -> Result<(), RecordFault> {
    if record.names(&publisher.to_base58()) {
        Ok(())
    } else {
        Err(RecordFault::NamesAnother)
    }
}

/// Checks a provider record and bounds it; the DHT layer has already made
/// sure that the provider is the sender.
pub(crate) fn check_provider(mut record: kad::ProviderRecord) -> Option<kad::ProviderRecord> {
    record.addresses.truncate(MAX_ADDRESSES);
    (record.key.as_ref().len() == 32).then_some(record)
}

/// Checks records that peers sent, away from the event loop, and has the
/// valid ones kept. Ends when the event loop does.
pub(crate) async fn check_received(context: Arc<Context>, mut received: mpsc::Receiver<ReceivedRecord>) {
    while let Some(ReceivedRecord { source, record, held }) = received.recv().await {
        let key = record.key.clone();
        let value = Bytes::copy_from_slice(&record.value);
        let publisher = record.publisher.unwrap_or(source);
        let checked = tokio::task::spawn_blocking(move || {
            let checked = check_address_record(key.as_ref(), value, held.as_deref());
            if checked == Err(RecordFault::Stale) && is_outdone_by(held.as_deref(), &publisher) {
                return Err(RecordFault::Outdone);
            }
            let record = checked?;
            check_publisher(&record, &publisher)
        })
        .await;
        match checked {
            Ok(Ok(())) => context.runner.keep_record(record, source).await,
            Ok(Err(RecordFault::Forged)) => context.peers.misbehaved(source, "a forged address record"),
            Ok(Err(RecordFault::LaterVersion)) => {
                let what = "an address record of a later version";
                context.peers.not_understood(source, what);
            }
            Ok(Err(RecordFault::NamesAnother)) => {
                let what = "an address record that names another peer";
                context.peers.misbehaved(source, what);
            }
            Ok(Err(RecordFault::Stale)) => context.peers.failed(source),
            Ok(Err(RecordFault::Outdone)) => {}
            Err(error) => tracing::error!(%error, "checking a record failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{Address, ports::Signer, signed::Statement};
    use dm_testing::signer::TestSigner;
    use proptest::prelude::*;

    use super::*;

    fn record(signer: &TestSigner, sequence: u64) -> SignedAddressRecord {
        let record = AddressRecord::new(
            signer.address(),
            [sequence as u8; 32],
            "somebody".to_owned(),
            sequence,
        );
        Signed::sign(record, signer).unwrap()
    }

    fn key(record: &SignedAddressRecord) -> [u8; 32] {
        AddressRecord::dht_key(record.address)
    }

    #[test]
    fn a_valid_record_under_its_key_is_kept() {
        let record = record(&TestSigner::new(1), 1);
        assert_eq!(
            check_address_record(&key(&record), record.bytes().clone(), None),
            Ok(record)
        );
    }

    #[test]
    fn a_record_under_another_key_is_forged() {
        let record = record(&TestSigner::new(1), 1);
        let other = AddressRecord::dht_key(Address::ZERO);
        assert_eq!(
            check_address_record(&other, record.bytes().clone(), None),
            Err(RecordFault::Forged)
        );
        assert_eq!(
            check_address_record(&[1; 31], record.bytes().clone(), None),
            Err(RecordFault::Forged)
        );
    }

    #[test]
    fn an_older_or_differing_record_does_not_replace_the_one_held() {
        let signer = TestSigner::new(1);
        let (old, new) = (record(&signer, 1), record(&signer, 2));
        let check = |value: &SignedAddressRecord, held: &SignedAddressRecord| {
            check_address_record(&key(value), value.bytes().clone(), Some(held.bytes()))
        };
        assert_eq!(check(&old, &new), Err(RecordFault::Stale));
        assert_eq!(check(&new, &old), Ok(new.clone()));
        assert_eq!(check(&new, &new), Ok(new.clone()), "a refresh");
    }

    #[test]
    fn a_record_is_published_by_the_peer_that_it_names() {
        let (publisher, other) = (PeerId::random(), PeerId::random());
        let record = AddressRecord {
            peer_id: publisher.to_base58(),
            ..(*record(&TestSigner::new(1), 1)).clone()
        };
        assert_eq!(check_publisher(&record, &publisher), Ok(()));
        assert_eq!(check_publisher(&record, &other), Err(RecordFault::NamesAnother));
    }

    #[test]
    fn oversized_values_are_forged() {
        let value = Bytes::from(vec![0; AddressRecord::MAX_BYTES + 1]);
        assert_eq!(
            check_address_record(&[0; 32], value, None),
            Err(RecordFault::Forged)
        );
    }

    #[test]
    fn provider_records_have_a_locator_for_a_key_and_few_addresses() {
        let addresses = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap(); 100];
        let record = kad::ProviderRecord::new(vec![0; 32], PeerId::random(), addresses);
        assert_eq!(check_provider(record).unwrap().addresses.len(), MAX_ADDRESSES);
        assert!(check_provider(kad::ProviderRecord::new(vec![0; 33], PeerId::random(), vec![])).is_none());
    }

    #[test]
    fn a_later_version_is_not_called_a_forgery() {
        let mut later = record(&TestSigner::new(1), 1).bytes().to_vec();
        later[65] = AddressRecord::NEWEST_VERSION + 1;
        // It may be longer than all that is known here.
        later.resize(2 * AddressRecord::MAX_BYTES, 0);
        assert_eq!(
            check_address_record(&[7; 32], later.into(), None),
            Err(RecordFault::LaterVersion)
        );
    }

    /// A changed byte may say that the bytes are of a later version.
    fn is_unreadable(fault: RecordFault) -> bool {
        matches!(fault, RecordFault::Forged | RecordFault::LaterVersion)
    }

    proptest! {
        #[test]
        fn no_altered_record_says_anything_else(position in 0usize..150, flip in 1u8..) {
            let record = record(&TestSigner::new(1), 1);
            let mut bytes = record.bytes().to_vec();
            let position = position % bytes.len();
            bytes[position] ^= flip;
            // The recovery bit of the signature has more than one encoding.
            match check_address_record(&key(&record), bytes.into(), None) {
                Ok(read) => prop_assert_eq!(read.statement(), record.statement()),
                Err(fault) => prop_assert!(is_unreadable(fault)),
            }
        }

        #[test]
        fn random_bytes_are_no_record(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let fault = check_address_record(&[7; 32], bytes.into(), None).unwrap_err();
            prop_assert!(is_unreadable(fault));
        }
    }
}

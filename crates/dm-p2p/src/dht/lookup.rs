use bytes::Bytes;
use dm_core::{
    Address,
    address_record::{AddressRecord, SignedAddressRecord},
    ports::NetworkError,
};
use tokio::time::Instant;

use super::records::{RecordFault, check_address_record};
use crate::{client::AnswerDeadline, node::Context};

/// Answers after which a lookup is content, so that one liar or laggard with
/// an old record does not decide.
const QUORUM: usize = 8;

/// The newest valid record of an address among the answers of several peers.
pub(crate) async fn find_address(
    context: &Context,
    address: Address,
) -> Result<Option<SignedAddressRecord>, NetworkError> {
    let key = AddressRecord::dht_key(address);
    let mut answers = context.runner.find_record(key).await?;
    let mut deadline = AnswerDeadline::new(Instant::now());
    let mut newest: Option<SignedAddressRecord> = None;
    let mut valid = 0;
    while let Ok(Some((peer, value))) = tokio::time::timeout_at(deadline.instant(), answers.recv()).await {
        let checked =
            tokio::task::spawn_blocking(move || check_address_record(&key, Bytes::from(value), None));
        match checked.await {
            Ok(Ok(record)) => {
                valid += 1;
                deadline.answered(Instant::now());
                if newest
                    .as_ref()
                    .is_none_or(|newest| newest.sequence < record.sequence)
                {
                    newest = Some(record);
                }
            }
            Ok(Err(RecordFault::LaterVersion)) => {
                if let Some(peer) = peer {
                    context
                        .peers
                        .not_understood(peer, "an address record of a later version");
                }
            }
            _ => {
                if let Some(peer) = peer {
                    context.peers.misbehaved(peer, "a forged address record");
                }
            }
        }
        if valid >= QUORUM {
            break;
        }
    }
    Ok(newest)
}

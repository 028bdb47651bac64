//! The decoders that meet bytes from peers, for fuzz targets and for the tests
//! that replay their corpora. Each says whether the bytes were read.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dm_core::{
    acknowledgement::SignedAcknowledgement,
    address_record::{AddressRecord, SignedAddressRecord},
    descriptor::Descriptor,
    envelope::SignedEnvelope,
    notice::SignedNotice,
    receipt::Receipt,
};
use futures::io::Cursor;

use crate::{
    dht::check_address_record,
    notices::{NoticeReply, NoticeRequest},
    wire::{Message, Reply, Request, Version, Wire, decode_hints},
};

/// A frame with a request, as a peer sends it.
pub fn request(bytes: &[u8]) -> bool {
    is_message::<Request>(bytes)
}

/// A frame with a reply, as a peer sends it.
pub fn reply(bytes: &[u8]) -> bool {
    is_message::<Reply>(bytes)
}

/// Peers that a peer names.
pub fn hints(bytes: &[u8]) -> bool {
    decode_hints(bytes).is_some()
}

/// A frame with a request about notices.
pub fn notice_request(bytes: &[u8]) -> bool {
    is_message::<NoticeRequest>(bytes)
}

/// A frame with an answer about notices.
pub fn notice_reply(bytes: &[u8]) -> bool {
    is_message::<NoticeReply>(bytes)
}

/// A notice, its signature included.
pub fn notice(bytes: &[u8]) -> bool {
    SignedNotice::verify(Bytes::copy_from_slice(bytes)).is_ok()
}

/// An acknowledgement, its signature included.
pub fn acknowledgement(bytes: &[u8]) -> bool {
    SignedAcknowledgement::verify(Bytes::copy_from_slice(bytes)).is_ok()
}

/// An envelope, its signature included.
pub fn envelope(bytes: &[u8]) -> bool {
    SignedEnvelope::verify(Bytes::copy_from_slice(bytes)).is_ok()
}

/// What the owner of an object says of it, once a reader has opened it.
pub fn descriptor(bytes: &[u8]) -> bool {
    Descriptor::decode(bytes).is_some()
}

/// A record of the DHT under the key of the address that it names.
pub fn address_record(bytes: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(bytes);
    SignedAddressRecord::verify(bytes.clone()).is_ok_and(|record| {
        let key = AddressRecord::dht_key(record.address);
        check_address_record(&key, bytes, None).is_ok()
    })
}

/// A receipt, as it travels with its object.
pub fn receipt(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Receipt>(bytes).is_ok()
}

fn is_message<T: Message>(bytes: &[u8]) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.is_ok_and(|runtime| {
        runtime.block_on(async {
            let mut wire = Wire::new(
                Cursor::new(bytes.to_vec()),
                Version::Four,
                Arc::default(),
                Duration::from_secs(60),
            );
            wire.receive::<T>().await.is_ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    type Decoder = fn(&[u8]) -> bool;

    const TARGETS: [(&str, Decoder); 11] = [
        ("request", request),
        ("reply", reply),
        ("hints", hints),
        ("envelope", envelope),
        ("address_record", address_record),
        ("receipt", receipt),
        ("notice_request", notice_request),
        ("notice_reply", notice_reply),
        ("notice", notice),
        ("acknowledgement", acknowledgement),
        ("descriptor", descriptor),
    ];

    fn fuzz() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(fuzz().join("corpus").join(target)).unwrap();
        files
            .map(|file| {
                let path = file.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read(&path).unwrap())
            })
            .collect()
    }

    /// Files named `valid-…` are read, `hostile-…` are not, and none of them,
    /// nor any of their beginnings, or with a byte changed, does any harm.
    #[test]
    fn the_corpora_are_read_as_their_names_say() {
        for (target, decode) in TARGETS {
            let corpus = corpus(target);
            for kind in ["valid-", "hostile-"] {
                assert!(
                    corpus.iter().any(|(name, _)| name.starts_with(kind)),
                    "{target} {kind}"
                );
            }
            for (name, bytes) in corpus {
                let is_read = decode(&bytes);
                if name.starts_with("valid-") {
                    assert!(is_read, "{target}/{name}");
                } else if name.starts_with("hostile-") {
                    assert!(!is_read, "{target}/{name}");
                }
                for place in 0..bytes.len().min(64) {
                    decode(&bytes[..place]);
                    let mut changed = bytes.clone();
                    changed[place] ^= 0x55;
                    decode(&changed);
                }
            }
        }
    }

    #[test]
    fn every_decoder_has_its_fuzz_target() {
        let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
        for (target, _) in TARGETS {
            let source = fs::read_to_string(fuzz().join(format!("fuzz_targets/{target}.rs"))).unwrap();
            assert!(source.contains(&format!("fuzzing::{target}(")), "{target}");
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
        }
    }
}

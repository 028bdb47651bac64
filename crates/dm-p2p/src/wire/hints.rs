use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};

/// Peers in one answer.
pub(crate) const MAX_HINTS: usize = 32;
/// Bytes of one answer.
pub(crate) const MAX_HINT_BYTES: usize = 16 * 1024;
/// Addresses of one of these peers.
const MAX_HINT_ADDRESSES: usize = 4;

/// A peer that another one says it knows: unverified until it was dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
}

/// Peer id and addresses in their binary forms.
type EncodedHint = (Vec<u8>, Vec<Vec<u8>>);

/// The bytes of hints: as many as fit into [`MAX_HINT_BYTES`], and no more
/// than [`MAX_HINTS`].
pub(crate) fn encode_hints(hints: &[Hint]) -> Bytes {
    let mut encoded: Vec<EncodedHint> = hints.iter().take(MAX_HINTS).map(encode_hint).collect();
    loop {
        match postcard::to_stdvec(&encoded) {
            Ok(bytes) if bytes.len() <= MAX_HINT_BYTES => return bytes.into(),
            _ if encoded.pop().is_none() => return Bytes::new(),
            _ => {}
        }
    }
}

/// The hints that the bytes are; `None` where they are none, or too many.
pub(crate) fn decode_hints(bytes: &[u8]) -> Option<Vec<Hint>> {
    let (encoded, rest): (Vec<EncodedHint>, _) = postcard::take_from_bytes(bytes).ok()?;
    if !rest.is_empty() || encoded.len() > MAX_HINTS {
        return None;
    }
    encoded.into_iter().map(decode_hint).collect()
}

fn encode_hint(hint: &Hint) -> EncodedHint {
    let addresses = hint.addresses.iter().take(MAX_HINT_ADDRESSES);
    (hint.peer.to_bytes(), addresses.map(Multiaddr::to_vec).collect())
}

fn decode_hint((peer, addresses): EncodedHint) -> Option<Hint> {
    if addresses.len() > MAX_HINT_ADDRESSES {
        return None;
    }
    // One that cannot be read may be over a transport that came later.
    let addresses = addresses
        .into_iter()
        .filter_map(|address| Multiaddr::try_from(address).ok());
    Some(Hint {
        peer: PeerId::from_bytes(&peer).ok()?,
        addresses: addresses.collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hint(port: u16) -> Hint {
        Hint {
            peer: PeerId::random(),
            addresses: vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()],
        }
    }

    #[test]
    fn hints_are_read_as_they_were_written() {
        let hints: Vec<Hint> = (1..=MAX_HINTS as u16).map(hint).collect();
        assert_eq!(decode_hints(&encode_hints(&hints)), Some(hints));
        assert_eq!(decode_hints(&encode_hints(&[])), Some(vec![]));
    }

    #[test]
    fn the_number_of_hints_and_of_their_addresses_is_bounded() {
        let many: Vec<Hint> = (1..100).map(hint).collect();
        assert_eq!(decode_hints(&encode_hints(&many)).unwrap().len(), MAX_HINTS);
        let encoded: Vec<EncodedHint> = many.iter().map(encode_hint).collect();
        assert_eq!(decode_hints(&postcard::to_stdvec(&encoded).unwrap()), None);
        let mut wide = encode_hint(&many[0]);
        wide.1 = vec![wide.1[0].clone(); MAX_HINT_ADDRESSES + 1];
        assert_eq!(decode_hints(&postcard::to_stdvec(&vec![wide]).unwrap()), None);
    }

    #[test]
    fn an_address_over_an_unknown_transport_is_passed_over() {
        let mut encoded = encode_hint(&hint(1));
        encoded.1.push(vec![0xff, 0xff, 0x7f, 1]);
        let decoded = decode_hints(&postcard::to_stdvec(&vec![encoded]).unwrap()).unwrap();
        assert_eq!(decoded[0].addresses.len(), 1);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_hints(&bytes);
        }
    }
}

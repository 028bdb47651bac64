use base64::{Engine as _, prelude::BASE64_URL_SAFE};
use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    envelope::Chunk,
    hash::{ChunkName, DataHasher},
    ports::{OpenedChunk, Sealer, Unsealable},
    secret::ContentKey,
};
use fernet::Fernet;

use crate::raw_token;

/// Taken for the present when a token is opened, so that a token from a node
/// whose clock is ahead opens like any other; the crate adds 60 to it.
const END_OF_TIME: u64 = u64::MAX - 60;

/// Seals chunks as raw [Fernet] tokens.
///
/// [Fernet]: https://github.com/fernet/spec/blob/master/Spec.md
#[derive(Debug, Clone, Copy, Default)]
pub struct FernetSealer;

impl Sealer for FernetSealer {
    fn seal(&self, key: &ContentKey, plaintext: &[u8]) -> Chunk {
        raw_token::seal(key, plaintext, now_ms() / 1000, |_| {})
    }

    fn seal_and_hash(&self, key: &ContentKey, plaintext: &[u8], hasher: &mut DataHasher) -> Chunk {
        raw_token::seal(key, plaintext, now_ms() / 1000, |step| hasher.update(step))
    }

    fn open(&self, key: &ContentKey, token: &[u8]) -> Result<Vec<u8>, Unsealable> {
        raw_token::open(key, token).ok_or(Unsealable)
    }

    fn open_named(&self, key: &ContentKey, name: ChunkName, bytes: Bytes) -> Option<OpenedChunk> {
        let (hasher, plaintext) = raw_token::open_and_name(key, &bytes);
        let chunk = Chunk::hashed(hasher, bytes);
        (chunk.name() == name).then(|| OpenedChunk {
            chunk,
            plaintext: plaintext.map(Bytes::from).ok_or(Unsealable),
        })
    }
}

/// The Fernet cipher with this key.
pub(crate) fn cipher(key: &[u8; 32]) -> Fernet {
    let text = zeroize::Zeroizing::new(BASE64_URL_SAFE.encode(key));
    let Some(cipher) = Fernet::new(&text) else {
        unreachable!("32 bytes in URL-safe base64 are a Fernet key")
    };
    cipher
}

/// The plaintext of a token in text form, however old or young.
pub(crate) fn open_text(cipher: &Fernet, token: &str) -> Option<Vec<u8>> {
    cipher.decrypt_at_time(token, None, END_OF_TIME).ok()
}

/// The 32-byte secret in a token in text form.
pub(crate) fn open_secret(cipher: &Fernet, token: &str) -> Option<zeroize::Zeroizing<[u8; 32]>> {
    let plaintext = zeroize::Zeroizing::new(open_text(cipher, token)?);
    plaintext.as_slice().try_into().ok().map(zeroize::Zeroizing::new)
}

/// The token over a 32-byte secret, in text form.
pub(crate) fn seal_secret(cipher: &Fernet, secret: &[u8; 32]) -> String {
    cipher.encrypt_at_time(secret, now_ms() / 1000)
}

#[cfg(test)]
mod tests {
    use dm_core::hash::DataHash;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn chunks_are_tokens_of_the_fernet_crate(key: [u8; 32], plaintext in vec(any::<u8>(), 0..300)) {
            let reference = Fernet::new(&BASE64_URL_SAFE.encode(key)).unwrap();
            let content_key = ContentKey::from_bytes(key);
            let chunk = FernetSealer.seal(&content_key, &plaintext);
            prop_assert_eq!(chunk.name(), ChunkName::of(chunk.bytes()));
            prop_assert_eq!(reference.decrypt(&BASE64_URL_SAFE.encode(chunk.bytes())).unwrap(), plaintext.clone());
            let token = BASE64_URL_SAFE.decode(reference.encrypt(&plaintext)).unwrap();
            prop_assert_eq!(FernetSealer.open(&content_key, &token).unwrap(), plaintext);
        }

        #[test]
        fn what_is_hashed_while_it_is_sealed_is_the_plaintext(pieces in vec(vec(any::<u8>(), 0..300), 0..4)) {
            let (key, mut hasher) = (ContentKey::random(), DataHasher::new());
            for piece in &pieces {
                let chunk = FernetSealer.seal_and_hash(&key, piece, &mut hasher);
                prop_assert_eq!(chunk.name(), ChunkName::of(chunk.bytes()));
                prop_assert_eq!(&FernetSealer.open(&key, chunk.bytes()).unwrap(), piece);
            }
            prop_assert_eq!(hasher.finish(), DataHash::of(&pieces.concat()));
        }

        #[test]
        fn random_bytes_do_not_open(token: Vec<u8>) {
            prop_assert_eq!(FernetSealer.open(&ContentKey::random(), &token), Err(Unsealable));
            let opened = FernetSealer.open_named(&ContentKey::random(), ChunkName::of(&token), token.into());
            prop_assert_eq!(opened.unwrap().plaintext, Err(Unsealable));
        }

        #[test]
        fn a_chunk_opens_under_its_name_alone_and_no_changed_bytes_open(
            plaintext in vec(any::<u8>(), 0..300),
            place: prop::sample::Index,
            other: [u8; 32],
        ) {
            let key = ContentKey::random();
            let chunk = FernetSealer.seal(&key, &plaintext);
            let opened = FernetSealer.open_named(&key, chunk.name(), chunk.bytes().clone()).unwrap();
            prop_assert_eq!(&opened.chunk, &chunk);
            prop_assert_eq!(opened.plaintext.unwrap(), plaintext);
            let of_other_name = FernetSealer.open_named(&key, ChunkName::from_bytes(other), chunk.bytes().clone());
            prop_assert!(of_other_name.is_none());
            let mut changed = chunk.bytes().to_vec();
            let place = place.index(changed.len());
            changed[place] ^= 1;
            prop_assert!(FernetSealer.open_named(&key, chunk.name(), changed.clone().into()).is_none());
            let renamed = FernetSealer.open_named(&key, ChunkName::of(&changed), changed.into()).unwrap();
            prop_assert_eq!(renamed.plaintext, Err(Unsealable));
        }
    }

    #[test]
    fn the_example_of_the_specification_opens() {
        let key = BASE64_URL_SAFE
            .decode("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
            .unwrap();
        let token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        let token = BASE64_URL_SAFE.decode(token).unwrap();
        let key = ContentKey::from_bytes(key.try_into().unwrap());
        assert_eq!(FernetSealer.open(&key, &token).unwrap(), b"hello");
    }

    #[test]
    fn a_token_from_a_clock_that_is_ahead_opens() {
        let key = ContentKey::random();
        let token = cipher(key.as_bytes()).encrypt_at_time(b"hello", now_ms() / 1000 + 86_400);
        let token = BASE64_URL_SAFE.decode(token).unwrap();
        assert_eq!(FernetSealer.open(&key, &token).unwrap(), b"hello");
    }
}

#![allow(clippy::unwrap_used, clippy::expect_used)]

use sha2::{Digest, Sha256};

use dm_core::{
    envelope::{CHUNK_SIZE, Chunk, sealed_len},
    hash::ChunkName,
    ports::{Sealer, Unsealable},
    secret::ContentKey,
};

const HEADER: usize = 1 + 8 + 16;
const BLOCK: usize = 16;
const TAG: usize = 32;

/// Makes tokens with the lengths and parts of Fernet's.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemorySealer;

impl Sealer for MemorySealer {
    fn seal(&self, key: &ContentKey, plaintext: &[u8]) -> Chunk {
        let mut token = vec![0x80; HEADER];
        token[9..].copy_from_slice(&rand::random::<[u8; 16]>());
        let padding = BLOCK - plaintext.len() % BLOCK;
        token.extend_from_slice(plaintext);
        token.extend(std::iter::repeat_n(padding as u8, padding));
        apply_keystream(key, &mut token);
        let tag = tag(key, &token);
        token.extend_from_slice(&tag);
        Chunk::new(token.into())
    }

    fn open(&self, key: &ContentKey, token: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let body = token
            .len()
            .checked_sub(TAG)
            .filter(|body| *body > HEADER)
            .ok_or(Unsealable)?;
        let (message, found) = token.split_at(body);
        if tag(key, message) != found {
            return Err(Unsealable);
        }
        let mut message = message.to_vec();
        apply_keystream(key, &mut message);
        let padding = usize::from(*message.last().ok_or(Unsealable)?);
        Ok(message[HEADER..message.len() - padding].to_vec())
    }
}

/// Encrypts or decrypts what follows the header.
fn apply_keystream(key: &ContentKey, token: &mut [u8]) {
    let (header, body) = token.split_at_mut(HEADER);
    for (counter, block) in body.chunks_mut(32).enumerate() {
        let stream = Sha256::new()
            .chain_update(key.as_bytes())
            .chain_update(&*header)
            .chain_update(counter.to_be_bytes())
            .finalize();
        block
            .iter_mut()
            .zip(stream)
            .for_each(|(byte, mask)| *byte ^= mask);
    }
}

fn tag(key: &ContentKey, message: &[u8]) -> [u8; TAG] {
    Sha256::new()
        .chain_update(message)
        .chain_update(key.as_bytes())
        .finalize()
        .into()
}

/// Every promise of a [`Sealer`].
pub fn run_sealer_suite(sealer: &dyn Sealer) {
    what_was_sealed_opens(sealer);
    tokens_have_the_length_that_envelopes_count_with(sealer);
    tokens_have_their_names(sealer);
    two_tokens_over_the_same_are_different(sealer);
    another_key_does_not_open(sealer);
    any_changed_byte_is_noticed(sealer);
    truncated_and_random_bytes_do_not_open(sealer);
}

const LENGTHS: [usize; 8] = [0, 1, 15, 16, 17, 1000, 65_536, CHUNK_SIZE as usize];

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Sealed plaintext of any length comes back.
pub fn what_was_sealed_opens(sealer: &dyn Sealer) {
    let key = ContentKey::random();
    for length in LENGTHS {
        let plaintext = sample(length);
        assert_eq!(
            sealer.open(&key, sealer.seal(&key, &plaintext).bytes()),
            Ok(plaintext)
        );
    }
}

/// The length of a token follows from that of the plaintext.
pub fn tokens_have_the_length_that_envelopes_count_with(sealer: &dyn Sealer) {
    let key = ContentKey::random();
    for length in LENGTHS {
        let token = sealer.seal(&key, &sample(length));
        let token = token.bytes();
        assert_eq!(token.len() as u64, sealed_len(length as u64));
    }
}

/// The name of a token is the hash of its bytes.
pub fn tokens_have_their_names(sealer: &dyn Sealer) {
    let key = ContentKey::random();
    for length in LENGTHS {
        let token = sealer.seal(&key, &sample(length));
        assert_eq!(token.name(), ChunkName::of(token.bytes()));
    }
}

/// Who sees two tokens does not learn whether they hold the same.
pub fn two_tokens_over_the_same_are_different(sealer: &dyn Sealer) {
    let key = ContentKey::random();
    assert_ne!(sealer.seal(&key, b"same"), sealer.seal(&key, b"same"));
}

/// A token opens with its own key alone.
pub fn another_key_does_not_open(sealer: &dyn Sealer) {
    let token = sealer.seal(&ContentKey::random(), b"secret");
    assert_eq!(sealer.open(&ContentKey::random(), token.bytes()), Err(Unsealable));
}

/// No byte of a token can be changed.
pub fn any_changed_byte_is_noticed(sealer: &dyn Sealer) {
    let key = ContentKey::random();
    let token = sealer.seal(&key, &sample(40)).bytes().clone();
    for position in 0..token.len() {
        let mut changed = token.to_vec();
        changed[position] ^= 1;
        assert_eq!(sealer.open(&key, &changed), Err(Unsealable), "byte {position}");
    }
}

/// Bytes that are no whole token are refused.
pub fn truncated_and_random_bytes_do_not_open(sealer: &dyn Sealer) {
    let key = ContentKey::random();
    let token = sealer.seal(&key, &sample(40)).bytes().clone();
    for length in 0..token.len() {
        assert_eq!(
            sealer.open(&key, &token[..length]),
            Err(Unsealable),
            "{length} bytes"
        );
    }
    assert_eq!(
        sealer.open(&key, &[token.as_ref(), &[0]].concat()),
        Err(Unsealable)
    );
    assert_eq!(sealer.open(&key, &rand::random::<[u8; 128]>()), Err(Unsealable));
}

//! [Fernet] tokens as raw bytes, made and opened in one pass.
//!
//! The `fernet` crate speaks base64 and copies a token several times. Its bulk
//! is no secret of its own, though: AES-128-CBC and HMAC-SHA256, from the same
//! crates as below, and the tests compare the two.
//!
//! [Fernet]: https://github.com/fernet/spec/blob/master/Spec.md

use aes::Aes128;
use cbc::cipher::{
    BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::Pkcs7, generic_array::GenericArray,
};
use dm_core::{envelope::Chunk, hash::ChunkHasher, secret::ContentKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const VERSION: u8 = 0x80;
/// Version, time in seconds, initialisation vector.
const HEADER: usize = 1 + 8 + 16;
const BLOCK: usize = 16;
const TAG: usize = 32;
/// Bytes that are encrypted before those ahead of them are hashed. CBC waits
/// for each block, and so does SHA-256: in steps as small as this the processor
/// works on both at once, and hashing costs next to nothing. A block of SHA-256
/// is as long.
const STEP: usize = 64;

/// The token over a plaintext, named. `look` is shown the plaintext in steps while each is
/// encrypted.
pub(crate) fn seal(key: &ContentKey, plaintext: &[u8], seconds: u64, mut look: impl FnMut(&[u8])) -> Chunk {
    let (signing, encryption) = halves(key);
    let iv: [u8; BLOCK] = rand::random();
    let padding = BLOCK - plaintext.len() % BLOCK;
    let mut token = Vec::with_capacity(HEADER + plaintext.len() + padding + TAG);
    token.push(VERSION);
    token.extend_from_slice(&seconds.to_be_bytes());
    token.extend_from_slice(&iv);
    token.extend_from_slice(plaintext);
    token.resize(token.len() + padding, padding as u8);

    let mut cipher = cbc::Encryptor::<Aes128>::new(encryption.into(), &iv.into());
    let mut hashes = Hashes {
        mac: mac(signing),
        name: ChunkHasher::new(),
    };
    let mut hashed = 0;
    let mut encrypted = HEADER;
    let mut steps = plaintext.chunks(STEP);
    while encrypted < token.len() {
        if let Some(step) = steps.next() {
            look(step);
        }
        let (ready, rest) = token.split_at_mut(encrypted);
        let step = rest.len().min(STEP);
        for block in rest[..step].as_chunks_mut::<BLOCK>().0 {
            cipher.encrypt_block_mut(GenericArray::from_mut_slice(block));
        }
        // A whole block of SHA-256 each time, so that nothing is buffered.
        let whole = ready.len() - ready.len() % STEP;
        hashes.update(&ready[hashed..whole]);
        hashed = whole;
        encrypted += step;
    }
    hashes.update(&token[hashed..]);
    let tag = hashes.mac.finalize().into_bytes();
    hashes.name.update(&tag);
    token.extend_from_slice(&tag);
    Chunk::hashed(hashes.name, token.into())
}

/// The plaintext of a token, however old or young; `None` where the key did
/// not make it.
pub(crate) fn open(key: &ContentKey, token: &[u8]) -> Option<Vec<u8>> {
    let (signing, _) = halves(key);
    let (message, tag) = token.split_last_chunk::<TAG>()?;
    mac(signing).chain_update(message).verify_slice(tag).ok()?;
    decrypt(key, message)
}

/// The name of a token, and its plaintext as [`open`] finds it, in one pass.
pub(crate) fn open_and_name(key: &ContentKey, token: &[u8]) -> (ChunkHasher, Option<Vec<u8>>) {
    let (signing, _) = halves(key);
    let mut hashes = Hashes {
        mac: mac(signing),
        name: ChunkHasher::new(),
    };
    let message = &token[..token.len().saturating_sub(TAG)];
    let tag = &token[message.len()..];
    // In steps, as when it is made: the processor works on both hashes at once.
    for step in message.chunks(STEP) {
        hashes.update(step);
    }
    hashes.name.update(tag);
    let is_made_with_key = hashes.mac.verify_slice(tag).is_ok();
    let plaintext = is_made_with_key.then(|| decrypt(key, message)).flatten();
    (hashes.name, plaintext)
}

/// What is encrypted in a message whose tag holds; `None` where it is none of ours.
fn decrypt(key: &ContentKey, message: &[u8]) -> Option<Vec<u8>> {
    let (_, encryption) = halves(key);
    let (header, ciphertext) = message.split_first_chunk::<HEADER>()?;
    let (&[version], iv) = (header.first_chunk()?, header.last_chunk::<BLOCK>()?);
    if version != VERSION {
        return None;
    }
    cbc::Decryptor::<Aes128>::new(encryption.into(), iv.into())
        .decrypt_padded_vec_mut::<Pkcs7>(ciphertext)
        .ok()
}

/// What is computed over a token while it is made or opened.
struct Hashes {
    mac: Hmac<Sha256>,
    name: ChunkHasher,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
        self.name.update(bytes);
    }
}

fn mac(signing: &[u8; 16]) -> Hmac<Sha256> {
    let Ok(mac) = Hmac::new_from_slice(signing) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac
}

/// The signing key and the encryption key.
fn halves(key: &ContentKey) -> (&[u8; 16], &[u8; 16]) {
    let [signing, encryption] = key.as_bytes().as_chunks::<16>().0 else {
        unreachable!("32 bytes are two times 16")
    };
    (signing, encryption)
}

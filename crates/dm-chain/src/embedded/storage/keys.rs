//! The names under which the chain keeps its parts. Numbers are big-endian, so
//! that the order of the keys is the order of the blocks.

use alloy::primitives::{Address, B256, U256};

/// Number and hash of the newest block, and the chain id.
pub(super) const HEAD: &[u8] = b"evm/head";
/// Begins the key of every block.
pub(super) const BLOCKS: &[u8] = b"evm/block/";

pub(super) fn account(address: &Address) -> Vec<u8> {
    joined(b"evm/account/", &[address.as_slice()])
}

pub(super) fn slot(address: &Address, slot: &U256) -> Vec<u8> {
    joined(b"evm/slot/", &[address.as_slice(), &slot.to_be_bytes::<32>()])
}

pub(super) fn code(hash: &B256) -> Vec<u8> {
    joined(b"evm/code/", &[hash.as_slice()])
}

pub(super) fn block(number: u64) -> Vec<u8> {
    joined(BLOCKS, &[&number.to_be_bytes()])
}

pub(super) fn block_number(hash: &B256) -> Vec<u8> {
    joined(b"evm/hash/", &[hash.as_slice()])
}

pub(super) fn transactions(block: u64) -> Vec<u8> {
    joined(b"evm/tx/", &[&block.to_be_bytes()])
}

pub(super) fn transaction(block: u64, index: u32) -> Vec<u8> {
    joined(b"evm/tx/", &[&block.to_be_bytes(), &index.to_be_bytes()])
}

pub(super) fn transaction_place(hash: &B256) -> Vec<u8> {
    joined(b"evm/txhash/", &[hash.as_slice()])
}

fn joined(prefix: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

//! Starts nodes and chains for the tests and ends them with the test.

pub(crate) mod anvil;
pub(crate) mod auditor;
pub(crate) mod clock;
pub(crate) mod commons;
pub(crate) mod copies;
pub(crate) mod devnet;
pub(crate) mod disk;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod link;
pub(crate) mod mixed_load;
pub(crate) mod money;
pub(crate) mod node;
pub(crate) mod plugin;
pub(crate) mod pooler;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod receiver;
pub(crate) mod sources;
pub(crate) mod tmux;
pub(crate) mod told;
pub(crate) mod whole_log;

pub(crate) use anvil::Anvil;
pub(crate) use devnet::Devnet;
pub(crate) use dm_testing::waiting::{PATIENCE, eventually, eventually_within};
pub(crate) use gate::Gate;
pub(crate) use node::{Node, NodeSetup};

/// Private keys of the accounts that development chains fund by default.
pub(crate) const FUNDED_KEYS: [&str; 6] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
];

/// An address that belongs to nobody here.
pub(crate) const SOMEBODY: &str = "0x000000000000000000000000000000000000dEaD";

/// SHA-256 in hexadecimal: the data hash that the node must arrive at.
pub(crate) fn data_hash(data: &[u8]) -> String {
    dm_core::hash::DataHash::of(data).to_string()
}

/// A number from the environment, such as the size of a campaign.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// `len` bytes that look random and depend on `seed` alone.
pub(crate) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

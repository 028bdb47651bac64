use alloy::primitives::{Address, B256, Bytes, U256, address, b256, bytes};

/// Chain id of the embedded chain unless another is asked for: that of anvil
/// and hardhat.
pub const DEV_CHAIN_ID: u64 = 31_337;

/// The phrase from which the keys of [`DEV_ACCOUNTS`] are derived (BIP-39;
/// paths `m/44'/60'/0'/0/0` to `m/44'/60'/0'/0/9`). Everybody knows it: these
/// accounts are for development only.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// The ten accounts that anvil and hardhat fund by default.
pub const DEV_ACCOUNTS: [Address; 10] = [
    address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("0x976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// Where the common CREATE2 deployment proxy is on every chain
/// (<https://github.com/Arachnid/deterministic-deployment-proxy>).
pub const CREATE2_PROXY: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");

/// The proxy's runtime code: it deploys `calldata[32..]` with the salt `calldata[..32]`.
const CREATE2_PROXY_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// The account that has deployed the proxy on every chain, by a transaction that
/// nobody has a key for.
const CREATE2_DEPLOYER: Address = address!("0x3fab184622dc19b6109349b94811493bf2a45362");

/// Hash of that transaction.
pub(super) const CREATE2_DEPLOYMENT: B256 =
    b256!("0xeddf9e61fb9d8f5111840daef55e5fde0041f5702856532cdbb5a02998033d26");

/// What each funded account has at the beginning: 10,000 coins of 10^18 wei.
const INITIAL_BALANCE: U256 = U256::from_limbs([0x19e0_c9ba_b240_0000, 0x21e, 0, 0]);

/// How a new chain begins. An existing chain keeps the genesis it has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Genesis {
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// Accounts that have 10,000 coins at the beginning, besides [`DEV_ACCOUNTS`].
    pub funded: Vec<Address>,
    /// Time of block 0 in seconds since the Unix epoch; `None` takes the clock, and marks
    /// the block, so that no other chain has the same one.
    pub timestamp: Option<u64>,
}

impl Default for Genesis {
    fn default() -> Self {
        Self {
            chain_id: DEV_CHAIN_ID,
            funded: Vec::new(),
            timestamp: None,
        }
    }
}

impl Genesis {
    /// The default, where these accounts have coins, too.
    pub fn funding(accounts: impl IntoIterator<Item = Address>) -> Self {
        Self {
            funded: accounts.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Every account that has coins in block 0, each once, with its balance in wei.
    pub(super) fn balances(&self) -> Vec<(Address, U256)> {
        let mut accounts: Vec<Address> = DEV_ACCOUNTS.iter().chain(&self.funded).copied().collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts
            .into_iter()
            .map(|account| (account, INITIAL_BALANCE))
            .collect()
    }

    /// Accounts that have sent transactions before block 0, with their next nonce.
    pub(super) fn nonces(&self) -> Vec<(Address, u64)> {
        vec![(CREATE2_DEPLOYER, 1)]
    }

    /// The contracts that are there from block 0 on, with their runtime code.
    pub(super) fn contracts(&self) -> Vec<(Address, Bytes)> {
        vec![(CREATE2_PROXY, CREATE2_PROXY_CODE)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_funded_account_has_ten_thousand_coins() {
        let ten_thousand = U256::from(10_000u64) * U256::from(10u64).pow(U256::from(18));
        assert_eq!(INITIAL_BALANCE, ten_thousand);
    }

    #[test]
    fn an_account_named_twice_is_funded_once() {
        let genesis = Genesis {
            funded: vec![DEV_ACCOUNTS[0], Address::ZERO, Address::ZERO],
            ..Genesis::default()
        };
        assert_eq!(genesis.balances().len(), DEV_ACCOUNTS.len() + 1);
    }
}

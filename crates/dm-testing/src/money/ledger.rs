//! Who has what, and what operations do to it.

use std::collections::{HashMap, HashSet};

use alloy_primitives::{Address, B256, U256, keccak256};
use dm_core::{
    operation::Operation,
    token::{NATIVE_TOKEN, TokenInfo, TokenKind},
};

/// What a token does otherwise than others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Habit {
    /// Nothing.
    #[default]
    Honest,
    /// It keeps a tenth of each transfer.
    TakesFee,
    /// It says that it has moved what it has not.
    Lies,
    /// It moves nothing and says so.
    Reverts,
    /// An allowance is changed from and to nothing only, as with USDT.
    DemandsZeroFirst,
}

/// A token of a ledger.
#[derive(Debug, Clone)]
pub struct MemoryToken {
    /// What it says of itself.
    pub info: TokenInfo,
    /// What it does otherwise than others.
    pub habit: Habit,
    /// Who may mint.
    pub owner: Address,
    /// What accounts have.
    pub balances: HashMap<Address, U256>,
    /// What (owner, spender) allow.
    pub allowances: HashMap<(Address, Address), U256>,
    /// EIP-3009 nonces and EIP-2612 signatures that were used.
    used: HashSet<B256>,
}

/// Everything that operations change.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) coins: HashMap<Address, U256>,
    pub(super) tokens: HashMap<Address, MemoryToken>,
    issued: u64,
}

/// What an operation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) received: U256,
    pub(super) contract: Option<Address>,
}

impl Ledger {
    /// Adds a token whose whole supply `owner` has.
    pub(super) fn issue(&mut self, owner: Address, info: TokenInfo, supply: U256) -> Address {
        self.issued += 1;
        let address = Address::from_word(keccak256(self.issued.to_be_bytes()));
        let token = MemoryToken {
            info: TokenInfo { address, ..info },
            habit: Habit::Honest,
            owner,
            balances: [(owner, supply)].into(),
            allowances: HashMap::new(),
            used: HashSet::new(),
        };
        self.tokens.insert(address, token);
        address
    }

    /// Does what an operation of `operator` says, or nothing and says why.
    pub(super) fn apply(&mut self, operator: Address, operation: &Operation) -> Result<Effect, String> {
        let received = match operation {
            Operation::Transfer { token, to, amount } if *token == NATIVE_TOKEN => {
                move_amount(&mut self.coins, operator, *to, *amount, *amount)?;
                *amount
            }
            Operation::Transfer { token, to, amount } => {
                self.token(*token)?.transfer(operator, *to, *amount)?
            }
            Operation::TransferFrom {
                token,
                from,
                to,
                amount,
            } => self.token(*token)?.transfer_from(operator, *from, *to, *amount)?,
            Operation::Permit { token, permit } => {
                self.token(*token)?.use_once(permit.signature.r)?;
                let allowances = &mut self.token(*token)?.allowances;
                allowances.insert((permit.owner, permit.spender), permit.value);
                U256::ZERO
            }
            Operation::TransferWithAuthorization { token, authorization } => {
                self.token(*token)?.use_once(authorization.nonce)?;
                self.token(*token)?
                    .transfer(authorization.from, authorization.to, authorization.value)?
            }
            Operation::Approve {
                token,
                spender,
                amount,
            } => {
                self.token(*token)?.approve(operator, *spender, *amount)?;
                U256::ZERO
            }
            Operation::IssueToken {
                name,
                symbol,
                decimals,
                initial_supply,
            } => {
                let info = TokenInfo {
                    address: Address::ZERO,
                    kind: TokenKind::Erc20,
                    symbol: symbol.clone(),
                    name: name.clone(),
                    decimals: *decimals,
                };
                return Ok(Effect {
                    received: U256::ZERO,
                    contract: Some(self.issue(operator, info, *initial_supply)),
                });
            }
            Operation::Mint { token, to, amount } => self.token(*token)?.mint(operator, *to, *amount)?,
        };
        Ok(Effect {
            received,
            contract: None,
        })
    }

    /// Takes back what a mined operation did; only for plain transfers.
    pub(super) fn undo(&mut self, operator: Address, operation: &Operation) {
        let (token, from, to, amount) = match operation {
            Operation::Transfer { token, to, amount } => (*token, operator, *to, *amount),
            Operation::TransferFrom {
                token,
                from,
                to,
                amount,
            } => (*token, *from, *to, *amount),
            _ => return,
        };
        let balances = match self.tokens.get_mut(&token) {
            Some(token) => &mut token.balances,
            None => &mut self.coins,
        };
        // What its receiver has spent since cannot be taken back from him.
        let _ = move_amount(balances, to, from, amount, amount);
    }

    fn token(&mut self, address: Address) -> Result<&mut MemoryToken, String> {
        self.tokens
            .get_mut(&address)
            .ok_or_else(|| format!("no contract is at {address}"))
    }
}

impl MemoryToken {
    fn transfer(&mut self, from: Address, to: Address, amount: U256) -> Result<U256, String> {
        let arriving = match self.habit {
            Habit::Honest | Habit::DemandsZeroFirst => amount,
            Habit::TakesFee => amount - amount / U256::from(10),
            Habit::Lies => return Ok(U256::ZERO),
            Habit::Reverts => return Err("transfers are paused".to_owned()),
        };
        move_amount(&mut self.balances, from, to, amount, arriving)?;
        Ok(arriving)
    }

    fn transfer_from(
        &mut self,
        spender: Address,
        from: Address,
        to: Address,
        amount: U256,
    ) -> Result<U256, String> {
        let allowed = self.allowances.get(&(from, spender)).copied().unwrap_or_default();
        let left = allowed.checked_sub(amount).ok_or("insufficient allowance")?;
        let received = self.transfer(from, to, amount)?;
        self.allowances.insert((from, spender), left);
        Ok(received)
    }

    fn approve(&mut self, owner: Address, spender: Address, amount: U256) -> Result<(), String> {
        let allowed = self.allowances.entry((owner, spender)).or_default();
        if self.habit == Habit::DemandsZeroFirst && !amount.is_zero() && !allowed.is_zero() {
            return Err("an allowance is changed from nothing only".to_owned());
        }
        *allowed = amount;
        Ok(())
    }

    fn mint(&mut self, operator: Address, to: Address, amount: U256) -> Result<U256, String> {
        if operator != self.owner {
            return Err("only the owner can mint".to_owned());
        }
        let balance = self.balances.entry(to).or_default();
        *balance = balance.checked_add(amount).ok_or("the supply overflows")?;
        Ok(amount)
    }

    fn use_once(&mut self, token: B256) -> Result<(), String> {
        let is_new = self.used.insert(token);
        is_new
            .then_some(())
            .ok_or_else(|| "the signature was used before".to_owned())
    }
}

fn move_amount(
    balances: &mut HashMap<Address, U256>,
    from: Address,
    to: Address,
    leaving: U256,
    arriving: U256,
) -> Result<(), String> {
    let has = balances.get(&from).copied().unwrap_or_default();
    let left = has.checked_sub(leaving).ok_or("insufficient balance")?;
    balances.insert(from, left);
    let balance = balances.entry(to).or_default();
    *balance = balance.checked_add(arriving).ok_or("the balance overflows")?;
    Ok(())
}

//! The accounts that a node has acted as on the chain, one after the other.

use std::sync::Arc;

use dm_core::{
    Address,
    ports::{OperatorKeyError, OperatorKeys, Signer},
    secret::SecretString,
};

use crate::{KeyError, LocalAccount, NodeKeys, key_set::OperatorKey};

impl NodeKeys {
    /// The accounts that were the operator account before, each once.
    pub fn former_operators(&self) -> Vec<Arc<dyn Signer>> {
        let mut former: Vec<Arc<dyn Signer>> = Vec::new();
        let mut seen = vec![self.operator().address()];
        let all = [self.signer()].into_iter();
        for account in all.chain(self.operator_accounts(|key| key.is_confirmed)) {
            if !seen.contains(&account.address()) {
                seen.push(account.address());
                former.push(account);
            }
        }
        former
    }

    fn operator_accounts(&self, is_wanted: impl Fn(&OperatorKey) -> bool) -> Vec<Arc<dyn Signer>> {
        self.manager().read_keys(|keys| {
            let wanted = keys.operators.iter().filter(|key| is_wanted(key));
            wanted
                .filter_map(|key| LocalAccount::from_secret(&key.secret))
                .map(|account| Arc::new(account) as Arc<dyn Signer>)
                .collect()
        })
    }
}

impl OperatorKeys for NodeKeys {
    fn operator(&self) -> Arc<dyn Signer> {
        let confirmed = self.operator_accounts(|key| key.is_confirmed).pop();
        confirmed.unwrap_or_else(|| self.signer())
    }

    fn account_of(&self, private_key: &SecretString) -> Result<Address, OperatorKeyError> {
        Ok(account(private_key)?.address())
    }

    fn keep_successor(&self, private_key: &SecretString) -> Result<Arc<dyn Signer>, OperatorKeyError> {
        let account = account(private_key)?;
        if let Some(successor) = self.successor() {
            return match successor.address() == account.address() {
                true => Ok(successor),
                false => Err(OperatorKeyError::UnderWay(successor.address())),
            };
        }
        self.manager()
            .change_operators(|operators| operators.push(OperatorKey::unconfirmed(account.secret())))
            .map_err(failed)?;
        Ok(Arc::new(account))
    }

    fn successor(&self) -> Option<Arc<dyn Signer>> {
        self.operator_accounts(|key| !key.is_confirmed).pop()
    }

    fn confirm_successor(&self) -> Result<(), OperatorKeyError> {
        self.manager()
            .change_operators(|operators| {
                for key in operators {
                    key.is_confirmed = true;
                }
            })
            .map_err(failed)
    }
}

fn account(private_key: &SecretString) -> Result<LocalAccount, OperatorKeyError> {
    LocalAccount::from_private_key(private_key).map_err(|_| OperatorKeyError::Invalid)
}

#[expect(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn failed(error: KeyError) -> OperatorKeyError {
    OperatorKeyError::Failed(error.to_string())
}

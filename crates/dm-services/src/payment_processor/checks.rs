//! What is looked at before money is moved.

use alloy_primitives::U256;
use dm_core::{
    clock::now_ms,
    operation::{Operation, Permit, TransferAuthorization},
    order::{Consent, Order, TransferOrder},
    ports::ChainError,
    token::NATIVE_TOKEN,
};

use super::PaymentProcessor;
use crate::{ServiceError, Shortfall};

impl PaymentProcessor {
    /// Whether a transfer can be made as the chain stands now.
    ///
    /// # Errors
    /// What is missing, or does not fit.
    pub(super) async fn check(&self, transfer: &TransferOrder) -> Result<(), ServiceError> {
        self.check_token(transfer).await?;
        check_parties(transfer)?;
        match &transfer.consent {
            Consent::Own => self.check_own(transfer).await,
            Consent::Allowance => self.check_allowance(transfer).await,
            Consent::Permit(permit) => self.check_permit(transfer, permit).await,
            Consent::Authorization(authorization) => {
                check_authorization(transfer, authorization)?;
                self.check_balance(transfer).await?;
                self.check_on_chain(transfer).await
            }
        }
    }

    async fn check_token(&self, transfer: &TransferOrder) -> Result<(), ServiceError> {
        if transfer.token == NATIVE_TOKEN {
            return match transfer.consent {
                Consent::Own => Ok(()),
                _ => Err(ServiceError::rejected(
                    "token",
                    "is the chain's own coin, which nobody but its owner can move: only the operator account pays in it",
                )),
            };
        }
        match self.executor.ports().supported.token(transfer.token).await? {
            Some(_) => Ok(()),
            None => Err(ServiceError::rejected("token", "is not supported by this node")),
        }
    }

    async fn check_own(&self, transfer: &TransferOrder) -> Result<(), ServiceError> {
        if transfer.from != self.executor.operator() {
            return Err(ServiceError::rejected("from", "is not the operator account"));
        }
        self.check_balance(transfer).await?;
        self.check_on_chain(transfer).await
    }

    async fn check_allowance(&self, transfer: &TransferOrder) -> Result<(), ServiceError> {
        self.check_balance(transfer).await?;
        let allowance = self.allowance(transfer).await?;
        if allowance < transfer.amount {
            let balance = self.balance(transfer).await?;
            return Err(shortfall(transfer, balance, allowance));
        }
        self.check_on_chain(transfer).await
    }

    /// The transfer itself can be tried only after the permit is on the chain.
    async fn check_permit(&self, transfer: &TransferOrder, permit: &Permit) -> Result<(), ServiceError> {
        if permit.owner != transfer.from {
            return Err(ServiceError::rejected("permit", "is not by the payer"));
        }
        if permit.spender != self.executor.operator() {
            return Err(ServiceError::rejected(
                "permit",
                "is for another spender than the operator account",
            ));
        }
        if permit.value < transfer.amount {
            return Err(ServiceError::rejected("permit", "allows less than the amount"));
        }
        if permit.deadline < now_secs() {
            return Err(ServiceError::rejected("permit", "has expired"));
        }
        self.check_balance(transfer).await?;
        let operation = Operation::Permit {
            token: transfer.token,
            permit: permit.clone(),
        };
        match self.executor.ports().operations.check(&operation).await {
            Err(ChainError::Reverted(reason)) if self.allowance(transfer).await? < transfer.amount => Err(
                ServiceError::rejected("permit", format!("is refused by the token: {reason}")),
            ),
            Ok(()) | Err(ChainError::Reverted(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tries the transfer on the chain's pending state, gas included.
    async fn check_on_chain(&self, transfer: &TransferOrder) -> Result<(), ServiceError> {
        match self.executor.check(&Order::Transfer(transfer.clone())).await {
            Err(ChainError::Reverted(reason)) => match &transfer.consent {
                Consent::Authorization(_) => Err(ServiceError::rejected(
                    "authorization",
                    format!("is refused by the token: {reason}"),
                )),
                _ => Err(ServiceError::TransactionFailed(reason)),
            },
            checked => Ok(checked?),
        }
    }

    async fn check_balance(&self, transfer: &TransferOrder) -> Result<(), ServiceError> {
        let balance = self.balance(transfer).await?;
        if balance >= transfer.amount {
            return Ok(());
        }
        let allowance = match transfer.consent {
            Consent::Allowance => self.allowance(transfer).await?,
            _ => U256::ZERO,
        };
        Err(shortfall(transfer, balance, allowance))
    }

    async fn balance(&self, transfer: &TransferOrder) -> Result<U256, ServiceError> {
        let ports = self.executor.ports();
        if transfer.token == NATIVE_TOKEN {
            Ok(ports.chain.native_balance(transfer.from).await?)
        } else {
            Ok(ports.tokens.balance_of(transfer.token, transfer.from).await?)
        }
    }

    async fn allowance(&self, transfer: &TransferOrder) -> Result<U256, ServiceError> {
        let tokens = &self.executor.ports().tokens;
        let operator = self.executor.operator();
        Ok(tokens.allowance(transfer.token, transfer.from, operator).await?)
    }
}

fn check_parties(transfer: &TransferOrder) -> Result<(), ServiceError> {
    if transfer.to == transfer.token && transfer.token != NATIVE_TOKEN {
        return Err(ServiceError::rejected("to", "is the token contract itself"));
    }
    if transfer.to.is_zero() {
        return Err(ServiceError::rejected(
            "to",
            "is the zero address, which nobody owns",
        ));
    }
    Ok(())
}

fn check_authorization(
    transfer: &TransferOrder,
    authorization: &TransferAuthorization,
) -> Result<(), ServiceError> {
    let TransferAuthorization {
        from,
        to,
        value,
        valid_after,
        valid_before,
        ..
    } = authorization;
    if (*from, *to, *value) != (transfer.from, transfer.to, transfer.amount) {
        return Err(ServiceError::rejected(
            "authorization",
            "is for another payer, receiver or amount",
        ));
    }
    if now_secs() >= *valid_before {
        return Err(ServiceError::rejected("authorization", "has expired"));
    }
    if now_secs() <= *valid_after {
        return Err(ServiceError::rejected("authorization", "is not valid yet"));
    }
    Ok(())
}

fn shortfall(transfer: &TransferOrder, balance: U256, allowance: U256) -> ServiceError {
    ServiceError::PaymentRequired(Box::new(Shortfall {
        account: transfer.from,
        token: transfer.token,
        needed: transfer.amount,
        balance,
        allowance,
    }))
}

fn now_secs() -> U256 {
    U256::from(now_ms() / 1000)
}

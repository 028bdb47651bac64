//! The price of gas.

use std::time::Duration;

use alloy::primitives::U128;
use tokio::time::Instant;

use crate::{
    rpc::{Node, RpcFailure},
    wire::BlockHeader,
};

/// How long a price is used before the chain is asked again.
const FRESH: Duration = Duration::from_secs(1);

/// What a transaction offers for each gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fees {
    /// [EIP-1559](https://eips.ethereum.org/EIPS/eip-1559).
    Dynamic {
        /// At most this much in all.
        max_fee: u128,
        /// Of it for the block's producer.
        tip: u128,
    },
    /// One price, for chains without EIP-1559.
    Legacy {
        /// The price.
        gas_price: u128,
    },
}

impl Fees {
    /// The fees, raised by so many quarters.
    pub(super) fn raised(self, quarters: u32) -> Self {
        let raise = |fee: u128| fee.saturating_add((fee / 4).max(1).saturating_mul(u128::from(quarters)));
        match self {
            _ if quarters == 0 => self,
            Self::Dynamic { max_fee, tip } => Self::Dynamic {
                max_fee: raise(max_fee),
                tip: raise(tip),
            },
            Self::Legacy { gas_price } => Self::Legacy {
                gas_price: raise(gas_price),
            },
        }
    }

    /// The most that one gas can cost.
    pub(super) fn highest(self) -> u128 {
        match self {
            Self::Dynamic { max_fee, .. } => max_fee,
            Self::Legacy { gas_price } => gas_price,
        }
    }
}

/// Knows the price of gas, asking the chain at most once a second.
#[derive(Default)]
pub(super) struct FeeGauge {
    known: Option<(Instant, Fees)>,
}

impl FeeGauge {
    /// The price now.
    pub(super) async fn current(&mut self, node: &Node) -> Result<Fees, RpcFailure> {
        if let Some((since, fees)) = self.known
            && since.elapsed() < FRESH
        {
            return Ok(fees);
        }
        let fees = ask(node).await?;
        self.known = Some((Instant::now(), fees));
        Ok(fees)
    }

    /// The price turned out to be wrong.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}

async fn ask(node: &Node) -> Result<Fees, RpcFailure> {
    let block: BlockHeader = node.read("eth_getBlockByNumber", ("latest", false)).await?;
    let Some(base) = block.base_fee_per_gas else {
        let gas_price: U128 = node.read("eth_gasPrice", ()).await?;
        return Ok(Fees::Legacy {
            gas_price: gas_price.to(),
        });
    };
    let base = base.to::<u128>();
    let tip = match node.read::<_, U128>("eth_maxPriorityFeePerGas", ()).await {
        Ok(tip) => tip.to(),
        // Not every chain with EIP-1559 has this method.
        Err(RpcFailure::Refused(_)) => {
            let gas_price: U128 = node.read("eth_gasPrice", ()).await?;
            gas_price.to::<u128>().saturating_sub(base)
        }
        Err(other) => return Err(other),
    };
    // Twice the base fee stays enough for six full blocks in a row.
    Ok(Fees::Dynamic {
        max_fee: base.saturating_mul(2).saturating_add(tip),
        tip,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_fees_are_higher_even_from_nothing() {
        let free = Fees::Dynamic { max_fee: 0, tip: 0 };
        assert_eq!(free.raised(0), free);
        assert_eq!(free.raised(2), Fees::Dynamic { max_fee: 2, tip: 2 });
        assert_eq!(Fees::Legacy { gas_price: 100 }.raised(1).highest(), 125);
    }
}

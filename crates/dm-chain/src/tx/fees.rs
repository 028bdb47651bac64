//! The price of gas.

use dm_core::ports::ChainError;
use serde::{Deserialize, Serialize};

/// What a transaction offers for each gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fees {
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

/// What the chain asks now for each gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Price {
    /// What the block keeps; zero on chains without EIP-1559.
    pub(crate) base: u128,
    /// What its producer wants beside that.
    pub(crate) tip: u128,
    /// Whether the chain has EIP-1559.
    pub(crate) is_dynamic: bool,
}

impl Price {
    /// What is enough for one gas even when the price rises for a while.
    pub(crate) fn ample(self) -> u128 {
        match self.is_dynamic {
            // Twice the base fee stays enough for six full blocks in a row.
            true => self.base.saturating_mul(2).saturating_add(self.tip),
            false => self.base.saturating_add(self.tip),
        }
    }

    /// What a transaction should offer, no more than the ceiling.
    ///
    /// # Errors
    /// [`ChainError::Refused`] where the ceiling is below the price.
    pub(crate) fn fees(self, ceiling: u128) -> Result<Fees, ChainError> {
        let least = self.base.saturating_add(self.tip);
        if least > ceiling {
            return Err(ChainError::Refused(format!(
                "the chain asks {least} wei for each gas, more than the ceiling max_fee_per_gas of {ceiling} wei"
            )));
        }
        Ok(match self.is_dynamic {
            true => Fees::Dynamic {
                max_fee: self.ample().min(ceiling),
                tip: self.tip,
            },
            false => Fees::Legacy { gas_price: least },
        })
    }

    /// Whether these fees are less than what the chain asks.
    pub(crate) fn is_above(self, fees: Fees) -> bool {
        match fees {
            Fees::Dynamic { max_fee, tip } => match max_fee.checked_sub(self.base) {
                Some(rest) => rest.min(tip) < self.tip,
                None => true,
            },
            Fees::Legacy { gas_price } => gas_price < self.base.saturating_add(self.tip),
        }
    }
}

impl Fees {
    /// Fees with which chains let a transaction take the place of one with
    /// these: an eighth more, and no less than `least`. `None` where that is above
    /// the ceiling.
    pub(crate) fn raised(self, least: Self, ceiling: u128) -> Option<Self> {
        let raise = |fee: u128| fee.saturating_add((fee / 8).saturating_add(1));
        let raised = match (self, least) {
            (
                Self::Dynamic { max_fee, tip },
                Self::Dynamic {
                    max_fee: least_fee,
                    tip: least_tip,
                },
            ) => {
                let tip = raise(tip).max(least_tip);
                Self::Dynamic {
                    max_fee: raise(max_fee).max(least_fee).max(tip),
                    tip,
                }
            }
            (fees, least) => Self::Legacy {
                gas_price: raise(fees.highest()).max(least.highest()),
            },
        };
        (raised.highest() <= ceiling).then_some(raised)
    }

    /// Whether these are less than others by so much that the others could replace them.
    pub(crate) fn is_well_below(self, other: Self) -> bool {
        let raised = self.raised(self, u128::MAX);
        raised.is_some_and(|raised| raised.highest() <= other.highest())
    }

    /// The most that one gas can cost.
    pub(crate) fn highest(self) -> u128 {
        match self {
            Self::Dynamic { max_fee, .. } => max_fee,
            Self::Legacy { gas_price } => gas_price,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price {
        base: 100,
        tip: 10,
        is_dynamic: true,
    };

    #[test]
    fn a_price_above_the_ceiling_is_refused_with_both() {
        let refusal = PRICE.fees(109).unwrap_err().to_string();
        assert!(refusal.contains("110") && refusal.contains("109"), "{refusal}");
        assert_eq!(
            PRICE.fees(110),
            Ok(Fees::Dynamic {
                max_fee: 110,
                tip: 10
            })
        );
        assert_eq!(
            PRICE.fees(1000),
            Ok(Fees::Dynamic {
                max_fee: 210,
                tip: 10
            })
        );
    }

    #[test]
    fn a_replacement_offers_an_eighth_more_of_everything() {
        let fees = Fees::Dynamic {
            max_fee: 1000,
            tip: 8,
        };
        let none = Fees::Dynamic { max_fee: 0, tip: 0 };
        assert_eq!(
            fees.raised(none, 2000),
            Some(Fees::Dynamic {
                max_fee: 1126,
                tip: 10
            })
        );
        assert_eq!(fees.raised(none, 1100), None);
        let free = Fees::Legacy { gas_price: 0 };
        assert_eq!(free.raised(free, 1), Some(Fees::Legacy { gas_price: 1 }));
    }

    #[test]
    fn fees_are_too_low_where_the_block_or_its_producer_would_get_less() {
        assert!(!PRICE.is_above(Fees::Dynamic {
            max_fee: 110,
            tip: 10
        }));
        assert!(PRICE.is_above(Fees::Dynamic {
            max_fee: 109,
            tip: 10
        }));
        assert!(PRICE.is_above(Fees::Dynamic { max_fee: 900, tip: 9 }));
        assert!(PRICE.is_above(Fees::Dynamic { max_fee: 99, tip: 10 }));
        assert!(PRICE.is_above(Fees::Legacy { gas_price: 109 }));
    }
}

//! Orders and tokens to try a catalog with; those of equal numbers are equal.

use dm_core::{
    Address, B256, U256,
    event::{Event, EventKind},
    idempotency::IdempotencyKey,
    operation::{OperationId, Permit, SignatureParts, TransferAuthorization},
    order::{Consent, Order, OrderRecord, OrderState, Purpose, TokenRecord, TransferOrder, Tries},
    token::{NATIVE_TOKEN, TokenInfo, TokenKind},
};

use super::samples::{address, data_hash, event};

/// The name of order number `n`.
pub fn operation_id(n: u64) -> OperationId {
    OperationId::from_bytes(*data_hash(n).as_bytes())
}

/// Order number `n`, which a client has asked for as such.
pub fn request(n: u64) -> OrderRecord {
    OrderRecord {
        id: operation_id(n),
        order: transfer(Consent::Own),
        purpose: Purpose::Request,
        idempotency_key: None,
        created_at: 1_700_000_000_000 + n,
        state: OrderState::Accepted,
        tries: Tries::default(),
        event_index: None,
    }
}

/// Order number `n`, completed, which pays for a share of data number `data`
/// with recipient number `recipient`.
pub fn payment(n: u64, data: u64, recipient: u8) -> OrderRecord {
    OrderRecord {
        purpose: Purpose::Payment {
            data_hash: data_hash(data),
            recipient: address(recipient),
        },
        state: completed(None),
        ..request(n)
    }
}

/// Order number `n`, which gives payment number `of` back.
pub fn refund(n: u64, of: u64) -> OrderRecord {
    OrderRecord {
        purpose: Purpose::Refund { of: operation_id(of) },
        ..request(n)
    }
}

/// The same order, asked for under an idempotency key of a client.
pub fn keyed_order(mut order: OrderRecord, client: &str, key: &str) -> OrderRecord {
    order.idempotency_key = Some(IdempotencyKey {
        client: client.to_owned(),
        key: key.to_owned(),
    });
    order
}

/// The event that records order number `n`.
pub fn transfer_event(n: u64) -> Event {
    let mut event = event(EventKind::Transfer, n, 1);
    event.data_hash = None;
    event
        .details
        .insert("operation".into(), operation_id(n).to_string());
    event
}

/// The state of an order that is done.
pub fn completed(contract: Option<Address>) -> OrderState {
    OrderState::Completed {
        tx_hash: B256::repeat_byte(2),
        block: 7,
        received: U256::MAX,
        contract,
    }
}

/// The state of an order that was not done.
pub fn failed(tx_hash: Option<B256>) -> OrderState {
    OrderState::Failed {
        tx_hash,
        reason: "the balance is below 5 €".into(),
    }
}

/// The state of a refund that an operator has ended.
pub fn ended() -> OrderState {
    OrderState::Ended {
        reason: "paid in cash, 5 €".into(),
    }
}

/// A state of every kind.
pub fn every_state() -> Vec<OrderState> {
    let tx_hash = B256::repeat_byte(1);
    vec![
        OrderState::Accepted,
        OrderState::Sent { tx_hash },
        completed(None),
        completed(Some(address(3))),
        failed(None),
        failed(Some(tx_hash)),
        OrderState::CalledOff,
        ended(),
    ]
}

/// What came of attempts, number `n`.
pub fn tries(n: u32) -> Tries {
    Tries {
        failed: n + 1,
        spent: n,
        reason: Some(format!("attempt {n} costs more than 5 €")),
        next_at: 1_700_000_000_000 + u64::from(n),
        payer: (n % 2 == 1).then(|| address(4)),
    }
}

/// An order of every kind, with every kind of consent.
pub fn every_order() -> Vec<Order> {
    let mut orders: Vec<Order> = every_consent().into_iter().map(transfer).collect();
    orders.extend([
        Order::Approve {
            token: address(1),
            spender: address(2),
            amount: U256::MAX,
        },
        Order::IssueToken {
            name: "Proof \"of\" tea 🫖".into(),
            symbol: "TEA".into(),
            decimals: u8::MAX,
            initial_supply: U256::ZERO,
        },
        Order::Mint {
            token: address(1),
            to: address(2),
            amount: U256::ONE,
        },
    ]);
    orders
}

fn transfer(consent: Consent) -> Order {
    Order::Transfer(TransferOrder {
        token: address(1),
        from: address(2),
        to: address(3),
        amount: U256::from(1_000_000),
        consent,
    })
}

fn every_consent() -> [Consent; 4] {
    let signature = SignatureParts {
        v: 28,
        r: B256::repeat_byte(4),
        s: B256::repeat_byte(5),
    };
    [
        Consent::Own,
        Consent::Allowance,
        Consent::Permit(Permit {
            owner: address(2),
            spender: address(6),
            value: U256::MAX,
            deadline: U256::MAX,
            signature,
        }),
        Consent::Authorization(TransferAuthorization {
            from: address(2),
            to: address(3),
            value: U256::from(1_000_000),
            valid_after: U256::ZERO,
            valid_before: U256::MAX,
            nonce: B256::repeat_byte(7),
            signature,
        }),
    ]
}

/// Token number `n`; number 0 is the chain's own coin.
pub fn token(n: u8) -> TokenRecord {
    let (address, kind) = match n {
        0 => (NATIVE_TOKEN, TokenKind::Native),
        _ => (address(n), TokenKind::Erc20),
    };
    TokenRecord {
        info: TokenInfo {
            address,
            kind,
            symbol: format!("T{n}"),
            name: format!("Töken {n}"),
            decimals: n,
        },
        issued: n % 2 == 1,
        added_at: 1_700_000_000_000,
    }
}

//! Whose money the operator account may move, on in-memory ports.

use dm_core::{
    Address, B256, U256,
    operation::{Operation, OperationId, Permit, SignatureParts, TransferAuthorization},
    payment::SignedConsent,
    ports::Operations,
    token::NATIVE_TOKEN,
};
use dm_services::{ServiceError, TransferRequest};

use crate::{
    support::World,
    transfers::{OTHER, TO, allow, balance, is_completed, request, supported_token},
};

fn signature() -> SignatureParts {
    SignatureParts {
        v: 27,
        r: B256::from(rand::random::<[u8; 32]>()),
        s: B256::ZERO,
    }
}

/// What allows `spender` to take 30 from [`OTHER`].
fn permit(spender: Address) -> Permit {
    Permit {
        owner: OTHER,
        spender,
        value: U256::from(30),
        deadline: U256::MAX,
        signature: signature(),
    }
}

#[tokio::test]
async fn nobody_elses_money_moves_without_consent() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, OTHER).await;
    let refused = node
        .payments()
        .transfer(request(token, OTHER, TO, 30), None)
        .await;
    let Err(ServiceError::PaymentRequired(shortfall)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(shortfall.account, OTHER);
    assert_eq!(
        (shortfall.balance, shortfall.allowance),
        (U256::from(1000), U256::ZERO)
    );
    let coin = node
        .payments()
        .transfer(request(NATIVE_TOKEN, OTHER, TO, 1), None)
        .await;
    assert!(
        matches!(coin, Err(ServiceError::Rejected { field: "token", .. })),
        "{coin:?}"
    );
    assert_eq!(balance(&world, token, TO).await, 0);
}

#[tokio::test]
async fn an_allowance_is_used_and_not_exceeded() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, OTHER).await;
    allow(&world, OTHER, token, node.address(), 40).await;
    let moved = node
        .payments()
        .transfer(request(token, OTHER, TO, 30), None)
        .await
        .unwrap();
    assert!(is_completed(&moved));
    let more = node
        .payments()
        .transfer(request(token, OTHER, TO, 11), None)
        .await;
    assert!(matches!(more, Err(ServiceError::PaymentRequired(_))), "{more:?}");
    assert_eq!(balance(&world, token, TO).await, 30);
}

#[tokio::test]
async fn a_permit_that_comes_along_is_handed_in_once() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, OTHER).await;
    let permit = permit(node.address());
    let with = |permit: Permit| TransferRequest {
        consent: Some(SignedConsent::Permit(permit)),
        ..request(token, OTHER, TO, 30)
    };
    for (wrong, words) in [
        (
            Permit {
                deadline: U256::ZERO,
                ..permit.clone()
            },
            "has expired",
        ),
        (
            Permit {
                spender: TO,
                ..permit.clone()
            },
            "another spender",
        ),
        (
            Permit {
                owner: TO,
                ..permit.clone()
            },
            "not by the payer",
        ),
        (
            Permit {
                value: U256::from(29),
                ..permit.clone()
            },
            "less than the amount",
        ),
    ] {
        let refused = node.payments().transfer(with(wrong), None).await.unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert!(is_completed(
        &node
            .payments()
            .transfer(with(permit.clone()), None)
            .await
            .unwrap()
    ));
    let again = node.payments().transfer(with(permit), None).await.unwrap_err();
    assert!(again.to_string().contains("used before"), "{again}");
    assert_eq!(balance(&world, token, TO).await, 30);
}

#[tokio::test]
async fn a_permit_that_somebody_else_handed_in_still_counts() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, OTHER).await;
    let permit = permit(node.address());
    let front_run = Operation::Permit {
        token,
        permit: permit.clone(),
    };
    let stranger = world.money.operations(TO);
    stranger.begin(OperationId::random(), &front_run).await.unwrap();
    let transfer = TransferRequest {
        consent: Some(SignedConsent::Permit(permit)),
        ..request(token, OTHER, TO, 30)
    };
    assert!(is_completed(
        &node.payments().transfer(transfer, None).await.unwrap()
    ));
    assert_eq!(balance(&world, token, TO).await, 30);
}

#[tokio::test]
async fn a_signed_transfer_is_made_as_it_was_signed() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, OTHER).await;
    let authorization = TransferAuthorization {
        from: OTHER,
        to: TO,
        value: U256::from(30),
        valid_after: U256::ZERO,
        valid_before: U256::MAX,
        nonce: B256::repeat_byte(9),
        signature: signature(),
    };
    let with = |authorization: TransferAuthorization| TransferRequest {
        consent: Some(SignedConsent::Authorization(authorization)),
        ..request(token, OTHER, TO, 30)
    };
    for (wrong, words) in [
        (
            TransferAuthorization {
                valid_before: U256::from(1),
                ..authorization.clone()
            },
            "has expired",
        ),
        (
            TransferAuthorization {
                valid_after: U256::MAX,
                ..authorization.clone()
            },
            "not valid yet",
        ),
        (
            TransferAuthorization {
                to: OTHER,
                ..authorization.clone()
            },
            "another payer, receiver or amount",
        ),
    ] {
        let refused = node.payments().transfer(with(wrong), None).await.unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert!(is_completed(
        &node
            .payments()
            .transfer(with(authorization.clone()), None)
            .await
            .unwrap()
    ));
    let again = node.payments().transfer(with(authorization), None).await;
    assert!(
        matches!(
            again,
            Err(ServiceError::Rejected {
                field: "authorization",
                ..
            })
        ),
        "{again:?}"
    );
    assert_eq!(balance(&world, token, TO).await, 30);
}

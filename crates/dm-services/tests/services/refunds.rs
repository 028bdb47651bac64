//! What refunds promise, on in-memory ports: each is owed until it is made, called off,
//! or ended by an operator.

use dm_core::{
    Address, U256,
    event::EventKind,
    operation::{Operation, OperationId},
    order::{OrderRecord, OrderState, Purpose},
    ports::{ChainError, ComplianceLog, EventFilter, Operations},
    share::ShareTerms,
};
use dm_services::ServiceError;
use dm_testing::money::Habit;

use crate::{
    payments::{market, paid},
    support::{TestNode, World, data, eventually},
    transfers::{TO, allow, balance},
};

/// A seller that owes a buyer 40 of a token, because a share failed after its payment.
struct Debt {
    world: World,
    seller: TestNode,
    buyer: TestNode,
    token: Address,
    terms: ShareTerms,
}

impl Debt {
    async fn new() -> Self {
        let world = World::new();
        let (seller, buyer, token) = market(&world).await;
        allow(&world, buyer.address(), token, seller.address(), 100).await;
        let terms = paid(buyer.address(), token, 40);
        seller.objects.set_full(true);
        let failed = seller.data.share_bytes(data(500), terms.clone()).await;
        assert!(
            matches!(failed, Err(ServiceError::PaidInVain { .. })),
            "{failed:?}"
        );
        Self {
            world,
            seller,
            buyer,
            token,
            terms,
        }
    }

    async fn refund(&self) -> Option<OrderRecord> {
        let page = self.seller.payments().orders(None, 50).await.unwrap();
        let mut records = page.into_iter().map(|(_, record)| record);
        records.find(|record| matches!(record.purpose, Purpose::Refund { .. }))
    }

    /// Waits until the refund is as `wanted` says.
    async fn refund_that(&self, what: &str, wanted: impl Fn(&OrderRecord) -> bool) -> OrderRecord {
        eventually(what, async || self.refund().await.filter(|refund| wanted(refund))).await
    }

    /// Lets the refund begin, and waits until it was not made for this reason.
    async fn owed(&self, words: &str) -> OrderRecord {
        self.seller.spread();
        self.seller.look_after_orders();
        self.refund_that("the refund waits with its reason", |refund| {
            let reason = refund.tries.reason.as_deref().unwrap_or_default();
            reason.contains(words)
        })
        .await
    }

    /// Tries at once until it is made, and expects that it is made once.
    async fn made(&self) -> OrderRecord {
        let made = eventually("the refund is made", async || {
            let refund = self.refund().await?;
            let tried = self.seller.payments().retry_refund(refund.id).await;
            assert!(
                matches!(tried, Ok(_) | Err(ServiceError::RefundSettled(_))),
                "{tried:?}"
            );
            self.refund().await.filter(completed)
        })
        .await;
        self.buyer_has(1000).await;
        made
    }

    async fn buyer_has(&self, amount: u64) {
        assert_eq!(self.balance(self.buyer.address()).await, amount);
    }

    async fn balance(&self, account: Address) -> u64 {
        balance(&self.world, self.token, account).await
    }

    /// Moves tokens between accounts without the node.
    async fn move_tokens(&self, from: Address, to: Address, amount: u64) {
        let transfer = Operation::Transfer {
            token: self.token,
            to,
            amount: U256::from(amount),
        };
        let operations = self.world.money.operations(from);
        operations.begin(OperationId::random(), &transfer).await.unwrap();
    }
}

fn completed(refund: &OrderRecord) -> bool {
    matches!(refund.state, OrderState::Completed { .. })
}

fn too_dear() -> ChainError {
    ChainError::Refused("gas costs more than chain.max_fee_gwei".to_owned())
}

#[tokio::test]
async fn a_refund_is_made_however_often_the_chain_has_refused_it() {
    let refusals = [
        too_dear(),
        ChainError::Reverted("transfers are paused".to_owned()),
        ChainError::Unavailable("no endpoint answers".to_owned()),
        ChainError::InsufficientFunds {
            account: TO,
            balance: U256::ZERO,
            needed: U256::ONE,
        },
    ];
    for refusal in refusals {
        let debt = Debt::new().await;
        debt.world.money.set_refusal(Some(refusal.clone()));
        let waiting = debt.owed(&refusal.to_string()).await;
        assert_eq!(waiting.state, OrderState::Accepted, "{refusal:?}");
        for _ in 0..3 {
            let tried = debt.seller.payments().retry_refund(waiting.id).await.unwrap();
            assert_eq!(tried.state, OrderState::Accepted, "{refusal:?}");
        }
        debt.world.money.set_refusal(None);
        debt.made().await;
    }
}

#[tokio::test]
async fn a_refund_is_tried_again_without_anybody_asking() {
    let debt = Debt::new().await;
    debt.world.money.set_refusal(Some(too_dear()));
    let first = debt.owed("max_fee_gwei").await;
    let later = debt
        .refund_that("it is tried again", |refund| {
            refund.tries.failed > first.tries.failed + 2
        })
        .await;
    assert!(later.tries.next_at > first.tries.next_at);
    debt.world.money.set_refusal(None);
    debt.refund_that("it is made", completed).await;
    debt.buyer_has(1000).await;
    let told = debt.seller.told("token.transfer_failed").await;
    let told = told.iter().any(|event| event.data["purpose"] == "refund");
    assert!(told, "subscribers learn that a refund waits");
}

#[tokio::test]
async fn a_seller_who_has_spent_the_tokens_owes_them_until_it_has_them_again() {
    let debt = Debt::new().await;
    debt.move_tokens(debt.seller.address(), TO, 40).await;
    debt.owed("insufficient balance").await;
    debt.buyer_has(960).await;
    debt.move_tokens(TO, debt.seller.address(), 40).await;
    debt.made().await;
}

#[tokio::test]
async fn a_refund_that_was_mined_and_undone_is_made_by_another_transaction() {
    let debt = Debt::new().await;
    debt.world.money.undo_next(2);
    let first = debt.owed("mined and undone").await;
    assert_eq!(first.tries.spent, 1);
    let made = debt.made().await;
    assert_eq!((made.tries.failed, made.tries.spent), (2, 2));
    assert_ne!(made.operation_id(), first.operation_id());
}

#[tokio::test]
async fn a_refund_in_a_token_that_lies_is_made_when_it_tells_the_truth() {
    let debt = Debt::new().await;
    let set = |habit| debt.world.money.change(debt.token, |token| token.habit = habit);
    set(Habit::Lies);
    debt.owed("moved nothing").await;
    set(Habit::Honest);
    debt.made().await;
}

#[tokio::test]
async fn an_undone_refund_whose_block_may_be_taken_back_is_not_tried_by_another_transaction() {
    let debt = Debt::new().await;
    debt.world.money.set_taking_back(true);
    debt.world.money.undo_next(1);
    debt.seller.spread();
    debt.seller.look_after_orders();
    let sent = debt
        .refund_that("it is under way", |refund| {
            matches!(refund.state, OrderState::Sent { .. })
        })
        .await;
    let tried = debt.seller.payments().retry_refund(sent.id).await.unwrap();
    assert!(matches!(tried.state, OrderState::Sent { .. }), "{tried:?}");
    // The next block has it again, and this time it does what it should.
    debt.world.money.reorganise_newest();
    debt.world.money.mine();
    debt.refund_that("it is made", completed).await;
    debt.world.money.finalise();
    debt.buyer_has(1000).await;
    assert_eq!(debt.refund().await.unwrap().tries.spent, 0);
}

#[tokio::test]
async fn a_buyer_who_asks_again_while_the_refund_waits_does_not_pay_twice() {
    let debt = Debt::new().await;
    debt.world.money.set_refusal(Some(too_dear()));
    debt.owed("max_fee_gwei").await;
    debt.seller.objects.set_full(false);
    let shared = debt
        .seller
        .data
        .share_bytes(data(500), debt.terms.clone())
        .await
        .unwrap();
    assert!(shared.payment.is_some());
    debt.world.money.set_refusal(None);
    let refund = debt.refund().await.unwrap();
    assert_eq!(refund.state, OrderState::CalledOff);
    let settled = debt.seller.payments().retry_refund(refund.id).await;
    assert!(
        matches!(settled, Err(ServiceError::RefundSettled(_))),
        "{settled:?}"
    );
    let again = debt.seller.data.share_bytes(data(500), debt.terms.clone()).await;
    assert_eq!(again.unwrap(), shared);
    debt.buyer_has(960).await;
}

#[tokio::test]
async fn a_refund_that_was_called_off_for_a_share_that_fails_again_is_made() {
    let debt = Debt::new().await;
    debt.world.money.set_refusal(Some(too_dear()));
    debt.owed("max_fee_gwei").await;
    // The store is still full.
    let failed = debt.seller.data.share_bytes(data(500), debt.terms.clone()).await;
    assert!(
        matches!(failed, Err(ServiceError::PaidInVain { .. })),
        "{failed:?}"
    );
    debt.buyer_has(960).await;
    debt.world.money.set_refusal(None);
    debt.made().await;
}

#[tokio::test]
async fn a_refund_that_is_under_way_goes_on_and_the_buyer_pays_anew() {
    let debt = Debt::new().await;
    debt.world.money.set_mining(false);
    debt.seller.spread();
    debt.seller.look_after_orders();
    debt.refund_that("it is under way", |refund| {
        matches!(refund.state, OrderState::Sent { .. })
    })
    .await;
    debt.seller.objects.set_full(false);
    let waiting = debt.seller.data.share_bytes(data(500), debt.terms.clone()).await;
    assert!(
        matches!(waiting, Err(ServiceError::PaymentPending { .. })),
        "{waiting:?}"
    );
    debt.world.money.mine();
    let shared = debt.seller.data.share_bytes(data(500), debt.terms.clone()).await;
    assert!(shared.unwrap().payment.is_some());
    debt.refund_that("the first payment is given back", completed)
        .await;
    debt.buyer_has(960).await;
}

#[tokio::test]
async fn a_refund_that_was_settled_otherwise_is_ended_for_good() {
    let debt = Debt::new().await;
    debt.world.money.set_refusal(Some(too_dear()));
    let id = debt.owed("max_fee_gwei").await.id;
    let payments = debt.seller.payments();
    for reason in ["", "  ", "a\nb", &"x".repeat(501)] {
        let refused = payments.end_refund(id, reason).await;
        assert!(
            matches!(refused, Err(ServiceError::Invalid { field: "reason", .. })),
            "{refused:?}"
        );
    }
    let expected = OrderState::Ended {
        reason: "paid in cash".to_owned(),
    };
    for reason in ["paid in cash", "another word"] {
        let ended = payments.end_refund(id, reason).await.unwrap();
        assert_eq!(ended.state, expected);
    }
    debt.world.money.set_refusal(None);
    for settled in [
        payments.retry_refund(id).await.err(),
        payments.retry_refund(id).await.err(),
    ] {
        assert!(
            matches!(&settled, Some(ServiceError::RefundSettled(why)) if why.contains("paid in cash")),
            "{settled:?}"
        );
    }
    // The payment counts no more: who wants the data pays for it.
    debt.seller.objects.set_full(false);
    let shared = debt.seller.data.share_bytes(data(500), debt.terms.clone()).await;
    assert!(shared.unwrap().payment.is_some());
    debt.buyer_has(920).await;
}

#[tokio::test]
async fn what_is_under_way_or_no_refund_is_not_ended() {
    let debt = Debt::new().await;
    debt.world.money.set_mining(false);
    debt.seller.spread();
    let sent = debt
        .refund_that("it is under way", |refund| {
            matches!(refund.state, OrderState::Sent { .. })
        })
        .await;
    let payments = debt.seller.payments();
    let refused = payments.end_refund(sent.id, "paid in cash").await;
    assert!(
        matches!(&refused, Err(ServiceError::RefundSettled(why)) if why.contains("under way")),
        "{refused:?}"
    );
    let Purpose::Refund { of: payment } = sent.purpose else {
        panic!("{sent:?}");
    };
    for id in [payment, OperationId::random()] {
        for refused in [
            payments.end_refund(id, "x").await.err(),
            payments.retry_refund(id).await.err(),
        ] {
            assert!(
                matches!(refused, Some(ServiceError::UnknownRefund(unknown)) if unknown == id),
                "{refused:?}"
            );
        }
    }
    debt.world.money.mine();
    debt.made().await;
    let refused = payments.end_refund(sent.id, "paid in cash").await;
    assert!(
        matches!(&refused, Err(ServiceError::RefundSettled(why)) if why.contains("was made")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_refund_after_a_change_of_the_operator_is_made_by_the_account_that_was_paid() {
    let debt = Debt::new().await;
    debt.seller.operations.change_to(TO);
    debt.seller.spread();
    debt.seller.look_after_orders();
    let made = debt.refund_that("it is made", completed).await;
    assert_eq!(made.payer(), Some(debt.seller.address()));
    debt.buyer_has(1000).await;
    assert_eq!(debt.balance(debt.seller.address()).await, 0);
}

#[tokio::test]
async fn a_refund_is_made_by_the_operator_account_where_the_one_that_was_paid_cannot() {
    for key_is_lost in [true, false] {
        let debt = Debt::new().await;
        debt.move_tokens(debt.seller.address(), TO, 40).await;
        debt.seller.operations.change_to(TO);
        if key_is_lost {
            debt.seller.operations.forget_former();
        }
        debt.seller.spread();
        debt.seller.look_after_orders();
        let made = debt.refund_that("it is made", completed).await;
        assert_eq!(made.payer(), Some(TO));
        debt.buyer_has(1000).await;
        let filter = EventFilter {
            kinds: [EventKind::Transfer].into(),
            recipient: Some(debt.buyer.address()),
            ..EventFilter::default()
        };
        let recorded = eventually("the refund is recorded", async || {
            debt.seller.log.find(&filter).await.unwrap()
        })
        .await;
        assert_eq!(recorded.event.details["from"], TO.to_string());
    }
}

#[tokio::test]
async fn a_refund_that_no_account_can_make_stays_open_and_names_them() {
    let debt = Debt::new().await;
    debt.move_tokens(debt.seller.address(), Address::repeat_byte(9), 40)
        .await;
    debt.seller.operations.change_to(TO);
    let waiting = debt.owed(&TO.to_string()).await;
    let reason = waiting.tries.reason.unwrap();
    assert!(reason.contains(&debt.seller.address().to_string()), "{reason}");
    debt.move_tokens(Address::repeat_byte(9), TO, 40).await;
    assert_eq!(debt.made().await.payer(), Some(TO));
}

//! A share is whole, or it is not there: whichever write of the stores fails, is not
//! confirmed, or is the last one before the node is killed. Random schedules of shares,
//! grants and restarts run against a small reference of what was answered.

use std::collections::BTreeSet;

use dm_core::{
    Address, U256,
    hash::DataHash,
    order::OrderState,
    payment::PaymentTerms,
    ports::{ComplianceLog, EventFilter, HistoryQuery, ObjectStore, OrderCatalog, ShareCatalog},
    share::{ShareOutcome, ShareTerms},
};
use dm_services::{DataManager, ServiceError};
use dm_testing::faults::{Fault, Faults};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::{
    support::{TestNode, World, data, keyed, settings, terms},
    transfers::{allow, balance, supported_token},
};

const PRICE: u64 = 40;
/// Different data that is shared.
const DATA: u8 = 3;

/// A share or a grant that is asked for, and what fails meanwhile.
#[derive(Debug, Clone, Copy)]
struct Step {
    data: u8,
    buyer: usize,
    is_paid: bool,
    is_grant: bool,
    fault: Option<(u64, Fault)>,
}

/// A seller whose stores fail on request, and two buyers.
struct Market {
    world: World,
    faults: Faults,
    seller: TestNode,
    /// As it was started last.
    running: DataManager,
    buyers: [TestNode; 2],
    /// What each of them pays with.
    tokens: [Address; 2],
    /// Data and buyer of shares that were answered with a success.
    acknowledged: BTreeSet<(u8, usize)>,
    /// Those of them that were paid for.
    paid: BTreeSet<(u8, usize)>,
}

fn bytes_of(n: u8) -> bytes::Bytes {
    data(600 + usize::from(n))
}

fn hash_of(n: u8) -> DataHash {
    DataHash::of(&bytes_of(n))
}

impl Market {
    async fn new() -> Self {
        let (world, faults) = (World::new(), Faults::new());
        let seller = world.node_with(1, &faults).await;
        let buyers = [world.node(2).await, world.node(3).await];
        let mut tokens = [Address::ZERO; 2];
        for (token, buyer) in tokens.iter_mut().zip(&buyers) {
            *token = supported_token(&world, &seller, buyer.address()).await;
            allow(&world, buyer.address(), *token, seller.address(), 1000).await;
        }
        Self {
            running: seller.data.clone(),
            world,
            faults,
            seller,
            buyers,
            tokens,
            acknowledged: BTreeSet::new(),
            paid: BTreeSet::new(),
        }
    }

    fn terms(&self, step: &Step) -> ShareTerms {
        let key = format!("{} {} {}", step.data, step.buyer, step.is_paid);
        let terms = keyed(self.buyers[step.buyer].address(), &key);
        ShareTerms {
            payment: step.is_paid.then(|| PaymentTerms {
                token: self.tokens[step.buyer],
                amount: U256::from(PRICE),
                consent: None,
            }),
            ..terms
        }
    }

    async fn ask(&self, step: &Step) -> Result<ShareOutcome, ServiceError> {
        match step.is_grant {
            true => {
                let terms = terms(self.buyers[step.buyer].address());
                self.running.grant(&hash_of(step.data), terms).await
            }
            false => {
                self.running
                    .share_bytes(bytes_of(step.data), self.terms(step))
                    .await
            }
        }
    }

    /// Asks, with what fails meanwhile, and holds the answer against what is there.
    async fn take(&mut self, step: Step) {
        if let Some((writes, fault)) = step.fault {
            self.faults.after(writes, fault);
        }
        let answer = self.ask(&step).await;
        let name = (step.data, step.buyer);
        match &answer {
            Ok(outcome) => {
                self.acknowledged.insert(name);
                if outcome.payment.is_some() {
                    self.paid.insert(name);
                }
            }
            Err(_) if !self.faults.is_killed() && !self.acknowledged.contains(&name) => {
                self.faults.revive();
                self.assert_gone(name, &answer).await;
            }
            Err(_) => {}
        }
        if self.faults.is_killed() {
            self.settle().await;
        }
        self.faults.revive();
    }

    /// Nothing of a share that was refused is there.
    async fn assert_gone(&self, name: (u8, usize), answer: &Result<ShareOutcome, ServiceError>) {
        let (hash, buyer) = (hash_of(name.0), &self.buyers[name.1]);
        let kept = self.seller.catalog.share(&hash, buyer.address()).await.unwrap();
        assert_eq!(kept, None, "{answer:?}");
        assert_eq!(self.events(name).await, 0, "{answer:?}");
        assert!(buyer.read(&hash).await.is_err(), "{answer:?}");
        if !self.seller.catalog.is_shared(&hash).await.unwrap() {
            for holder in &self.buyers {
                let envelopes = holder.objects.envelopes(&hash.locator()).await.unwrap();
                assert!(envelopes.iter().all(|envelope| envelope.is_tombstone()));
            }
        }
    }

    async fn events(&self, (n, buyer): (u8, usize)) -> usize {
        let query = HistoryQuery {
            filter: EventFilter::share(hash_of(n), self.buyers[buyer].address()),
            before: None,
            limit: 10,
        };
        self.seller.log.history(&query).await.unwrap().entries.len()
    }

    /// The node starts again and does what it owes; then everything is whole or gone.
    async fn settle(&mut self) {
        self.faults.revive();
        self.running = DataManager::new(&self.seller.ports, settings()).unwrap();
        let mut open = String::new();
        for _ in 0..400 {
            let orders = self.seller.executor.run(CancellationToken::new());
            let _ = tokio::time::timeout(std::time::Duration::from_millis(2), orders).await;
            self.running.catch_up().await;
            match self.is_settled().await {
                Ok(()) => return,
                Err(reason) => open = reason,
            }
        }
        panic!("it never settles: {open}");
    }

    async fn is_settled(&self) -> Result<(), String> {
        let mut sold = 0;
        for n in 0..DATA {
            for buyer in 0..self.buyers.len() {
                let name = (n, buyer);
                let is_paid = self
                    .whole_or_gone(name)
                    .await
                    .map_err(|why| format!("{name:?}: {why}"))?;
                sold += u64::from(is_paid);
            }
        }
        let mut earned = 0;
        for token in self.tokens {
            earned += balance(&self.world, token, self.seller.address()).await;
        }
        if earned != sold * PRICE {
            return Err(format!("{sold} shares were sold, and {earned} was earned"));
        }
        Ok(())
    }

    /// Whether the share is paid for.
    async fn whole_or_gone(&self, name: (u8, usize)) -> Result<bool, String> {
        let (hash, buyer) = (hash_of(name.0), &self.buyers[name.1]);
        let catalog = &self.seller.catalog;
        let events = self.events(name).await;
        let reads = buyer.read(&hash).await;
        if catalog.share(&hash, buyer.address()).await.unwrap().is_none() {
            assert!(
                !self.acknowledged.contains(&name),
                "an acknowledged share is lost"
            );
            assert_eq!(events, 0, "a share that is not there is recorded");
            assert!(reads.is_err(), "a share that is not there can be read");
            return Ok(false);
        }
        assert!(events <= 1, "a share is recorded twice");
        if events == 0 {
            return Err("it is not recorded".to_owned());
        }
        if reads.map_err(|error| error.to_string())? != bytes_of(name.0) {
            return Err("something else is read".to_owned());
        }
        let payment = catalog.payment_for(&hash, buyer.address()).await.unwrap();
        let is_paid = payment.is_some_and(|payment| matches!(payment.state, OrderState::Completed { .. }));
        assert!(
            is_paid || !self.paid.contains(&name),
            "what was paid for is given back"
        );
        Ok(is_paid)
    }

    /// What was refused can be had with the same request.
    async fn ask_again(&mut self, steps: &[Step]) {
        for step in steps {
            let again = Step { fault: None, ..*step };
            if again.is_grant && self.running.readers(&hash_of(again.data)).await.is_err() {
                continue;
            }
            match self.ask(&again).await {
                Ok(outcome) => {
                    self.acknowledged.insert((again.data, again.buyer));
                    assert!(!outcome.grant_pending);
                }
                // The key may stand for the other of two requests.
                Err(ServiceError::IdempotencyKeyReused) => {}
                Err(error) => panic!("{again:?}: {error}"),
            }
        }
    }
}

async fn run(steps: &[Step]) {
    let mut market = Market::new().await;
    for step in steps {
        market.take(*step).await;
    }
    market.settle().await;
    market.ask_again(steps).await;
    market.settle().await;
}

fn share(data: u8, buyer: usize, is_paid: bool, fault: Option<(u64, Fault)>) -> Step {
    Step {
        data,
        buyer,
        is_paid,
        is_grant: false,
        fault,
    }
}

const FAULTS: [Fault; 4] = [
    Fault::Refused,
    Fault::Unconfirmed,
    Fault::KilledBefore,
    Fault::KilledAfter,
];

/// Writes of a share that is paid for.
async fn writes_of(step: Step, before: &[Step]) -> u64 {
    let mut market = Market::new().await;
    for step in before {
        market.take(*step).await;
    }
    let first = market.faults.writes();
    market.take(step).await;
    market.faults.writes() - first
}

#[tokio::test]
async fn a_new_share_is_whole_or_gone_whichever_write_fails() {
    let writes = writes_of(share(0, 0, true, None), &[]).await;
    assert!(writes > 6, "{writes}");
    for fault in FAULTS {
        for write in 0..writes {
            run(&[share(0, 0, true, Some((write, fault))), share(0, 1, false, None)]).await;
        }
    }
}

#[tokio::test]
async fn a_share_with_a_further_recipient_is_whole_or_gone_whichever_write_fails() {
    let before = [share(0, 0, false, None)];
    let writes = writes_of(share(0, 1, true, None), &before).await;
    for fault in FAULTS {
        for write in 0..writes {
            run(&[before[0], share(0, 1, true, Some((write, fault)))]).await;
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop::option::weighted(0.6, (0..18u64, prop::sample::select(FAULTS.to_vec())));
    let step = (
        0..DATA,
        0..2usize,
        any::<bool>(),
        prop::bool::weighted(0.2),
        fault,
    )
        .prop_map(|(data, buyer, is_paid, is_grant, fault)| Step {
            data,
            buyer,
            is_paid: is_paid && !is_grant,
            is_grant,
            fault,
        });
    prop::collection::vec(step, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn after_an_error_nothing_of_a_share_is_there_and_after_a_kill_all_of_it_or_nothing(steps in steps()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run(&steps));
    }
}

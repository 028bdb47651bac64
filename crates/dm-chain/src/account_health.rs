//! How the operator account is: judged by its oldest transaction that no block has,
//! and by whether it can pay for the next anchor.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::{
    Address,
    clock::now_ms,
    health::{Finding, Trouble},
    ports::{ChainError, HealthCheck},
};

use crate::{
    client::EvmClient,
    transactions::{Obstacle, Report, Stuck},
};

/// For how long a transaction may wait for a block. A price that has risen is
/// followed within less.
const LATE: Duration = Duration::from_secs(120);
/// Gas limit of an anchor of 256 events in a log of the worst size up to a million, with
/// its reserve: what `tests/gas.rs` limits it to and a quarter more.
const ANCHOR_GAS: u64 = 100_000;
/// How long the balance may take: who asks for the health does not wait longer.
const FUNDS_PATIENCE: Duration = Duration::from_millis(2_500);

const SEND_COINS: &str = "send coins for gas to the account; what waits goes on by itself";
const RAISE_CEILING: &str = "wait until gas is cheaper, or raise chain.max_fee_gwei and restart the node";
const LOOK_AT_CHAIN: &str = "look at the endpoints of the chain; what waits goes on when it answers";
const LOOK_AT_DISK: &str = "make room on the disk of the data directory, and look at its health";

/// Judges the accounts of a client by what they could not get into a block, and the
/// present one by what it can pay.
pub struct AccountHealth {
    client: Arc<EvmClient>,
}

impl AccountHealth {
    /// The accounts of this client.
    pub fn new(client: Arc<EvmClient>) -> Self {
        Self { client }
    }
}

#[async_trait]
impl HealthCheck for AccountHealth {
    fn part(&self) -> &'static str {
        "account"
    }

    async fn check(&self) -> Finding {
        let mut worst = Finding::Working;
        for account in self.client.accounts.all() {
            let finding = match account.report().await {
                Ok(report) => judge(account.account(), &report, now_ms()),
                Err(error) => not_open(account.account(), &error),
            };
            if severity(&finding) > severity(&worst) {
                worst = finding;
            }
        }
        match worst {
            Finding::Working => self.judge_funds().await,
            trouble => trouble,
        }
    }
}

impl AccountHealth {
    /// Looks at the balance before anything waits for it. A chain that does not say it
    /// is judged elsewhere.
    async fn judge_funds(&self) -> Finding {
        let accounts = &self.client.accounts;
        let check = accounts.check_gas_money(self.client.account(), ANCHOR_GAS);
        match tokio::time::timeout(FUNDS_PATIENCE, check).await {
            Ok(Err(ChainError::InsufficientFunds {
                account,
                balance,
                needed,
            })) => {
                let reason =
                    format!("account {account} has {balance} wei, and an anchor may cost {needed} wei");
                Finding::Degraded(Trouble::new(reason, SEND_COINS))
            }
            _ => Finding::Working,
        }
    }
}

fn severity(finding: &Finding) -> u8 {
    match finding {
        Finding::Working => 0,
        Finding::Degraded(_) => 1,
        Finding::Failed(_) => 2,
    }
}

/// Nothing is known of the account's transactions yet.
fn not_open(account: Address, error: &ChainError) -> Finding {
    let reason = format!("the transactions of account {account} wait: {error}");
    match error {
        ChainError::Journal(_) => Finding::Failed(Trouble::new(reason, LOOK_AT_DISK)),
        _ => Finding::Degraded(Trouble::new(reason, LOOK_AT_CHAIN)),
    }
}

fn judge(account: Address, report: &Report, now: u64) -> Finding {
    let ago = |age: Duration| now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    if let Some(error) = &report.journal {
        let reason = format!("the journal of transactions cannot be written: {error}");
        return Finding::Failed(Trouble::new(reason, LOOK_AT_DISK));
    }
    if let Some(age) = report.strange_for {
        let reason = "a block that the node knows is another one at the endpoint: the chain began anew, or \
                      the endpoint belongs to another chain";
        let action = "see that blockchain_url leads to the right chain; one that began anew is followed \
                      within seconds";
        return Finding::Degraded(Trouble::new(reason, action).since(ago(age)));
    }
    if let Some(stuck) = report.oldest.as_ref().filter(|stuck| stuck.waits_for >= LATE) {
        return judge_stuck(account, stuck, report, ago(stuck.waits_for));
    }
    match &report.refusing {
        Some((age, error)) if *age >= LATE => {
            let reason = format!("account {account} can begin nothing: {error}");
            let action = match error {
                ChainError::InsufficientFunds { .. } => SEND_COINS,
                _ => RAISE_CEILING,
            };
            Finding::Degraded(Trouble::new(reason, action).since(ago(*age)))
        }
        _ => Finding::Working,
    }
}

fn judge_stuck(account: Address, stuck: &Stuck, report: &Report, since: u64) -> Finding {
    let place = match stuck.nonce {
        Some(nonce) => format!("the transaction with nonce {nonce} of account {account}"),
        None => format!("a transaction of account {account}"),
    };
    let (why, action) = match (&stuck.obstacle, &report.unreachable) {
        (Some(Obstacle::LackOfFunds(error)), _) => (error.clone(), SEND_COINS),
        (Some(Obstacle::AboveCeiling), _) => {
            ("gas costs more than chain.max_fee_gwei".to_owned(), RAISE_CEILING)
        }
        (Some(Obstacle::NonceHeld), _) => (
            "another program's transaction has its nonce".to_owned(),
            "use the account's key in this node alone; what waits goes on when the other transaction is mined",
        ),
        (Some(Obstacle::Refused(reason)), _) if stuck.given_up.is_some() => {
            let reason = format!("{place} is given up, and the chain refuses even an empty one: {reason}");
            let action =
                "ask whoever runs the endpoint why it takes nothing of the account, or use another one";
            return Finding::Failed(Trouble::new(reason, action).since(since));
        }
        (Some(Obstacle::Refused(reason)), _) => (
            format!("the chain refuses it: {reason}"),
            "wait: it is given up where the chain goes on refusing it",
        ),
        (Some(Obstacle::DearerRefused(reason)), _) => (
            format!("gas costs more than it pays, and the chain refuses one that pays more: {reason}"),
            "wait until gas is cheaper, or use an endpoint that takes higher fees",
        ),
        (Some(Obstacle::Unreachable(reason)), _) | (_, Some(reason)) => (reason.clone(), LOOK_AT_CHAIN),
        (Some(Obstacle::Waits(reason)), None) => ((*reason).to_owned(), LOOK_AT_CHAIN),
        (None, None) => (
            "the chain has it, and no block takes it".to_owned(),
            "see whether the chain makes blocks; a price that has risen is followed",
        ),
    };
    let reason = format!("{place} is in no block: {why}");
    Finding::Degraded(Trouble::new(reason, action).since(since))
}

#[cfg(test)]
mod tests {
    use dm_core::ports::Signer;
    use dm_testing::{key_value::MemoryKeyValueStore, signer::TestSigner};

    use super::*;
    use crate::{
        ClientConfig, ClientDeps,
        embedded::{EmbeddedChain, Genesis},
    };

    const NOW: u64 = 1_800_000_000_000;

    fn report() -> Report {
        Report {
            pending: 0,
            oldest: None,
            strange_for: None,
            refusing: None,
            unreachable: None,
            journal: None,
        }
    }

    fn stuck(waits_for: Duration, obstacle: Option<Obstacle>) -> Report {
        Report {
            pending: 0,
            oldest: Some(Stuck {
                nonce: Some(7),
                waits_for,
                obstacle,
                given_up: None,
            }),
            ..report()
        }
    }

    fn judged(report: &Report) -> Finding {
        judge(Address::repeat_byte(1), report, NOW)
    }

    #[tokio::test]
    async fn an_account_that_cannot_pay_an_anchor_is_degraded_before_anything_waits() {
        let store = Arc::new(MemoryKeyValueStore::new());
        let rich = Arc::new(TestSigner::new(1));
        let genesis = Genesis::funding([rich.address()]);
        let chain = EmbeddedChain::open(store, genesis).await.unwrap();
        let health = |signer: Arc<TestSigner>| {
            let journal = Arc::new(MemoryKeyValueStore::new());
            let deps = ClientDeps::new(&chain, signer, journal);
            AccountHealth::new(Arc::new(EvmClient::start(ClientConfig::default(), deps).unwrap()))
        };
        assert_eq!(health(rich).check().await, Finding::Working);
        let poor = Arc::new(TestSigner::new(2));
        let Finding::Degraded(trouble) = health(poor.clone()).check().await else {
            panic!("no coins are no trouble");
        };
        assert!(
            trouble.reason.contains(&poor.address().to_string()),
            "{trouble:?}"
        );
        assert!(trouble.reason.contains("has 0 wei"), "{trouble:?}");
        assert!(trouble.action.contains("send coins"), "{trouble:?}");
    }

    #[test]
    fn what_waits_a_moment_is_no_trouble() {
        assert_eq!(judged(&report()), Finding::Working);
        assert_eq!(judged(&stuck(LATE / 2, None)), Finding::Working);
    }

    #[test]
    fn what_waits_too_long_is_told_with_the_reason_since_when_and_what_to_do() {
        let lack = Obstacle::LackOfFunds("insufficient funds".to_owned());
        for (obstacle, reason, action) in [
            (Some(lack), "insufficient funds", "send coins"),
            (
                Some(Obstacle::AboveCeiling),
                "max_fee_gwei",
                "raise chain.max_fee_gwei",
            ),
            (Some(Obstacle::NonceHeld), "another program", "this node alone"),
            (None, "no block takes it", "makes blocks"),
        ] {
            let Finding::Degraded(trouble) = judged(&stuck(2 * LATE, obstacle)) else {
                panic!("{reason} is no trouble");
            };
            assert!(trouble.reason.contains("nonce 7"), "{trouble:?}");
            assert!(trouble.reason.contains(reason), "{trouble:?}");
            assert!(trouble.action.contains(action), "{trouble:?}");
            assert_eq!(trouble.since, Some(NOW - 240_000));
        }
    }

    #[test]
    fn a_chain_that_refuses_even_what_is_empty_blocks_the_account_for_good() {
        let mut report = stuck(LATE, Some(Obstacle::Refused("blocked".to_owned())));
        assert!(matches!(judged(&report), Finding::Degraded(_)));
        report.oldest.as_mut().unwrap().given_up = Some("too much gas".to_owned());
        assert!(matches!(judged(&report), Finding::Failed(_)));
    }

    #[test]
    fn another_chain_in_the_place_of_the_known_one_is_told_at_once() {
        let report = Report {
            strange_for: Some(Duration::from_secs(1)),
            ..report()
        };
        assert!(matches!(judged(&report), Finding::Degraded(_)));
    }
}

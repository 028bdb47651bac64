//! Makes the grants that are owed as soon as their recipients are known.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use futures::{StreamExt, stream};

use super::note_failure;
use crate::{
    services::{DataManager, ServiceError},
    share::ShareRecord,
};

/// Owed grants that are looked at in one round, oldest first.
const MAX_OWED: usize = 10_000;
/// Recipients that are looked up at the same time.
const LOOK_UPS: usize = 8;
/// Longest pause before a recipient that is unknown is looked up again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// When recipients that are unknown are looked up again.
#[derive(Default)]
struct Absent(HashMap<Address, (Instant, Duration)>);

impl Absent {
    fn is_due(&self, recipient: &Address) -> bool {
        self.0
            .get(recipient)
            .is_none_or(|(next, _)| Instant::now() >= *next)
    }

    /// Doubles the pause of a recipient that is still unknown.
    fn note(&mut self, recipient: Address, first_pause: Duration) {
        let pause = match self.0.get(&recipient) {
            Some((_, pause)) => (*pause * 2).min(LONGEST_PAUSE),
            None => first_pause,
        };
        self.0.insert(recipient, (Instant::now() + pause, pause));
    }
}

impl DataManager {
    pub(super) async fn complete_grants(&self) -> Result<(), ServiceError> {
        let mut absent = Absent::default();
        let mut peers = self.inner.ports.network.stats().active_peers;
        loop {
            let owed = self.inner.ports.shares.owed_grants(MAX_OWED).await?;
            let recipients: HashSet<Address> = owed.iter().map(|share| share.recipient).collect();
            absent.0.retain(|recipient, _| recipients.contains(recipient));
            let present = self.present_among(&recipients, &mut absent).await;
            for share in owed.iter().filter(|share| present.contains(&share.recipient)) {
                let done = self.complete_grant(share).await;
                note_failure("an owed grant was not made", share, done);
            }
            tokio::select! {
                () = self.pause_or(&self.inner.owed.grants) => {}
                () = self.peer_connects(self.inner.settings.retry_interval) => {}
            }
            // A new peer may know, or be, who was absent.
            let now = self.inner.ports.network.stats().active_peers;
            if now > peers {
                absent = Absent::default();
            }
            peers = now;
        }
    }

    /// Those recipients whose keys the network knows by now.
    async fn present_among(&self, recipients: &HashSet<Address>, absent: &mut Absent) -> HashSet<Address> {
        let due = recipients
            .iter()
            .copied()
            .filter(|recipient| absent.is_due(recipient));
        let looked_up: Vec<(Address, bool)> = stream::iter(due.collect::<Vec<_>>())
            .map(|recipient| async move {
                let network = self.inner.ports.network.as_ref();
                let found = self.inner.recipients.look_up(recipient, network).await;
                (recipient, matches!(found, Ok(Some(_))))
            })
            .buffer_unordered(LOOK_UPS)
            .collect()
            .await;
        for (recipient, _) in looked_up.iter().filter(|(_, is_present)| !is_present) {
            absent.note(*recipient, self.inner.settings.retry_interval);
        }
        looked_up
            .into_iter()
            .filter_map(|(recipient, is_present)| is_present.then_some(recipient))
            .collect()
    }

    async fn complete_grant(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _turn = self.inner.turns.take(share.data_hash).await;
        let ports = &self.inner.ports;
        if let Some(object) = self.own_object(&share.data_hash).await?
            && !self.was_revoked(share).await?
        {
            let key = ports.key_ring.unwrap(&object.key)?;
            let Some(grant) = self.make_grant(&key, object.id, share.recipient).await? else {
                return Ok(());
            };
            self.add_grant(&object.id, grant).await?;
            self.distribute(&object.id).await?;
            tracing::info!(recipient = %share.recipient, locator = %object.id.locator, "made an owed grant");
        }
        Ok(ports
            .shares
            .set_grant_owed(&share.data_hash, share.recipient, false)
            .await?)
    }
}

use std::collections::{HashSet, VecDeque};

use async_trait::async_trait;
use dm_core::{
    envelope::ObjectId,
    ports::{
        Challenged, Evidence, HoldersNews, NetworkError, NetworkStatus, ObjectExchange, PushReport,
        Replication, StoreError,
    },
    trace::Trace,
};
use tokio::sync::Notify;

use super::memory::{MemoryNode, checked_name};

/// What a node was told about holders.
#[derive(Default)]
pub(super) struct News {
    waiting: std::sync::Mutex<VecDeque<HoldersNews>>,
    arrived: Notify,
}

impl News {
    pub(super) fn tell(&self, object: ObjectId, holders: Vec<String>, evidence: Evidence) {
        self.waiting.lock().unwrap().push_back(HoldersNews {
            object,
            holders,
            evidence,
        });
        self.arrived.notify_one();
    }

    async fn next(&self) -> HoldersNews {
        loop {
            let arrived = self.arrived.notified();
            let news = self.waiting.lock().unwrap().pop_front();
            if let Some(news) = news {
                return news;
            }
            arrived.await;
        }
    }
}

#[async_trait]
impl Replication for MemoryNode {
    async fn challenge(
        &self,
        peer: &str,
        object: &ObjectId,
        known: &[String],
    ) -> Result<Challenged, NetworkError> {
        let Ok(Some(envelope)) = self.objects.envelope(object).await else {
            return Err(NetworkError::Local(StoreError::Missing.to_string()));
        };
        let Some(other) = self.reach(peer) else {
            return Ok(Challenged::Silent);
        };
        match other.objects.envelope(object).await {
            Ok(Some(held)) if held.chunk_list == envelope.chunk_list => {
                let mut holders = known.to_vec();
                holders.push(self.local_peer_id());
                let by = self.local_peer_id();
                other.news.tell(*object, holders, Evidence::Said { by });
                let stale = (held.sequence, envelope.sequence);
                if stale.0 < stale.1 {
                    let _ = other.objects.replace_envelope(&envelope).await;
                } else if stale.0 > stale.1 {
                    let _ = self.objects.replace_envelope(&held).await;
                }
            }
            _ => return Ok(Challenged::Missing),
        }
        for index in 0..envelope.chunk_count() {
            let name = checked_name(&*self.objects, &envelope, index).await;
            match other.objects.chunk(object, index).await {
                Ok(chunk) if Some(chunk.name()) == name => {}
                Ok(_) => return Ok(Challenged::Wrong),
                Err(_) => return Ok(Challenged::Missing),
            }
        }
        Ok(Challenged::Proven)
    }

    async fn search(&self, object: &ObjectId) -> Result<Vec<String>, NetworkError> {
        let found = self
            .find(&object.locator, &[object.owner], &Trace::default())
            .await?;
        let of_object = found.into_iter().find(|found| found.envelope.id == *object);
        Ok(of_object.map(|found| found.holders).unwrap_or_default())
    }

    async fn place(
        &self,
        object: &ObjectId,
        copies: usize,
        avoid: &[String],
    ) -> Result<PushReport, NetworkError> {
        self.push_past(object, copies, avoid).await
    }

    fn reachable(&self) -> HashSet<String> {
        self.peers().into_iter().map(|peer| peer.record.peer_id).collect()
    }

    async fn next_news(&self) -> HoldersNews {
        self.news.next().await
    }
}

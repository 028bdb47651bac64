//! [`SamplePlugin`] and the suite for sources of plugins.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    descriptor::Description,
    hash::DataHash,
    plugin::{
        Hook, Piece, PluginEvent, PluginFault, PluginInfo, ReceiveStage, ReceivedView, RetrievalView,
        ShareView, Verdict,
    },
    ports::{KeyValueStore, Plugin, PluginContext, PluginSource, WriteBatch},
};
use serde_json::json;
use tokio::sync::OnceCell;

use super::key_value::MemoryKeyValueStore;

/// The name of the sample.
pub const SAMPLE: &str = "sample";
/// The size of a share or retrieval that the sample refuses, with [`REASON`].
pub const REFUSED: u64 = 1;
/// The size on which the sample makes the note [`NOTE`].
pub const NOTED: u64 = 2;
/// The size at which the sample fails.
pub const FAULTY: u64 = 3;
/// The size over which the sample thinks for ever.
pub const ENDLESS: u64 = 4;
/// Why the sample refuses.
pub const REASON: &str = "size 1";
/// What the sample notes.
pub const NOTE: &str = "size 2";
/// Under which key the sample keeps the topic of the last event.
pub const LAST_EVENT: &[u8] = b"last";

/// Answers by the size of what it is asked, data by its own length. It keeps
/// the last event's topic in its store.
#[derive(Default)]
pub struct SamplePlugin {
    store: OnceCell<Arc<dyn KeyValueStore>>,
}

/// The answer of every sample.
async fn answer(size: u64) -> Result<Verdict, PluginFault> {
    match size {
        REFUSED => Ok(Verdict::Refuse {
            reason: REASON.to_owned(),
        }),
        NOTED => Ok(Verdict::Annotate {
            note: NOTE.to_owned(),
        }),
        FAULTY => Err(PluginFault::new("size 3")),
        ENDLESS => std::future::pending().await,
        _ => Ok(Verdict::Allow),
    }
}

#[async_trait]
impl Plugin for SamplePlugin {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            call_limit: Duration::from_secs(5),
            ..PluginInfo::new(
                SAMPLE,
                "1.0.0",
                &[
                    Hook::Events,
                    Hook::Share,
                    Hook::Content,
                    Hook::Retrieval,
                    Hook::Receive,
                ],
            )
        }
    }

    async fn initialize(&self, context: PluginContext) -> Result<(), PluginFault> {
        self.store.get_or_init(|| async { context.store }).await;
        Ok(())
    }

    async fn shutdown(&self) {}

    async fn on_event(&self, event: &PluginEvent) -> Result<(), PluginFault> {
        let mut batch = WriteBatch::new();
        batch.put(LAST_EVENT, event.topic.clone().into_bytes());
        let store = self.store.get().expect("initialized");
        store.commit(batch).await.map_err(PluginFault::new)
    }

    async fn before_share(&self, share: &ShareView) -> Result<Verdict, PluginFault> {
        answer(share.size).await
    }

    async fn examine(&self, piece: &Piece) -> Result<Verdict, PluginFault> {
        answer(piece.bytes.len() as u64).await
    }

    async fn before_retrieval(&self, retrieval: &RetrievalView) -> Result<Verdict, PluginFault> {
        answer(retrieval.size).await
    }

    async fn before_receive(&self, received: &ReceivedView) -> Result<Verdict, PluginFault> {
        answer(received.size).await
    }
}

/// Makes one test for every promise of a [`PluginSource`]. Takes the name of
/// an async function that returns `(Arc<dyn PluginSource>, guard)`, a source
/// of one plugin that does what [`SamplePlugin`] does; the guard lives until
/// the test ends.
#[macro_export]
macro_rules! plugin_source_conformance {
    ($open:path) => {
        $crate::plugin_source_conformance!($open:
            a_source_knows_its_plugins_and_no_others,
            verdicts_arrive_as_they_were_given,
            a_fault_is_an_error_and_the_plugin_can_be_loaded_anew,
            an_endless_call_can_be_given_up,
            events_arrive_and_what_is_kept_is_in_the_store,
            calls_at_the_same_time_get_their_own_answers,
        );
    };
    ($open:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (source, _guard) = $open().await;
                $crate::plugins::$promise(&*source).await;
            }
        )*
    };
}

/// A share of this size.
pub fn share_of(size: u64) -> ShareView {
    ShareView {
        data_hash: DataHash::of(b"data"),
        recipient: Address::repeat_byte(7),
        size,
        price: None,
    }
}

/// A retrieval of this size.
pub fn retrieval_of(size: u64) -> RetrievalView {
    RetrievalView {
        data_hash: DataHash::of(b"data"),
        owner: Address::repeat_byte(7),
        size,
    }
}

/// Received data of this size, which is about to be listed.
pub fn received_of(size: u64) -> ReceivedView {
    ReceivedView {
        data_hash: DataHash::of(b"data"),
        owner: Address::repeat_byte(7),
        size,
        anchored: true,
        description: Description {
            name: Some("name.txt".parse().unwrap()),
            ..Description::default()
        },
        stage: ReceiveStage::Listing,
    }
}

fn piece_of(size: u64) -> Piece {
    Piece {
        offset: 0,
        bytes: Bytes::from(vec![b'x'; size as usize]),
    }
}

async fn ready(source: &dyn PluginSource, store: Arc<dyn KeyValueStore>) -> Arc<dyn Plugin> {
    let plugin = source.load(SAMPLE).await.unwrap().unwrap();
    let context = PluginContext {
        node_id: "test".to_owned(),
        address: Address::repeat_byte(1),
        store,
    };
    plugin.initialize(context).await.unwrap();
    plugin
}

async fn sample(source: &dyn PluginSource) -> Arc<dyn Plugin> {
    ready(source, Arc::new(MemoryKeyValueStore::new())).await
}

/// What is not there is not an error.
pub async fn a_source_knows_its_plugins_and_no_others(source: &dyn PluginSource) {
    assert_eq!(source.names().await.unwrap(), [SAMPLE]);
    assert!(source.load("other").await.unwrap().is_none());
    let info = source.load(SAMPLE).await.unwrap().unwrap().info();
    assert_eq!((info.name.as_str(), info.version.as_str()), (SAMPLE, "1.0.0"));
    assert_eq!(info.hooks.len(), 5);
}

/// Every hook can allow, refuse and annotate.
pub async fn verdicts_arrive_as_they_were_given(source: &dyn PluginSource) {
    let plugin = sample(source).await;
    for size in [REFUSED, NOTED, 5, 1000] {
        let expected = answer(size).await.unwrap();
        assert_eq!(plugin.before_share(&share_of(size)).await.unwrap(), expected);
        assert_eq!(plugin.examine(&piece_of(size)).await.unwrap(), expected);
        assert_eq!(
            plugin.before_retrieval(&retrieval_of(size)).await.unwrap(),
            expected
        );
        assert_eq!(plugin.before_receive(&received_of(size)).await.unwrap(), expected);
    }
    plugin.shutdown().await;
}

/// After a fault, a fresh plugin answers again.
pub async fn a_fault_is_an_error_and_the_plugin_can_be_loaded_anew(source: &dyn PluginSource) {
    let plugin = sample(source).await;
    assert!(plugin.before_share(&share_of(FAULTY)).await.is_err());
    plugin.shutdown().await;
    let plugin = sample(source).await;
    assert_eq!(plugin.before_share(&share_of(5)).await.unwrap(), Verdict::Allow);
}

/// A call that does not end can be dropped, and holds up nothing else.
pub async fn an_endless_call_can_be_given_up(source: &dyn PluginSource) {
    let plugin = sample(source).await;
    let limit = Duration::from_millis(50);
    for _ in 0..3 {
        let fresh = sample(source).await;
        let answer = tokio::time::timeout(limit, fresh.before_share(&share_of(ENDLESS))).await;
        assert!(answer.is_err());
        fresh.shutdown().await;
    }
    assert_eq!(plugin.before_share(&share_of(5)).await.unwrap(), Verdict::Allow);
}

/// The context's store is the plugin's, and outlives it.
pub async fn events_arrive_and_what_is_kept_is_in_the_store(source: &dyn PluginSource) {
    let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
    let plugin = ready(source, store.clone()).await;
    let event = PluginEvent {
        place: None,
        topic: "data.shared".to_owned(),
        data: json!({"data_hash": DataHash::of(b"data"), "recipient": Address::repeat_byte(7)}),
        at: 1500,
    };
    plugin.on_event(&event).await.unwrap();
    plugin.shutdown().await;
    assert_eq!(
        store.get(LAST_EVENT).await.unwrap().as_deref(),
        Some(&b"data.shared"[..])
    );
}

/// Nobody gets the answer to another question.
pub async fn calls_at_the_same_time_get_their_own_answers(source: &dyn PluginSource) {
    let plugin = sample(source).await;
    let calls = (0..100_u64).map(|n| {
        let plugin = plugin.clone();
        tokio::spawn(async move {
            let size = [REFUSED, NOTED, 5][(n % 3) as usize];
            let given = plugin.before_share(&share_of(size)).await.unwrap();
            assert_eq!(given, answer(size).await.unwrap());
        })
    });
    for call in futures::future::join_all(calls).await {
        call.unwrap();
    }
}

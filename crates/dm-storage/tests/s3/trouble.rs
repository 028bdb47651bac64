//! A store that answers badly, late or not at all.

use std::{fs, sync::Arc, time::Duration};

use dm_core::{
    health::Finding,
    ports::{ObjectStore, Resumed, StoreError},
};
use dm_storage::Storage;
use dm_testing::{
    objects::SampleObject,
    s3::{FaultProxy, S3Double, Trouble, storage_config},
    waiting::eventually,
};
use futures::StreamExt;
use tempfile::TempDir;

use super::{URL, assert_stored, bodies, impatient, large, middle};

struct Site {
    store: S3Double,
    proxy: FaultProxy,
    storage: Storage,
    objects: Arc<dyn ObjectStore>,
    _folder: TempDir,
}

impl Site {
    fn patient() -> Self {
        Self::with_patience(20)
    }

    fn with_patience(secs: u64) -> Self {
        let store = S3Double::start(None);
        let proxy = FaultProxy::before(&store.url());
        let folder = tempfile::tempdir().unwrap();
        let mut config = impatient(&proxy.url());
        config.s3.retry_timeout_secs = secs;
        let storage = Storage::open(folder.path(), &config).unwrap();
        Self {
            objects: storage.objects(),
            store,
            proxy,
            storage,
            _folder: folder,
        }
    }

    async fn is_working(&self) -> bool {
        self.storage.health().check().await == Finding::Working
    }
}

fn is_unavailable<T>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(reason)) if reason.contains(URL))
}

#[tokio::test(flavor = "multi_thread")]
async fn troubles_that_pass_are_ridden_out() {
    for trouble in [
        Trouble::Refused,
        Trouble::Error(500, "InternalError"),
        Trouble::Error(503, "SlowDown"),
        Trouble::Error(429, "TooManyRequests"),
        Trouble::AnswerLost,
        Trouble::AnswerCut(60),
        Trouble::AnswerCut(1000),
    ] {
        let site = Site::patient();
        let every_other = trouble.clone();
        site.proxy
            .set(move |request| (request.before % 2 == 0).then(|| every_other.clone()));
        large(1).store_in(&*site.objects).await.unwrap();
        assert_stored(&*site.objects, &large(1)).await;
        middle(2).store_in(&*site.objects).await.unwrap();
        assert!(site.objects.remove(&large(1).id()).await.unwrap());
        assert_stored(&*site.objects, &middle(2)).await;
        eventually("the removed body is gone", async || {
            (bodies(&site.store).len() == 1).then_some(())
        })
        .await;
        assert_eq!(site.store.uploads(), 0, "{trouble:?}");
    }
}

/// The answer to the completion is lost, so the upload is not known any more when it is
/// asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_completion_was_not_heard_of_is_complete() {
    let site = Site::patient();
    let mut lost = 0;
    site.proxy.set(move |request| {
        let completes = request.method == "POST" && request.target.contains("uploadId");
        (completes && lost < 2).then(|| {
            lost += 1;
            Trouble::AnswerLost
        })
    });
    large(1).store_in(&*site.objects).await.unwrap();
    assert_stored(&*site.objects, &large(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_asked_for_again() {
    let site = Site::with_patience(6);
    middle(1).store_in(&*site.objects).await.unwrap();
    let mut late = 0;
    site.proxy.set(move |_| {
        late += 1;
        (late == 1).then_some(Trouble::Late(Duration::from_secs(60)))
    });
    assert!(site.objects.chunk(&middle(1).id(), 0).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_an_error_that_health_shows_and_passes() {
    let site = Site::with_patience(2);
    middle(1).store_in(&*site.objects).await.unwrap();
    assert!(site.is_working().await);
    site.proxy.cut_off();
    let read = site.objects.chunk(&middle(1).id(), 0).await;
    assert!(is_unavailable(&read), "{read:?}");
    assert!(!site.objects.is_damaged(&middle(1).id()), "it is not damaged");
    let written = large(2).store_in(&*site.objects).await;
    assert!(is_unavailable(&written), "{written:?}");
    let small = SampleObject::new(1, 3, 10);
    small.store_in(&*site.objects).await.unwrap();
    assert_stored(&*site.objects, &small).await;
    let found = site.storage.health().check().await;
    assert!(
        matches!(&found, Finding::Failed(trouble) if trouble.reason.contains(URL) && trouble.since.is_some()),
        "{found:?}"
    );

    site.proxy.clear();
    eventually("the store is healthy again", async || {
        site.is_working().await.then_some(())
    })
    .await;
    assert_stored(&*site.objects, &middle(1)).await;
    large(2).store_in(&*site.objects).await.unwrap();
    assert_stored(&*site.objects, &large(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_does_not_pass_is_told_at_once() {
    let site = Site::patient();
    middle(1).store_in(&*site.objects).await.unwrap();
    for (code, status) in [("AccessDenied", 403), ("NoSuchBucket", 404)] {
        site.proxy.set(move |_| Some(Trouble::Error(status, code)));
        let before = site.proxy.requests();
        let read = site.objects.chunk(&middle(1).id(), 0).await;
        assert!(
            matches!(&read, Err(StoreError::Unavailable(reason)) if reason.contains(code)),
            "{read:?}"
        );
        assert!(
            site.proxy.requests() - before < 6,
            "it is not asked again and again"
        );
        assert!(!site.objects.is_damaged(&middle(1).id()));
        let found = site.storage.health().check().await;
        assert!(
            matches!(&found, Finding::Failed(trouble) if trouble.reason.contains(code)),
            "{found:?}"
        );
    }
    site.proxy.set(|_| Some(Trouble::Error(507, "QuotaExceeded")));
    let full = middle(2).store_in(&*site.objects).await;
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_replaced_are_used() {
    let store = S3Double::start(None);
    let proxy = FaultProxy::before(&store.url());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let write = |id: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = secret\n");
        fs::write(&file, text).unwrap();
    };
    write("first");
    let mut config = storage_config(&proxy.url(), URL);
    config.s3.credentials_file = Some(file.clone());
    let storage = Storage::open(&folder.path().join("objects"), &config).unwrap();
    let objects = storage.objects();
    middle(1).store_in(&*objects).await.unwrap();
    let (refused, mut heard) = tokio::sync::mpsc::unbounded_channel();
    proxy.set(move |request| {
        (request.key_id != "second").then(|| {
            refused.send(request.key_id.clone()).unwrap();
            Trouble::Error(400, "ExpiredToken")
        })
    });
    let id = middle(1).id();
    let (read, ()) = tokio::join!(objects.chunk(&id, 0), async {
        assert_eq!(heard.recv().await.as_deref(), Some("first"));
        write("second");
    });
    assert!(read.unwrap() == middle(1).chunks[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_store_is_found_and_damage_on_the_way_is_not_taken_for_it() {
    let site = Site::patient();
    let object = large(1);
    object.store_in(&*site.objects).await.unwrap();
    let mut garbled = 0;
    site.proxy.set(move |request| {
        garbled += 1;
        (garbled == 2 && request.method == "GET").then_some(Trouble::Garbled(5))
    });
    assert!(site.objects.chunk(&object.id(), 3).await.unwrap() == object.chunks[3]);
    assert!(!site.objects.is_damaged(&object.id()));

    site.proxy.clear();
    let path = bodies(&site.store).remove(0);
    let whole = site.store.object(&path).unwrap();
    let mut damaged = whole.clone();
    let place = 512 * 32 + 3 * object.chunks[0].bytes().len() + 1000;
    damaged[place] ^= 1;
    site.store.set_object(&path, Some(damaged));
    for read in [
        site.objects.chunk_from_medium(&object.id(), 3).await,
        site.objects.chunk(&object.id(), 3).await,
    ] {
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    }
    assert!(site.objects.is_damaged(&object.id()));
    assert!(site.objects.chunk(&object.id(), 4).await.is_ok());
    // A name that is in memory does not hide that the one in the store is another one.
    let mut damaged = whole.clone();
    damaged[4 * 32] ^= 1;
    site.store.set_object(&path, Some(damaged));
    let read = site.objects.chunk_from_medium(&object.id(), 4).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");

    site.store
        .set_object(&path, Some(whole[..whole.len() / 2].to_vec()));
    let read = site.objects.chunk(&object.id(), 40).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    site.store.set_object(&path, None);
    let read = site.objects.chunk(&object.id(), 20).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    let mut writer = site.objects.create().await.unwrap();
    for chunk in &object.chunks {
        writer.append(chunk.clone()).await.unwrap();
    }
    writer.restore(&object.envelope).await.unwrap();
    assert_stored(&*site.objects, &object).await;
    assert!(!site.objects.is_damaged(&object.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_slowly_is_kept_where_the_store_is_away_at_the_end() {
    let site = Site::with_patience(2);
    let object = large(1);
    let mut writer = site.objects.resume(&object.envelope).await.unwrap().writer;
    for chunk in &object.chunks {
        writer.append(chunk.clone()).await.unwrap();
    }
    site.proxy.cut_off();
    let finished = writer.finish(&object.envelope).await;
    assert!(is_unavailable(&finished), "{finished:?}");
    site.proxy.clear();
    let Resumed { mut kept, mut writer } = site.objects.resume(&object.envelope).await.unwrap();
    let mut count = 0;
    while let Some(chunk) = kept.next().await {
        writer.append(chunk).await.unwrap();
        count += 1;
    }
    assert_eq!(count, object.chunks.len());
    writer.finish(&object.envelope).await.unwrap();
    assert_stored(&*site.objects, &object).await;
}

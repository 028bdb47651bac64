//! Opening, closing and reopening a store.

use std::{fs, path::Path};

use dm_core::{
    config::{ObjectEngine, StorageConfig},
    envelope::{CHUNK_SIZE, Chunk},
    ports::{StoreError, StoreUsage, WriteBatch},
};
use dm_storage::Storage;
use dm_testing::objects::SampleObject;

fn open(folder: &Path) -> Result<Storage, StoreError> {
    Storage::open(folder, &StorageConfig::default())
}

fn count_files(folder: &Path) -> usize {
    fs::read_dir(folder.join("files")).unwrap().count()
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let samples = [
        SampleObject::new(1, 1, 1000),
        SampleObject::new(1, 2, 3 * CHUNK_SIZE),
        SampleObject::new(2, 2, CHUNK_SIZE),
    ];
    let usage = {
        let storage = open(folder.path()).unwrap();
        for sample in &samples {
            sample.store_in(&*storage.objects()).await.unwrap();
        }
        let mut batch = WriteBatch::new();
        batch.put("key", "value");
        storage.namespace("chain").commit(batch).await.unwrap();
        storage.close().await.unwrap();
        storage.objects().usage().await.unwrap()
    };
    let storage = open(folder.path()).unwrap();
    for sample in &samples {
        assert!(sample.is_in(&*storage.objects()).await);
    }
    assert_eq!(storage.objects().usage().await.unwrap(), usage);
    let value = storage.namespace("chain").get(b"key").await.unwrap();
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn a_closed_store_refuses_changes_and_still_reads() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).unwrap();
    let sample = SampleObject::new(1, 1, 1000);
    sample.store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    let refused = SampleObject::new(1, 2, 10)
        .store_in(&*storage.objects())
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "the store failed: the store is closed");
    assert!(sample.is_in(&*storage.objects()).await);
    storage.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).unwrap();
    let objects = storage.objects();
    let refused = open(folder.path()).err().unwrap().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(storage);
    assert!(open(folder.path()).is_err(), "a port still uses it");
    drop(objects);
    open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_folder_belongs_to_the_engine_that_made_it() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let other = StorageConfig {
        engine: ObjectEngine::Sled,
        ..StorageConfig::default()
    };
    let refused = Storage::open(folder.path(), &other).err().unwrap().to_string();
    assert!(refused.contains("written by the engine `fjall`"), "{refused}");
}

#[tokio::test]
async fn namespaces_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).unwrap();
    for (name, key) in [("a", "bc"), ("ab", "c"), ("", "abc")] {
        let mut batch = WriteBatch::new();
        batch.put(key, name.to_owned());
        storage.namespace(name).commit(batch).await.unwrap();
    }
    for (name, key) in [("a", "bc"), ("ab", "c"), ("", "abc")] {
        let entries = storage.namespace(name).scan(b"", None, 10).await.unwrap();
        assert_eq!(entries, [(key.into(), name.to_owned().into())]);
    }
}

#[tokio::test]
async fn replaced_and_removed_objects_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).unwrap();
    let objects = storage.objects();
    let sample = SampleObject::new(1, 1, 3 * CHUNK_SIZE);
    sample.store_in(&*objects).await.unwrap();
    let newer = sample.envelope_with_sequence(1, 2);
    sample.store_under(&*objects, &newer).await.unwrap();
    assert_eq!(count_files(folder.path()), 1);
    let stale = sample.store_in(&*objects).await;
    assert!(matches!(stale, Err(StoreError::Stale { stored: 2 })));
    objects.remove(&sample.id()).await.unwrap();
    storage.close().await.unwrap();
    drop((objects, storage));
    drop(open(folder.path()).unwrap());
    assert_eq!(count_files(folder.path()), 0);
}

#[tokio::test]
async fn files_without_a_record_are_removed_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let sample = SampleObject::new(1, 1, 3 * CHUNK_SIZE);
    {
        let storage = open(folder.path()).unwrap();
        sample.store_in(&*storage.objects()).await.unwrap();
    }
    let file = fs::read_dir(folder.path().join("files"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let name = file.file_name().unwrap().to_str().unwrap();
    let orphan = file.with_file_name(format!("{}{:032x}", &name[..name.len() - 32], 1));
    fs::copy(&file, &orphan).unwrap();
    let half_written = folder.path().join("incoming/half");
    fs::write(&half_written, b"half").unwrap();

    let storage = open(folder.path()).unwrap();
    assert!(!half_written.exists());
    while orphan.exists() {
        tokio::task::yield_now().await;
    }
    assert!(sample.is_in(&*storage.objects()).await);
}

#[tokio::test]
async fn large_objects_are_taken_back_when_the_engine_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let large = SampleObject::new(1, 1, 5 * CHUNK_SIZE + 3);
    let small = SampleObject::new(1, 2, 100);
    let broken = SampleObject::new(1, 3, 3 * CHUNK_SIZE);
    {
        let storage = open(folder.path()).unwrap();
        for sample in [&large, &small, &broken] {
            sample.store_in(&*storage.objects()).await.unwrap();
        }
    }
    fs::remove_dir_all(folder.path().join("fjall")).unwrap();
    for file in fs::read_dir(folder.path().join("files")).unwrap() {
        let file = file.unwrap();
        if file
            .file_name()
            .to_str()
            .unwrap()
            .starts_with(&broken.id().locator.to_string())
        {
            let file = fs::File::options().write(true).open(file.path()).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        }
    }
    let storage = open(folder.path()).unwrap();
    let objects = storage.objects();
    assert!(large.is_in(&*objects).await);
    assert_eq!(objects.envelope(&small.id()).await.unwrap(), None);
    assert_eq!(objects.envelope(&broken.id()).await.unwrap(), None);
    let expected = StoreUsage {
        objects: 1,
        bytes: large.envelope.sealed_size(),
    };
    assert_eq!(objects.usage().await.unwrap(), expected);
    let again = SampleObject::new(1, 4, 5 * CHUNK_SIZE);
    again.store_in(&*objects).await.unwrap();
    assert!(again.is_in(&*objects).await && large.is_in(&*objects).await);
}

#[tokio::test]
async fn names_and_chunks_of_several_groups_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).unwrap();
    let objects = storage.objects();
    let pool: Vec<Chunk> = (0..5).map(|n| SampleObject::chunk(1, n, CHUNK_SIZE)).collect();
    let mut chunks: Vec<Chunk> = (0..1030).map(|n| pool[n % 5].clone()).collect();
    chunks.push(SampleObject::chunk(2, 0, 77));
    let envelope = SampleObject::sign(1, 1, 1030 * CHUNK_SIZE + 77, &chunks, 1);
    let sample = SampleObject { envelope, chunks };
    sample.store_in(&*objects).await.unwrap();
    let names: Vec<_> = sample.chunks.iter().map(Chunk::name).collect();
    for (first, count) in [(0, 2000), (510, 4), (511, 1), (512, 512), (1020, 100)] {
        let range = objects
            .chunk_names(&sample.id(), first as u64, count)
            .await
            .unwrap();
        assert!(
            range.iter().eq(names.iter().skip(first).take(count)),
            "{count} from {first}"
        );
    }
    for index in [0, 511, 512, 1023, 1024, 1030] {
        let chunk = objects.chunk(&sample.id(), index).await.unwrap();
        assert_eq!(chunk, sample.chunks[index as usize]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_meets_the_old_object_or_the_new_one_whole() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).unwrap();
    let objects = storage.objects();
    let sizes = [100, 3 * CHUNK_SIZE];
    let versions: Vec<SampleObject> = (0..20_u64)
        .map(|version| {
            let mut sample = SampleObject::new(1, 1, sizes[version as usize % 2]);
            sample.envelope = sample.envelope_with_sequence(1, version + 1);
            sample
        })
        .collect();
    versions[0].store_in(&*objects).await.unwrap();
    let id = versions[0].id();
    let names: Vec<_> = versions.iter().map(|version| version.chunks[0].name()).collect();
    let reader = {
        let objects = objects.clone();
        tokio::spawn(async move {
            let mut newest = 0;
            while newest < 20 {
                let envelope = objects.envelope(&id).await.unwrap().unwrap();
                assert!(envelope.sequence >= newest, "an older envelope came back");
                newest = envelope.sequence;
                let chunk = objects.chunk(&id, 0).await.unwrap();
                assert!(names.contains(&chunk.name()));
            }
        })
    };
    for version in &versions[1..] {
        version.store_in(&*objects).await.unwrap();
        let seen = objects.envelope(&id).await.unwrap().unwrap();
        assert_eq!(seen.sequence, version.envelope.sequence);
    }
    reader.await.unwrap();
}

//! Damaged files never make the store hand out wrong bytes, or panic.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use dm_core::{
    config::StorageConfig,
    envelope::CHUNK_SIZE,
    ports::{ObjectStore, StoreError},
};
use dm_storage::Storage;
use dm_testing::objects::SampleObject;
use proptest::prelude::*;
use tempfile::TempDir;

fn samples() -> &'static [SampleObject] {
    static SAMPLES: OnceLock<Vec<SampleObject>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let sizes = [10, 2000, 100_000, 2 * CHUNK_SIZE + 9];
        (0..)
            .zip(sizes)
            .map(|(seed, size)| SampleObject::new(1, seed, size))
            .collect()
    })
}

/// A closed store with the samples, made once.
fn original() -> &'static Path {
    static ORIGINAL: OnceLock<TempDir> = OnceLock::new();
    ORIGINAL
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            runtime().block_on(async {
                let storage = Storage::open(folder.path(), &StorageConfig::default()).unwrap();
                for sample in samples() {
                    sample.store_in(&*storage.objects()).await.unwrap();
                }
            });
            trim_journal(folder.path());
            folder
        })
        .path()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Cuts the unused end off the engine's journal, which is made longer than it
/// needs to be: damage there means nothing, and copies are quicker without.
fn trim_journal(folder: &Path) {
    for journal in files(folder).iter().filter(|path| is_journal(path)) {
        let used = used_len(&fs::read(journal).unwrap());
        fs::File::options()
            .write(true)
            .open(journal)
            .unwrap()
            .set_len(used as u64)
            .unwrap();
    }
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "jnl")
}

/// All files below a folder with something in them, in a fixed order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.metadata().unwrap().len() > 0 {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Where there are bytes other than zero.
fn used_len(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(1, |last| last + 1)
}

/// Reads everything; what is handed out must be right.
async fn read_everything(objects: &dyn ObjectStore) {
    for sample in samples() {
        if let Ok(Some(envelope)) = objects.envelope(&sample.id()).await {
            assert_eq!(envelope.statement().chunk_list, sample.envelope.chunk_list);
        }
        for (index, expected) in (0..).zip(&sample.chunks) {
            if let Ok(chunk) = objects.chunk(&sample.id(), index).await {
                assert_eq!(chunk, *expected);
            }
        }
    }
    drop(objects.list(None, 100).await);
}

fn open_and_read(folder: &Path) {
    runtime().block_on(async {
        match Storage::open(folder, &StorageConfig::default()) {
            Ok(storage) => read_everything(&*storage.objects()).await,
            Err(StoreError::Corrupt(what)) => assert!(what.contains("Restore"), "{what}"),
            Err(other) => panic!("not a clear error: {other}"),
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_changed_byte_never_shows_as_data(file: prop::sample::Index, at: prop::sample::Index, flip in 1..=255_u8) {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(original(), folder.path());
        let files = files(folder.path());
        let file = file.get(&files);
        let mut bytes = fs::read(file).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(file, bytes).unwrap();
        open_and_read(folder.path());
    }

    #[test]
    fn a_file_cut_short_never_shows_as_data(file: prop::sample::Index, at: prop::sample::Index) {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(original(), folder.path());
        let files = files(folder.path());
        let file = file.get(&files);
        let file = fs::File::options().write(true).open(file).unwrap();
        let len = file.metadata().unwrap().len() as usize;
        file.set_len(at.index(len) as u64).unwrap();
        open_and_read(folder.path());
    }
}

/// Every byte of them, for the engine takes sizes of memory from these files.
#[test]
fn a_damaged_list_of_tables_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(original(), folder.path());
    let current: Vec<_> = files(folder.path())
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "current"))
        .collect();
    let newest = current.iter().map(|current| {
        let number: [u8; 8] = fs::read(current).unwrap()[..8].try_into().unwrap();
        current.with_file_name(format!("v{}", u64::from_le_bytes(number)))
    });
    let lists: Vec<_> = current.iter().cloned().chain(newest).collect();
    assert!(lists.len() >= 2 * 4, "{lists:?}");
    for list in lists {
        let whole = fs::read(&list).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            fs::write(&list, bytes).unwrap();
            let refused = Storage::open(folder.path(), &StorageConfig::default())
                .err()
                .unwrap();
            assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
        }
        fs::write(&list, whole).unwrap();
    }
    open_and_read(folder.path());
}

#[test]
fn a_damaged_journal_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(original(), folder.path());
    let journal = files(folder.path())
        .into_iter()
        .find(|path| is_journal(path))
        .unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    let middle = used_len(&bytes) / 2;
    bytes[middle] ^= 0xff;
    fs::write(&journal, bytes).unwrap();
    let refused = Storage::open(folder.path(), &StorageConfig::default())
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("journal is damaged"), "{refused}");
    assert!(refused.contains("move it away and start again"), "{refused}");
}

#[test]
fn a_damaged_chunk_is_reported_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(original(), folder.path());
    let large = samples().last().unwrap();
    let file = files(&folder.path().join("files")).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[20_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    runtime().block_on(async {
        let storage = Storage::open(folder.path(), &StorageConfig::default()).unwrap();
        let objects = storage.objects();
        let damaged = objects.chunk(&large.id(), 0).await;
        assert!(matches!(damaged, Err(StoreError::Corrupt(_))), "{damaged:?}");
        let with_others = objects.chunks(&large.id(), 0, 2).await;
        assert!(
            matches!(with_others, Err(StoreError::Corrupt(_))),
            "{with_others:?}"
        );
        assert_eq!(objects.chunk(&large.id(), 1).await.unwrap(), large.chunks[1]);
        assert_eq!(
            objects.chunk_from_medium(&large.id(), 1).await.unwrap(),
            large.chunks[1]
        );
        assert!(objects.is_damaged(&large.id()) && !objects.is_damaged(&samples()[0].id()));
        assert_eq!(storage.damage().all(), [large.id()]);
        fs::remove_file(&file).unwrap();
        let gone = objects.chunk(&large.id(), 1).await;
        assert!(matches!(gone, Err(StoreError::Corrupt(_))), "{gone:?}");
    });
}

#[test]
fn an_object_that_is_stored_anew_or_removed_is_not_damaged_any_more() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(original(), folder.path());
    let large = samples().last().unwrap();
    runtime().block_on(async {
        let storage = Storage::open(folder.path(), &StorageConfig::default()).unwrap();
        let objects = storage.objects();
        let damage = async || {
            let file = files(&folder.path().join("files")).pop().unwrap();
            fs::write(file, b"nothing of it").unwrap();
            assert!(objects.chunk_from_medium(&large.id(), 0).await.is_err());
            assert!(objects.is_damaged(&large.id()));
        };
        damage().await;
        let mut writer = objects.create().await.unwrap();
        for chunk in &large.chunks {
            writer.append(chunk.clone()).await.unwrap();
        }
        writer.restore(&large.envelope).await.unwrap();
        assert!(!objects.is_damaged(&large.id()));
        assert!(large.is_in(&*objects).await);
        damage().await;
        objects.remove(&large.id()).await.unwrap();
        assert!(storage.damage().all().is_empty());
    });
}

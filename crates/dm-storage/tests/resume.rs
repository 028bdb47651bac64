//! Writing goes on where it was interrupted, also after a restart.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use dm_core::{
    config::StorageConfig,
    envelope::{CHUNK_SIZE, Chunk},
    ports::Resumed,
};
use dm_storage::Storage;
use dm_testing::objects::SampleObject;
use futures::StreamExt;

fn open(folder: &Path) -> Storage {
    Storage::open(folder, &StorageConfig::default()).unwrap()
}

fn object() -> SampleObject {
    SampleObject::new(1, 1, 20 * CHUNK_SIZE + 5)
}

/// Writes 16 chunks, and closes the store before the rest comes.
async fn interrupt(folder: &Path) {
    let storage = open(folder);
    let mut writer = storage.objects().resume(&object().envelope).await.unwrap().writer;
    for chunk in &object().chunks[..16] {
        writer.append(chunk.clone()).await.unwrap();
    }
    drop(writer);
    storage.close().await.unwrap();
}

/// Goes on to the end; what was kept.
async fn complete(storage: &Storage) -> Vec<Chunk> {
    let Resumed { mut kept, mut writer } = storage.objects().resume(&object().envelope).await.unwrap();
    let mut first = Vec::new();
    while let Some(chunk) = kept.next().await {
        writer.append(chunk.clone()).await.unwrap();
        first.push(chunk);
    }
    for chunk in &object().chunks[first.len()..] {
        writer.append(chunk.clone()).await.unwrap();
    }
    writer.finish(&object().envelope).await.unwrap();
    first
}

fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("partial")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test]
async fn writing_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    interrupt(folder.path()).await;
    let storage = open(folder.path());
    let kept = complete(&storage).await;
    assert!(kept.len() >= 12, "{} were kept", kept.len());
    assert!(kept == object().chunks[..kept.len()]);
    assert!(object().is_in(&*storage.objects()).await);
    assert!(unfinished(folder.path()).is_empty());
}

#[tokio::test]
async fn a_chunk_that_was_half_written_is_not_taken_for_whole() {
    let folder = tempfile::tempdir().unwrap();
    interrupt(folder.path()).await;
    // A byte in the fourth chunk never reached the disk.
    let file = unfinished(folder.path()).remove(0);
    let chunk_len = object().chunks[0].bytes().len() as u64;
    let file = File::options().read(true).write(true).open(file).unwrap();
    let place = 512 * 32 + 3 * chunk_len + 1000;
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[!byte[0]], place).unwrap();
    let storage = open(folder.path());
    let kept = complete(&storage).await;
    assert_eq!(kept.len(), 3);
    assert!(object().is_in(&*storage.objects()).await);
}

#[tokio::test]
async fn rubbish_in_place_of_an_unfinished_file_costs_nothing_but_the_time() {
    let folder = tempfile::tempdir().unwrap();
    interrupt(folder.path()).await;
    // Longer than the object, so that it would hide the end of it.
    fs::write(&unfinished(folder.path())[0], vec![7; 8 << 20]).unwrap();
    let storage = open(folder.path());
    assert!(complete(&storage).await.is_empty());
    assert!(object().is_in(&*storage.objects()).await);
    drop(storage);
    // The engine is lost: the object comes back from its file.
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("files") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    assert!(object().is_in(&*open(folder.path()).objects()).await);
}

#[tokio::test]
async fn what_is_left_of_an_object_goes_when_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    interrupt(folder.path()).await;
    let storage = open(folder.path());
    storage.objects().remove(&object().id()).await.unwrap();
    assert!(unfinished(folder.path()).is_empty());
}

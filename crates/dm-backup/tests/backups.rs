//! What a backup promises, over in-memory ports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::{fs, io, path::Path, sync::Arc};

use async_trait::async_trait;
use dm_backup::{BackupFlaw, BackupMaker, BackupPorts, RestoredFiles, Restoring, read_backup, verify_backup};
use dm_core::ports::{
    BackupError, Backups, CatalogCopy, CatalogError, KeyFiles, NamespaceCopy, NamespaceSnapshot, ObjectStore,
    Signer, StoreError,
};
use dm_testing::{
    objects::{DamagedStore, MemoryObjectStore, SampleObject},
    signer::TestSigner,
};
use futures::{StreamExt, TryStreamExt, future::BoxFuture};
use tempfile::TempDir;
use tokio::{runtime::Handle, sync::RwLock};

/// A catalog, namespaces and key files that are a few bytes each.
struct Bytes(&'static [u8]);

#[async_trait]
impl CatalogCopy for Bytes {
    async fn copy_to(
        &self,
        file: &Path,
        meanwhile: BoxFuture<'static, Result<(), StoreError>>,
    ) -> Result<(), CatalogError> {
        fs::write(file, self.0).unwrap();
        meanwhile
            .await
            .map_err(|error| CatalogError::Failed(error.into()))
    }
}

#[async_trait]
impl NamespaceCopy for Bytes {
    async fn snapshot(&self, names: &[&str]) -> Result<Box<dyn NamespaceSnapshot>, StoreError> {
        assert_eq!(names, ["chain"]);
        Ok(Box::new(Self(self.0)))
    }

    async fn take_from(&self, _: &Path) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl NamespaceSnapshot for Bytes {
    async fn write_to(self: Box<Self>, file: &Path) -> Result<(), StoreError> {
        fs::write(file, self.0).map_err(StoreError::from_io)
    }
}

impl KeyFiles for Bytes {
    fn key_files(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        match self.0 {
            b"unreadable" => Err(io::ErrorKind::PermissionDenied.into()),
            bytes => Ok(vec![("keys.json".to_owned(), bytes.to_vec())]),
        }
    }
}

const OWN: u8 = 1;

struct World {
    folder: TempDir,
    maker: BackupMaker,
    content_keys: Arc<RwLock<()>>,
}

/// A node with two objects of its own, and one of somebody else.
async fn world(keys: &'static [u8]) -> World {
    let objects = MemoryObjectStore::new();
    for (owner, seed, size) in [(OWN, 1, 700_000), (OWN, 2, 10), (2, 3, 10)] {
        SampleObject::new(owner, seed, size)
            .store_in(&objects)
            .await
            .unwrap();
    }
    world_with(keys, Arc::new(objects))
}

/// A node with these objects.
fn world_with(keys: &'static [u8], objects: Arc<dyn ObjectStore>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let content_keys = Arc::new(RwLock::new(()));
    let maker = BackupMaker::new(BackupPorts {
        catalog: Arc::new(Bytes(b"the catalog")),
        namespaces: Arc::new(Bytes(&[7; 5000])),
        namespace_names: vec!["chain"],
        objects,
        keys: Arc::new(Bytes(keys)),
        rekeying: Arc::new(content_keys.clone()),
        signer: Arc::new(TestSigner::new(OWN)),
        scratch: folder.path().to_owned(),
    });
    World {
        folder,
        maker,
        content_keys,
    }
}

impl World {
    async fn backup(&self) -> Vec<u8> {
        let pieces = self.maker.begin().await.unwrap();
        let pieces: Vec<_> = pieces.try_collect().await.unwrap();
        pieces.concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_what_was_copied() {
    let world = world(b"the keys").await;
    let backup = world.backup().await;
    let (manifest, summary) = verify_backup(backup.as_slice()).unwrap();
    assert_eq!(manifest.node, TestSigner::new(OWN).address());
    assert_eq!((summary.objects, summary.missing), (2, 0));
    assert_eq!((summary.catalog_bytes, summary.key_files), (11, 1));

    let target = tempfile::tempdir().unwrap();
    let restored = MemoryObjectStore::new();
    let files = RestoredFiles {
        keys: target.path().to_owned(),
        catalog: target.path().join("catalog"),
        namespaces: target.path().join("namespaces"),
    };
    let mut restoring = Restoring::new(files, Arc::new(restored.clone()), Handle::current());
    tokio::task::spawn_blocking(move || read_backup(backup.as_slice(), &mut restoring))
        .await
        .unwrap()
        .unwrap();
    for (name, content) in [
        ("keys.json", b"the keys".as_slice()),
        ("catalog", b"the catalog"),
        ("namespaces", &[7; 5000]),
    ] {
        assert_eq!(fs::read(target.path().join(name)).unwrap(), content);
    }
    assert_eq!(
        restored.list(None, 9).await.unwrap().len(),
        2,
        "not that of others"
    );
    for (seed, size) in [(1, 700_000), (2, 10)] {
        assert!(SampleObject::new(OWN, seed, size).is_in(&restored).await);
    }
    let left: Vec<_> = fs::read_dir(world.folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_costs_a_backup_that_object_only() {
    let sound = MemoryObjectStore::new();
    let objects: Vec<_> = (1..6).map(|seed| SampleObject::new(OWN, seed, 600_000)).collect();
    for object in &objects {
        object.store_in(&sound).await.unwrap();
    }
    let damaged = DamagedStore::new(sound);
    // The last chunk of one, and all of another.
    damaged.damage(objects[1].id(), 2);
    damaged.damage_record(objects[3].id());
    let backup = world_with(b"the keys", Arc::new(damaged)).backup().await;
    let (_, summary) = verify_backup(backup.as_slice()).unwrap();
    assert_eq!((summary.objects, summary.missing), (3, 2));

    let (target, restored) = (tempfile::tempdir().unwrap(), MemoryObjectStore::new());
    let files = RestoredFiles {
        keys: target.path().to_owned(),
        catalog: target.path().join("catalog"),
        namespaces: target.path().join("namespaces"),
    };
    let mut restoring = Restoring::new(files, Arc::new(restored.clone()), Handle::current());
    tokio::task::spawn_blocking(move || read_backup(backup.as_slice(), &mut restoring))
        .await
        .unwrap()
        .unwrap();
    for (index, object) in objects.iter().enumerate() {
        assert_eq!(object.is_in(&restored).await, index != 1 && index != 3, "{index}");
    }
}

#[tokio::test]
async fn a_backup_that_is_cut_short_anywhere_is_refused() {
    let backup = world(b"the keys").await.backup().await;
    // All of the last blocks of the archive are empty.
    let content = backup.len() - 1024 - 512;
    for length in (0..content).step_by(4099).chain([content - 1, content]) {
        let flaw = verify_backup(&backup[..length]).unwrap_err();
        assert!(
            matches!(flaw, BackupFlaw::CutShort | BackupFlaw::Foreign(_)),
            "{length}: {flaw}"
        );
    }
}

#[tokio::test]
async fn a_backup_in_which_a_bit_was_changed_is_refused() {
    let backup = world(b"the keys").await.backup().await;
    let names = ["keys/keys.json", "catalog.sqlite", "namespaces"];
    for place in (0..backup.len() - 2048).step_by(1021) {
        let mut altered = backup.clone();
        altered[place] ^= 0x10;
        // Times, padding and the like say nothing; what is read must be the same.
        match verify_backup(altered.as_slice()) {
            Err(_) => {}
            Ok((manifest, _)) => assert_eq!(
                manifest.bytes(),
                verify_backup(backup.as_slice()).unwrap().0.bytes()
            ),
        }
    }
    for name in names {
        let header = backup
            .windows(name.len())
            .position(|bytes| bytes == name.as_bytes())
            .unwrap();
        let mut altered = backup.clone();
        altered[header + 512] ^= 1;
        let flaw = verify_backup(altered.as_slice()).unwrap_err();
        assert!(matches!(flaw, BackupFlaw::Altered(_)), "{name}: {flaw}");
    }
}

#[tokio::test]
async fn what_is_no_backup_is_refused() {
    let mut other = tar::Builder::new(Vec::new());
    for name in ["../../etc/cron.d/x", "keys/../../x", "readme"] {
        let mut header = tar::Header::new_ustar();
        // Written as it is: the library itself refuses some of these names.
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(0);
        header.set_cksum();
        other.append(&header, io::empty()).unwrap();
        let flaw = verify_backup(other.get_ref().as_slice()).unwrap_err();
        assert!(matches!(flaw, BackupFlaw::Foreign(_)), "{name}: {flaw}");
        other = tar::Builder::new(Vec::new());
    }
    let rubbish = vec![0x5a; 10_000];
    assert!(verify_backup(rubbish.as_slice()).is_err());
}

#[tokio::test]
async fn one_backup_is_made_at_a_time_and_one_that_nobody_takes_ends() {
    let world = world(b"the keys").await;
    let mut first = world.maker.begin().await.unwrap();
    assert!(first.next().await.unwrap().is_ok());
    assert!(
        world.content_keys.try_read().is_err(),
        "stored data keeps its keys meanwhile"
    );
    assert_eq!(world.maker.begin().await.err(), Some(BackupError::UnderWay));
    drop(first);
    let again = async {
        loop {
            match world.maker.begin().await {
                Ok(pieces) => return pieces,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let pieces: Vec<_> = again.await.try_collect().await.unwrap();
    assert!(verify_backup(pieces.concat().as_slice()).is_ok());
    assert!(world.content_keys.try_read().is_ok());
}

#[tokio::test]
async fn what_cannot_be_read_breaks_the_backup_off() {
    let world = world(b"unreadable").await;
    let pieces: Vec<_> = world.maker.begin().await.unwrap().collect().await;
    assert!(
        matches!(pieces.last(), Some(Err(BackupError::Failed(_)))),
        "{pieces:?}"
    );
}

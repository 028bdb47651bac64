//! Makes a backup of a running node, as a stream.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    envelope::{ObjectId, SignedEnvelope},
    ports::{
        BackupError, BackupStream, Backups, CatalogCopy, KeyFiles, NamespaceCopy, NamespaceSnapshot,
        ObjectStore, PauseRekeying, Signer, StoreError,
    },
    signed::Signed,
};
use futures::StreamExt;
use tokio::{
    fs::File,
    io::AsyncReadExt,
    sync::{Mutex, OwnedMutexGuard, mpsc, oneshot},
};

use crate::{BackupManifest, entry::ArchiveEntry, manifest::EntryHasher};

/// Folder for copies that are being sent, in the folder that the maker was given.
const SCRATCH: &str = "backup.tmp";
/// Bytes of a piece of a file.
const PIECE: usize = 256 * 1024;
/// Pieces that wait for the receiver.
const QUEUE: usize = 8;
/// Objects that are listed at a time.
const PAGE: usize = 256;
/// How often an object that changes while it is copied is begun anew.
const ATTEMPTS: u32 = 8;
/// Bytes of a block of a tar archive.
const BLOCK: usize = 512;

/// What a backup is made of.
#[derive(Clone)]
pub struct BackupPorts {
    /// The catalog, with the log.
    pub catalog: Arc<dyn CatalogCopy>,
    /// Key-value namespaces.
    pub namespaces: Arc<dyn NamespaceCopy>,
    /// Those of them that are copied.
    pub namespace_names: Vec<&'static str>,
    /// The objects: those of this node's own and those that are granted to it are copied.
    pub objects: Arc<dyn ObjectStore>,
    /// The keys, encrypted as they are kept.
    pub keys: Arc<dyn KeyFiles>,
    /// Paused while the copy is made.
    pub rekeying: Arc<dyn PauseRekeying>,
    /// The node's own account, which signs what it says of the backup.
    pub signer: Arc<dyn Signer>,
    /// Folder on the disk of the catalog, for its copy until that is sent.
    pub scratch: PathBuf,
}

/// Makes backups of a running node, one at a time.
pub struct BackupMaker {
    ports: Arc<BackupPorts>,
    turn: Arc<Mutex<()>>,
}

impl BackupMaker {
    /// A maker over these ports.
    pub fn new(ports: BackupPorts) -> Self {
        Self {
            ports: Arc::new(ports),
            turn: Arc::default(),
        }
    }
}

#[async_trait]
impl Backups for BackupMaker {
    async fn begin(&self) -> Result<BackupStream, BackupError> {
        let turn = self
            .turn
            .clone()
            .try_lock_owned()
            .map_err(|_| BackupError::UnderWay)?;
        let (pieces, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(make(self.ports.clone(), pieces, turn));
        Ok(futures::stream::unfold(receiver, |mut receiver| async move {
            let piece = receiver.recv().await?;
            Some((piece, receiver))
        })
        .boxed())
    }
}

/// Sends the pieces of a backup, or why there is none.
async fn make(
    ports: Arc<BackupPorts>,
    pieces: mpsc::Sender<Result<Bytes, BackupError>>,
    _turn: OwnedMutexGuard<()>,
) {
    let scratch = ports.scratch.join(SCRATCH);
    let archive = Archive {
        pieces: pieces.clone(),
        hasher: EntryHasher::default(),
    };
    let made = write(&ports, &scratch, archive).await;
    if let Err(error) = clear(&scratch).await {
        tracing::warn!(%error, folder = %scratch.display(), "copies of a backup are left behind");
    }
    match made {
        Ok(()) => tracing::info!("a backup was made"),
        Err(Broken::ReceiverGone) => tracing::warn!("a backup was broken off by its receiver"),
        Err(broken) => {
            let reason = broken.reason();
            tracing::error!(reason, "a backup could not be made");
            // The receiver may be gone, too.
            let _ = pieces.send(Err(BackupError::Failed(reason))).await;
        }
    }
}

/// Why a backup is not whole.
enum Broken {
    ReceiverGone,
    /// An object cannot be read, which costs the backup that object only.
    Damaged,
    Failed(String),
}

impl Broken {
    fn reason(self) -> String {
        match self {
            Self::ReceiverGone => "its receiver is gone".to_owned(),
            Self::Damaged => "an object is damaged".to_owned(),
            Self::Failed(reason) => reason,
        }
    }

    fn from_objects(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::Damaged,
            other => other.into(),
        }
    }
}

impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// All entries in their order. The copies of the catalog and of the namespaces are of
/// one moment; objects are copied after it, so that what the catalog speaks of is
/// there, and content keys are held until all of them are.
async fn write(ports: &BackupPorts, scratch: &Path, mut archive: Archive) -> Result<(), Broken> {
    let created_at = now_ms();
    clear(scratch).await?;
    create_private(scratch).await?;
    let _keys_stay = ports.rekeying.pause_rekeying().await;
    let (catalog, namespaces) = (scratch.join("catalog"), scratch.join("namespaces"));
    let (snapshot, key_files) = copy(ports, &catalog).await?;
    snapshot.write_to(&namespaces).await?;
    for (name, content) in key_files {
        archive.add(&ArchiveEntry::KeyFile(name), content.into()).await?;
    }
    archive.add_file(&ArchiveEntry::Catalog, &catalog).await?;
    archive.add_file(&ArchiveEntry::Namespaces, &namespaces).await?;
    add_objects(ports, &mut archive).await?;
    archive.finish(ports.signer.as_ref(), created_at).await
}

/// The name and the content of each file of secrets.
type KeyFileList = Vec<(String, Vec<u8>)>;

/// Copies what must be of one moment. The catalog stands still only until the snapshot is
/// taken and the key files are read.
async fn copy(
    ports: &BackupPorts,
    catalog: &Path,
) -> Result<(Box<dyn NamespaceSnapshot>, KeyFileList), Broken> {
    let (hand_over, handed_over) = oneshot::channel();
    let (store, names) = (ports.namespaces.clone(), ports.namespace_names.clone());
    let keys = ports.keys.clone();
    let meanwhile = async move {
        let snapshot = store.snapshot(&names).await?;
        // While the catalog stands still: every version of the key-encryption key that it names is here.
        let key_files = tokio::task::spawn_blocking(move || keys.key_files()).await;
        let key_files = key_files.map_err(io::Error::other).flatten();
        // The receiver is this function.
        let _ = hand_over.send((snapshot, key_files.map_err(StoreError::from_io)?));
        Ok(())
    };
    ports.catalog.copy_to(catalog, Box::pin(meanwhile)).await?;
    Ok(handed_over.await?)
}

/// Copies all objects. Those that cannot be read are tried once more in the end:
/// whoever looks after damaged objects may have brought them back by then.
async fn add_objects(ports: &BackupPorts, archive: &mut Archive) -> Result<(), Broken> {
    let mut damaged = Vec::new();
    let mut after = None;
    loop {
        let page = ports.objects.list(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(*last);
        for id in page {
            if add_if_wanted(ports, &id, archive).await? == Added::Damaged {
                damaged.push(id);
            }
        }
    }
    for id in damaged {
        if add_if_wanted(ports, &id, archive).await? == Added::Damaged {
            tracing::error!(locator = %id.locator, owner = %id.owner, "a damaged object is missing in the backup");
            archive.add(&ArchiveEntry::Missing(id), Bytes::new()).await?;
        }
    }
    Ok(())
}

/// What came of an object.
#[derive(PartialEq, Eq)]
enum Added {
    /// It is in the archive, or need not be.
    Done,
    /// Something of it cannot be read.
    Damaged,
}

/// Copies an object of this node's own, or one that is granted to it.
async fn add_if_wanted(ports: &BackupPorts, id: &ObjectId, archive: &mut Archive) -> Result<Added, Broken> {
    let own = ports.signer.address();
    let added = match ports.objects.envelope(id).await {
        Ok(Some(envelope)) if id.owner == own || envelope.grants_to(own) => {
            add_object(ports, envelope, archive).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Broken::from_objects(error)),
    };
    match added {
        Ok(()) => Ok(Added::Done),
        Err(Broken::Damaged) => Ok(Added::Damaged),
        Err(error) => Err(error),
    }
}

/// Copies an object; one that is replaced meanwhile is begun anew.
async fn add_object(
    ports: &BackupPorts,
    mut envelope: SignedEnvelope,
    archive: &mut Archive,
) -> Result<(), Broken> {
    let id = envelope.id;
    for _ in 0..ATTEMPTS {
        let is_whole = add_chunks(ports, &envelope, archive).await?;
        let now = ports.objects.envelope(&id).await;
        let Some(now) = now.map_err(Broken::from_objects)? else {
            return Ok(());
        };
        if is_whole && now.chunk_list == envelope.chunk_list {
            return archive
                .add(&ArchiveEntry::Envelope(id), envelope.bytes().clone())
                .await;
        }
        envelope = now;
    }
    Err(Broken::Failed(format!(
        "the object of {} under {} changes all the time",
        id.owner, id.locator
    )))
}

/// Whether all chunks were there.
async fn add_chunks(
    ports: &BackupPorts,
    envelope: &SignedEnvelope,
    archive: &mut Archive,
) -> Result<bool, Broken> {
    for index in 0..envelope.chunk_count() {
        match ports.objects.chunk(&envelope.id, index).await {
            Ok(chunk) => {
                archive
                    .add(&ArchiveEntry::Chunk(envelope.id, index), chunk.bytes().clone())
                    .await?;
            }
            Err(StoreError::Missing) => return Ok(false),
            Err(error) => return Err(Broken::from_objects(error)),
        }
    }
    Ok(true)
}

/// A tar archive (POSIX ustar) on its way to the receiver.
struct Archive {
    pieces: mpsc::Sender<Result<Bytes, BackupError>>,
    hasher: EntryHasher,
}

impl Archive {
    async fn add(&mut self, entry: &ArchiveEntry, content: Bytes) -> Result<(), Broken> {
        let size = content.len() as u64;
        self.begin(entry, size).await?;
        self.hasher.update(&content);
        self.send(content).await?;
        self.pad(size).await
    }

    async fn add_file(&mut self, entry: &ArchiveEntry, file: &Path) -> Result<(), Broken> {
        let mut file = File::open(file).await?;
        let size = file.metadata().await?.len();
        self.begin(entry, size).await?;
        let mut left = size;
        while left > 0 {
            let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            file.read_exact(&mut piece).await?;
            left -= piece.len() as u64;
            self.hasher.update(&piece);
            self.send(piece.into()).await?;
        }
        self.pad(size).await
    }

    async fn begin(&mut self, entry: &ArchiveEntry, size: u64) -> Result<(), Broken> {
        let name = entry.name();
        self.hasher.begin(&name, size);
        let header = header(&name, size)?;
        self.send(Bytes::copy_from_slice(header.as_bytes())).await
    }

    /// Fills the last block of an entry.
    async fn pad(&mut self, size: u64) -> Result<(), Broken> {
        let used = (size % BLOCK as u64) as usize;
        match used {
            0 => Ok(()),
            used => self.send(vec![0; BLOCK - used].into()).await,
        }
    }

    /// Adds what the node says of the backup, and the two empty blocks of the end.
    async fn finish(mut self, signer: &dyn Signer, created_at: u64) -> Result<(), Broken> {
        let (entries, digest) = std::mem::take(&mut self.hasher).finish();
        let manifest = BackupManifest {
            node: signer.address(),
            created_at,
            entries,
            digest,
        };
        let signed = Signed::sign(manifest, signer)?;
        self.add(&ArchiveEntry::Manifest, signed.bytes().clone()).await?;
        self.send(vec![0; 2 * BLOCK].into()).await
    }

    async fn send(&self, piece: Bytes) -> Result<(), Broken> {
        let sent = self.pieces.send(Ok(piece)).await;
        sent.map_err(|_| Broken::ReceiverGone)
    }
}

fn header(name: &str, size: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mtime(now_ms() / 1000);
    header.set_cksum();
    Ok(header)
}

async fn clear(folder: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = tokio::fs::DirBuilder::new();
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(folder).await
}

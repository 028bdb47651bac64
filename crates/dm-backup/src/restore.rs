//! Makes the files of a node from a backup.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    order::{OrderRecord, OrderState},
    ports::{CatalogError, ObjectStore, ObjectWriter, OrderCatalog, StoreError, UploadCatalog},
    upload::UploadStage,
};
use tokio::runtime::Handle;

use crate::Contents;

/// Orders, and uploads, that are looked at at a time.
const PAGE: usize = 256;

/// Where the files of a backup go.
#[derive(Debug, Clone)]
pub struct RestoredFiles {
    /// Folder of the files that hold secrets; it is there.
    pub keys: PathBuf,
    /// The catalog.
    pub catalog: PathBuf,
    /// The copy of the namespaces, for
    /// [`NamespaceCopy::take_from`](dm_core::ports::NamespaceCopy::take_from).
    pub namespaces: PathBuf,
}

/// Keeps what is in a backup: files in their places, objects in a store.
pub struct Restoring {
    files: RestoredFiles,
    objects: Arc<dyn ObjectStore>,
    /// The object whose chunks are coming.
    writer: Option<Box<dyn ObjectWriter>>,
    runtime: Handle,
}

impl Restoring {
    /// Restores to these files and this store, whose work runs on `runtime`. To be
    /// used on a thread that may block.
    pub fn new(files: RestoredFiles, objects: Arc<dyn ObjectStore>, runtime: Handle) -> Self {
        Self {
            files,
            objects,
            writer: None,
            runtime,
        }
    }

    /// The writer of the object whose chunks are coming, where it `goes_on`; else a new one.
    fn writer_if(&mut self, goes_on: bool) -> io::Result<Box<dyn ObjectWriter>> {
        match self.writer.take() {
            Some(writer) if goes_on => Ok(writer),
            _ => self.runtime.block_on(self.objects.create()).map_err(not_stored),
        }
    }
}

impl Contents for Restoring {
    fn key_file(&mut self, name: &str, content: &mut dyn Read) -> io::Result<()> {
        write_private(&self.files.keys.join(name), content)
    }

    fn catalog(&mut self, content: &mut dyn Read) -> io::Result<()> {
        write_private(&self.files.catalog, content)
    }

    fn namespaces(&mut self, content: &mut dyn Read) -> io::Result<()> {
        write_private(&self.files.namespaces, content)
    }

    fn chunk(&mut self, index: u64, chunk: Chunk) -> io::Result<()> {
        let writer = self.writer_if(index > 0)?;
        let writer = self.writer.insert(writer);
        self.runtime.block_on(writer.append(chunk)).map_err(not_stored)
    }

    fn object(&mut self, envelope: &SignedEnvelope) -> io::Result<()> {
        let writer = self.writer_if(envelope.chunk_count() > 0)?;
        self.runtime.block_on(writer.finish(envelope)).map_err(not_stored)
    }

    fn missing(&mut self, id: &ObjectId) -> io::Result<()> {
        tracing::warn!(locator = %id.locator, owner = %id.owner, "an object is not in the backup: it was damaged when the backup was made");
        if let Some(writer) = self.writer.take() {
            writer.discard();
        }
        Ok(())
    }
}

/// Gives up the orders that were on their way when a backup was made, and returns
/// how many there were: the node that the backup is of may have done them since, and
/// nothing is paid twice.
///
/// # Errors
/// Where the catalog cannot be read or written.
pub async fn give_up_orders(orders: &dyn OrderCatalog) -> Result<u64, CatalogError> {
    let (mut after, mut given_up) = (0, 0);
    loop {
        let page = orders.open_orders(after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(given_up);
        };
        after = *last;
        for (_, order) in page.into_iter().filter(|(_, order)| is_under_way(order)) {
            orders.set_order_state(order.id, &given_up_state(&order)).await?;
            given_up += 1;
        }
    }
}

/// Forgets the uploads whose data was not shared yet when a backup was made, and returns how many
/// there were: a backup does not have what had come of them, so they are begun anew.
///
/// # Errors
/// Where the catalog cannot be read or written.
pub async fn forget_open_uploads(uploads: &dyn UploadCatalog) -> Result<u64, CatalogError> {
    let (mut after, mut forgotten) = (None, 0);
    loop {
        // At the end of time all of them have expired.
        let page = uploads.due_uploads(u64::MAX, after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(forgotten);
        };
        after = Some(*last);
        for id in page {
            let upload = uploads.upload(id).await?;
            if upload.is_some_and(|upload| matches!(upload.stage, UploadStage::Open { .. })) {
                uploads.remove_upload(id).await?;
                forgotten += 1;
            }
        }
    }
}

fn is_under_way(order: &OrderRecord) -> bool {
    matches!(order.state, OrderState::Accepted | OrderState::Sent { .. })
}

fn given_up_state(order: &OrderRecord) -> OrderState {
    OrderState::Failed {
        tx_hash: order.state.tx_hash(),
        reason: "it was under way when the backup was made from which this node was restored: \
                 look on the chain whether it was done before you order it again"
            .to_owned(),
    }
}

/// Makes a file that only its owner may read, and that is durable.
fn write_private(path: &Path, content: &mut dyn Read) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file: File = options.open(path)?;
    io::copy(content, &mut file)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn not_stored(error: StoreError) -> io::Error {
    match error {
        StoreError::Full => io::ErrorKind::StorageFull.into(),
        other => io::Error::other(other),
    }
}

//! Objects that come in parts: each has a file in `uploads/` under the name of its upload,
//! laid out like that of a complete object (`layout`), until it is forgotten.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::FileExt,
    path::PathBuf,
};

use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, MAX_CHUNK_BYTES, SignedEnvelope},
    hash::ChunkName,
    ports::{ObjectWriter, StoreError, UnfinishedObjects, UnfinishedWriter},
    upload::UploadId,
};

use super::{
    LocalObjects, Objects,
    bodies::ReadError,
    file_writer::FileWriter,
    layout::{NAME_LEN, chunk_offset, name_offset},
    tally::Tally,
    writer::{LocalWriter, Place},
};
use crate::blocking::blocking;

/// Writes into the file of an upload.
struct PartWriter {
    writer: LocalWriter,
    /// As it was when the file was last synced.
    synced: Tally,
}

#[async_trait]
impl ObjectWriter for PartWriter {
    async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.writer.append(chunk).await
    }

    async fn finish(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        Box::new(self.writer).finish(envelope).await
    }

    async fn restore(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        Box::new(self.writer).restore(envelope).await
    }

    fn discard(self: Box<Self>) {
        Box::new(self.writer).discard();
    }
}

#[async_trait]
impl UnfinishedWriter for PartWriter {
    async fn sync(&mut self) -> Result<(), StoreError> {
        let synced = file(&mut self.writer.place)?.sync().await;
        synced.map_err(|error| self.writer.objects.note_file_fault(error))?;
        self.synced = self.writer.tally.clone();
        Ok(())
    }

    async fn rewind(&mut self) -> Result<(), StoreError> {
        let count = self.synced.count();
        let rewound = file(&mut self.writer.place)?.rewind(count).await;
        rewound.map_err(|error| self.writer.objects.note_file_fault(error))?;
        self.writer.tally = self.synced.clone();
        Ok(())
    }
}

fn file(place: &mut Place) -> Result<&mut FileWriter, StoreError> {
    match place {
        Place::File(file) => Ok(file),
        Place::Memory(_) | Place::Failed => {
            Err(StoreError::Mismatch("an earlier chunk could not be written"))
        }
    }
}

impl Objects {
    fn upload_path(&self, id: UploadId) -> PathBuf {
        self.files.uploads().join(id.to_string())
    }

    fn read_unfinished(&self, id: UploadId, index: u64) -> Result<Chunk, ReadError> {
        let file = File::open(self.upload_path(id))?;
        let mut name = [0; NAME_LEN as usize];
        file.read_exact_at(&mut name, name_offset(index))?;
        let mut bytes = vec![0; MAX_CHUNK_BYTES];
        file.read_exact_at(&mut bytes, chunk_offset(index))?;
        Chunk::checked(ChunkName::from_bytes(name), bytes.into())
            .ok_or_else(|| ReadError::Store(StoreError::Corrupt(format!("chunk {index} of upload {id}"))))
    }
}

#[async_trait]
impl UnfinishedObjects for LocalObjects {
    async fn go_on(&self, id: UploadId, chunks: u64) -> Result<Box<dyn UnfinishedWriter>, StoreError> {
        let objects = &self.0;
        let mut writer = LocalWriter::new(objects.clone());
        let file = FileWriter::go_on(objects, writer.body, objects.upload_path(id), chunks).await;
        writer.place = Place::File(Box::new(file.map_err(|error| objects.note_file_fault(error))?));
        Ok(Box::new(PartWriter {
            writer,
            synced: Tally::default(),
        }))
    }

    async fn unfinished_chunk(&self, id: UploadId, index: u64) -> Result<Chunk, StoreError> {
        let objects = self.0.clone();
        blocking(move || match objects.read_unfinished(id, index) {
            Ok(chunk) => Ok(chunk),
            Err(ReadError::Gone) => Err(StoreError::Missing),
            Err(ReadError::Store(error)) => Err(error),
        })
        .await
    }

    async fn forget_unfinished(&self, id: UploadId) -> Result<(), StoreError> {
        let path = self.0.upload_path(id);
        blocking(move || match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::from_io(error)),
            _ => Ok(()),
        })
        .await
    }

    async fn list_unfinished(&self) -> Result<Vec<UploadId>, StoreError> {
        let folder = self.0.files.uploads().to_owned();
        blocking(move || {
            let entries = fs::read_dir(folder).map_err(StoreError::from_io)?;
            let names = entries.map(|entry| Ok(entry.map_err(StoreError::from_io)?.file_name()));
            let ids = names.filter_map(|name: Result<_, StoreError>| match name {
                Ok(name) => name.to_str().and_then(|name| name.parse().ok()).map(Ok),
                Err(error) => Some(Err(error)),
            });
            ids.collect()
        })
        .await
    }
}

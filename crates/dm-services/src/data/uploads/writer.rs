//! Takes the bytes of one request to an upload, in a task of its own: when the request is
//! given up, what has come of it is made durable all the same.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use dm_core::{
    span::in_same_trace,
    upload::{UploadId, UploadRecord, UploadStage},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::Instrument;

use super::{Room, UploadError, UploadOutcome, UploadProgress, desk::Held, progress};
use crate::{ServiceError, data::seal::PartIntake};

/// Pieces that wait to be sealed.
const WAITING_PIECES: usize = 2;
/// Bytes after which what has come is made durable, and need not come again.
const BYTES_PER_SYNC: u64 = 16 << 20;

/// What counts of a request that does not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Whatever has come.
    InParts,
    /// Nothing.
    AsAWhole,
}

/// Takes bytes for an upload. Dropping it ends the request before its end.
pub struct UploadWriter {
    messages: mpsc::Sender<Message>,
    work: JoinHandle<Result<UploadProgress, UploadError>>,
}

enum Message {
    Piece(Bytes),
    /// The end of the request, and whether it counts.
    End(bool),
}

impl UploadWriter {
    pub(super) fn start(room: Arc<Room>, held: Held, upload: UploadRecord, counts: Counts) -> Self {
        let (sender, messages) = mpsc::channel(WAITING_PIECES);
        let work = Work {
            room,
            held,
            upload,
            messages,
            counts,
        };
        Self {
            messages: sender,
            work: tokio::spawn(in_same_trace(work.run()).in_current_span()),
        }
    }

    /// Takes the next piece; waits while enough is in memory.
    ///
    /// # Errors
    /// [`UploadError::TooLong`], [`UploadError::Busy`] where another request took over, and
    /// what can go wrong with an [`Upload`](crate::Upload). What was acknowledged before
    /// stays, unless a plugin has refused it.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), UploadError> {
        if self.messages.send(Message::Piece(piece)).await.is_ok() {
            return Ok(());
        }
        match self.ended().await {
            // It ends before its time only where another request wants to go on.
            Ok(_) => Err(UploadError::Busy),
            Err(error) => Err(error),
        }
    }

    /// Makes durable what has come. Where all bytes are there then, they are shared.
    ///
    /// # Errors
    /// As [`UploadWriter::write`], and what can go wrong with a share: all bytes are
    /// durable then, unless a plugin has refused them.
    pub async fn finish(self) -> Result<UploadProgress, UploadError> {
        self.end(true).await
    }

    /// Takes back what has come since it was last made durable.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn discard(self) -> Result<UploadProgress, UploadError> {
        self.end(false).await
    }

    async fn end(mut self, counts: bool) -> Result<UploadProgress, UploadError> {
        // Where nobody takes it, the work has come to its end and says why.
        let _ = self.messages.send(Message::End(counts)).await;
        self.ended().await
    }

    async fn ended(&mut self) -> Result<UploadProgress, UploadError> {
        let ended = (&mut self.work).await;
        ended.unwrap_or_else(|error| {
            Err(ServiceError::Unavailable(format!("work was cut off: {error}").into()).into())
        })
    }
}

/// One request, and the turn at its upload.
struct Work {
    room: Arc<Room>,
    held: Held,
    upload: UploadRecord,
    messages: mpsc::Receiver<Message>,
    counts: Counts,
}

impl Work {
    async fn run(mut self) -> Result<UploadProgress, UploadError> {
        if let UploadStage::Shared(_) = self.upload.stage {
            return self.expect_nothing().await;
        }
        let mut intake = self.room.take_up(&mut self.held, &self.upload).await?;
        let counts = match self.take_all(&mut intake).await {
            Ok(counts) => counts,
            Err(error) => return Err(self.end_with(error, intake).await),
        };
        match counts {
            true => acknowledge(&self.room, self.upload.id, &mut intake).await?,
            false => intake.rewind().await?,
        }
        let offset = intake.size();
        if offset == self.upload.length {
            ensure_any(self.room.share(&self.upload, intake).await?)?;
        } else {
            *self.held.intake = Some(intake);
        }
        Ok(UploadProgress {
            offset,
            ..progress(&self.upload)
        })
    }

    /// Takes what comes until the end of the request; whether it counts.
    async fn take_all(&mut self, intake: &mut PartIntake) -> Result<bool, UploadError> {
        let terms = self.room.terms.open(&self.upload.terms)?;
        let room = self.room.clone();
        let mut lost = pin!(async {
            // Who orders several shares orders all of them.
            match (&room.authorization, terms.first()) {
                (Some(authorization), Some(terms)) => authorization.lost(terms).await,
                _ => std::future::pending().await,
            }
        });
        let in_parts = self.counts == Counts::InParts;
        let mut unsynced = 0;
        loop {
            self.held.waits(true);
            let message = tokio::select! {
                biased;
                () = self.held.end.cancelled() => None,
                error = &mut lost => return Err(error.into()),
                message = self.messages.recv() => message,
            };
            self.held.waits(false);
            let piece = match message {
                Some(Message::Piece(piece)) => piece,
                Some(Message::End(counts)) => return Ok(counts),
                None => return Ok(in_parts),
            };
            let length = piece.len() as u64;
            if length > self.upload.length - intake.size() {
                return Err(self.too_long());
            }
            intake.write(piece).await?;
            unsynced += length;
            if in_parts && unsynced >= BYTES_PER_SYNC {
                acknowledge(&self.room, self.upload.id, intake).await?;
                unsynced = 0;
            }
        }
    }

    /// Ends the request with this error. What was durable before stays, unless a plugin has
    /// refused the data.
    async fn end_with(mut self, error: UploadError, mut intake: PartIntake) -> UploadError {
        let ended = match &error {
            UploadError::Service(ServiceError::Refused { .. }) => self.room.forget(self.upload.id).await,
            UploadError::TooLong { .. } => match intake.rewind().await {
                Ok(()) => {
                    *self.held.intake = Some(intake);
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            _ => Ok(()),
        };
        if let Err(error) = ended {
            tracing::warn!(upload = %self.upload.id, %error, "the end of an upload's request");
        }
        error
    }

    /// Of an upload that is shared, nothing is missing.
    async fn expect_nothing(mut self) -> Result<UploadProgress, UploadError> {
        while let Some(Message::Piece(piece)) = self.messages.recv().await {
            if !piece.is_empty() {
                return Err(self.too_long());
            }
        }
        Ok(progress(&self.upload))
    }

    fn too_long(&self) -> UploadError {
        UploadError::TooLong {
            length: self.upload.length,
        }
    }
}

/// Where none of several shares was made, the failure of the first is that of the request.
fn ensure_any(outcome: UploadOutcome) -> Result<(), UploadError> {
    let UploadOutcome::SharedWithEach { outcomes, .. } = outcome else {
        return Ok(());
    };
    if outcomes.iter().any(Result::is_ok) {
        return Ok(());
    }
    outcomes
        .into_iter()
        .next()
        .map_or(Ok(()), |first| first.map(drop))?;
    Ok(())
}

/// Makes durable what has come.
async fn acknowledge(room: &Room, id: UploadId, intake: &mut PartIntake) -> Result<(), UploadError> {
    let received = intake.sync().await?;
    match room.catalog.advance_upload(id, &received).await? {
        true => Ok(()),
        false => Err(UploadError::Unknown),
    }
}

//! Shows plugins the data of a share, piece by piece.

use bytes::{Bytes, BytesMut};
use dm_core::{
    envelope::CHUNK_SIZE,
    plugin::{Hook, Notes, PIECE_OVERLAP, Piece},
};

use super::{PluginManager, question::Question};
use crate::ServiceError;

/// The examination of one share's data.
#[derive(Default, Clone)]
pub(crate) struct Examiner {
    plugins: Option<PluginManager>,
    /// Bytes that the next piece repeats.
    tail: Bytes,
    /// Place of the first of them.
    offset: u64,
    notes: Notes,
}

impl Examiner {
    pub(crate) fn new(plugins: Option<&PluginManager>) -> Self {
        Self {
            plugins: plugins.cloned(),
            ..Self::default()
        }
    }

    /// Shows the whole of some data.
    pub(crate) async fn examine_all(mut self, data: &Bytes) -> Result<Notes, ServiceError> {
        let mut rest = data.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(CHUNK_SIZE as usize));
            self.examine(&piece).await?;
        }
        Ok(self.finish())
    }

    /// Shows the next part of the data.
    pub(crate) async fn examine(&mut self, part: &Bytes) -> Result<(), ServiceError> {
        let Some(plugins) = self
            .plugins
            .as_ref()
            .filter(|plugins| plugins.concerns(Hook::Content))
        else {
            // Whoever comes later is told the right places.
            self.offset += (std::mem::take(&mut self.tail).len() + part.len()) as u64;
            return Ok(());
        };
        let bytes = if self.tail.is_empty() {
            part.clone()
        } else {
            let mut joined = BytesMut::with_capacity(self.tail.len() + part.len());
            joined.extend_from_slice(&self.tail);
            joined.extend_from_slice(part);
            joined.freeze()
        };
        let repeated = bytes.len().saturating_sub(PIECE_OVERLAP);
        let piece = Piece {
            offset: self.offset,
            bytes,
        };
        self.notes.extend(plugins.ask(Question::Content(&piece)).await?);
        self.tail = piece.bytes.slice(repeated..);
        self.offset = piece.offset + repeated as u64;
        Ok(())
    }

    /// What plugins have noted.
    pub(crate) fn finish(self) -> Notes {
        self.notes
    }
}

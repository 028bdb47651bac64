//! How many WebSockets there may be at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::http::StatusCode;

use crate::error::ApiError;

/// Most sockets at once; each has some 100 KiB of buffers at most.
const CAPACITY: usize = 256;

/// The open sockets of one server; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Sockets(Arc<AtomicUsize>);

/// A place for one socket, which is free again once this is dropped.
pub(super) struct SocketPlace(Arc<AtomicUsize>);

impl Sockets {
    /// Takes a place: 503 where there is none.
    pub(super) fn take(&self) -> Result<SocketPlace, ApiError> {
        let place = SocketPlace(self.0.clone());
        if self.0.fetch_add(1, Ordering::Relaxed) < CAPACITY {
            return Ok(place);
        }
        Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the node has no place for another WebSocket; close pages that are not needed",
        )
        .retry_soon())
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_tabs_get_as_many_sockets_as_there_are_places() {
        let sockets = Sockets::default();
        let places: Vec<_> = (0..10_000).filter_map(|_| sockets.take().ok()).collect();
        assert_eq!((places.len(), sockets.open()), (CAPACITY, CAPACITY));
        drop(places);
        assert_eq!(sockets.open(), 0);
        assert!(sockets.take().is_ok());
    }
}

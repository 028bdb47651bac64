//! What goes wrong with an upload that resumes.

use std::time::Duration;

use actix_web::http::StatusCode;
use dm_services::UploadError;

use super::ApiError;
use crate::extract::tus::UPLOAD_OFFSET;

/// When a client with too many uploads may come back.
const ROOM_MAY_COME_AFTER: Duration = Duration::from_secs(60);

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let sentence = error.to_string();
        match error {
            UploadError::Unknown => Self::new(StatusCode::NOT_FOUND, sentence),
            UploadError::Expired => Self::new(StatusCode::GONE, sentence),
            UploadError::WrongOffset { expected } => {
                Self::new(StatusCode::CONFLICT, sentence).with_header(UPLOAD_OFFSET, expected.into())
            }
            UploadError::Busy => Self::new(StatusCode::LOCKED, sentence).retry_soon(),
            UploadError::Elsewhere => Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence).retry_soon(),
            UploadError::TooLarge { .. } | UploadError::TooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, sentence)
            }
            UploadError::TooMany => Self::too_many(sentence, ROOM_MAY_COME_AFTER),
            UploadError::NoRoom => Self::new(StatusCode::INSUFFICIENT_STORAGE, sentence),
            UploadError::Service(error) => error.into(),
        }
    }
}

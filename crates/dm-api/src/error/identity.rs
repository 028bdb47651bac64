//! What clients are told where a person is not recognised.

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use dm_core::ports::IdentityError;

use super::ApiError;

/// Says with what a client may come again (RFC 6750).
const INVALID_TOKEN: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Refused(reason) => Self::new(
                StatusCode::UNAUTHORIZED,
                format!("Unauthorized. Not accepted: {reason}."),
            )
            .with_header(header::WWW_AUTHENTICATE, INVALID_TOKEN),
            IdentityError::NoRole(_) => Self::new(StatusCode::FORBIDDEN, format!("Forbidden: {error}.")),
            // The client is not at fault: it may come again with its token.
            IdentityError::Unreachable(_) => {
                tracing::warn!(%error, "a person cannot be recognised");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the identity provider cannot be asked at the moment",
                )
                .retry_soon()
            }
        }
    }
}

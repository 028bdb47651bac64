//! Errors as clients see them: the one place where a failure gets its HTTP
//! status and its sentence.

use std::{borrow::Cow, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use dm_core::{
    B256,
    ports::{ApiKeyError, BackupError, CatalogError, ChainError, ChainSwitchError, ComplianceError},
};
use dm_services::{AuthorizerError, ContactError, ServiceError};
use serde::Serialize;

mod identity;
mod payment_needed;
mod uploads;

use payment_needed::PaymentNeeded;

/// Seconds after which a client that was turned away may try again.
const RETRY_SOON: &str = "1";

/// A refusal or failure: status, JSON body `{"error", "field"?}`, and headers.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Box<ErrorBody>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    error: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentNeeded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
    /// The payment that was made for what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<B256>,
}

impl ApiError {
    /// An error with this status and sentence.
    pub(crate) fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            body: Box::new(ErrorBody {
                error: error.into(),
                field: None,
                payment: None,
                retry_after: None,
                tx_hash: None,
            }),
            headers: Vec::new(),
        }
    }

    /// 422: a field is not valid. `reason` completes "`<field>` …".
    pub(crate) fn invalid(field: &'static str, reason: impl fmt::Display) -> Self {
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{field} {reason}"));
        error.body.field = Some(field);
        error
    }

    /// 403: what a field asks for is not allowed to this client.
    pub(crate) fn forbidden_field(field: &'static str, sentence: String) -> Self {
        let mut error = Self::new(StatusCode::FORBIDDEN, sentence);
        error.body.field = Some(field);
        error
    }

    /// 401: no valid API key.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Unauthorized. Provide valid X-API-Key header.",
        )
    }

    /// 429: too many of what `sentence` says; the client may come back after `wait`.
    pub(crate) fn too_many(sentence: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        let wait = wait.as_secs_f64();
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, sentence);
        error.body.retry_after = Some((wait * 1000.0).ceil() / 1000.0);
        // A wait is a small positive number: rounding up cannot overflow.
        let whole_seconds = (wait.ceil() as u64).max(1);
        error.with_header(header::RETRY_AFTER, HeaderValue::from(whole_seconds))
    }

    /// The same error with a further header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same error, after which a client may soon try again.
    pub(crate) fn retry_soon(self) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_SOON))
    }
}

/// As its JSON body.
impl Serialize for ApiError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body.serialize(serializer)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.body.error)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for header in &self.headers {
            response.insert_header(header.clone());
        }
        response.json(&self.body)
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let sentence = error.to_string();
        match error {
            ServiceError::Invalid { field, reason } => Self::invalid(field, reason),
            ServiceError::IdempotencyKeyReused => {
                let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, sentence);
                error.body.field = Some("Idempotency-Key");
                error
            }
            ServiceError::Rejected { field, .. } => {
                let mut error = Self::new(StatusCode::BAD_REQUEST, sentence);
                error.body.field = Some(field);
                error
            }
            ServiceError::Unmandated { field, .. } => {
                let mut error = Self::new(StatusCode::UNAUTHORIZED, sentence);
                error.body.field = Some(field);
                error
            }
            ServiceError::MandateUnfit(_) => {
                let mut error = Self::new(StatusCode::FORBIDDEN, sentence);
                error.body.field = Some("statement");
                error
            }
            ServiceError::TransactionFailed(_) | ServiceError::TransactionRefused(_) => {
                Self::new(StatusCode::BAD_REQUEST, sentence)
            }
            ServiceError::PaymentPending { tx_hash } => {
                let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence).retry_soon();
                error.body.tx_hash = tx_hash;
                error
            }
            ServiceError::PaidInVain { cause, tx_hash, .. } => {
                let mut error = Self::from(*cause);
                error.body.error = sentence.into();
                error.body.tx_hash = Some(tx_hash);
                error
            }
            ServiceError::NotFound => Self::new(StatusCode::NOT_FOUND, sentence),
            ServiceError::NotGranted | ServiceError::Refused { .. } => {
                Self::new(StatusCode::FORBIDDEN, sentence)
            }
            ServiceError::UnknownRefund(_) => Self::new(StatusCode::NOT_FOUND, sentence),
            ServiceError::RefundSettled(_) => Self::new(StatusCode::CONFLICT, sentence),
            ServiceError::UnknownPlugin(_) => Self::new(StatusCode::NOT_FOUND, sentence),
            ServiceError::RequiredPlugin(_) => Self::new(StatusCode::CONFLICT, sentence),
            ServiceError::UnknownKey(_) => Self::new(StatusCode::NOT_FOUND, sentence),
            ServiceError::KeyNeeded { .. } => Self::new(StatusCode::CONFLICT, sentence),
            ServiceError::NotFetched | ServiceError::ItemOver(_) => Self::new(StatusCode::CONFLICT, sentence),
            ServiceError::AcknowledgesNothing => Self::new(StatusCode::FORBIDDEN, sentence),
            ServiceError::NotAnchored => Self::new(StatusCode::CONFLICT, sentence).retry_soon(),
            ServiceError::PaymentRequired(shortfall) => {
                let mut error = Self::new(StatusCode::PAYMENT_REQUIRED, sentence);
                error.body.payment = Some(PaymentNeeded {
                    account: shortfall.account,
                    token: shortfall.token,
                    amount: shortfall.needed,
                    balance: shortfall.balance,
                    allowance: shortfall.allowance,
                });
                error
            }
            ServiceError::Damaged(_) => Self::new(StatusCode::BAD_GATEWAY, sentence),
            ServiceError::StorageFull => Self::new(StatusCode::INSUFFICIENT_STORAGE, sentence),
            ServiceError::Overloaded | ServiceError::Unavailable(_) | ServiceError::WrongChain { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence).retry_soon()
            }
            ServiceError::Fault(_) => {
                tracing::error!(error = sentence, "a request met a fault");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, sentence)
            }
        }
    }
}

impl From<ComplianceError> for ApiError {
    fn from(error: ComplianceError) -> Self {
        match error {
            ComplianceError::Chain(ChainError::WrongChain { expected, found }) => Self::invalid(
                "receipt",
                format!("is for chain {found}; this node reads chain {expected}"),
            ),
            other => ServiceError::from(other).into(),
        }
    }
}

impl From<ChainSwitchError> for ApiError {
    fn from(error: ChainSwitchError) -> Self {
        match error {
            ChainSwitchError::Url(reason) => Self::invalid("blockchain_url", reason),
            ChainSwitchError::Key(reason) => Self::invalid("private_key", reason),
            ChainSwitchError::Chain(error) => {
                let mut refusal = Self::new(StatusCode::BAD_REQUEST, error.to_string());
                refusal.body.field = Some("blockchain_url");
                refusal
            }
            ChainSwitchError::HandOver(
                error @ (ChainError::InsufficientFunds { .. }
                | ChainError::Refused(_)
                | ChainError::Reverted(_)),
            ) => Self::invalid("private_key", format!("cannot be used: {error}")),
            ChainSwitchError::HandOver(error) => ServiceError::from(error).into(),
            ChainSwitchError::Log(error) => error.into(),
        }
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        let sentence = error.to_string();
        match error {
            BackupError::UnderWay => Self::new(StatusCode::CONFLICT, sentence).retry_soon(),
            BackupError::Elsewhere(_) => Self::new(StatusCode::CONFLICT, sentence),
            BackupError::Failed(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, sentence),
        }
    }
}

impl From<ApiKeyError> for ApiError {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::Unknown => Self::unauthorized(),
            ApiKeyError::OverBudget { .. } => Self::new(
                StatusCode::FORBIDDEN,
                format!("Forbidden. What was asked for does not fit: {error}."),
            ),
            ApiKeyError::Invalid { field, reason } => Self::invalid(field, reason),
            ApiKeyError::Catalog(error @ CatalogError::Full) => error.into(),
            // The client's key is not at fault: it may come again with it.
            ApiKeyError::Catalog(error) => {
                tracing::error!(%error, "API keys cannot be looked up");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "API keys cannot be looked up at the moment",
                )
                .retry_soon()
            }
        }
    }
}

impl From<AuthorizerError> for ApiError {
    fn from(error: AuthorizerError) -> Self {
        match error {
            AuthorizerError::Exists(_) => {
                let mut refusal = Self::new(StatusCode::CONFLICT, error.to_string());
                refusal.body.field = Some("user_id");
                refusal
            }
            other => ServiceError::from(other).into(),
        }
    }
}

impl From<ContactError> for ApiError {
    fn from(error: ContactError) -> Self {
        match error {
            ContactError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "Contact not found"),
            ContactError::AddressTaken(_) => {
                let mut refusal = Self::new(StatusCode::CONFLICT, error.to_string());
                refusal.body.field = Some("address");
                refusal
            }
            ContactError::TooMany => Self::new(StatusCode::CONFLICT, error.to_string()),
            ContactError::Note(reason) => Self::invalid("note", reason),
            ContactError::Catalog(error) => error.into(),
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        ServiceError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::{MessageBody, to_bytes};
    use dm_core::{Address, U256, operation::OperationId};
    use dm_services::Shortfall;
    use serde_json::{Value, json};

    use super::*;

    async fn shown(error: impl Into<ApiError>) -> (u16, Value) {
        let response = error.into().error_response();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body().boxed()).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[actix_web::test]
    async fn every_service_error_has_its_status() {
        use ServiceError as E;
        for (error, status) in [
            (E::IdempotencyKeyReused, 422),
            (E::rejected("token", "is not supported by this node"), 400),
            (E::TransactionFailed("paused".into()), 400),
            (E::TransactionRefused("too large".into()), 400),
            (
                E::WrongChain {
                    expected: 1,
                    found: 5,
                },
                503,
            ),
            (E::PaymentPending { tx_hash: None }, 503),
            (
                E::PaidInVain {
                    cause: Box::new(E::StorageFull),
                    tx_hash: B256::ZERO,
                    refund_after_secs: 60,
                },
                507,
            ),
            (
                E::unmandated("user_id", "bob is no authorised user of this node"),
                401,
            ),
            (E::MandateUnfit("was used already".into()), 403),
            (E::NotFound, 404),
            (E::NotGranted, 403),
            (
                E::Refused {
                    plugin: "guard".into(),
                    reason: "a card number".into(),
                },
                403,
            ),
            (E::UnknownPlugin("guard".into()), 404),
            (E::UnknownRefund(OperationId::random()), 404),
            (E::RefundSettled("was made".into()), 409),
            (E::RequiredPlugin("guard".into()), 409),
            (E::UnknownKey(2), 404),
            (
                E::KeyNeeded {
                    version: 2,
                    reason: "it is the newest".into(),
                },
                409,
            ),
            (E::NotAnchored, 409),
            (E::Damaged("chunk 3".into()), 502),
            (E::StorageFull, 507),
            (E::Overloaded, 503),
            (E::Unavailable("the chain is away".into()), 503),
            (E::Fault("the log has forked".into()), 500),
        ] {
            let sentence = error.to_string();
            let (found, body) = shown(error).await;
            assert_eq!((found, &body["error"]), (status, &json!(sentence)));
        }
    }

    #[actix_web::test]
    async fn what_is_unavailable_may_be_asked_for_again() {
        for error in [
            ServiceError::Overloaded,
            ServiceError::Unavailable("the chain is away".into()),
            ServiceError::WrongChain {
                expected: 1,
                found: 5,
            },
        ] {
            let response = ApiError::from(error).error_response();
            assert_eq!(response.status(), 503);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
        }
    }

    #[actix_web::test]
    async fn an_invalid_field_is_named() {
        let (status, body) = shown(ServiceError::invalid("token", "is not supported")).await;
        assert_eq!(status, 422);
        assert_eq!(body, json!({"error": "token is not supported", "field": "token"}));
    }

    #[actix_web::test]
    async fn who_cannot_pay_learns_what_is_missing() {
        let shortfall = Shortfall {
            account: Address::ZERO,
            token: Address::ZERO,
            needed: U256::from(5),
            balance: U256::from(3),
            allowance: U256::from(4),
        };
        let (status, body) = shown(ServiceError::PaymentRequired(Box::new(shortfall))).await;
        assert_eq!(status, 402);
        assert_eq!(body["amount"], "5");
        assert_eq!(body["balance"], "3");
        assert_eq!(body["allowance"], "4");
        assert_eq!(body["token"], "0x0000000000000000000000000000000000000000");
    }
}

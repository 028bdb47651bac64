use std::borrow::Cow;

use alloy::{
    primitives::{Bytes, hex},
    rpc::json_rpc::ErrorPayload,
    sol_types::decode_revert_reason,
};
use serde_json::value::RawValue;

use crate::embedded::{EmbeddedChainError, admission::AdmissionError, simulate::CallError};

/// An error as JSON-RPC 2.0 carries it.
#[derive(Debug)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: Cow<'static, str>,
    /// JSON text.
    pub(crate) data: Option<Box<RawValue>>,
}

impl RpcError {
    pub(crate) const fn new(code: i64, message: Cow<'static, str>) -> Self {
        Self {
            code,
            message,
            data: None,
        }
    }

    /// The request is no JSON.
    pub(crate) const PARSE: Self = Self::new(-32700, Cow::Borrowed("parse error"));

    /// The request is no JSON-RPC 2.0.
    pub(crate) fn invalid_request(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32600, why.into())
    }

    /// There is no such method.
    pub(crate) fn unknown_method(method: &str) -> Self {
        // A client may send any name: repeat no more of it than helps.
        let name: String = method.chars().take(64).collect();
        Self::new(
            -32601,
            format!("the method {name} does not exist or is not available").into(),
        )
    }

    /// The method does not take these parameters.
    pub(crate) fn invalid_params(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32602, why.into())
    }

    /// The chain itself failed.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "embedded chain request failed");
        Self::new(
            -32603,
            Cow::Borrowed("internal error: the chain's store cannot be read"),
        )
    }

    /// The request was understood and cannot be fulfilled.
    pub(crate) fn refused(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32000, why.into())
    }

    pub(crate) fn with_hex_data(self, data: &[u8]) -> Self {
        Self {
            data: serde_json::value::to_raw_value(&hex::encode_prefixed(data)).ok(),
            ..self
        }
    }

    fn reverted(data: &Bytes) -> Self {
        let message = match decode_revert_reason(data) {
            Some(reason) => format!("execution reverted: {}", reason.trim_start_matches("revert: ")).into(),
            None => Cow::Borrowed("execution reverted"),
        };
        Self::new(3, message).with_hex_data(data)
    }
}

impl From<EmbeddedChainError> for RpcError {
    fn from(error: EmbeddedChainError) -> Self {
        Self::internal(error)
    }
}

impl From<AdmissionError> for RpcError {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Chain(fault) => fault.into(),
            AdmissionError::Undecodable(_) => Self::invalid_params(error.to_string()),
            _ => Self::refused(error.to_string()),
        }
    }
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Chain(error) => error.into(),
            CallError::Reverted(data) => Self::reverted(&data),
            _ => Self::refused(error.to_string()),
        }
    }
}

impl From<RpcError> for ErrorPayload {
    fn from(error: RpcError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            data: error.data,
        }
    }
}

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::RpcError;

/// The parameters of a request, by position.
pub(super) struct Params<'a>(Vec<&'a RawValue>);

impl<'a> Params<'a> {
    pub(super) fn parse(params: Option<&'a RawValue>) -> Result<Self, RpcError> {
        match params.map(RawValue::get) {
            None | Some("null") => Ok(Self(Vec::new())),
            Some(text) => serde_json::from_str(text)
                .map(Self)
                .map_err(|_| RpcError::invalid_params("the parameters must be an array")),
        }
    }

    pub(super) fn required<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        self.optional(index)?
            .ok_or_else(|| RpcError::invalid_params(format!("missing value for required argument {index}")))
    }

    pub(super) fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, RpcError> {
        match self.0.get(index).map(|value| value.get()) {
            None | Some("null") => Ok(None),
            Some(text) => serde_json::from_str(text)
                .map(Some)
                .map_err(|error| RpcError::invalid_params(format!("invalid argument {index}: {error}"))),
        }
    }
}

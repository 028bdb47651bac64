//! Queries that are put together of fixed parts.

use super::{query::Query, statement::Statement, value::Value};

/// A query under construction. Its parts are fixed texts; whatever comes from outside
/// is bound.
pub(crate) struct QueryBuilder {
    text: String,
    values: Vec<Value>,
}

impl QueryBuilder {
    pub(crate) fn new(start: &'static str) -> Self {
        Self {
            text: start.to_owned(),
            values: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, part: &'static str) -> &mut Self {
        self.text.push_str(part);
        self
    }

    pub(crate) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.text.push('?');
        self.values.push(value.into());
        self
    }

    /// The text so far.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn build(self) -> Query {
        Query::new(Statement::Built(self.text.into()), self.values)
    }
}

//! The operations of an OpenAPI document.

use reqwest::Method;
use serde_json::Value;

use super::schema::Schemas;

/// A kind of request: a method of a path.
pub struct Operation<'a> {
    pub method: Method,
    pub path: &'a str,
    pub description: &'a Value,
}

impl<'a> Operation<'a> {
    pub fn all(schemas: &'a Schemas) -> Vec<Self> {
        let mut operations = Vec::new();
        for (path, item) in schemas.document()["paths"].as_object().unwrap() {
            for (method, description) in item.as_object().unwrap() {
                operations.push(Self {
                    method: method.to_uppercase().parse().unwrap(),
                    path,
                    description,
                });
            }
        }
        operations
    }

    pub fn parameters(&self) -> impl Iterator<Item = &'a Value> {
        let all = self.description["parameters"].as_array().into_iter().flatten();
        // Every request comes with a key. An object stands for parameters that the client names.
        all.filter(|parameter| parameter["name"] != "X-API-Key" && parameter["schema"]["type"] != "object")
    }

    /// The schema of its JSON body, if it has one.
    pub fn body(&self) -> Option<&'a Value> {
        self.description
            .pointer("/requestBody/content/application~1json/schema")
    }

    pub fn is_upload(&self) -> bool {
        self.description.get("requestBody").is_some() && self.body().is_none()
    }

    /// The media type of the bytes that are uploaded.
    pub fn upload_type(&self) -> Option<&'a str> {
        let content = self.description["requestBody"]["content"].as_object()?;
        let mut types = content.keys().map(String::as_str);
        types.find(|name| *name != "application/json" && !name.contains('*'))
    }

    /// Fields of which the document says that the node checks more than their form.
    pub fn is_checked_further(&self, field: &str) -> bool {
        self.description["x-also-checked"].get(field).is_some()
    }
}

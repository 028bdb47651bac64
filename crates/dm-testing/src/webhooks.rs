//! [`MemoryWebhooks`]: receivers that exist in memory only.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use async_trait::async_trait;
use dm_core::ports::{WebhookAnswer, WebhookCall, Webhooks};
use serde_json::Value;

/// Takes every call, but for those of which a test says otherwise.
#[derive(Default)]
pub struct MemoryWebhooks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: Vec<WebhookCall>,
    /// What a receiver answers next, one after the other; then it takes everything.
    answers: HashMap<String, VecDeque<WebhookAnswer>>,
    /// Receivers that never answer.
    hanging: Vec<String>,
}

impl MemoryWebhooks {
    /// Receivers that take everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a receiver give these answers to its next calls.
    pub fn answer(&self, url: &str, answers: impl IntoIterator<Item = WebhookAnswer>) {
        let mut state = self.state.lock().unwrap();
        state.answers.entry(url.to_owned()).or_default().extend(answers);
    }

    /// Lets a receiver never answer.
    pub fn hang(&self, url: &str) {
        self.state.lock().unwrap().hanging.push(url.to_owned());
    }

    /// The calls of a receiver so far.
    pub fn calls(&self, url: &str) -> Vec<WebhookCall> {
        let state = self.state.lock().unwrap();
        state
            .calls
            .iter()
            .filter(|call| call.url == url)
            .cloned()
            .collect()
    }

    /// The events that a receiver was called with so far.
    pub fn events(&self, url: &str) -> Vec<Value> {
        let calls = self.calls(url);
        calls
            .iter()
            .map(|call| serde_json::from_slice(&call.body).unwrap())
            .collect()
    }
}

#[async_trait]
impl Webhooks for MemoryWebhooks {
    fn check(&self, url: &str) -> Result<(), String> {
        match url.starts_with("http") {
            true => Ok(()),
            false => Err("must begin with http:// or https://".to_owned()),
        }
    }

    async fn call(&self, call: WebhookCall) -> WebhookAnswer {
        let url = call.url.clone();
        let (answer, hangs) = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(call);
            let answer = state.answers.get_mut(&url).and_then(VecDeque::pop_front);
            (answer, state.hanging.contains(&url))
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        answer.unwrap_or(WebhookAnswer::Taken)
    }
}

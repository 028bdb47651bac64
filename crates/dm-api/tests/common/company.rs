//! A node whose people sign in with accounts of their company, and their browsers.

use std::sync::Arc;

use dm_core::{
    api_key::{Principal, Rights, Scope},
    clock::now_ms,
    person::Person,
};
use dm_testing::identity::MemoryIdentityProvider;
use reqwest::{Client, Method, redirect::Policy};
use serde_json::Value;

use super::{Answer, TestConfig, TestNode, start_with};

pub const CALLBACK: &str = "/api/sign-in/callback";

pub struct Company {
    pub node: TestNode,
    pub provider: Arc<MemoryIdentityProvider>,
}

impl Company {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut TestConfig)) -> Self {
        let provider = Arc::new(MemoryIdentityProvider::new());
        let mut config = TestConfig {
            identity: Some(provider.clone()),
            ..TestConfig::default()
        };
        change(&mut config);
        let node = start_with(config).await;
        Self { node, provider }
    }

    pub fn browser(&self) -> Browser<'_> {
        Browser {
            node: &self.node,
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            cookies: Vec::new(),
            csrf_token: String::new(),
        }
    }

    /// A browser in which this person has signed in.
    pub async fn signed_in(&self, person: Principal) -> Browser<'_> {
        let mut browser = self.browser();
        let page = browser.begin().await;
        let code = self.provider.give_code(&page, person);
        let callback = format!("{CALLBACK}?code={code}&state={}", state_of(&page));
        assert_eq!(browser.go(&callback).await, "/");
        let session = browser.get("/api/session").await;
        assert_eq!(session.status, 200, "{:?}", session.body);
        browser.csrf_token = session.body["csrf_token"].as_str().unwrap().to_owned();
        browser
    }
}

/// A browser that keeps cookies and follows no redirect by itself.
pub struct Browser<'a> {
    pub node: &'a TestNode,
    pub client: Client,
    pub cookies: Vec<(String, String)>,
    pub csrf_token: String,
}

impl Browser<'_> {
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        self.client
            .request(method, format!("{}{path}", self.node.console))
            .header("Cookie", cookies.join("; "))
            .header("X-CSRF-Token", &self.csrf_token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// Goes to a page of the console, keeps its cookies, and returns where it leads.
    pub async fn go(&mut self, path: &str) -> String {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 303, "{path}");
        for line in response.headers().get_all("set-cookie") {
            let (name, value) = line.to_str().unwrap().split_once('=').unwrap();
            let value = value.split(';').next().unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Begins to sign in, and returns the provider's page.
    pub async fn begin(&mut self) -> String {
        let page = self.go("/api/sign-in/account").await;
        assert!(page.starts_with(MemoryIdentityProvider::PAGE), "{page}");
        page
    }

    pub fn is_signed_in(&self) -> bool {
        self.cookies.iter().any(|(name, _)| name == "dm_session")
    }
}

pub fn state_of(page: &str) -> &str {
    page.split_once("state=").unwrap().1.split('&').next().unwrap()
}

pub fn person(subject: &str, scopes: impl IntoIterator<Item = Scope>) -> Principal {
    let person = Person {
        subject: subject.to_owned(),
        name: format!("name of {subject}"),
    };
    Principal::of_person(person, Arc::new(Rights::of(scopes)), None)
}

/// What the bus has heard of people.
pub fn told(node: &TestNode) -> Vec<(String, Value)> {
    let events = node.bus.history(200).into_iter();
    let parts = events.map(|event| event.parts());
    parts.filter(|(topic, _)| topic.starts_with("person.")).collect()
}

/// A token for both APIs.
pub fn browser_token(company: &Company, person: Principal) -> String {
    let ends = Principal {
        expires_at: Some(now_ms() + 3_600_000),
        ..person
    };
    let token = format!("token of {}", ends.key_id).replace(' ', "-");
    company.provider.give_token(&token, ends);
    token
}

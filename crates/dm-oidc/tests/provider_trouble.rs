//! A provider that is away, slow, or not what it should be.

use dm_core::{
    health::Finding,
    ports::{HealthCheck, IdentityError, IdentityProvider, SignInAttempt},
    secret::SecretString,
};
use serde_json::{Value, json};

use crate::support::{Issuer, SigningKey, with};

const DISCOVERY: &str = "/company/.well-known/openid-configuration";

fn attempt() -> SignInAttempt {
    SignInAttempt {
        return_to: "https://console.example.org/".to_owned(),
        state: String::new(),
        nonce: String::new(),
        verifier: SecretString::new("v"),
    }
}

/// Why a browser cannot be sent to the provider.
async fn trouble(issuer: &Issuer) -> String {
    match issuer.provider().sign_in_url(&attempt()).await {
        Err(IdentityError::Unreachable(reason)) => reason,
        other => panic!("no trouble: {other:?}"),
    }
}

#[tokio::test]
async fn who_is_known_stays_known_while_the_provider_is_away() {
    let (issuer, key) = Issuer::with_key().await;
    let provider = issuer.provider();
    let token = key.sign(&issuer.claims());
    issuer.set_away(true);
    let found = provider.recognise(&token).await;
    assert!(matches!(found, Err(IdentityError::Unreachable(_))), "{found:?}");
    issuer.set_away(false);
    assert!(provider.recognise(&token).await.is_ok());
    issuer.set_away(true);
    assert!(provider.recognise(&token).await.is_ok());
    let unknown = SigningKey::p256("b").sign(&issuer.claims());
    assert!(matches!(
        provider.recognise(&unknown).await,
        Err(IdentityError::Refused(_))
    ));
}

#[tokio::test]
async fn a_discovery_document_that_speaks_of_somebody_else_is_not_believed() {
    let issuer = Issuer::start(&[]).await;
    let evil = "ftp://evil.example/authorize";
    for (change, part) in [
        (
            json!({"issuer": "https://evil.example"}),
            "calls itself \"https://evil.example\"",
        ),
        (json!({"issuer": format!("{}/", issuer.url)}), "calls itself"),
        (
            json!({"code_challenge_methods_supported": ["plain"]}),
            "does not know PKCE",
        ),
        (json!({"authorization_endpoint": evil}), "no https URL"),
        (json!({"token_endpoint": "/token"}), "no https URL"),
        (json!({"jwks_uri": "javascript:alert(1)"}), "no https URL"),
        (json!({"jwks_uri": null}), "not what it should be"),
        (
            json!({"authorization_endpoint": null}),
            "has no authorization_endpoint",
        ),
    ] {
        issuer.answer(DISCOVERY, &with(issuer.discovery(), &change));
        let reason = trouble(&issuer).await;
        assert!(reason.contains(part), "{change}: {reason}");
    }
}

#[tokio::test]
async fn answers_that_are_none_are_trouble_and_nothing_worse() {
    let issuer = Issuer::start(&[]).await;
    let endless = format!("\"{}\"", "x".repeat(300 * 1024));
    for (status, text, part) in [
        (200, "<html>", "not what it should be"),
        (200, "", "not what it should be"),
        (200, endless.as_str(), "larger than"),
        (302, "", "302"),
        (500, "{}", "500"),
        (404, "", "404"),
    ] {
        issuer.answer_with(DISCOVERY, status, text);
        let reason = trouble(&issuer).await;
        assert!(reason.contains(part), "{status}: {reason}");
    }
    assert!(
        issuer.asked("/company/elsewhere").is_empty(),
        "no redirect is followed"
    );
    issuer.answer(DISCOVERY, &issuer.discovery());
    for keys in [json!({}), json!([]), json!({"keys": 5}), Value::Null] {
        issuer.answer("/company/keys", &keys);
        let token = SigningKey::p256("a").sign(&issuer.claims());
        let found = issuer.provider().recognise(&token).await;
        assert!(
            matches!(found, Err(IdentityError::Unreachable(_))),
            "{keys}: {found:?}"
        );
    }
}

#[tokio::test]
async fn no_message_has_a_secret_or_what_the_provider_has_said() {
    let (issuer, _) = Issuer::with_key().await;
    issuer.answer_with("/company/token", 200, "{\"id_token\": \"a-secret-token\", oops");
    let answer = dm_core::ports::SignInAnswer {
        code: "secret-code",
        issuer: None,
    };
    let mut told = format!("{:?}", issuer.provider().redeem(&answer, &attempt()).await);
    issuer.set_away(true);
    told.push_str(&format!(
        "{:?}",
        issuer.provider().redeem(&answer, &attempt()).await
    ));
    assert!(told.contains("Unreachable") && !told.contains("secret"), "{told}");
}

#[tokio::test]
async fn health_tells_while_discovery_or_keys_cannot_be_read_and_what_to_do() {
    let (issuer, key) = Issuer::with_key().await;
    let provider = issuer.provider();
    let found = async || {
        provider.look().await;
        provider.check().await
    };
    assert_eq!(found().await, Finding::Working);
    let stranger = with(issuer.discovery(), &json!({"issuer": "https://evil.example"}));
    for (path, answer, part) in [
        (DISCOVERY, (500, "{}".to_owned()), "500"),
        (DISCOVERY, (200, stranger.to_string()), "calls itself"),
        ("/company/keys", (404, String::new()), "404"),
        (
            "/company/keys",
            (200, "<html>".to_owned()),
            "not what it should be",
        ),
    ] {
        issuer.answer_with(path, answer.0, &answer.1);
        let Finding::Degraded(trouble) = found().await else {
            panic!("{path} {answer:?} is no trouble");
        };
        let is_told = trouble.reason.contains(&issuer.url) && trouble.reason.contains(part);
        assert!(is_told, "{trouble:?}");
        assert!(trouble.action.contains("sign_in.issuer"), "{trouble:?}");
        issuer.answer(DISCOVERY, &issuer.discovery());
        issuer.publish(&[&key]);
        assert_eq!(found().await, Finding::Working);
    }
    issuer.set_away(true);
    assert!(matches!(found().await, Finding::Degraded(_)));
    issuer.set_away(false);
    assert_eq!(found().await, Finding::Working);
}

#[tokio::test]
async fn who_fails_to_sign_in_has_the_health_tell_it_too() {
    let issuer = Issuer::start(&[]).await;
    let provider = issuer.provider();
    issuer.set_away(true);
    assert!(provider.sign_in_url(&attempt()).await.is_err());
    assert!(matches!(provider.check().await, Finding::Degraded(_)));
}

#[tokio::test]
async fn a_provider_that_stays_well_is_asked_once_a_minute_to_know_it() {
    let issuer = Issuer::start(&[]).await;
    let provider = dm_oidc::OidcProvider::new(&issuer.config()).unwrap().unwrap();
    for _ in 0..100 {
        provider.look().await;
    }
    assert_eq!(issuer.asked(DISCOVERY).len(), 1);
    assert_eq!(issuer.asked("/company/keys").len(), 1);
}

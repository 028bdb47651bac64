//! Sign-in with a browser: what the provider is asked, and which of its answers count.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dm_core::{
    api_key::Scope,
    config::SignInConfig,
    ports::{IdentityError, IdentityProvider, SignInAnswer, SignInAttempt, SignedIn},
    secret::SecretString,
};
use dm_oidc::OidcProvider;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{AUDIENCE, CLIENT, Issuer, SigningKey, refusal, with};

const CODE: SignInAnswer<'static> = SignInAnswer {
    code: "the code",
    issuer: None,
};

fn attempt() -> SignInAttempt {
    SignInAttempt {
        return_to: "https://console.example.org/api/sign-in/callback".to_owned(),
        state: "the state".to_owned(),
        nonce: "the nonce".to_owned(),
        verifier: SecretString::new("v".repeat(43)),
    }
}

/// What a good ID token says.
fn claims(issuer: &Issuer) -> Value {
    with(issuer.claims(), &json!({"aud": CLIENT, "nonce": "the nonce"}))
}

async fn redeem(issuer: &Issuer, key: &SigningKey, claims: &Value) -> Result<SignedIn, IdentityError> {
    let id_token = key.sign_with_head(&json!({"typ": "JWT"}), claims);
    let tokens = json!({"id_token": id_token, "access_token": "opaque", "token_type": "Bearer"});
    issuer.answer("/company/token", &tokens);
    issuer.provider().redeem(&CODE, &attempt()).await
}

#[tokio::test]
async fn a_browser_is_sent_with_everything_that_the_provider_needs() {
    let issuer = Issuer::start(&[]).await;
    let provider = issuer.provider_with(&SignInConfig {
        request_scopes: vec!["profile".to_owned(), "groups".to_owned()],
        ..issuer.config()
    });
    let url = provider.sign_in_url(&attempt()).await.unwrap();
    let url = reqwest::Url::parse(&url).unwrap();
    assert!(
        url.as_str()
            .starts_with(&format!("{}/authorize?tenant=1&", issuer.url)),
        "{url}"
    );
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest("v".repeat(43)));
    let expected = [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "https://console.example.org/api/sign-in/callback"),
        ("scope", "openid profile groups"),
        ("state", "the state"),
        ("nonce", "the nonce"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let sent: Vec<_> = url.query_pairs().collect();
    let sent: Vec<_> = sent.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(sent, expected);
    assert!(!url.as_str().contains(&"v".repeat(43)), "the verifier stays here");
}

#[tokio::test]
async fn a_code_becomes_a_person() {
    let key = SigningKey::rsa("a");
    let issuer = Issuer::start(&[&key]).await;
    let signed_in = redeem(&issuer, &key, &claims(&issuer)).await.unwrap();
    assert_eq!(&*signed_in.bearer.key_id, "person:ann-1");
    assert!(signed_in.bearer.rights.allow_scope(Scope::Share));
    assert_eq!(
        signed_in.bearer.expires_at, None,
        "the session ends, not the token"
    );
    let [asked] = &issuer.asked("/company/token")[..] else {
        panic!("not asked once");
    };
    let form: Vec<_> = asked.body.split('&').collect();
    assert_eq!(
        form,
        [
            "grant_type=authorization_code",
            "code=the+code",
            "redirect_uri=https%3A%2F%2Fconsole.example.org%2Fapi%2Fsign-in%2Fcallback",
            &format!("code_verifier={}", "v".repeat(43)),
        ]
    );
    let basic = base64::engine::general_purpose::STANDARD.encode("console:s%26cret+1");
    assert_eq!(asked.authorization.as_deref(), Some(&*format!("Basic {basic}")));
    assert!(
        issuer.asked("/company/me").is_empty(),
        "the token has said it all"
    );
}

#[tokio::test]
async fn a_client_proves_itself_as_the_provider_wants_it() {
    let (issuer, key) = Issuer::with_key().await;
    let methods = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    let discovery = with(issuer.discovery(), &methods);
    issuer.answer("/company/.well-known/openid-configuration", &discovery);
    redeem(&issuer, &key, &claims(&issuer)).await.unwrap();
    let public = issuer.provider_with(&SignInConfig {
        client_secret: None,
        ..issuer.config()
    });
    public.redeem(&CODE, &attempt()).await.unwrap();
    let [by_secret, by_name] = &issuer.asked("/company/token")[..] else {
        panic!("not asked twice");
    };
    assert!(
        by_secret
            .body
            .ends_with("&client_id=console&client_secret=s%26cret+1"),
        "{by_secret:?}"
    );
    assert!(by_name.body.ends_with("&client_id=console"), "{by_name:?}");
    assert_eq!((&by_secret.authorization, &by_name.authorization), (&None, &None));
}

#[tokio::test]
async fn an_id_token_that_is_not_of_this_attempt_signs_nobody_in() {
    let (key, foreign) = (SigningKey::p256("a"), SigningKey::p256("a"));
    let issuer = Issuer::start(&[&key]).await;
    let good = claims(&issuer);
    for (change, reason) in [
        (json!({"nonce": null}), "the token is of another sign-in"),
        (json!({"nonce": "another"}), "the token is of another sign-in"),
        (json!({"nonce": ["the nonce"]}), "the token is of another sign-in"),
        (json!({"aud": AUDIENCE}), "the token is for another audience"),
        (json!({"azp": "another"}), "the token was given to another client"),
        (
            json!({"iss": "https://evil.example"}),
            "the token is of another issuer",
        ),
        (json!({"exp": 1}), "the token has expired"),
    ] {
        let found = redeem(&issuer, &key, &with(good.clone(), &change)).await;
        assert_eq!(refusal(found), reason, "{change}");
    }
    let found = redeem(&issuer, &foreign, &good).await;
    assert_eq!(refusal(found), "the token's signature is wrong");
    let access = json!({"id_token": key.sign(&good), "access_token": "opaque"});
    issuer.answer("/company/token", &access);
    let found = issuer.provider().redeem(&CODE, &attempt()).await;
    assert_eq!(refusal(found), "the token is of another kind");
}

#[tokio::test]
async fn an_id_token_does_not_open_the_apis() {
    let (issuer, key) = Issuer::with_key().await;
    let id_token = key.sign_with_head(&json!({"typ": "JWT"}), &claims(&issuer));
    assert!(issuer.provider().recognise(&id_token).await.is_err());
    let for_both = with(claims(&issuer), &json!({"aud": [CLIENT, AUDIENCE]}));
    let id_token = key.sign_with_head(&json!({"typ": "JWT"}), &for_both);
    assert!(issuer.provider().recognise(&id_token).await.is_err());
}

#[tokio::test]
async fn a_code_of_another_issuer_is_not_redeemed() {
    let (issuer, key) = Issuer::with_key().await;
    redeem(&issuer, &key, &claims(&issuer)).await.unwrap();
    let from = |issuer| SignInAnswer {
        code: "the code",
        issuer,
    };
    let provider = issuer.provider();
    let evil = from(Some("https://evil.example"));
    let found = provider.redeem(&evil, &attempt()).await;
    assert_eq!(refusal(found), "the code is of another issuer");
    let own = from(Some(issuer.url.as_str()));
    assert!(provider.redeem(&own, &attempt()).await.is_ok());
    let says = json!({"authorization_response_iss_parameter_supported": true});
    issuer.answer(
        "/company/.well-known/openid-configuration",
        &with(issuer.discovery(), &says),
    );
    let provider = issuer.provider();
    assert_eq!(
        refusal(provider.redeem(&CODE, &attempt()).await),
        "the code is of another issuer"
    );
    assert!(provider.redeem(&own, &attempt()).await.is_ok());
    assert_eq!(
        issuer.asked("/company/token").len(),
        3,
        "no code was told to anybody else"
    );
}

#[tokio::test]
async fn a_code_that_the_provider_does_not_take_signs_nobody_in() {
    let issuer = Issuer::start(&[]).await;
    let redeem = || async { issuer.provider().redeem(&CODE, &attempt()).await };
    issuer.answer_with("/company/token", 400, "{\"error\": \"invalid_grant\"}");
    assert_eq!(refusal(redeem().await), "the provider does not take the code");
    issuer.answer_with("/company/token", 401, "{\"error\": \"invalid_client\"}");
    let Err(IdentityError::Unreachable(reason)) = redeem().await else {
        panic!("the client's secret is wrong");
    };
    assert!(reason.contains("sign_in.client_id"), "{reason}");
}

#[tokio::test]
async fn roles_that_are_not_in_the_token_are_asked_for() {
    let (issuer, key) = Issuer::with_key().await;
    let without = with(claims(&issuer), &json!({"roles": null}));
    issuer.answer("/company/me", &json!({"sub": "ann-1", "roles": ["boss"]}));
    let signed_in = redeem(&issuer, &key, &without).await.unwrap();
    assert!(signed_in.bearer.rights.allow_scope(Scope::Admin));
    assert_eq!(
        issuer.asked("/company/me")[0].authorization.as_deref(),
        Some("Bearer opaque")
    );
    issuer.answer("/company/me", &json!({"sub": "eve-2", "roles": ["boss"]}));
    let found = redeem(&issuer, &key, &without).await;
    assert_eq!(refusal(found), "the provider has described another person");
    issuer.answer("/company/me", &json!({"sub": "ann-1"}));
    let found = redeem(&issuer, &key, &without).await;
    assert!(matches!(found, Err(IdentityError::NoRole(_))), "{found:?}");
}

#[tokio::test]
async fn a_browser_signs_out_at_the_provider_too() {
    let (issuer, _) = Issuer::with_key().await;
    let provider = issuer.provider();
    let token = SecretString::new("a.b.c");
    let back = "https://console.example.org/";
    assert_eq!(
        provider.sign_out_url(&token, back).await,
        None,
        "nothing is known yet"
    );
    provider.sign_in_url(&attempt()).await.unwrap();
    let url = provider.sign_out_url(&token, back).await.unwrap();
    let expected = "/end?client_id=console&post_logout_redirect_uri=https%3A%2F%2Fconsole.example.org%2F&id_token_hint=a.b.c";
    assert_eq!(url, format!("{}{expected}", issuer.url));
    let long = SecretString::new("x".repeat(10_000));
    assert!(
        !provider
            .sign_out_url(&long, back)
            .await
            .unwrap()
            .contains("id_token_hint")
    );
    issuer.set_away(true);
    assert!(provider.sign_out_url(&token, back).await.is_some());
}

#[test]
fn without_an_issuer_there_is_no_provider() {
    assert!(OidcProvider::new(&SignInConfig::default()).unwrap().is_none());
}

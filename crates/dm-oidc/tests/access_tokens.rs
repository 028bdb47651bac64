//! Tokens for the APIs: those that count, and all the others.

use dm_core::{
    api_key::Scope,
    ports::{IdentityError, IdentityProvider},
};
use serde_json::{Value, json};

use crate::support::{
    AUDIENCE, Issuer, SigningKey, now, refusal,
    signing::{message, signed_with_secret},
    with,
};

#[tokio::test]
async fn a_token_of_each_algorithm_says_who_somebody_is_and_what_they_may_do() {
    let keys = [
        SigningKey::rsa("r"),
        SigningKey::p256("p"),
        SigningKey::ed25519("e"),
    ];
    let issuer = Issuer::start(&keys.iter().collect::<Vec<_>>()).await;
    let provider = issuer.provider();
    let claims = issuer.claims();
    let mut tokens: Vec<_> = keys.iter().map(|key| key.sign(&claims)).collect();
    tokens.push(keys[0].sign_with_head(&json!({"alg": "PS256"}), &claims));
    for token in tokens {
        let bearer = provider.recognise(&token).await.unwrap();
        assert_eq!(&*bearer.key_id, "person:ann-1");
        assert_eq!(bearer.person.unwrap().name, "Ann");
        assert!(bearer.rights.allow_scope(Scope::Share) && !bearer.rights.allow_scope(Scope::Admin));
        assert_eq!(bearer.expires_at, claims["exp"].as_u64().map(|secs| secs * 1000));
    }
    assert_eq!(
        issuer.asked("/company/keys").len(),
        1,
        "the keys are asked for once"
    );
}

#[tokio::test]
async fn a_token_of_another_issuer_audience_or_time_is_refused_with_the_reason() {
    let (issuer, key) = Issuer::with_key().await;
    let provider = issuer.provider();
    let url = &issuer.url;
    let (other_issuer, early) = ("the token is of another issuer", "the token does not count yet");
    let (other_audience, late) = ("the token is for another audience", "the token has expired");
    let lacks = "the token lacks exp, iss, aud or sub";
    for (change, reason) in [
        (json!({"iss": "https://evil.example"}), other_issuer),
        (json!({"iss": format!("{url}/")}), other_issuer),
        (json!({"iss": [url, "https://evil.example"]}), other_issuer),
        (json!({"iss": [url]}), other_issuer),
        (json!({"iss": null}), lacks),
        (json!({"aud": "console"}), other_audience),
        (json!({"aud": ["console", "other"]}), other_audience),
        (json!({"aud": []}), other_audience),
        (json!({"aud": null}), lacks),
        (json!({"sub": null}), lacks),
        (json!({"sub": ""}), "the token names no person"),
        (json!({"exp": now() - 31}), late),
        (json!({"exp": 0}), late),
        (json!({"exp": null}), lacks),
        (json!({"exp": "never"}), lacks),
        (json!({"exp": -1}), lacks),
        (json!({"nbf": now() + 90}), early),
        (json!({"iat": now() + 90}), early),
        (json!({"iat": "now"}), early),
        (json!({"nonce": "n"}), "the token is of another kind"),
        (
            json!({"cnf": {"jkt": "x"}}),
            "the token is bound to a key of its bearer, which is not checked here",
        ),
    ] {
        let token = key.sign(&with(issuer.claims(), &change));
        assert_eq!(refusal(provider.recognise(&token).await), reason, "{change}");
    }
}

#[tokio::test]
async fn clocks_that_differ_a_little_keep_nobody_out() {
    let (issuer, key) = Issuer::with_key().await;
    let provider = issuer.provider();
    for change in [
        json!({"exp": now() - 5}),
        json!({"nbf": now() + 15, "iat": now() + 15}),
        json!({"aud": ["other", AUDIENCE]}),
        json!({"iat": null}),
    ] {
        let token = key.sign(&with(issuer.claims(), &change));
        assert!(provider.recognise(&token).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn a_token_without_a_signature_of_the_provider_is_refused() {
    let (key, foreign) = (SigningKey::rsa("a"), SigningKey::rsa("a"));
    let issuer = Issuer::start(&[&key]).await;
    let provider = issuer.provider();
    let claims = issuer.claims();
    let good = key.sign(&claims);
    assert!(provider.recognise(&good).await.is_ok());

    let mut bad = vec![
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(20_000),
    ];
    // No algorithm at all, in every spelling.
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let unsigned = message(&json!({"alg": none, "kid": "a", "typ": "JWT"}), &claims);
        bad.extend([
            format!("{unsigned}."),
            unsigned.clone(),
            format!("{unsigned}.AAAA"),
        ]);
    }
    // The public key as if it were a secret.
    for secret in key.public_forms() {
        for algorithm in ["HS256", "HS384", "RS256"] {
            let head = json!({"alg": algorithm, "kid": "a", "typ": "JWT"});
            bad.push(signed_with_secret(&head, &claims, &secret));
        }
    }
    // A key of somebody else under the same name, also where the token brings it along.
    bad.push(foreign.sign(&claims));
    bad.push(foreign.sign_with_head(&json!({"jwk": foreign.jwk()}), &claims));
    bad.push(foreign.sign_with_head(&json!({"jku": "http://127.0.0.1:9/keys"}), &claims));
    // Another algorithm than that of the signature.
    bad.push(key.sign_with_head(&json!({"alg": "RS512"}), &claims));
    bad.push(key.sign_with_head(&json!({"alg": "ES256"}), &claims));
    // What only looks like it.
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = rest.split_once('.').unwrap();
    let boss = with(claims.clone(), &json!({"roles": ["boss"]}));
    let other = key.sign(&boss);
    let other_payload = other.split('.').nth(1).unwrap();
    bad.push(format!("{head}.{other_payload}.{signature}"));
    bad.push(format!("{good}.{signature}"));
    bad.push(rest.to_owned());
    bad.push(good[..good.len() - 8].to_owned());
    for token in bad {
        let found = provider.recognise(&token).await;
        assert!(
            matches!(found, Err(IdentityError::Refused(_))),
            "{token:.120}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_token_of_another_kind_opens_nothing() {
    let (issuer, key) = Issuer::with_key().await;
    let provider = issuer.provider();
    for (head, counts) in [
        (json!({"typ": "JWT"}), true),
        (json!({"typ": "application/at+jwt"}), true),
        (json!({"typ": "AT+JWT"}), true),
        (json!({}), true),
        (json!({"typ": "logout+jwt"}), false),
        (json!({"typ": "dpop+jwt"}), false),
        (json!({"crit": ["exp"], "exp": 1}), false),
        (json!({"typ": 5}), false),
    ] {
        let found = provider
            .recognise(&key.sign_with_head(&head, &issuer.claims()))
            .await;
        assert_eq!(found.is_ok(), counts, "{head}: {found:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_no_key_for_signatures_signs_nothing() {
    let key = SigningKey::rsa("a");
    let issuer = Issuer::start(&[&key]).await;
    let token = key.sign(&issuer.claims());
    let secret = json!({"kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256"});
    for set in [
        json!([with(key.jwk(), &json!({"use": "enc"}))]),
        json!([with(key.jwk(), &json!({"alg": "PS256"}))]),
        json!([with(key.jwk(), &json!({"alg": "RSA-OAEP"}))]),
        json!([with(key.jwk(), &json!({"kid": "b"}))]),
        json!([secret]),
        json!([]),
    ] {
        issuer.answer("/company/keys", &json!({ "keys": set }));
        let found = issuer.provider().recognise(&token).await;
        assert_eq!(
            refusal(found),
            "the token's key is none of the provider's",
            "{set}"
        );
    }
    issuer.answer("/company/keys", &json!({"keys": [secret]}));
    let head = json!({"alg": "HS256", "kid": "a"});
    let signed = signed_with_secret(&head, &issuer.claims(), b"secret");
    assert!(matches!(
        issuer.provider().recognise(&signed).await,
        Err(IdentityError::Refused(_))
    ));
    // Keys of a kind that nobody knows do not keep the others from counting.
    let strange: Value = json!([5, {"kty": "PQ", "kid": "a"}, {"kid": "a"}, key.jwk()]);
    issuer.answer("/company/keys", &json!({ "keys": strange }));
    assert!(issuer.provider().recognise(&token).await.is_ok());
}

#[tokio::test]
async fn a_token_that_names_no_key_counts_where_only_one_can_have_signed_it() {
    let key = SigningKey::p256("a").unnamed();
    let (other, rsa) = (SigningKey::p256("b"), SigningKey::rsa("c"));
    let issuer = Issuer::start(&[&key, &rsa]).await;
    let token = key.sign(&issuer.claims());
    assert!(issuer.provider().recognise(&token).await.is_ok());
    issuer.publish(&[&key, &other]);
    assert!(issuer.provider().recognise(&token).await.is_err());
}

#[tokio::test]
async fn a_new_key_counts_at_once_and_a_retired_one_no_more() {
    let (old, new) = (SigningKey::p256("old"), SigningKey::p256("new"));
    let issuer = Issuer::start(&[&old]).await;
    let provider = issuer.provider();
    let of_old = old.sign(&issuer.claims());
    assert!(provider.recognise(&of_old).await.is_ok());
    issuer.publish(&[&old, &new]);
    assert!(provider.recognise(&new.sign(&issuer.claims())).await.is_ok());
    assert!(provider.recognise(&of_old).await.is_ok(), "it is published still");
    issuer.publish(&[&new]);
    let unknown = SigningKey::p256("unknown").sign(&issuer.claims());
    assert!(provider.recognise(&unknown).await.is_err());
    assert_eq!(
        refusal(provider.recognise(&of_old).await),
        "the token's key is none of the provider's"
    );
}

#[tokio::test]
async fn tokens_that_name_keys_at_random_do_not_make_the_node_ask_again_and_again() {
    let (issuer, key) = Issuer::with_key().await;
    let provider = dm_oidc::OidcProvider::new(&issuer.config()).unwrap().unwrap();
    let good = key.sign(&issuer.claims());
    assert!(provider.recognise(&good).await.is_ok());
    for number in 0..1000 {
        let token = key.sign_with_head(&json!({"kid": number.to_string()}), &issuer.claims());
        assert!(provider.recognise(&token).await.is_err());
    }
    assert_eq!(issuer.asked("/company/keys").len(), 1);
    assert!(provider.recognise(&good).await.is_ok());
}

#[tokio::test]
async fn without_an_audience_no_token_opens_the_apis() {
    let (issuer, key) = Issuer::with_key().await;
    let config = dm_core::config::SignInConfig {
        audience: None,
        ..issuer.config()
    };
    let found = issuer
        .provider_with(&config)
        .recognise(&key.sign(&issuer.claims()))
        .await;
    assert_eq!(refusal(found), "this node accepts no access tokens");
    assert!(issuer.asked("/company/keys").is_empty());
}

#[tokio::test]
async fn whose_roles_open_nothing_is_known_and_gets_nowhere() {
    let (issuer, key) = Issuer::with_key().await;
    for roles in [json!(null), json!([]), json!(["Boss", "admin"])] {
        let token = key.sign(&with(issuer.claims(), &json!({"roles": roles})));
        let found = issuer.provider().recognise(&token).await;
        assert_eq!(found, Err(IdentityError::NoRole("Ann".to_owned())), "{roles}");
    }
}

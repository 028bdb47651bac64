//! Sign-in with an account of the company: for the console, and with tokens for both APIs.

use dm_core::{api_key::Scope, news::News};
use dm_testing::identity::MemoryIdentityProvider;
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::{connect_async, tungstenite::client::IntoClientRequest};

use crate::common::{
    Answer, RECIPIENT,
    company::{CALLBACK, Company, browser_token, person, state_of, told},
    start,
};

#[actix_web::test]
async fn a_person_signs_in_with_an_account_and_may_do_what_their_role_opens() {
    let company = Company::start().await;
    let browser = company
        .signed_in(person("ann", [Scope::Read, Scope::Share]))
        .await;
    let session = browser.get("/api/session").await.body;
    assert_eq!(
        session["person"],
        json!({"subject": "ann", "name": "name of ann"})
    );
    assert_eq!(session["scopes"], json!(["share", "read"]));
    for path in ["/api/shares", "/api/network/stats", "/api/dashboard/info"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    let share = json!({"data": "hello", "recipient": RECIPIENT});
    let answer = Answer::of(browser.request(Method::POST, "/api/share_data").json(&share)).await;
    assert_eq!(answer.body["success"], true, "{:?}", answer.body);
    let refused = browser.get("/api/api_keys").await;
    refused.is_error(
        403,
        "Forbidden. The account does not have the scope `admin`.",
        None,
    );
}

#[actix_web::test]
async fn the_page_learns_whether_there_are_accounts() {
    let company = Company::start().await;
    let ways = company.browser().get("/api/sign-in").await.body;
    let url = format!("{}/api/sign-in/account", company.node.console);
    assert_eq!(ways, json!({"account": {"name": "Example", "url": url}}));

    let node = start().await;
    let get = |path: &str| Answer::of(node.bare(Method::GET, &format!("{}{path}", node.console)));
    assert_eq!(get("/api/sign-in").await.body, json!({"account": null}));
    for path in ["/api/sign-in/account", "/api/sign-in/callback?code=a&state=b"] {
        assert_eq!(get(path).await.status, 404, "{path}");
    }
}

#[actix_web::test]
async fn everything_that_a_person_changes_has_their_name_among_the_events() {
    let company = Company::start().await;
    let browser = company.signed_in(person("ann", [Scope::Admin])).await;
    let contact = json!({"address": RECIPIENT, "trust": "accept"});
    let request = browser.request(Method::PUT, "/api/contacts/acme").json(&contact);
    let made = Answer::of(request).await;
    assert_eq!(made.status, 201);
    let refused = browser.request(Method::DELETE, "/api/contacts/nobody");
    assert_eq!(Answer::of(refused).await.status, 404);
    browser.get("/api/contacts/acme").await;
    let token = browser_token(&company, person("bob", [Scope::Share]));
    let share = json!({"data": "hello", "recipient": RECIPIENT});
    let request = company
        .node
        .bare(Method::POST, &format!("{}/share_data", company.node.external));
    let shared = Answer::of(request.bearer_auth(&token).json(&share)).await;
    let told = told(&company.node);
    let acts: Vec<_> = told
        .iter()
        .filter(|(topic, _)| topic == "person.acted")
        .map(|(_, act)| act)
        .collect();
    let expected = json!({
        "subject": "ann", "name": "name of ann", "method": "PUT", "route": "/contacts/{name}",
        "path": "/api/contacts/acme", "status": 201, "request_id": made.header("x-request-id"),
    });
    assert_eq!(acts[0], &expected);
    assert_eq!(
        (&acts[1]["subject"], &acts[1]["path"]),
        (&json!("bob"), &json!("/share_data"))
    );
    assert_eq!(acts[1]["status"], shared.status);
    assert_eq!(acts.len(), 2, "{acts:?}");
    assert_eq!(
        (told[0].0.as_str(), &told[0].1["subject"]),
        ("person.signed_in", &json!("ann"))
    );
}

#[actix_web::test]
async fn a_callback_that_this_browser_has_not_begun_signs_nobody_in() {
    let company = Company::start().await;
    let stale = "/#/sign-in/stale";
    let mut eve = company.browser();
    let page = eve.begin().await;
    let code = company.provider.give_code(&page, person("eve", [Scope::Admin]));
    let of_eve = format!("{CALLBACK}?code={code}&state={}", state_of(&page));
    // Eve makes Ann's browser open her own sign-in.
    let mut ann = company.browser();
    assert_eq!(ann.go(&of_eve).await, stale);
    ann.begin().await;
    assert_eq!(ann.go(&of_eve).await, stale, "also while Ann signs in");
    // Eve has found a code of Ann's.
    let page = ann.begin().await;
    let code = company.provider.give_code(&page, person("ann", [Scope::Admin]));
    let of_ann = format!("code={code}&state={}", state_of(&page));
    assert_eq!(eve.go(&format!("{CALLBACK}?{of_ann}")).await, stale);
    let page = eve.begin().await;
    let mixed = format!("{CALLBACK}?code={code}&state={}", state_of(&page));
    assert_eq!(
        eve.go(&mixed).await,
        "/#/sign-in/refused",
        "the nonce is not that of the code"
    );
    for query in [
        "",
        "?",
        "?code=a",
        "?state=",
        "?code=a&state=AAAA",
        "?code=a&code=b&state=x",
        "?error=%0d%0aX:1",
    ] {
        assert_eq!(ann.go(&format!("{CALLBACK}{query}")).await, stale, "{query}");
    }
    assert!(!ann.is_signed_in() && !eve.is_signed_in());
    assert!(told(&company.node).is_empty());
}

#[actix_web::test]
async fn a_callback_counts_once() {
    let company = Company::start().await;
    let mut browser = company.browser();
    let page = browser.begin().await;
    let cookies = browser.cookies.clone();
    let code = company.provider.give_code(&page, person("ann", [Scope::Read]));
    let callback = format!("{CALLBACK}?code={code}&state={}", state_of(&page));
    let head = browser.request(Method::HEAD, &callback).send().await.unwrap();
    assert_eq!(
        head.status(),
        405,
        "who only looks at the link does not use it up"
    );
    assert_eq!(browser.go(&callback).await, "/");
    let again = company.provider.give_code(&page, person("ann", [Scope::Read]));
    let replayed = format!("{CALLBACK}?code={again}&state={}", state_of(&page));
    let mut thief = company.browser();
    thief.cookies = cookies;
    for callback in [callback, replayed] {
        assert_eq!(thief.go(&callback).await, "/#/sign-in/stale");
    }
    assert!(!thief.is_signed_in());
}

#[actix_web::test]
async fn a_session_that_was_there_before_sign_in_is_not_taken_over() {
    let company = Company::start().await;
    let mut browser = company.browser();
    let fixed = "0".repeat(64);
    browser.cookies.push(("dm_session".to_owned(), fixed.clone()));
    let page = browser.begin().await;
    let code = company.provider.give_code(&page, person("ann", [Scope::Read]));
    let callback = format!("{CALLBACK}?code={code}&state={}", state_of(&page));
    browser.go(&callback).await;
    let session = browser
        .cookies
        .iter()
        .find(|(name, _)| name == "dm_session")
        .unwrap();
    assert_ne!(session.1, fixed);
    let ids: Vec<_> = browser.cookies.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(ids, ["dm_session"], "the attempt's cookie is gone");
}

#[actix_web::test]
async fn cookies_are_for_this_console_alone() {
    let company = Company::start().await;
    let mut browser = company.browser();
    let response = browser
        .request(Method::GET, "/api/sign-in/account")
        .send()
        .await
        .unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/api/sign-in", "Max-Age=600"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(response.headers()["cache-control"], "no-store");
    let page = browser.begin().await;
    let code = company.provider.give_code(&page, person("ann", [Scope::Read]));
    let callback = format!("{CALLBACK}?code={code}&state={}", state_of(&page));
    let response = browser.request(Method::GET, &callback).send().await.unwrap();
    let mut cookies = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|line| line.to_str().unwrap());
    let session = cookies.find(|line| line.starts_with("dm_session=")).unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(session.contains(part), "{session}");
    }
}

#[actix_web::test]
async fn the_provider_sends_browsers_back_to_the_configured_address_alone() {
    let company = Company::start_with(|config| {
        config.console_url = Some("https://console.example/".to_owned());
        config.dashboard.allowed_hosts = vec!["console.example".to_owned()];
    })
    .await;
    let back = "redirect_uri=https://console.example/api/sign-in/callback";
    let mut browser = company.browser();
    for query in [
        "",
        "?redirect_uri=https://evil.example",
        "?return_to=//evil.example",
        "?next=https://evil.example/",
    ] {
        let page = browser.go(&format!("/api/sign-in/account{query}")).await;
        assert!(page.ends_with(back), "{page}");
        let code = company.provider.give_code(&page, person("ann", [Scope::Read]));
        let query = query.replace('?', "&");
        let callback = format!("{CALLBACK}?code={code}&state={}{query}", state_of(&page));
        assert_eq!(browser.go(&callback).await, "/");
    }
    for (name, value) in [("Host", "evil.example"), ("X-Forwarded-Host", "evil.example")] {
        let request = browser
            .request(Method::GET, "/api/sign-in/account")
            .header(name, value);
        let response = request.send().await.unwrap();
        let leads_to = response
            .headers()
            .get("location")
            .map(|url| url.to_str().unwrap().to_owned());
        assert!(leads_to.is_none_or(|url| url.ends_with(back)), "{name}");
    }
}

#[actix_web::test]
async fn why_nobody_was_signed_in_is_told_to_the_page() {
    let company = Company::start().await;
    let mut browser = company.browser();
    for (answer, fault) in [
        ("error=access_denied", "denied"),
        ("error=server_error&error_description=x", "refused"),
        ("code=unknown", "refused"),
        ("", "refused"),
    ] {
        let page = browser.begin().await;
        let callback = format!("{CALLBACK}?{answer}&state={}", state_of(&page));
        assert_eq!(browser.go(&callback).await, format!("/#/sign-in/{fault}"));
    }
    company.provider.set_away(true);
    assert_eq!(browser.go("/api/sign-in/account").await, "/#/sign-in/unreachable");
    assert!(!browser.is_signed_in());
}

#[actix_web::test]
async fn nobody_is_signed_out_by_a_provider_that_is_away() {
    let company = Company::start().await;
    let browser = company.signed_in(person("ann", [Scope::Read])).await;
    company.provider.set_away(true);
    assert_eq!(browser.get("/api/shares").await.status, 200);
    assert_eq!(browser.get("/api/session").await.status, 200);
}

#[actix_web::test]
async fn a_person_signs_out_here_and_at_the_provider() {
    let company = Company::start().await;
    let browser = company.signed_in(person("ann", [Scope::Read])).await;
    let mut without_token = browser.request(Method::DELETE, "/api/session").build().unwrap();
    without_token.headers_mut().remove("X-CSRF-Token");
    let refused = browser.client.execute(without_token).await.unwrap();
    assert_eq!(refused.status(), 403, "no foreign page signs anybody out");
    let out = Answer::of(browser.request(Method::DELETE, "/api/session")).await;
    let url = format!(
        "{}?back={}/",
        MemoryIdentityProvider::SIGN_OUT,
        company.node.console
    );
    assert_eq!((out.status, &out.body), (200, &json!({ "provider_url": url })));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get("/api/shares").await.status, 401);
    let topics: Vec<_> = told(&company.node).into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["person.signed_in", "person.signed_out"]);
}

#[actix_web::test]
async fn an_operator_sees_who_is_signed_in_and_ends_it() {
    let company = Company::start().await;
    let node = &company.node;
    let browser = company.signed_in(person("ann", [Scope::Read])).await;
    let mut request = format!("{}/ws", node.console.replace("http", "ws"))
        .into_client_request()
        .unwrap();
    let (_, id) = &browser.cookies[0];
    let cookie = format!("dm_session={id}");
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let with_key = node.bare(Method::POST, &format!("{}/api/session", node.console));
    let with_key = Answer::of(with_key.json(&json!({"api_key": node.keys.read}))).await;
    assert_eq!(with_key.status, 200);

    let listed = node.get_internal("/sessions").await.body;
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{listed}");
    assert_eq!(sessions[0]["key_id"], with_key.body["key_id"]);
    assert_eq!(sessions[1]["person"]["subject"], "ann");
    assert!(
        !listed.to_string().contains(id.as_str()),
        "who sees it cannot take it over"
    );
    let name = sessions[1]["id"].as_str().unwrap();
    let path = format!("/sessions/{name}");
    assert_eq!(
        browser.get("/api/sessions").await.status,
        403,
        "Ann is no operator"
    );
    let ended = Answer::of(node.internal(Method::DELETE, &path)).await;
    assert_eq!(ended.body, json!({"success": true, "id": name}));
    assert_eq!(browser.get("/api/shares").await.status, 401);
    while let Some(Ok(_)) = socket.next().await {}
    let again = Answer::of(node.internal(Method::DELETE, &path)).await;
    again.is_error(404, "Session not found", None);
    let is_told = |news: News| matches!(news, News::PersonSignedOut { session, .. } if session == name);
    assert!(node.bus.history(200).into_iter().any(|event| is_told(event.news)));
}

#[actix_web::test]
async fn sessions_that_are_made_up_open_nothing() {
    let company = Company::start().await;
    let browser = company.signed_in(person("ann", [Scope::Read])).await;
    let (_, id) = &browser.cookies[0];
    let mut forged = company.browser();
    let name = company.node.get_internal("/sessions").await.body["sessions"][0]["id"].clone();
    for guess in [
        &id[1..],
        &id.to_uppercase(),
        "person:ann",
        "ann",
        name.as_str().unwrap(),
        "",
    ] {
        forged.cookies = vec![("dm_session".to_owned(), guess.to_owned())];
        assert_eq!(forged.get("/api/shares").await.status, 401, "{guess}");
    }
    let header = forged
        .request(Method::GET, "/api/shares")
        .header("X-API-Key", "person:ann");
    assert_eq!(Answer::of(header).await.status, 401);
}

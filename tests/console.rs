//! The console in the browser, as the program serves it. `crates/dm-console/web/tests` tries its
//! pages in a browser.

use reqwest::{Client, Method, StatusCode, header};
use serde_json::json;
use tempfile::tempdir;

use crate::support::{Node, SOMEBODY, http::answer};

#[tokio::test]
async fn a_person_signs_in_to_the_console_of_a_node_with_its_api_key() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let console = node.started.console.clone().unwrap();
    let client = Client::new();

    let page = client.get(format!("{console}/")).send().await.unwrap();
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'"),
        "{policy}"
    );
    let text = page.text().await.unwrap();
    for file in ["/app.js", "/app.css", "/icon.svg"] {
        assert!(text.contains(file), "{text}");
        let found = client.get(format!("{console}{file}")).send().await.unwrap();
        assert_eq!(found.status(), StatusCode::OK, "{file}");
    }

    let wrong = client
        .post(format!("{console}/api/session"))
        .json(&json!({"api_key": "dm_1_2"}));
    assert_eq!(answer(wrong).await.0, StatusCode::UNAUTHORIZED);
    let key = json!({"api_key": node.started.api_key});
    let signed_in = client
        .post(format!("{console}/api/session"))
        .json(&key)
        .send()
        .await
        .unwrap();
    let cookie = signed_in.headers()[header::SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let session: serde_json::Value = signed_in.json().await.unwrap();
    let request = |method: Method, path: &str| {
        client
            .request(method, format!("{console}/api{path}"))
            .header(header::COOKIE, &cookie)
            .header("X-CSRF-Token", session["csrf_token"].as_str().unwrap())
    };

    let share = json!({"data": "from the console", "recipient": SOMEBODY});
    let (status, shared) = answer(request(Method::POST, "/share_data").json(&share)).await;
    assert!(status.is_success(), "{status} {shared}");
    let hash = shared["data_hash"].as_str().unwrap();
    let (status, data) = node.get(&format!("/data/{hash}")).await;
    assert_eq!(
        (status, &data["data"]),
        (StatusCode::OK, &json!("from the console"))
    );
    let (_, info) = answer(request(Method::GET, "/dashboard/info")).await;
    assert_eq!(info["node_id"], "dm-dev");
    assert!(
        console.ends_with(&format!(":{}", info["ports"]["dashboard"])),
        "{info}"
    );
}

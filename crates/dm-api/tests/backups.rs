//! Backups as operators fetch them.

use reqwest::Method;

use crate::common::{Answer, start};

#[actix_web::test]
async fn a_backup_is_streamed_to_operators_and_to_nobody_else() {
    let node = start().await;
    let response = node.internal(Method::GET, "/backup").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-tar");
    assert_eq!(response.bytes().await.unwrap().as_ref(), b"one two");
    let bare = Answer::of(node.bare(Method::GET, &format!("{}/backup", node.internal))).await;
    assert_eq!(bare.status, 401);
    let external = Answer::of(node.external(Method::GET, "/backup")).await;
    assert_eq!(external.status, 404);
}

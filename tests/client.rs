//! The command line as a client: proxies, and nodes that ask it to come back later.

use std::process::Output;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::support::node::dm_node;

/// A server that gives each connection the next answer and keeps the requests' heads.
struct Server {
    url: String,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
        let (heads, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let _ = heads.send(head(&mut socket).await);
                let head = "content-type: application/json\r\nconnection: close\r\n";
                let answer = answer.replacen("\r\n", &format!("\r\n{head}"), 1);
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, requests }
    }

    /// The heads of the requests so far.
    fn heads(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

/// The head of a request; a body that comes with it is read with it.
async fn head(socket: &mut TcpStream) -> String {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(read) => head.extend_from_slice(&piece[..read]),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

const PEERS: &str = "HTTP/1.1 200 OK\r\n\r\n{\"peers\": [], \"count\": 0}";
const LIMITED: &str =
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n\r\n{\"error\": \"Rate limit exceeded\"}";
const AWAY: &str =
    "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\r\n{\"error\": \"the store is away\"}";

async fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = dm_node();
    let output = command
        .args(args)
        .env("DM_API_KEY", "dm_KEY")
        .envs(env.iter().copied());
    output.output().await.unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn the_api_key_goes_through_no_proxy_to_this_machine() {
    let mut proxy = Server::start(&[PEERS]).await;
    let mut node = Server::start(&[PEERS, PEERS]).await;
    let proxies = [
        ("HTTP_PROXY", proxy.url.as_str()),
        ("http_proxy", proxy.url.as_str()),
        ("ALL_PROXY", proxy.url.as_str()),
    ];
    let by_name = node.url.replace("127.0.0.1", "localhost");
    for api in [&node.url, &by_name] {
        let answered = run(&["peers", "--api", api], &proxies).await;
        assert!(answered.status.success(), "{}", errors(&answered));
    }
    let heads = node.heads();
    assert_eq!(heads.len(), 2);
    assert!(heads[0].to_lowercase().contains("x-api-key: dm_key"), "{heads:?}");
    assert_eq!(proxy.heads(), [""; 0]);
}

#[tokio::test]
async fn other_machines_are_reached_through_the_proxy_that_is_set() {
    let mut proxy = Server::start(&[PEERS]).await;
    let api = ["peers", "--api", "http://node.invalid:8081"];
    let url = proxy.url.clone();
    let set = ("http_proxy", url.as_str());
    let direct = run(&api, &[set, ("NO_PROXY", "node.invalid")]).await;
    assert!(!direct.status.success());
    assert_eq!(proxy.heads(), [""; 0]);
    let answered = run(&api, &[set]).await;
    assert!(answered.status.success(), "{}", errors(&answered));
    assert!(proxy.heads()[0].starts_with("GET http://node.invalid:8081/network/peers"));
}

#[tokio::test]
async fn a_command_waits_as_long_as_a_busy_node_asks() {
    let mut node = Server::start(&[LIMITED, AWAY, PEERS]).await;
    let answered = run(&["peers", "--api", &node.url], &[]).await;
    assert!(answered.status.success(), "{}", errors(&answered));
    assert_eq!(node.heads().len(), 3);
}

#[tokio::test]
async fn what_changes_something_is_not_repeated_where_it_may_have_happened() {
    let mut node = Server::start(&[LIMITED, AWAY, PEERS]).await;
    let hash = "0".repeat(64);
    let refused = run(&["erase", &hash, "--yes", "--api", &node.url], &[]).await;
    assert!(!refused.status.success());
    assert!(
        errors(&refused).contains("the store is away"),
        "{}",
        errors(&refused)
    );
    assert_eq!(node.heads().len(), 2);
}

#[tokio::test]
async fn a_command_does_not_wait_for_longer_than_a_minute() {
    let later = LIMITED.replace("retry-after: 1", "retry-after: 3600");
    let mut node = Server::start(&[&later, PEERS]).await;
    let refused = run(&["peers", "--api", &node.url], &[]).await;
    assert!(!refused.status.success());
    assert!(
        errors(&refused).contains("Rate limit exceeded"),
        "{}",
        errors(&refused)
    );
    assert_eq!(node.heads().len(), 1);
}

#[tokio::test]
async fn the_api_key_follows_no_redirect() {
    let mut other = Server::start(&[PEERS]).await;
    let moved = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/network/peers\r\n\r\n",
        other.url
    );
    let node = Server::start(&[&moved]).await;
    let refused = run(&["peers", "--api", &node.url], &[]).await;
    assert!(!refused.status.success());
    assert!(errors(&refused).contains("307"), "{}", errors(&refused));
    assert_eq!(other.heads(), [""; 0]);
}

//! HTTP as bytes on a socket, for what no HTTP library would send.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection to a server, given as `http://address`.
pub async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.trim_start_matches("http://"))
        .await
        .unwrap()
}

/// Sends bytes and reads until the server closes the connection.
pub async fn exchange(url: &str, request: &[u8]) -> String {
    let mut socket = connect(url).await;
    // A server that has seen enough may close while more is being written.
    let _ = socket.write_all(request).await;
    read_all(socket).await
}

/// What the server still sends until it closes the connection.
pub async fn read_all(mut socket: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Breaks a connection off. A client that only closes its side may still wait for the answer: its
/// request runs to its end.
pub fn reset(socket: TcpStream) {
    socket.set_zero_linger().unwrap();
    drop(socket);
}

/// Reads up to the end of a response's head.
pub async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Reads a response that says how long its body is.
pub async fn read_answer(socket: &mut TcpStream) -> String {
    let head = read_head(socket).await;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    socket.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8_lossy(&body)
}

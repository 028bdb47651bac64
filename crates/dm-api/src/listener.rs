//! Listening sockets.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Opens a socket that listens on `address`.
///
/// A client that takes no bytes for `patience` is cut off: the server's body
/// streams wait for the socket, and nothing above it would notice. Linux does
/// it by `TCP_USER_TIMEOUT`, which accepted sockets inherit; other systems keep
/// their own limits.
pub(crate) fn listen(address: SocketAddr, patience: Duration) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(patience))?;
    #[cfg(not(target_os = "linux"))]
    let _ = patience;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

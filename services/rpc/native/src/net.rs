//! Addresses and sockets: "host:port", "[::1]:port" or "unix:path".

use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

const BACKLOG: i32 = 1024;

/// How long data may stay unacknowledged, and how soon the kernel finds out that an idle peer's machine is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

pub enum Address {
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    pub fn new(text: &str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Address::Unix(Path::new(path.strip_prefix("//").unwrap_or(path)).to_owned()),
            None => Address::Tcp(text.to_owned()),
        }
    }

    /// What HTTP/2 calls the authority.
    pub fn authority(&self) -> String {
        match self {
            Address::Tcp(text) => text.clone(),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// Sockets that listen, not yet joined to the wire's thread. Made by the caller, so that it hears of a taken port.
pub enum Bound {
    Tcp(Vec<std::net::TcpListener>),
    Unix(std::os::unix::net::UnixListener),
}

impl Bound {
    /// Listens at an address; a name is listened on at all its addresses, with the same port.
    pub fn new(address: &Address, reuse_port: bool) -> Result<Self> {
        match address {
            Address::Tcp(text) => {
                let mut found = text.to_socket_addrs()?;
                let first = found
                    .next()
                    .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the name has no address"))?;
                let mut listeners = vec![listen(first, reuse_port)?];
                let port = listeners[0].local_addr()?.port();
                for mut other in found {
                    other.set_port(port);
                    listeners.extend(listen(other, reuse_port)); // e.g. IPv6 is switched off
                }
                Ok(Bound::Tcp(listeners))
            }
            Address::Unix(path) => {
                if path.metadata().is_ok_and(|found| found.file_type().is_socket())
                    && std::os::unix::net::UnixStream::connect(path).is_err()
                {
                    std::fs::remove_file(path)?; // nobody listens on it any more
                }
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Ok(Bound::Unix(listener))
            }
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Bound::Tcp(listeners) => listeners[0].local_addr().map_or(0, |address| address.port()),
            Bound::Unix(_) => 0,
        }
    }

    /// Joins the sockets to the thread that this runs on.
    pub fn into_listeners(self) -> Result<Vec<Listener>> {
        match self {
            Bound::Tcp(listeners) => listeners
                .into_iter()
                .map(|each| Ok(Listener::Tcp(TcpListener::from_std(each)?)))
                .collect(),
            Bound::Unix(listener) => Ok(vec![Listener::Unix(UnixListener::from_std(listener)?)]),
        }
    }
}

fn listen(address: SocketAddr, reuse_port: bool) -> Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection's socket.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub async fn accept(&self) -> Result<Stream> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                tune(&stream);
                Ok(Stream::Tcp(stream))
            }
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

/// Connects to the first address of a name that takes it.
pub async fn connect(address: &Address) -> Result<Stream> {
    match address {
        Address::Tcp(text) => {
            let stream = TcpStream::connect(text.as_str()).await?;
            tune(&stream);
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

/// Small messages go at once; a peer whose machine is gone is noticed by the kernel, without a ping of ours.
fn tune(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(1));
    let socket = SockRef::from(stream);
    // None of them is needed to go on.
    let _ = stream.set_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive.with_retries(5));
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

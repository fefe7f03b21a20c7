//! A server on the wire's thread: how it listens, and its connections from their handshake to their end.

use std::collections::HashMap;
use std::future::{pending, poll_fn, Future};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout, Instant};
use tokio_rustls::TlsAcceptor;

use crate::bridge::Bridge;
use crate::calls::Methods;
use crate::message::{self, Room};
use crate::net::{Listener, Stream};
use crate::pulse::{self, Heard, Keepalive, Listening};
use crate::served::{self, elapsed};

/// How long a client may take to say that it speaks HTTP/2.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection that is given up may take to say so.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long a client without calls may take to see that the server stops: it closes the connection, or is cut off.
const LAST_WORD: Duration = Duration::from_millis(500);
/// After a failed accept, e.g. for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Whether the server takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// No new connections and calls; running ones may end.
    Draining,
    /// Running calls end now.
    Over,
}

/// What all connections of a server share.
pub struct Service {
    pub bridge: Arc<Bridge>,
    pub methods: Arc<Methods>,
    /// A method's name to its place, and whether it streams.
    pub paths: HashMap<String, (usize, bool)>,
    pub limit: usize,
    pub max_streams: u32,
    pub max_age: Option<Duration>,
    pub keepalive: Option<Keepalive>,
    /// Responses above so many bytes are compressed for those that read that.
    pub compress_above: Option<usize>,
    pub tls: Option<TlsAcceptor>,
    /// Never used but for its end: the server has ended when nobody holds it any more.
    pub _alive: mpsc::Sender<()>,
}

/// Serves until told to stop; returns when no call is left.
pub async fn serve(
    listeners: Vec<Listener>,
    service: Arc<Service>,
    mut phase: watch::Receiver<Phase>,
    end: watch::Sender<Phase>,
    mut calls: mpsc::Receiver<()>,
    grace: oneshot::Receiver<Duration>,
) {
    let mut connections = JoinSet::new();
    let mut grace = pin!(grace);
    let grace = loop {
        tokio::select! {
            accepted = accept(&listeners) => match accepted {
                Ok(Stream::Tcp(io)) => drop(connections.spawn(tcp(io, service.clone(), phase.clone()))),
                Ok(Stream::Unix(io)) => drop(connections.spawn(connection(io, service.clone(), phase.clone()))),
                Err(_) => sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
            asked = &mut grace => break asked.unwrap_or_default(),
        }
    };
    drop(listeners);
    drop(service);
    let _ = end.send(Phase::Draining);
    phase.mark_unchanged();
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(grace, drained).await.is_err() {
        let _ = end.send(Phase::Over);
        while connections.join_next().await.is_some() {}
    }
    while calls.recv().await.is_some() {} // until every task of a call has ended
}

async fn accept(listeners: &[Listener]) -> std::io::Result<Stream> {
    let mut accepting: Vec<_> = listeners.iter().map(|listener| Box::pin(listener.accept())).collect();
    poll_fn(|context| {
        for each in &mut accepting {
            if let ready @ std::task::Poll::Ready(_) = each.as_mut().poll(context) {
                return ready;
            }
        }
        std::task::Poll::Pending
    })
    .await
}

async fn tcp(io: TcpStream, service: Arc<Service>, phase: watch::Receiver<Phase>) {
    let Some(tls) = service.tls.clone() else {
        return connection(io, service, phase).await;
    };
    if let Some(io) = unless_draining(phase.clone(), tls.accept(io)).await {
        connection(io, service, phase).await;
    }
}

/// A handshake, unless it fails, takes too long, or the server is asked to stop before it is through.
async fn unless_draining<T, E>(
    mut phase: watch::Receiver<Phase>,
    handshake: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    tokio::select! {
        biased;
        shaken = timeout(HANDSHAKE, handshake) => shaken.ok()?.ok(),
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => None,
    }
}

async fn connection<T>(io: T, service: Arc<Service>, mut phase: watch::Receiver<Phase>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut settings = h2::server::Builder::new();
    settings
        .initial_window_size(message::STREAM_WINDOW)
        .initial_connection_window_size(message::CONNECTION_WINDOW)
        .data_frame_budget(message::SMALL_FRAMES)
        .max_frame_size(message::MAX_FRAME)
        .max_header_list_size(message::MAX_HEADERS)
        .max_concurrent_streams(service.max_streams)
        .max_concurrent_reset_streams(service.max_streams as usize)
        .max_pending_accept_reset_streams(service.max_streams as usize);
    let heard = Heard::new();
    let shaking = settings.handshake::<_, Bytes>(Listening::new(io, heard.clone()));
    let Some(mut connection) = unless_draining(phase.clone(), shaking).await else {
        return;
    };
    let room = Room::new();
    let pings = connection.ping_pong();
    let mut lost = pin!(async {
        match (pings, service.keepalive) {
            (Some(pings), Some(keepalive)) => pulse::until_lost(pings, heard, keepalive).await,
            _ => pending().await,
        }
    });
    let mut age = pin!(elapsed(service.max_age.map(|age| Instant::now() + age)));
    let mut is_old = false;
    let mut last_word = pin!(sleep(LAST_WORD));
    let mut is_draining = *phase.borrow_and_update() != Phase::Serving;
    if is_draining {
        connection.graceful_shutdown();
    }
    let mut told = pin!(change(phase.clone()));
    loop {
        tokio::select! {
            biased; // a client that sends without end must not keep its server from stopping
            () = &mut told => {
                match *phase.borrow_and_update() {
                    Phase::Serving => {}
                    Phase::Draining => {
                        is_draining = true;
                        connection.graceful_shutdown();
                        last_word.as_mut().reset(Instant::now() + LAST_WORD);
                    }
                    Phase::Over => break,
                }
                told.set(change(phase.clone()));
            }
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => served::start(&service, room.clone(), request, respond),
                Some(Err(_)) | None => return, // the peer was told
            },
            () = &mut age, if !is_old => {
                is_old = true;
                connection.graceful_shutdown();
            }
            () = &mut last_word, if is_draining => {
                if room.is_unshared() {
                    break; // nothing runs, and the client neither closes nor answers
                }
                last_word.as_mut().reset(Instant::now() + LAST_WORD);
            }
            () = &mut lost => return,
        }
    }
    connection.abrupt_shutdown(Reason::NO_ERROR);
    let _ = timeout(FAREWELL, poll_fn(|context| connection.poll_closed(context))).await;
}

/// Returns when the phase is another one than was last seen.
async fn change(mut phase: watch::Receiver<Phase>) {
    if phase.changed().await.is_err() {
        pending().await // it stays as it is
    }
}

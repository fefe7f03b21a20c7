//! A channel on the wire's thread: one connection, made when first needed and again when it breaks.

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{timeout, Instant};

use crate::called::{self, Call};
use crate::calls::Outcome;
use crate::grpc::{self, Status};
use crate::message::{self, Room};
use crate::net::{self, Address, Stream};
use crate::pulse::{Keepalive, Listening, Pulse};
use crate::tls;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_millis(800);
/// After a failed attempt, calls fail at once for so long; it doubles with each failure.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LAST_BACKOFF: Duration = Duration::from_secs(2);

const FAILED: &str = "the transport has failed"; // what failed was printed

/// How many cancelled calls are remembered (for a second), so that what still comes for them is dropped at once.
const CANCELLED_STREAMS: usize = 4096;

/// What a connection is at.
enum State {
    Idle,
    Connecting,
    Connected(Peer),
    Failed { until: Instant, why: String },
}

/// The connection on which a call is to be made.
pub enum Connection {
    There(Peer),
    /// It is being made; or why it could not be.
    Coming(oneshot::Receiver<Result<Peer, String>>),
}

/// What a task of the channel has to say when it ends.
pub enum Ending {
    Connected(std::io::Result<Peer>),
    /// The connection that had this number is no more.
    Disconnected(u64),
    Called,
    /// A call comes back from the connection of this number, which takes no more.
    Again(u64, Box<Call>),
}

pub struct Channel {
    pub address: Address,
    pub tls: Option<tls::Client>,
    pub limit: usize,
    pub keepalive: Option<Keepalive>,
}

/// A connection that takes calls.
#[derive(Clone)]
pub struct Peer {
    pub requests: SendRequest<Bytes>,
    pub pulse: Arc<Pulse>,
}

/// Makes calls until `calls` is closed; those under way then end as CANCELLED.
pub async fn run(channel: Arc<Channel>, mut calls: mpsc::UnboundedReceiver<Box<Call>>) {
    let mut state = State::Idle;
    let mut backoff = FIRST_BACKOFF;
    let mut waiting: Vec<oneshot::Sender<Result<Peer, String>>> = Vec::new();
    let mut tasks: JoinSet<Ending> = JoinSet::new();
    let room = Room::new();
    let mut connection = 0; // the number of the last one
    let (ended_sender, mut ended) = mpsc::unbounded_channel::<u64>();
    loop {
        let ending = tokio::select! {
            biased; // a connection is known before its end is, however soon that comes
            Some(ending) = tasks.join_next() => match ending {
                Ok(ending) => ending,
                Err(_) if matches!(state, State::Connecting) => Ending::Connected(Err(Error::other(FAILED))),
                Err(_) => Ending::Called, // its caller was told
            },
            number = ended.recv() => Ending::Disconnected(number.unwrap_or_default()),
            call = calls.recv() => match call {
                Some(call) => Ending::Again(0, call),
                None => break,
            },
        };
        match ending {
            Ending::Called => {}
            Ending::Again(number, mut call) => {
                if number == connection && matches!(state, State::Connected(_)) {
                    state = State::Idle;
                }
                if let State::Failed { until, why } = &state {
                    if Instant::now() < *until {
                        call.teller.ended(unreachable(why));
                        continue;
                    }
                    state = State::Idle;
                }
                if matches!(state, State::Idle) {
                    state = State::Connecting;
                    connection += 1;
                    let (channel, ended, number) = (channel.clone(), ended_sender.clone(), connection);
                    tasks.spawn(async move { Ending::Connected(connect(&channel, number, ended).await) });
                }
                let on = match &state {
                    State::Connected(peer) => Connection::There(peer.clone()),
                    _ => {
                        let (connected, coming) = oneshot::channel();
                        waiting.push(connected);
                        Connection::Coming(coming)
                    }
                };
                tasks.spawn(called::make(on, connection, call, channel.limit, room.clone()));
            }
            Ending::Connected(Ok(peer)) => {
                backoff = FIRST_BACKOFF;
                for call in waiting.drain(..) {
                    let _ = call.send(Ok(peer.clone())); // it may have ended meanwhile
                }
                state = State::Connected(peer);
            }
            Ending::Connected(Err(error)) => {
                let why = error.to_string();
                for call in waiting.drain(..) {
                    let _ = call.send(Err(why.clone()));
                }
                state = State::Failed {
                    until: Instant::now() + backoff,
                    why,
                };
                backoff = (backoff * 2).min(LAST_BACKOFF);
            }
            Ending::Disconnected(number) => {
                if number == connection && matches!(state, State::Connected(_)) {
                    state = State::Idle;
                }
            }
        }
    }
    tasks.shutdown().await; // each tells its caller when it is dropped
}

pub fn unreachable(why: &str) -> Outcome {
    Outcome::failure(Status::new(grpc::UNAVAILABLE, format!("cannot connect: {why}")))
}

/// Connects; a task of its own then keeps the connection going, and tells `ended` when it takes no more calls.
async fn connect(channel: &Channel, number: u64, ended: mpsc::UnboundedSender<u64>) -> std::io::Result<Peer> {
    let keepalive = channel.keepalive;
    let connecting = async {
        match (net::connect(&channel.address).await?, &channel.tls) {
            (Stream::Tcp(io), None) => shake_hands(io, number, ended, keepalive).await,
            (Stream::Tcp(io), Some(tls)) => {
                let io = tls.connector.connect(tls.server.clone(), io).await?;
                shake_hands(io, number, ended, keepalive).await
            }
            (Stream::Unix(io), _) => shake_hands(io, number, ended, keepalive).await,
        }
    };
    match timeout(CONNECT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(Error::new(ErrorKind::TimedOut, "connecting took too long")),
    }
}

async fn shake_hands<T>(
    io: T,
    number: u64,
    ended: mpsc::UnboundedSender<u64>,
    keepalive: Option<Keepalive>,
) -> std::io::Result<Peer>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut settings = h2::client::Builder::new();
    settings
        .initial_window_size(message::STREAM_WINDOW)
        .initial_connection_window_size(message::CONNECTION_WINDOW)
        .data_frame_budget(message::SMALL_FRAMES)
        .max_frame_size(message::MAX_FRAME)
        .max_header_list_size(message::MAX_HEADERS)
        // Answers that cross a cancel on their way are no offence; else many cancels would end the connection.
        .max_concurrent_reset_streams(CANCELLED_STREAMS)
        .max_local_error_reset_streams(None)
        .enable_push(false);
    let pulse = Arc::new(Pulse::new());
    let (requests, connection) = settings
        .handshake::<_, Bytes>(Listening::new(io, pulse.heard.clone()))
        .await
        .map_err(Error::other)?;
    let watching = pulse.clone();
    tokio::spawn(async move {
        // Its calls hear of its errors themselves, also of its being dropped.
        match keepalive {
            Some(keepalive) => watching.keep(connection, keepalive).await,
            None => drop(connection.await),
        }
        let _ = ended.send(number); // the channel may be closed
    });
    Ok(Peer { requests, pulse })
}

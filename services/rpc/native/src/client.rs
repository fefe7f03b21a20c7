//! A channel on the wire's thread: one connection, made when first needed and again when it breaks, and one task per
//! call.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::header::{HeaderMap, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use pyo3::{Py, PyAny};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout, Instant};

use crate::bridge::{Bridge, Event};
use crate::calls::{Outcome, Replied, Replies};
use crate::grpc::{self, Status};
use crate::message::{self, Broken, Message, Reader, Room};
use crate::net::{self, Address, Stream};
use crate::pulse::{Keepalive, Listening, Pulse};
use crate::streams::{Came, Ended, Headed, Shared, Writable};
use crate::tls;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_millis(800);
/// After a failed attempt, calls fail at once for so long; it doubles with each failure.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LAST_BACKOFF: Duration = Duration::from_secs(2);

/// How many cancelled calls are remembered (for a second), so that what still comes for them is dropped at once.
const CANCELLED_STREAMS: usize = 4096;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("clipper-native/", env!("CARGO_PKG_VERSION")));

/// Whom to tell about a call.
pub enum Caller {
    Unary {
        done: Arc<Mutex<Option<Py<PyAny>>>>,
    },
    Stream {
        shared: Arc<Shared>,
        /// Whether it is told what comes ahead of the first response.
        wants_head: bool,
    },
}

/// What is sent.
pub enum Body {
    /// A framed message.
    One(Bytes),
    /// Framed messages, as they come.
    Many(mpsc::UnboundedReceiver<Bytes>),
}

/// A call to be made.
pub struct Call {
    pub uri: Uri,
    pub body: Body,
    pub metadata: HeaderMap,
    pub deadline: Option<Instant>,
    pub cancel: Option<oneshot::Receiver<()>>,
    pub teller: Teller,
    /// Whether it was sent once already, to a peer that did not look at it.
    pub is_second_try: bool,
}

/// Tells Python the outcome of a call, exactly once, however its task ends.
pub struct Teller {
    bridge: Arc<Bridge>,
    replies: Arc<Replies>,
    caller: Option<Caller>,
}

impl Teller {
    pub fn new(bridge: Arc<Bridge>, replies: Arc<Replies>, caller: Caller) -> Self {
        Teller {
            bridge,
            replies,
            caller: Some(caller),
        }
    }

    fn headed(&self, headers: &mut HeaderMap) {
        if let Some(Caller::Stream {
            shared,
            wants_head: true,
        }) = &self.caller
        {
            let headers = std::mem::take(headers);
            self.bridge.push(Box::new(Headed(shared.clone(), headers)));
        }
    }

    fn writable(&self) {
        if let Some(Caller::Stream { shared, .. }) = &self.caller {
            self.bridge.push(Box::new(Writable(shared.clone())));
        }
    }

    fn came(&self, message: Message) {
        if let Some(Caller::Stream { shared, .. }) = &self.caller {
            self.bridge.push(Box::new(Came(shared.clone(), message)));
        }
    }

    pub fn ended(&mut self, outcome: Outcome) {
        let replies = self.replies.clone();
        let event: Box<dyn Event> = match self.caller.take() {
            Some(Caller::Unary { done }) => Box::new(Replied { replies, done, outcome }),
            Some(Caller::Stream { shared, .. }) => {
                shared.close();
                Box::new(Ended(shared, Some((replies, outcome))))
            }
            None => return,
        };
        self.bridge.push(event);
    }

    /// Nobody wants to hear any more.
    fn forget(&mut self) {
        if let Some(Caller::Stream { shared, .. }) = self.caller.take() {
            shared.close();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.ended(Outcome::failure(if std::thread::panicking() {
            Status::new(grpc::INTERNAL, "the transport has failed") // what failed was printed
        } else {
            Status::new(grpc::CANCELLED, "")
        }));
    }
}

/// What a connection is at.
enum State {
    Idle,
    Connecting,
    Connected(Peer),
    Failed { until: Instant, why: String },
}

/// What a task of the channel has to say when it ends.
enum Ending {
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
    requests: SendRequest<Bytes>,
    pulse: Arc<Pulse>,
}

/// Makes calls until `calls` is closed; those under way then end as CANCELLED.
pub async fn run(channel: Arc<Channel>, mut calls: mpsc::UnboundedReceiver<Box<Call>>) {
    let mut state = State::Idle;
    let mut backoff = FIRST_BACKOFF;
    let mut waiting: Vec<Box<Call>> = Vec::new();
    let mut tasks: JoinSet<Ending> = JoinSet::new();
    let room = Room::new();
    let mut connection = 0; // the number of the last one
    let (ended_sender, mut ended) = mpsc::unbounded_channel::<u64>();
    loop {
        let ending = tokio::select! {
            biased;
            number = ended.recv() => Ending::Disconnected(number.unwrap_or_default()),
            Some(Ok(ending)) = tasks.join_next() => ending,
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
                match &state {
                    State::Connected(peer) => {
                        drop(tasks.spawn(make(peer.clone(), connection, call, channel.limit, room.shared())))
                    }
                    _ => waiting.push(call),
                }
            }
            Ending::Connected(Ok(peer)) => {
                backoff = FIRST_BACKOFF;
                for call in waiting.drain(..) {
                    tasks.spawn(make(peer.clone(), connection, call, channel.limit, room.shared()));
                }
                state = State::Connected(peer);
            }
            Ending::Connected(Err(error)) => {
                let why = error.to_string();
                for mut call in waiting.drain(..) {
                    call.teller.ended(unreachable(&why));
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
    drop(waiting);
    tasks.shutdown().await; // each tells its caller when it is dropped
}

fn unreachable(why: &str) -> Outcome {
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
        Err(_) => Err(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "connecting took too long",
        )),
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
    let pulse = Arc::new(Pulse::default());
    let (requests, mut connection) = settings
        .handshake::<_, Bytes>(Listening::new(io, pulse.heard.clone()))
        .await
        .map_err(std::io::Error::other)?;
    let (pings, watched) = (connection.ping_pong(), pulse.clone());
    tokio::spawn(async move {
        let lost = async {
            match (pings, keepalive) {
                (Some(pings), Some(keepalive)) => watched.until_lost(pings, keepalive).await,
                _ => pending().await,
            }
        };
        // Its calls hear of its errors themselves, also of its being dropped.
        tokio::select! {
            biased;
            _ = connection => {}
            () = lost => {}
        }
        let _ = ended.send(number); // the channel may be closed
    });
    Ok(Peer { requests, pulse })
}

/// Makes one call. Gives it back if the peer cannot have looked at it and another connection may do.
async fn make(peer: Peer, number: u64, mut call: Box<Call>, limit: usize, room: Room) -> Ending {
    let _under_way = peer.pulse.begin();
    let deadline = call.deadline;
    let expired = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => pending().await,
        }
    };
    let Call {
        uri,
        body,
        metadata,
        cancel,
        teller,
        is_second_try,
        ..
    } = &mut *call;
    let cancelled = async {
        if let Some(asked) = cancel {
            if asked.await.is_ok() {
                return;
            }
            *cancel = None; // Python has let go of the call, but waits for its outcome
        }
        pending().await
    };
    let request = request(uri, metadata, deadline);
    let talked = tokio::select! {
        biased;
        () = cancelled => {
            teller.forget();
            return Ending::Called;
        }
        talked = talk(peer, request, body, Limits { limit, room }, teller) => talked,
        () = expired => Ok(Outcome::failure(Status::new(grpc::DEADLINE_EXCEEDED, "the deadline has passed"))),
    };
    match talked {
        Ok(outcome) => teller.ended(outcome),
        Err(error) if !*is_second_try && is_untouched(&error) && error.can_be_sent_again(body) => {
            *is_second_try = true;
            return Ending::Again(number, call);
        }
        Err(error) => teller.ended(Outcome::failure(Status::of_break(&error.error))),
    }
    Ending::Called
}

/// What a response may take.
struct Limits {
    limit: usize,
    room: Room,
}

/// A call's stream broke.
struct Break {
    error: h2::Error,
    /// Whether the request was on its way already.
    is_sent: bool,
}

impl Break {
    /// Whether all that was to be sent is still there.
    fn can_be_sent_again(&self, body: &Body) -> bool {
        matches!(body, Body::One(_)) || !self.is_sent
    }
}

/// Whether the peer cannot have looked at the request: it refused it, or said goodbye without counting it in, or the
/// connection was gone before it was sent.
fn is_untouched(broken: &Break) -> bool {
    let is_refused = broken.error.reason() == Some(Reason::REFUSED_STREAM);
    let is_uncounted = broken.error.is_go_away() && broken.error.is_remote();
    is_refused || is_uncounted || !broken.is_sent && broken.error.is_io()
}

fn request(uri: &Uri, metadata: &HeaderMap, deadline: Option<Instant>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    *request.version_mut() = http::Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, grpc::CONTENT_TYPE);
    headers.insert(USER_AGENT, AGENT);
    headers.insert(grpc::GRPC_ACCEPT_ENCODING, grpc::ENCODINGS);
    if let Some(deadline) = deadline {
        headers.insert(
            grpc::GRPC_TIMEOUT,
            grpc::timeout_value(deadline.saturating_duration_since(Instant::now())),
        );
    }
    headers.extend(metadata.iter().map(|(name, value)| (name.clone(), value.clone())));
    request
}

/// Sends the request and follows the response to its end.
async fn talk(
    peer: Peer,
    request: Request<()>,
    body: &mut Body,
    limits: Limits,
    teller: &Teller,
) -> Result<Outcome, Break> {
    let unsent = |error| Break { error, is_sent: false };
    let Peer { requests, pulse } = peer;
    let mut requests = requests.ready().await.map_err(unsent)?;
    let (response, mut sending) = requests.send_request(request, false).map_err(unsent)?;
    drop(requests);
    let sent = |error| Break { error, is_sent: true };
    let mut sending = pin!(send_body(&mut sending, body, teller));
    let mut following = pin!(async {
        let head = response.await.map_err(sent)?;
        pulse.answered();
        follow(head, limits, teller, &pulse).await
    });
    tokio::select! {
        biased;
        outcome = &mut following => outcome,
        () = &mut sending => following.await,
    }
}

/// Follows a response from its head to its end.
async fn follow(head: Response<RecvStream>, limits: Limits, teller: &Teller, pulse: &Pulse) -> Result<Outcome, Break> {
    let sent = |error| Break { error, is_sent: true };
    let (mut head, body) = head.into_parts();
    if let Some(status) = Status::read_from(&head.headers) {
        return Ok(Outcome {
            trailing: head.headers,
            ..Outcome::failure(status)
        }); // a status alone
    }
    if head.status != StatusCode::OK {
        return Ok(Outcome::failure(Status::of_http(head.status)));
    }
    let is_gzip = head
        .headers
        .get(grpc::GRPC_ENCODING)
        .is_some_and(|value| value == "gzip");
    let mut reader = Reader::new(body, limits.limit, is_gzip, limits.room);
    let followed = match &teller.caller {
        Some(Caller::Stream { shared, .. }) => {
            teller.headed(&mut head.headers);
            shared.open(reader.flow_control());
            pass_on(&mut reader, teller, pulse).await.map(|()| None)
        }
        _ => only(&mut reader).await,
    };
    match followed {
        Ok(message) => {
            let trailing = reader.trailers().await.map_err(sent)?.unwrap_or_default();
            let Some(status) = Status::read_from(&trailing) else {
                return Ok(Outcome::failure(Status::new(
                    grpc::INTERNAL,
                    "the response ends without a status",
                )));
            };
            if status.code != grpc::OK {
                return Ok(Outcome {
                    initial: head.headers,
                    trailing,
                    ..Outcome::failure(status)
                });
            }
            if message.is_none() && matches!(teller.caller, Some(Caller::Unary { .. })) {
                return Ok(Outcome::failure(Status::new(
                    grpc::INTERNAL,
                    "the response has no message",
                )));
            }
            Ok(Outcome {
                status,
                message,
                initial: head.headers,
                trailing,
            })
        }
        Err(Broken::Refused(status)) => Ok(Outcome::failure(status)),
        Err(Broken::Gone(error)) => Err(sent(error)),
    }
}

/// Sends the messages of a request; for ever where it cannot, since the response tells why.
async fn send_body(sending: &mut SendStream<Bytes>, body: &mut Body, teller: &Teller) {
    let sent = match body {
        Body::One(message) => message::send(sending, message.clone()).await,
        Body::Many(messages) => send_all(sending, messages, teller).await,
    };
    if sent.is_err() || sending.send_data(Bytes::new(), true).is_err() {
        pending::<()>().await;
    }
}

async fn send_all(
    sending: &mut SendStream<Bytes>,
    messages: &mut mpsc::UnboundedReceiver<Bytes>,
    teller: &Teller,
) -> Result<(), h2::Error> {
    while let Some(message) = messages.recv().await {
        let size = message.len();
        message::send(sending, message).await?;
        if matches!(&teller.caller, Some(Caller::Stream { shared, .. }) if shared.sent(size)) {
            teller.writable();
        }
    }
    Ok(())
}

/// The message of a unary response; None if there is only a status.
async fn only(reader: &mut Reader) -> Result<Option<Message>, Broken> {
    let Some(mut message) = reader.next().await? else {
        return Ok(None);
    };
    reader.release(std::mem::take(&mut message.held));
    if reader.next().await?.is_some() {
        let text = "there are several messages; a unary response has one";
        return Err(Broken::Refused(Status::new(grpc::INTERNAL, text)));
    }
    Ok(Some(message))
}

/// Passes the messages of a response on.
async fn pass_on(reader: &mut Reader, teller: &Teller, pulse: &Pulse) -> Result<(), Broken> {
    while let Some(message) = reader.next().await? {
        pulse.answered();
        teller.came(message);
    }
    Ok(())
}

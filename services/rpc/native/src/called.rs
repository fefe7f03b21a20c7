//! Calls that are made, on the wire's thread: one task each, from the request to the outcome.

use std::future::pending;
use std::pin::pin;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::header::{HeaderMap, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, Instant};

use crate::calls::Outcome;
use crate::client::{unreachable, Connection, Ending};
use crate::grpc::{self, Status};
use crate::message::{self, Broken, Message, Reader, Room};
use crate::teller::{Caller, Teller};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("clipper-native/", env!("CARGO_PKG_VERSION")));

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

/// Makes one call. Gives it back if the peer cannot have looked at it and another connection may do.
pub async fn make(on: Connection, number: u64, mut call: Box<Call>, limit: usize, room: Room) -> Ending {
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
    let talking = async {
        let peer = match on {
            Connection::There(peer) => peer,
            Connection::Coming(peer) => match peer.await {
                Ok(Ok(peer)) => peer,
                Ok(Err(why)) => return Ok(unreachable(&why)),
                Err(_) => pending().await, // the channel is being closed
            },
        };
        let _under_way = peer.pulse.begin();
        let request = request(uri, metadata, deadline);
        talk(peer.requests, request, body, Limits { limit, room }, teller).await
    };
    let talked = tokio::select! {
        biased;
        () = cancelled => {
            teller.forget();
            return Ending::Called;
        }
        talked = talking => talked,
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
    requests: SendRequest<Bytes>,
    request: Request<()>,
    body: &mut Body,
    limits: Limits,
    teller: &Teller,
) -> Result<Outcome, Break> {
    let unsent = |error| Break { error, is_sent: false };
    let mut requests = requests.ready().await.map_err(unsent)?;
    let (response, mut sending) = requests.send_request(request, false).map_err(unsent)?;
    drop(requests);
    let sent = |error| Break { error, is_sent: true };
    let mut sending = pin!(send_body(&mut sending, body, teller));
    let mut following = pin!(async {
        let head = response.await.map_err(sent)?;
        follow(head, limits, teller).await
    });
    tokio::select! {
        biased;
        outcome = &mut following => outcome,
        () = &mut sending => following.await,
    }
}

/// Follows a response from its head to its end.
async fn follow(head: Response<RecvStream>, limits: Limits, teller: &Teller) -> Result<Outcome, Break> {
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
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        let text = format!(
            "the peer does not speak gRPC: it answered {:?}",
            String::from_utf8_lossy(kind.unwrap_or_default())
        );
        return Ok(Outcome::failure(Status::new(grpc::UNKNOWN, text)));
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
            pass_on(&mut reader, teller).await.map(|()| None)
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
async fn pass_on(reader: &mut Reader, teller: &Teller) -> Result<(), Broken> {
    while let Some(message) = reader.next().await? {
        teller.came(message);
    }
    Ok(())
}

//! Calls that are served, on the wire's thread: one task each, from the request's headers to the status.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::{HeaderMap, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, Instant};

use crate::bridge::Bridge;
use crate::calls::{Answer, Arrived, Arriving, Leave, Left};
use crate::grpc::{self, Status};
use crate::message::{self, Broken, Reader, Room};
use crate::server::Service;
use crate::streams::{Came, Ended, Gone, Opened, Opening, Outgoing, Shared, Writable};

/// Begins a call, in a task of its own.
pub fn start(service: &Arc<Service>, room: Room, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let is_grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if request.method() != Method::POST || !is_grpc {
        let status = if is_grpc {
            StatusCode::METHOD_NOT_ALLOWED
        } else {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        };
        let mut response = Response::new(());
        *response.status_mut() = status;
        let _ = respond.send_response(response, true); // fails only if the caller is gone
        return;
    }
    match service.paths.get(request.uri().path()) {
        Some((method, streams)) => {
            let (service, method) = (service.clone(), *method);
            if *streams {
                tokio::spawn(streaming(service, room, method, request, respond));
            } else {
                tokio::spawn(unary(service, room, method, request, respond));
            }
        }
        None => {
            let text = format!("there is no method {}", request.uri().path());
            refuse(&mut respond, &Status::new(grpc::UNIMPLEMENTED, text));
        }
    }
}

/// A deadline or an age; for ever if there is none.
pub async fn elapsed(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}

/// What the headers of a request say about its call.
struct Call {
    deadline: Option<Instant>,
    /// Whether messages come compressed.
    is_gzip: bool,
    /// Responses above so many bytes are compressed.
    compress_above: Option<usize>,
}

impl Call {
    fn of(headers: &HeaderMap, service: &Service) -> Result<Self, Status> {
        let is_gzip = match headers.get(grpc::GRPC_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => false,
            Some(b"gzip") => true,
            Some(other) => {
                let text = format!(
                    "messages compressed by {:?} are not read",
                    String::from_utf8_lossy(other)
                );
                return Err(Status::new(grpc::UNIMPLEMENTED, text));
            }
        };
        let deadline = match headers.get(grpc::GRPC_TIMEOUT) {
            None => None,
            Some(value) => {
                let malformed = || Status::new(grpc::INTERNAL, "grpc-timeout is malformed");
                Instant::now().checked_add(grpc::parsed_timeout(value).ok_or_else(malformed)?)
            }
        };
        Ok(Call {
            deadline,
            is_gzip,
            compress_above: service.compress_above.filter(|_| grpc::reads_gzip(headers)),
        })
    }
}

fn late() -> Status {
    Status::new(grpc::DEADLINE_EXCEEDED, "the deadline has passed")
}

async fn unary(
    service: Arc<Service>,
    room: Room,
    method: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (head, body) = request.into_parts();
    let call = match Call::of(&head.headers, &service) {
        Ok(call) => call,
        Err(status) => return refuse(&mut respond, &status),
    };
    let mut expiry = pin!(elapsed(call.deadline));
    let mut reader = Reader::new(body, service.limit, call.is_gzip, room);
    let read = tokio::select! {
        biased;
        read = reader.only() => read,
        () = &mut expiry => Err(Broken::Refused(late())),
    };
    let message = match read {
        Ok(message) => message,
        Err(Broken::Refused(status)) => return refuse(&mut respond, &status),
        Err(Broken::Gone(_)) => return,
    };
    let (answer, answered) = oneshot::channel();
    let leave = Arc::new(Leave::of(Arriving {
        bridge: service.bridge.clone(),
        methods: service.methods.clone(),
        method,
        headers: head.headers,
        deadline: call.deadline,
        compress_above: call.compress_above,
        message,
        answer,
    }));
    service.bridge.push(Box::new(Arrived(leave.clone())));
    let left = LeftUnlessAnswered {
        bridge: &service.bridge,
        leave: Some(leave),
    };
    let answered = async {
        match answered.await {
            Ok(answer) => answer,
            Err(_) => pending().await, // the handler has forgotten the call
        }
    };
    tokio::select! {
        biased;
        answer = answered => {
            left.answered();
            let _ = send_answer(&mut respond, answer); // fails only if the caller is gone
        }
        _ = poll_fn(|context| respond.poll_reset(context)) => {}
        () = &mut expiry => refuse(&mut respond, &late()),
    }
}

/// Tells the handler that its caller has left, however the call's task ends.
struct LeftUnlessAnswered<'a> {
    bridge: &'a Arc<Bridge>,
    leave: Option<Arc<Leave>>,
}

impl LeftUnlessAnswered<'_> {
    fn answered(mut self) {
        self.leave.take();
    }
}

impl Drop for LeftUnlessAnswered<'_> {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take().filter(|leave| leave.abandon()) {
            self.bridge.push(Box::new(Left(leave)));
        }
    }
}

fn response_head(metadata: HeaderMap, is_gzip: bool) -> Response<()> {
    let mut response = Response::new(());
    *response.headers_mut() = metadata;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, grpc::CONTENT_TYPE);
    headers.insert(grpc::GRPC_ACCEPT_ENCODING, grpc::ENCODINGS);
    if is_gzip {
        headers.insert(grpc::GRPC_ENCODING, grpc::GZIP);
    }
    response
}

fn send_answer(respond: &mut SendResponse<Bytes>, answer: Answer) -> Result<(), h2::Error> {
    if answer.status.code != grpc::OK {
        return send_status_alone(respond, answer);
    }
    let is_gzip = grpc::is_compressed(&answer.body);
    let mut body = respond.send_response(response_head(answer.initial, is_gzip), false)?;
    body.send_data(answer.body, false)?;
    send_status(&mut body, &answer.status, answer.trailing)
}

fn send_status(body: &mut SendStream<Bytes>, status: &Status, mut trailers: HeaderMap) -> Result<(), h2::Error> {
    status.write_to(&mut trailers);
    body.send_trailers(trailers)
}

fn send_status_alone(respond: &mut SendResponse<Bytes>, answer: Answer) -> Result<(), h2::Error> {
    let mut response = response_head(answer.initial, false);
    response.headers_mut().extend(answer.trailing);
    answer.status.write_to(response.headers_mut());
    respond.send_response(response, true).map(drop)
}

/// Answers with a status alone.
fn refuse(respond: &mut SendResponse<Bytes>, status: &Status) {
    let _ = send_status_alone(respond, Answer::failure(status.clone())); // fails only if the caller is gone
}

async fn streaming(
    service: Arc<Service>,
    room: Room,
    method: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (head, body) = request.into_parts();
    let call = match Call::of(&head.headers, &service) {
        Ok(call) => call,
        Err(status) => return refuse(&mut respond, &status),
    };
    let mut expiry = pin!(elapsed(call.deadline));
    let mut reader = Reader::new(body, service.limit, call.is_gzip, room);
    let (outgoing, to_send) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::default());
    shared.open(reader.flow_control());
    let _gone = GoneAtEnd {
        bridge: &service.bridge,
        shared: &shared,
    };
    shared.begin(Opening {
        bridge: service.bridge.clone(),
        methods: service.methods.clone(),
        method,
        headers: head.headers,
        deadline: call.deadline,
        compress_above: call.compress_above,
        shared: shared.clone(),
        outgoing,
    });
    service.bridge.push(Box::new(Opened(shared.clone())));
    let mut sender = Sender {
        respond,
        is_gzip: call.compress_above.is_some(),
        initial: HeaderMap::new(),
        body: None,
    };
    let ended = tokio::select! {
        biased;
        ended = send_all(&mut sender, to_send, &service.bridge, &shared) => ended,
        status = receive_all(&mut reader, &service.bridge, &shared) => Some(status),
        () = &mut expiry => Some(late()),
    };
    if let Some(status) = ended {
        sender.finish(Answer::failure(status));
    }
}

/// Passes on what comes in; returns when something comes that may not.
async fn receive_all(reader: &mut Reader, bridge: &Arc<Bridge>, shared: &Arc<Shared>) -> Status {
    loop {
        match reader.next().await {
            Ok(Some(message)) => {
                shared.came(message);
                bridge.push(Box::new(Came(shared.clone())));
            }
            Ok(None) => {
                bridge.push(Box::new(Ended(shared.clone(), None)));
                return pending().await;
            }
            Err(Broken::Refused(status)) => return status,
            Err(Broken::Gone(_)) => return pending().await, // the sending half knows as well
        }
    }
}

/// Sends what Python wants sent, no faster than the caller takes it. Returns a status that is still to be sent, if any.
async fn send_all(
    sender: &mut Sender,
    mut to_send: mpsc::UnboundedReceiver<Outgoing>,
    bridge: &Arc<Bridge>,
    shared: &Arc<Shared>,
) -> Option<Status> {
    loop {
        let next = tokio::select! {
            biased;
            next = to_send.recv() => next,
            _ = poll_fn(|context| sender.poll_reset(context)) => return None,
        };
        match next {
            Some(Outgoing::Initial(metadata)) => sender.initial = metadata,
            Some(Outgoing::Message(frame)) => {
                let size = frame.len();
                if sender.send(frame).await.is_err() {
                    return None;
                }
                if shared.sent(size) {
                    bridge.push(Box::new(Writable(shared.clone())));
                }
            }
            Some(Outgoing::Finish(answer)) => {
                sender.finish(answer);
                return None;
            }
            None => return Some(Status::new(grpc::INTERNAL, "the handler has forgotten the call")),
        }
    }
}

/// The sending half of a stream; its head goes out with the first message.
struct Sender {
    respond: SendResponse<Bytes>,
    /// Whether messages may be compressed: each says whether it is.
    is_gzip: bool,
    initial: HeaderMap,
    body: Option<SendStream<Bytes>>,
}

impl Sender {
    async fn send(&mut self, frame: Bytes) -> Result<(), h2::Error> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let head = response_head(std::mem::take(&mut self.initial), self.is_gzip);
                self.body.insert(self.respond.send_response(head, false)?)
            }
        };
        message::send(body, frame).await
    }

    fn finish(&mut self, mut answer: Answer) {
        let _ = match &mut self.body {
            Some(body) => send_status(body, &answer.status, answer.trailing),
            None => {
                answer.initial = std::mem::take(&mut self.initial);
                send_status_alone(&mut self.respond, answer) // also a success may have no message
            }
        }; // fails only if the caller is gone
    }

    fn poll_reset(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        match &mut self.body {
            Some(body) => body.poll_reset(context).map(drop),
            None => self.respond.poll_reset(context).map(drop),
        }
    }
}

/// Tells Python that the stream is over, however its task ends.
struct GoneAtEnd<'a> {
    bridge: &'a Arc<Bridge>,
    shared: &'a Arc<Shared>,
}

impl Drop for GoneAtEnd<'_> {
    fn drop(&mut self) {
        if self.shared.abandon() {
            self.bridge.push(Box::new(Gone(self.shared.clone())));
        }
    }
}

//! Streams as Python sees them: messages that come in one by one, and flow control both ways.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::FlowControl;
use http::HeaderMap;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bridge::{lock, Bridge, Event};
use crate::calls::{described, headers_of, metadata, packed, payload, reply, sendable};
use crate::calls::{Answer, Methods, Outcome, Replies};
use crate::grpc::{self, Status};
use crate::guard::guarded;
use crate::message::Message;
use crate::module::Clock;

/// While so many bytes wait to be sent, a sender waits.
pub const SEND_AHEAD: usize = 256 << 10;

/// What both threads know of one stream.
#[derive(Default)]
pub struct Shared {
    /// Python's object that is told: `message(payload, held)`, `ended(reply)`, `leave()`, `writable()`, and what came ahead
    /// of the first message if it has called both ways, `opened(metadata)`.
    listener: Mutex<Option<Py<PyAny>>>,
    flow: Mutex<Option<FlowControl>>,
    queued: AtomicUsize,
    /// A stream that we serve, until Python sees it.
    opening: Mutex<Option<Box<Opening>>>,
    /// Messages that Python has not seen.
    messages: Mutex<VecDeque<Message>>,
}

impl Shared {
    pub fn open(&self, flow: FlowControl) {
        *lock(&self.flow) = Some(flow);
    }

    /// Lets go of the stream of HTTP/2, which else would live as long as Python's object.
    pub fn close(&self) {
        lock(&self.flow).take();
    }

    pub fn begin(&self, opening: Opening) {
        *lock(&self.opening) = Some(Box::new(opening));
    }

    pub fn came(&self, message: Message) {
        lock(&self.messages).push_back(message);
    }

    /// The stream is over, and with it what Python has not seen of it. Whether Python has seen the stream at all.
    pub fn abandon(&self) -> bool {
        self.close();
        lock(&self.messages).clear();
        lock(&self.opening).take().is_none()
    }

    /// Says that a message waits to be sent; true if the sender should wait for `writable` before the next one.
    fn queue(&self, bytes: usize) -> bool {
        self.queued.fetch_add(bytes, Relaxed) + bytes > SEND_AHEAD
    }

    /// Says that a message was taken by HTTP/2; true if a waiting sender may go on.
    pub fn sent(&self, bytes: usize) -> bool {
        let before = self.queued.fetch_sub(bytes, Relaxed);
        before > SEND_AHEAD && before - bytes <= SEND_AHEAD
    }

    /// Lets go of the listener, which has us as well: nobody else would ever free the two.
    fn forget(&self) {
        let listener = lock(&self.listener).take();
        drop(listener); // after the lock: it may run Python
    }

    fn tell<'py>(&self, py: Python<'py>, name: &str, arguments: impl pyo3::call::PyCallArgs<'py>) {
        let listener = lock(&self.listener).as_ref().map(|listener| listener.clone_ref(py));
        if let Some(listener) = listener {
            if let Err(error) = listener.bind(py).call_method1(name, arguments) {
                error.write_unraisable(py, Some(listener.bind(py)));
            }
        }
    }
}

/// What Python wants sent on a stream that it serves.
pub enum Outgoing {
    Initial(HeaderMap),
    Message(Bytes),
    Finish(Answer),
}

/// A stream was opened by a caller.
pub struct Opening {
    pub bridge: Arc<Bridge>,
    pub methods: Arc<Methods>,
    pub method: usize,
    pub headers: HeaderMap,
    pub deadline: Option<Instant>,
    /// Responses above so many bytes are compressed.
    pub compress_above: Option<usize>,
    pub shared: Arc<Shared>,
    pub outgoing: mpsc::UnboundedSender<Outgoing>,
}

/// It can be handed to Python, unless its caller has left meanwhile.
pub struct Opened(pub Arc<Shared>);

impl Event for Opened {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        let Some(opening) = lock(&self.0.opening).take() else {
            return;
        };
        let methods = opening.methods.clone();
        let handler = methods.handlers[opening.method].clone_ref(py);
        if let Err(error) = Bound::new(py, ServedStream(*opening))
            .and_then(|stream| methods.on_stream.bind(py).call1((stream, handler)))
        {
            error.write_unraisable(py, None);
        }
    }
}

/// A message has come in.
pub struct Came(pub Arc<Shared>);

impl Event for Came {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        let Some(message) = lock(&self.0.messages).pop_front() else {
            return;
        };
        match payload(py, &message) {
            Ok(payload) => self.0.tell(py, "message", (payload, message.held)),
            Err(error) => error.write_unraisable(py, None),
        }
    }
}

/// What comes ahead of the first response.
pub struct Headed(pub Arc<Shared>, pub HeaderMap);

impl Event for Headed {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        match metadata(py, &self.1) {
            Ok(metadata) => self.0.tell(py, "opened", (metadata,)),
            Err(error) => error.write_unraisable(py, None),
        }
    }
}

/// No message will come any more: the caller has half-closed, or the call that Python made has its outcome.
pub struct Ended(pub Arc<Shared>, pub Option<(Arc<Replies>, Outcome)>);

impl Event for Ended {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        match self
            .1
            .as_ref()
            .map(|(replies, outcome)| reply(py, replies, outcome))
            .transpose()
        {
            Ok(reply) => self.0.tell(py, "ended", (reply,)),
            Err(error) => error.write_unraisable(py, None),
        }
        if self.1.is_some() {
            self.0.forget(); // nothing more will be told
        }
    }
}

/// The caller has left.
pub struct Gone(pub Arc<Shared>);

impl Event for Gone {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        self.0.tell(py, "leave", ());
        self.0.forget();
    }
}

/// A sender that waits may go on.
pub struct Writable(pub Arc<Shared>);

impl Event for Writable {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        self.0.tell(py, "writable", ());
    }
}

/// A stream that Python serves.
#[pyclass(frozen, module = "clipper_rpc._native")]
pub struct ServedStream(Opening);

#[pymethods]
impl ServedStream {
    #[getter]
    fn method(&self, py: Python<'_>) -> Py<PyString> {
        self.0.methods.names[self.0.method].clone_ref(py)
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        guarded(|| metadata(py, &self.0.headers))
    }

    #[getter]
    fn deadline_ns(&self) -> Option<i64> {
        self.0.deadline.map(Clock::to_python)
    }

    fn listen(&self, listener: Py<PyAny>) {
        *lock(&self.0.shared.listener) = Some(listener);
    }

    /// Says that messages which held so many bytes were taken.
    fn taken(&self, held: usize) {
        taken(&self.0.shared, held);
    }

    /// Sends a message; true if the sender should wait for `writable` before the next one.
    fn send(&self, py: Python<'_>, payload: &[u8]) -> PyResult<bool> {
        guarded(
            || match packed(py, payload, self.0.methods.limit, self.0.compress_above) {
                Ok(message) => {
                    let is_much = self.0.shared.queue(message.len());
                    self.enqueue(py, Outgoing::Message(message)).map(|()| is_much)
                }
                Err(status) => self
                    .enqueue(py, Outgoing::Finish(Answer::failure(status)))
                    .map(|()| false),
            },
        )
    }

    /// What goes out before the first message.
    fn set_initial_metadata(&self, py: Python<'_>, metadata: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| self.enqueue(py, Outgoing::Initial(headers_of(Some(metadata))?)))
    }

    /// Ends the stream: well if `error` is None.
    fn finish(&self, py: Python<'_>, error: Option<&Bound<'_, PyAny>>, trailing: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let mut answer = Answer::failure(Status::ok());
            if let Some(error) = error {
                answer.status = described(&self.0.methods.describe, error)?;
            }
            match headers_of(Some(trailing)) {
                Ok(headers) => answer.trailing = headers,
                Err(error) => answer.status = Status::new(grpc::INTERNAL, error.to_string()),
            }
            self.0.shared.forget();
            self.enqueue(py, Outgoing::Finish(answer))
        })
    }
}

impl ServedStream {
    fn enqueue(&self, py: Python<'_>, outgoing: Outgoing) -> PyResult<()> {
        let sender = self.0.outgoing.clone();
        self.0.bridge.command(py, Box::new(move || drop(sender.send(outgoing))))
        // the caller may be gone meanwhile
    }
}

/// What Python sends on a stream that it called for. The end of this channel is the end of the requests.
pub type Requests = mpsc::UnboundedSender<Bytes>;

/// A stream that Python called for.
#[pyclass(frozen, module = "clipper_rpc._native")]
pub struct CalledStream {
    pub bridge: Arc<Bridge>,
    pub shared: Arc<Shared>,
    pub cancel: Mutex<Option<tokio::sync::oneshot::Sender<()>>>,
    /// None where the only request went with the call, or the last one was sent.
    pub requests: Mutex<Option<Requests>>,
}

impl CalledStream {
    pub fn shared_with(listener: Py<PyAny>) -> Arc<Shared> {
        Arc::new(Shared {
            listener: Mutex::new(Some(listener)),
            ..Shared::default()
        })
    }
}

#[pymethods]
impl CalledStream {
    /// Says that messages which held so many bytes were taken.
    fn taken(&self, held: usize) {
        taken(&self.shared, held);
    }

    /// Sends a request; true if the sender should wait for `writable` before the next one.
    fn send(&self, py: Python<'_>, payload: &[u8]) -> PyResult<bool> {
        guarded(|| {
            let Some(requests) = lock(&self.requests).clone() else {
                return Err(PyRuntimeError::new_err("the last request was sent already"));
            };
            let request = sendable(payload, usize::MAX).map_err(|status| PyValueError::new_err(status.message))?;
            let is_much = self.shared.queue(request.len());
            // the call may have ended meanwhile
            self.bridge
                .command(py, Box::new(move || drop(requests.send(request))))?;
            Ok(is_much)
        })
    }

    /// No more requests will come.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        guarded(|| match lock(&self.requests).take() {
            Some(requests) => self.bridge.command(py, Box::new(move || drop(requests))), // after all that were sent
            None => Ok(()),
        })
    }

    /// Ends the call; the listener is told nothing more.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        guarded(|| {
            self.shared.forget();
            match lock(&self.cancel).take() {
                Some(cancel) => self.bridge.command(py, Box::new(move || cancel.send(()).unwrap_or(()))),
                None => Ok(()),
            }
        })
    }
}

fn taken(shared: &Shared, held: usize) {
    if let Some(flow) = lock(&shared.flow).as_mut() {
        let _ = flow.release_capacity(held); // fails only if the stream has ended
    }
}

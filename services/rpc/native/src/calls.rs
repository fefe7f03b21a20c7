//! Unary calls as Python sees them: those that arrive, and the outcomes of those that it makes.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use pyo3::IntoPyObjectExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bridge::{lock, Bridge, Command, Event};
use crate::grpc::{self, Status, Value};
use crate::guard::guarded;
use crate::message::Message;
use crate::module::Clock;

/// What a call is answered with.
pub struct Answer {
    pub status: Status,
    /// The framed response; empty unless the status is OK.
    pub body: Bytes,
    pub initial: HeaderMap,
    pub trailing: HeaderMap,
}

impl Answer {
    pub fn failure(status: Status) -> Self {
        Answer {
            status,
            body: Bytes::new(),
            initial: HeaderMap::new(),
            trailing: HeaderMap::new(),
        }
    }
}

/// The methods of a server, and how Python wants to be called about them.
pub struct Methods {
    pub names: Vec<Py<PyString>>,
    pub handlers: Vec<Py<PyAny>>,
    /// `(call, exception)`: a unary handler raised.
    pub on_failure: Py<PyAny>,
    /// `(stream, handler)`: a stream was opened.
    pub on_stream: Py<PyAny>,
    /// `(error) -> (code, message, details)`.
    pub describe: Py<PyAny>,
    pub limit: usize,
}

/// A call between its two threads. How a handler is told that its caller has left: once, and never after it has answered.
pub struct Leave {
    is_over: AtomicBool,
    on_leave: Mutex<Option<Py<PyAny>>>,
    /// The call, until Python sees it.
    arriving: Mutex<Option<Box<Arriving>>>,
}

impl Leave {
    pub fn of(call: Arriving) -> Self {
        Leave {
            is_over: AtomicBool::new(false),
            on_leave: Mutex::default(),
            arriving: Mutex::new(Some(Box::new(call))),
        }
    }

    /// The caller has left. Whether Python has seen the call; if not, it never will, since who resets call after call
    /// would else fill the memory while Python is behind.
    pub fn abandon(&self) -> bool {
        lock(&self.arriving).take().is_none()
    }

    /// Ends it; false if it was over already.
    fn end(&self) -> (bool, Option<Py<PyAny>>) {
        (!self.is_over.swap(true, Relaxed), lock(&self.on_leave).take())
    }
}

/// A unary call that has come in.
pub struct Arriving {
    pub bridge: Arc<Bridge>,
    pub methods: Arc<Methods>,
    pub method: usize,
    pub headers: HeaderMap,
    pub deadline: Option<Instant>,
    pub compress_above: Option<usize>,
    pub message: Message,
    pub answer: oneshot::Sender<Answer>,
}

/// It can be handed to Python, unless its caller has left meanwhile.
pub struct Arrived(pub Arc<Leave>);

impl Event for Arrived {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        let Some(call) = lock(&self.0.arriving).take() else {
            return;
        };
        let methods = call.methods.clone();
        let handler = &methods.handlers[call.method];
        if let Err(error) = call.hand_to(py, handler, self.0) {
            error.write_unraisable(py, None); // on_failure itself raised: nobody is left to tell
        }
    }
}

impl Arriving {
    fn hand_to(self: Box<Self>, py: Python<'_>, handler: &Py<PyAny>, leave: Arc<Leave>) -> PyResult<()> {
        let payload = payload(py, &self.message)?.unbind();
        let call = UnaryCall {
            bridge: self.bridge,
            methods: self.methods.clone(),
            method: self.method,
            payload,
            headers: self.headers,
            deadline: self.deadline,
            compress_above: self.compress_above,
            answer: Mutex::new(Some(self.answer)),
            extra: Mutex::default(),
            leave,
        };
        let call = Bound::new(py, call)?;
        match handler.call1(py, (&call,)) {
            Ok(_) => Ok(()),
            Err(error) => self.methods.on_failure.call1(py, (call, error)).map(drop),
        }
    }
}

/// A caller has left.
pub struct Left(pub Arc<Leave>);

impl Event for Left {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        if let (true, Some(on_leave)) = self.0.end() {
            if let Err(error) = on_leave.call0(py) {
                error.write_unraisable(py, Some(on_leave.bind(py)));
            }
        }
    }
}

/// One call to a unary method. See clipper_rpc.transport.UnaryCall.
#[pyclass(frozen, module = "clipper_rpc._native")]
pub struct UnaryCall {
    bridge: Arc<Bridge>,
    methods: Arc<Methods>,
    method: usize,
    payload: Py<PyBytes>,
    headers: HeaderMap,
    deadline: Option<Instant>,
    /// An answer above so many bytes is compressed.
    compress_above: Option<usize>,
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
    /// Initial and trailing metadata.
    extra: Mutex<(HeaderMap, HeaderMap)>,
    leave: Arc<Leave>,
}

#[pymethods]
impl UnaryCall {
    #[getter]
    fn method(&self, py: Python<'_>) -> Py<PyString> {
        self.methods.names[self.method].clone_ref(py)
    }

    #[getter]
    fn payload(&self, py: Python<'_>) -> Py<PyBytes> {
        self.payload.clone_ref(py)
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        guarded(|| metadata(py, &self.headers))
    }

    #[getter]
    fn deadline_ns(&self) -> Option<i64> {
        self.deadline.map(Clock::to_python)
    }

    #[getter]
    fn on_leave(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        lock(&self.leave.on_leave)
            .as_ref()
            .map(|on_leave| on_leave.clone_ref(py))
    }

    #[setter]
    fn set_on_leave(&self, on_leave: Option<Py<PyAny>>) {
        let replaced = if self.leave.is_over.load(Relaxed) {
            on_leave // too late: it will never be called
        } else {
            std::mem::replace(&mut *lock(&self.leave.on_leave), on_leave)
        };
        drop(replaced); // after the lock: it may run Python
    }

    #[pyo3(signature = (payload, trailing = None))]
    fn reply(&self, py: Python<'_>, payload: &[u8], trailing: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        guarded(|| {
            let trailing = headers_of(trailing)?;
            let answer = match packed(py, payload, self.methods.limit, self.compress_above) {
                Ok(body) => Answer {
                    status: Status::ok(),
                    body,
                    initial: HeaderMap::new(),
                    trailing,
                },
                Err(status) => Answer::failure(status),
            };
            self.answer(py, answer)
        })
    }

    fn set_initial_metadata(&self, metadata: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| headers_of(Some(metadata)).map(|headers| lock(&self.extra).0 = headers))
    }

    fn set_trailing_metadata(&self, metadata: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| headers_of(Some(metadata)).map(|headers| lock(&self.extra).1 = headers))
    }

    fn fail(&self, py: Python<'_>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let status = described(&self.methods.describe, error)?;
            self.answer(py, Answer::failure(status))
        })
    }
}

impl UnaryCall {
    fn answer(&self, py: Python<'_>, mut answer: Answer) -> PyResult<()> {
        let (is_first, on_leave) = self.leave.end();
        drop(on_leave);
        let Some(sender) = lock(&self.answer).take().filter(|_| is_first) else {
            return Ok(());
        };
        let (initial, trailing) = std::mem::take(&mut *lock(&self.extra));
        answer.initial = initial;
        answer.trailing.extend(trailing);
        let send: Command = Box::new(move || drop(sender.send(answer))); // the call may be gone meanwhile
        self.bridge.command(py, send)
    }
}

/// The outcome of a call that Python made.
pub struct Outcome {
    pub status: Status,
    pub message: Option<Message>,
    pub initial: HeaderMap,
    pub trailing: HeaderMap,
}

impl Outcome {
    pub fn failure(status: Status) -> Self {
        Outcome {
            status,
            message: None,
            initial: HeaderMap::new(),
            trailing: HeaderMap::new(),
        }
    }
}

/// How outcomes become Python's Reply: `(code, message, details, payload, trailing, initial)`.
pub struct Replies {
    pub make: Py<PyAny>,
}

/// A call that Python made has its outcome.
pub struct Replied {
    pub replies: Arc<Replies>,
    pub done: Arc<Mutex<Option<Py<PyAny>>>>,
    pub outcome: Outcome,
}

impl Event for Replied {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        let Some(done) = lock(&self.done).take() else { return }; // it was cancelled
        let told = reply(py, &self.replies, &self.outcome).and_then(|reply| done.call1(py, (reply,)));
        if let Err(error) = told {
            error.write_unraisable(py, Some(done.bind(py)));
        }
    }
}

/// Python's Reply for an outcome.
pub fn reply<'py>(py: Python<'py>, replies: &Replies, outcome: &Outcome) -> PyResult<Bound<'py, PyAny>> {
    let payload = match &outcome.message {
        Some(message) => payload(py, message)?,
        None => PyBytes::new(py, b""),
    };
    let Status { code, message, details } = &outcome.status;
    let details = PyBytes::new(py, details);
    let trailing = metadata(py, &outcome.trailing)?;
    let initial = metadata(py, &outcome.initial)?;
    replies
        .make
        .bind(py)
        .call1((*code, message, details, payload, trailing, initial))
}

/// The bytes of a message: its only copy on the way in.
pub fn payload<'py>(py: Python<'py>, message: &Message) -> PyResult<Bound<'py, PyBytes>> {
    match message.parts.as_slice() {
        [only] => Ok(PyBytes::new(py, only)),
        parts => PyBytes::new_with(py, message.length, |target| {
            let mut rest = target;
            for part in parts {
                let (here, after) = rest.split_at_mut(part.len());
                here.copy_from_slice(part);
                rest = after;
            }
            Ok(())
        }),
    }
}

/// A payload with its prefix: its only copy on the way out.
pub fn sendable(payload: &[u8], limit: usize) -> Result<Bytes, Status> {
    let too_large = || {
        let text = format!("the message has {} bytes; at most {limit} are sent", payload.len());
        Status::new(grpc::RESOURCE_EXHAUSTED, text)
    };
    if payload.len() > limit {
        return Err(too_large());
    }
    grpc::framed(payload).ok_or_else(too_large)
}

/// The same, compressed if it has more bytes than that and shrinks.
pub fn packed(py: Python<'_>, payload: &[u8], limit: usize, compress_above: Option<usize>) -> Result<Bytes, Status> {
    if payload.len() <= limit && compress_above.is_some_and(|above| payload.len() > above) {
        if let Some(frame) = py.detach(|| grpc::compressed(payload)) {
            return Ok(frame);
        }
    }
    sendable(payload, limit)
}

pub fn metadata<'py>(py: Python<'py>, headers: &HeaderMap) -> PyResult<Bound<'py, PyTuple>> {
    if headers.is_empty() {
        return Ok(PyTuple::empty(py));
    }
    let pairs = grpc::metadata(headers).into_iter().map(|(key, value)| {
        let value = match value {
            Value::Text(text) => PyString::new(py, &text).into_any(),
            Value::Binary(raw) => PyBytes::new(py, &raw).into_any(),
        };
        (PyString::new(py, key), value) // not interned: peers choose them, and some Pythons keep such for ever
            .into_bound_py_any(py)
    });
    PyTuple::new(py, pairs.collect::<PyResult<Vec<_>>>()?)
}

/// Python's metadata as headers.
pub fn headers_of(metadata: Option<&Bound<'_, PyAny>>) -> PyResult<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some(metadata) = metadata else { return Ok(headers) };
    for pair in metadata.try_iter()? {
        let (key, value): (String, Bound<'_, PyAny>) = pair?.extract()?;
        let added = match value.extract::<String>() {
            Ok(text) => grpc::add_metadata(&mut headers, &key, text.as_bytes()),
            Err(_) => grpc::add_metadata(&mut headers, &key, value.extract()?),
        };
        added.map_err(pyo3::exceptions::PyValueError::new_err)?;
    }
    Ok(headers)
}

/// The status that a Python error stands for.
pub fn described(describe: &Py<PyAny>, error: &Bound<'_, PyAny>) -> PyResult<Status> {
    let (code, message, details) = describe.bind(error.py()).call1((error,))?.extract()?;
    Ok(Status { code, message, details })
}

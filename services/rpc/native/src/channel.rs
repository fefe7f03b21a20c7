//! `Channel` as Python sees it: calls that it makes.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

use http::Uri;
use pyo3::prelude::*;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::bridge::{lock, Bridge, Command};
use crate::called::{Body, Call};
use crate::calls::{headers_of, sendable, Outcome, Replies};
use crate::client;
use crate::grpc::Status;
use crate::guard::guarded;
use crate::module::{invalid, Clock, Done};
use crate::net::Address;
use crate::pulse::Keepalive;
use crate::runtime;
use crate::streams::{CalledStream, Shared};
use crate::teller::{Caller, Teller};
use crate::tls::{self, Identity};

/// The server's name, the certificates by which it must be vouched for, and the client's certificate and key.
type ClientTls = (String, Vec<u8>, Option<(Vec<u8>, Vec<u8>)>);

/// A channel to one address.
#[pyclass(frozen, module = "clipper_rpc._native")]
pub struct Channel {
    bridge: Arc<Bridge>,
    replies: Arc<Replies>,
    calls: Mutex<Option<mpsc::UnboundedSender<Box<Call>>>>,
    running: Mutex<Option<JoinHandle<()>>>,
    scheme: &'static str,
    authority: String,
    uris: Mutex<HashMap<String, Uri>>,
}

#[pymethods]
impl Channel {
    /// `make_reply` is that of `calls::Replies`.
    #[new]
    fn new(
        call_soon: Py<PyAny>,
        address: &str,
        make_reply: Py<PyAny>,
        limit: usize,
        keepalive_s: Option<(f64, f64)>,
        tls: Option<ClientTls>,
    ) -> PyResult<Self> {
        guarded(|| {
            let tls = tls
                .map(|(server, roots, identity)| {
                    let identity = identity.map(|(certificate, key)| Identity { certificate, key });
                    tls::Client::new(&server, &roots, identity.as_ref())
                })
                .transpose()
                .map_err(invalid)?;
            let scheme = if tls.is_some() { "https" } else { "http" };
            let wire = runtime::handle()?;
            let bridge = Bridge::new(call_soon, &wire)?;
            let (calls, made) = mpsc::unbounded_channel();
            let address = Address::new(address);
            let authority = address.authority();
            let keepalive = keepalive_s.map(Keepalive::of).transpose().map_err(invalid)?;
            let channel = client::Channel {
                address,
                tls,
                limit,
                keepalive,
            };
            let running = wire.spawn(client::run(Arc::new(channel), made));
            Ok(Channel {
                bridge,
                replies: Arc::new(Replies { make: make_reply }),
                calls: Mutex::new(Some(calls)),
                running: Mutex::new(Some(running)),
                scheme,
                authority,
                uris: Mutex::default(),
            })
        })
    }

    fn fileno(&self) -> RawFd {
        self.bridge.fd()
    }

    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        guarded(|| {
            self.bridge.drain(py);
            Ok(())
        })
    }

    /// Makes a unary call.
    fn call(
        &self,
        method: &str,
        payload: &[u8],
        done: Py<PyAny>,
        deadline_ns: Option<i64>,
        metadata: &Bound<'_, PyAny>,
    ) -> PyResult<OutgoingCall> {
        guarded(|| {
            let done = Arc::new(Mutex::new(Some(done)));
            let caller = Caller::Unary { done: done.clone() };
            let body = sendable(payload, usize::MAX).map(Body::One);
            let cancel = self.make(method, body, caller, deadline_ns, metadata)?;
            Ok(OutgoingCall {
                bridge: self.bridge.clone(),
                done,
                cancel: Mutex::new(Some(cancel)),
            })
        })
    }

    /// Makes a streaming call: with its only request, or with None to send requests as they come and to be told also
    /// what comes ahead of the first response. `listener` is that of `streams::Shared`.
    fn stream(
        &self,
        method: &str,
        payload: Option<&[u8]>,
        listener: Py<PyAny>,
        deadline_ns: Option<i64>,
        metadata: &Bound<'_, PyAny>,
    ) -> PyResult<CalledStream> {
        guarded(|| {
            let shared: Arc<Shared> = CalledStream::shared_with(listener);
            let caller = Caller::Stream {
                shared: shared.clone(),
                wants_head: payload.is_none(),
            };
            let (requests, body) = match payload {
                Some(payload) => (None, sendable(payload, usize::MAX).map(Body::One)),
                None => {
                    let (requests, to_send) = mpsc::unbounded_channel();
                    (Some(requests), Ok(Body::Many(to_send)))
                }
            };
            let cancel = self.make(method, body, caller, deadline_ns, metadata)?;
            Ok(CalledStream {
                bridge: self.bridge.clone(),
                shared,
                cancel: Mutex::new(Some(cancel)),
                requests: Mutex::new(requests),
            })
        })
    }

    /// Ends the connection and its calls; calls `done` when all are told.
    fn close(&self, done: Py<PyAny>) -> bool {
        let (Some(calls), Some(running)) = (lock(&self.calls).take(), lock(&self.running).take()) else {
            return false;
        };
        let bridge = self.bridge.clone();
        self.bridge.close(Box::new(move || {
            drop(calls); // after all calls that were made before
            tokio::spawn(async move {
                let _ = running.await; // also a panic is an end
                bridge.push(Box::new(Done(done)));
            });
        }));
        true
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.bridge.close(Box::new(|| ())); // a loop may end without closing it
    }
}

impl Channel {
    fn make(
        &self,
        method: &str,
        body: Result<Body, Status>,
        caller: Caller,
        deadline_ns: Option<i64>,
        metadata: &Bound<'_, PyAny>,
    ) -> PyResult<oneshot::Sender<()>> {
        let metadata = headers_of(Some(metadata))?;
        let uri = self.uri(method)?;
        let mut teller = Teller::new(self.bridge.clone(), self.replies.clone(), caller); // tells: nothing fails from here
        let (cancel, cancelled) = oneshot::channel();
        let calls = lock(&self.calls).clone();
        let command: Command = match (body, calls) {
            (Ok(body), Some(calls)) => {
                let deadline = deadline_ns.and_then(Clock::from_python);
                let call = Call {
                    uri,
                    body,
                    metadata,
                    deadline,
                    cancel: Some(cancelled),
                    teller,
                    is_second_try: false,
                };
                Box::new(move || drop(calls.send(Box::new(call)))) // a closed channel tells by the teller's end
            }
            (Err(status), _) => Box::new(move || teller.ended(Outcome::failure(status))),
            (_, None) => Box::new(move || drop(teller)),
        };
        self.bridge.command_now(command);
        Ok(cancel)
    }

    fn uri(&self, method: &str) -> PyResult<Uri> {
        let mut uris = lock(&self.uris);
        if let Some(uri) = uris.get(method) {
            return Ok(uri.clone());
        }
        let uri = Uri::builder()
            .scheme(self.scheme)
            .authority(self.authority.as_str())
            .path_and_query(method)
            .build();
        let uri = uri.map_err(invalid)?;
        uris.insert(method.to_owned(), uri.clone());
        Ok(uri)
    }
}

/// A call under way.
#[pyclass(frozen, module = "clipper_rpc._native")]
pub struct OutgoingCall {
    bridge: Arc<Bridge>,
    done: Arc<Mutex<Option<Py<PyAny>>>>,
    cancel: Mutex<Option<oneshot::Sender<()>>>,
}

#[pymethods]
impl OutgoingCall {
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        guarded(|| {
            let done = lock(&self.done).take();
            drop(done); // after the lock: it may run Python
            match lock(&self.cancel).take() {
                Some(cancel) => self.bridge.command(py, Box::new(move || cancel.send(()).unwrap_or(()))),
                None => Ok(()),
            }
        })
    }
}

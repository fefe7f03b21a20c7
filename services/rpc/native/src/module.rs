//! `clipper_rpc._native`: what is in it, and `Server` as Python sees it.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::bridge::{lock, Bridge, Event};
use crate::calls::{Methods, UnaryCall};
use crate::channel::{Channel, OutgoingCall};
use crate::guard::guarded;
use crate::net::{Address, Bound as BoundSockets};
use crate::pulse::Keepalive;
use crate::runtime;
use crate::server::{self, Phase, Service};
use crate::streams::{CalledStream, ServedStream};
use crate::tls::{self, Identity};

/// The same moment on Rust's clock and on Python's `time.monotonic_ns()`, which both are the kernel's monotonic clock.
static CLOCK: OnceLock<Clock> = OnceLock::new();

pub struct Clock {
    here: Instant,
    python_ns: i64,
}

impl Clock {
    fn get() -> &'static Self {
        CLOCK.get().expect("the module was imported")
    }

    pub fn to_python(moment: Instant) -> i64 {
        let clock = Clock::get();
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match moment.checked_duration_since(clock.here) {
            Some(after) => clock.python_ns.saturating_add(nanos(after)),
            None => clock.python_ns.saturating_sub(nanos(clock.here - moment)),
        }
    }

    /// None where it is too far away to matter.
    pub fn from_python(moment_ns: i64) -> Option<Instant> {
        let clock = Clock::get();
        let apart = Duration::from_nanos(moment_ns.abs_diff(clock.python_ns));
        if moment_ns >= clock.python_ns {
            clock.here.checked_add(apart)
        } else {
            Some(clock.here.checked_sub(apart).unwrap_or(clock.here))
        }
    }
}

/// Tells Python that something it waits for is done.
pub struct Done(pub Py<PyAny>);

impl Event for Done {
    fn deliver(self: Box<Self>, py: Python<'_>) {
        if let Err(error) = self.0.call0(py) {
            error.write_unraisable(py, Some(self.0.bind(py)));
        }
    }
}

/// PEM texts: certificate, key, and the certificates by which clients must be vouched for.
type ServerTls = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

/// A server that listens from the start.
#[pyclass(frozen, module = "clipper_rpc._native")]
struct Server {
    bridge: Arc<Bridge>,
    #[pyo3(get)]
    port: u16,
    stop: Mutex<Option<Stop>>,
}

/// How a server is told to stop, and whom it tells then.
struct Stop {
    grace: oneshot::Sender<Duration>,
    done: oneshot::Sender<Py<PyAny>>,
}

#[pymethods]
impl Server {
    /// Listens at `address`. `methods` are `(name, handler, streams)`; the hooks are those of `calls::Methods`.
    #[new]
    #[pyo3(signature = (call_soon, address, methods, hooks, *, limit, reuse_port, max_streams, max_age_s, keepalive_s,
        compress_above, tls))]
    #[allow(clippy::too_many_arguments)] // they are named where it is called
    fn new(
        py: Python<'_>,
        call_soon: Py<PyAny>,
        address: &str,
        methods: Vec<(Bound<'_, PyString>, Py<PyAny>, bool)>,
        hooks: (Py<PyAny>, Py<PyAny>, Py<PyAny>),
        limit: usize,
        reuse_port: bool,
        max_streams: u32,
        max_age_s: Option<f64>,
        keepalive_s: Option<(f64, f64)>,
        compress_above: Option<usize>,
        tls: Option<ServerTls>,
    ) -> PyResult<Self> {
        guarded(|| {
            let tls = tls
                .map(|(certificate, key, client_roots)| {
                    tls::acceptor(&Identity { certificate, key }, client_roots.as_deref())
                })
                .transpose()
                .map_err(invalid)?;
            let target = Address::new(address);
            let sockets = py.detach(|| BoundSockets::new(&target, reuse_port)).map_err(|error| {
                PyOSError::new_err((error.raw_os_error(), format!("cannot listen on {address}: {error}")))
            })?;
            let port = sockets.port();
            let mut paths = HashMap::new();
            for (place, (name, _, streams)) in methods.iter().enumerate() {
                paths.insert(name.to_str()?.to_owned(), (place, *streams));
            }
            let (names, handlers) = methods
                .into_iter()
                .map(|(name, handler, _)| (name.unbind(), handler))
                .unzip();
            let (on_failure, on_stream, describe) = hooks;
            let methods = Arc::new(Methods {
                names,
                handlers,
                on_failure,
                on_stream,
                describe,
                limit,
            });
            let wire = runtime::handle()?;
            let bridge = Bridge::new(call_soon, &wire)?;
            let (alive, calls) = mpsc::channel(1);
            let max_age = max_age_s
                .map(Duration::try_from_secs_f64)
                .transpose()
                .map_err(invalid)?;
            let keepalive = keepalive_s.map(Keepalive::of).transpose().map_err(invalid)?;
            let service = Service {
                bridge: bridge.clone(),
                methods,
                paths,
                limit,
                max_streams,
                max_age,
                keepalive,
                compress_above,
                tls,
                _alive: alive,
            };
            let (grace, asked) = oneshot::channel();
            let (stopped, tell) = oneshot::channel::<Py<PyAny>>();
            let telling = bridge.clone();
            wire.spawn(async move {
                let (end, phase) = watch::channel(Phase::Serving);
                if let Ok(listeners) = sockets.into_listeners() {
                    server::serve(listeners, Arc::new(service), phase, end, calls, asked).await;
                }
                if let Ok(done) = tell.await {
                    telling.push(Box::new(Done(done)));
                }
            });
            Ok(Server {
                bridge,
                port,
                stop: Mutex::new(Some(Stop { grace, done: stopped })),
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

    /// Stops; calls `done` when no call is left. False if it was told so before.
    fn stop(&self, py: Python<'_>, grace_s: f64, done: Py<PyAny>) -> PyResult<bool> {
        guarded(|| {
            let grace = Duration::try_from_secs_f64(grace_s).map_err(invalid)?;
            let Some(stop) = lock(&self.stop).take() else {
                return Ok(false);
            };
            let command = move || {
                let _ = stop.done.send(done); // the server waits for both until it has ended
                let _ = stop.grace.send(grace);
            };
            self.bridge.command(py, Box::new(command))?;
            Ok(true)
        })
    }

    /// Lets go of the wire's thread once it has stopped.
    fn close(&self) {
        self.bridge.close(Box::new(|| ()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

pub fn invalid(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let python_ns = module.py().import("time")?.call_method0("monotonic_ns")?.extract()?;
    CLOCK.get_or_init(|| Clock {
        here: Instant::now(),
        python_ns,
    });
    module.add_class::<Server>()?;
    module.add_class::<Channel>()?;
    module.add_class::<UnaryCall>()?;
    module.add_class::<OutgoingCall>()?;
    module.add_class::<ServedStream>()?;
    module.add_class::<CalledStream>()?;
    Ok(())
}

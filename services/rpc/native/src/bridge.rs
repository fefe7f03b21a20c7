//! The two queues between the wire's thread and one event loop.
//!
//! Rules of this file
//!  1. Events are pushed on the wire's thread only; commands on the event loop's thread only.
//!  2. The event loop is woken (by an eventfd that it watches) when the wire's thread has nothing more to do for now,
//!     or when a burst is large: one wake-up per burst.
//!  3. Commands are handed over when the burst that caused them has been dealt with, else in the loop's next round;
//!     unary calls, which are few (one carries a batch), at once.

use std::cell::RefCell;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rustix::event::{eventfd, EventfdFlags};
use tokio::sync::Notify;

use crate::guard::catch;

/// What has happened on the wire, told to Python on its event loop.
pub trait Event: Send {
    fn deliver(self: Box<Self>, py: Python<'_>);
}

/// What Python wants done, run on the wire's thread. It must not block.
pub type Command = Box<dyn FnOnce() + Send>;

const LOST_EVENT: &str = "the native transport could not tell what has happened to a call: a defect";

/// So many waiting events wake the event loop even while the wire is busy.
const LARGE_BURST: usize = 64;

pub struct Bridge {
    events: Mutex<Vec<Box<dyn Event>>>,
    wake: OwnedFd,
    is_woken: AtomicBool,
    commands: Mutex<Vec<Command>>,
    has_commands: Notify,
    /// Whether commands are going to be handed over anyway.
    is_flush_due: AtomicBool,
    is_closed: AtomicBool,
    /// `loop.call_soon`.
    call_soon: Py<PyAny>,
}

thread_local! {
    /// Bridges with events of which their loops do not know yet.
    static TO_WAKE: RefCell<Vec<Arc<Bridge>>> = const { RefCell::new(Vec::new()) };
}

/// Tells the event loops what has come in since they were last told.
pub fn wake_loops() {
    TO_WAKE.with_borrow_mut(|bridges| {
        for bridge in bridges.drain(..) {
            bridge.wake_loop();
        }
    });
}

impl Bridge {
    /// A bridge to the loop of that `call_soon`; a task on the wire's thread runs its commands until it is closed.
    pub fn new(call_soon: Py<PyAny>, wire: &tokio::runtime::Handle) -> std::io::Result<Arc<Self>> {
        let bridge = Arc::new(Bridge {
            events: Mutex::default(),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            is_woken: AtomicBool::new(false),
            commands: Mutex::default(),
            has_commands: Notify::new(),
            is_flush_due: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            call_soon,
        });
        wire.spawn(run_commands(bridge.clone()));
        Ok(bridge)
    }

    /// What the event loop watches for reading.
    pub fn fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    pub fn push(self: &Arc<Self>, event: Box<dyn Event>) {
        let waiting = {
            let mut events = lock(&self.events);
            events.push(event);
            events.len()
        };
        if waiting == 1 {
            TO_WAKE.with_borrow_mut(|bridges| bridges.push(self.clone()));
        } else if waiting == LARGE_BURST {
            self.wake_loop();
        }
    }

    /// Delivers everything that waits. Called by the event loop when `fd` is readable.
    pub fn drain(self: &Arc<Self>, py: Python<'_>) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]); // nothing to read is fine
        self.is_woken.store(false, SeqCst);
        let events = mem::take(&mut *lock(&self.events));
        self.is_flush_due.store(true, SeqCst);
        let _flush_at_end = Flush(self.clone());
        for event in events {
            if catch(|| event.deliver(py)).is_none() {
                PyRuntimeError::new_err(LOST_EVENT).write_unraisable(py, None);
            }
        }
    }

    /// Takes a command; it is handed over at the end of this burst, or in the loop's next round.
    pub fn command(self: &Arc<Self>, py: Python<'_>, command: Command) -> PyResult<()> {
        lock(&self.commands).push(command);
        if !self.is_flush_due.swap(true, SeqCst) {
            let flush = Bound::new(py, Flusher(self.clone()))?;
            self.call_soon.call1(py, (flush,))?;
        }
        Ok(())
    }

    /// The same for a command that many do not follow: outside of a burst it is handed over at once.
    pub fn command_now(self: &Arc<Self>, command: Command) {
        lock(&self.commands).push(command);
        if !self.is_flush_due.load(SeqCst) {
            self.has_commands.notify_one();
        }
    }

    /// Takes a last command and hands everything over; no more will come.
    pub fn close(&self, command: Command) {
        lock(&self.commands).push(command);
        self.is_closed.store(true, SeqCst);
        self.has_commands.notify_one();
    }

    fn flush(&self) {
        self.is_flush_due.store(false, SeqCst);
        if !lock(&self.commands).is_empty() {
            self.has_commands.notify_one();
        }
    }

    fn wake_loop(&self) {
        if !lock(&self.events).is_empty() && !self.is_woken.swap(true, SeqCst) {
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes()); // fails only if it is readable already
        }
    }
}

async fn run_commands(bridge: Arc<Bridge>) {
    while !bridge.is_closed.load(SeqCst) || !lock(&bridge.commands).is_empty() {
        bridge.has_commands.notified().await;
        let commands = mem::take(&mut *lock(&bridge.commands));
        for command in commands {
            let _ = catch(command); // one that panics has printed it; the others are not concerned
        }
    }
}

/// Hands the commands of a burst over when the burst ends, however it ends.
struct Flush(Arc<Bridge>);

impl Drop for Flush {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// The same, called by the event loop.
#[pyclass(frozen)]
struct Flusher(Arc<Bridge>);

#[pymethods]
impl Flusher {
    fn __call__(&self) {
        self.0.flush();
    }
}

/// Nothing that is done under our locks leaves them half-way, so a poisoned one is as good as any.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, Sender};

    use super::*;

    struct Panics;

    impl Event for Panics {
        fn deliver(self: Box<Self>, _: Python<'_>) {
            panic!("on purpose, in a test");
        }
    }

    struct Tells(Sender<&'static str>);

    impl Event for Tells {
        fn deliver(self: Box<Self>, _: Python<'_>) {
            self.0.send("told").unwrap();
        }
    }

    #[test]
    fn a_panic_in_an_event_or_a_command_spares_the_others_and_never_reaches_python() {
        Python::initialize();
        let wire = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (sender, told) = channel();
        Python::attach(|py| {
            let call_soon = py.eval(c"lambda flush: flush()", None, None).unwrap().unbind();
            let bridge = Bridge::new(call_soon, wire.handle()).unwrap();
            for event in [Box::new(Panics) as Box<dyn Event>, Box::new(Tells(sender.clone()))] {
                bridge.push(event);
            }
            bridge.drain(py);
            assert_eq!(told.try_recv(), Ok("told"));
            assert!(PyErr::take(py).is_none());

            bridge
                .command(py, Box::new(|| panic!("on purpose, in a test")))
                .unwrap();
            bridge.close(Box::new(move || sender.send("done").unwrap()));
        });
        wire.block_on(async { tokio::task::yield_now().await });
        assert_eq!(told.try_recv(), Ok("done"));
    }

    #[test]
    fn a_panic_under_a_call_from_python_is_an_error_like_any_other() {
        Python::initialize();
        let failed = crate::guard::guarded(|| -> PyResult<()> { panic!("on purpose, in a test") });
        Python::attach(|py| assert!(failed.unwrap_err().is_instance_of::<PyRuntimeError>(py)));
    }
}

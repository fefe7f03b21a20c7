//! Who is told about a call that Python made.

use std::sync::{Arc, Mutex};

use http::header::HeaderMap;
use pyo3::{Py, PyAny};

use crate::bridge::{Bridge, Event};
use crate::calls::{Outcome, Replied, Replies};
use crate::grpc::{self, Status};
use crate::message::Message;
use crate::streams::{Came, Ended, Headed, Shared, Writable};

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

/// Tells Python the outcome of a call, exactly once, however its task ends.
pub struct Teller {
    bridge: Arc<Bridge>,
    replies: Arc<Replies>,
    pub caller: Option<Caller>,
}

impl Teller {
    pub fn new(bridge: Arc<Bridge>, replies: Arc<Replies>, caller: Caller) -> Self {
        Teller {
            bridge,
            replies,
            caller: Some(caller),
        }
    }

    pub fn headed(&self, headers: &mut HeaderMap) {
        if let Some(Caller::Stream {
            shared,
            wants_head: true,
        }) = &self.caller
        {
            let headers = std::mem::take(headers);
            self.bridge.push(Box::new(Headed(shared.clone(), headers)));
        }
    }

    pub fn writable(&self) {
        if let Some(Caller::Stream { shared, .. }) = &self.caller {
            self.bridge.push(Box::new(Writable(shared.clone())));
        }
    }

    pub fn came(&self, message: Message) {
        if let Some(Caller::Stream { shared, .. }) = &self.caller {
            shared.came(message);
            self.bridge.push(Box::new(Came(shared.clone())));
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
    pub fn forget(&mut self) {
        if let Some(Caller::Stream { shared, .. }) = self.caller.take() {
            shared.abandon();
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

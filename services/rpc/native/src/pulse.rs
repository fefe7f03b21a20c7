//! Keepalive: finds out that a peer is gone though nobody has said so, by pings of HTTP/2.
//!
//! A server asks a client that was silent for a while. A client asks only while it waits for an answer, and soon; but
//! servers end a connection that is pinged too often, and the strictest (gRPC's own, by default) forgive three pings
//! between two things that they send. So no more than that are sent until something of a call has come in, or another
//! call begins; the kernel's keepalive goes on looking after the peer's machine.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How many pings any server forgives in a row.
const FORGIVEN: u32 = 3;

/// When a silent peer is asked whether it is there, and how long it may take to say so.
#[derive(Debug, Clone, Copy)]
pub struct Keepalive {
    pub after: Duration,
    pub patience: Duration,
}

impl Keepalive {
    /// Of seconds; None of what is no time, or too long a time.
    pub fn of((after_s, patience_s): (f64, f64)) -> std::result::Result<Self, String> {
        let time = |seconds| Duration::try_from_secs_f64(seconds).map_err(|error| format!("keepalive: {error}"));
        Ok(Keepalive {
            after: time(after_s)?,
            patience: time(patience_s)?,
        })
    }
}

/// Whether anything was heard of a peer.
#[derive(Clone, Default)]
pub struct Heard(Arc<AtomicBool>);

impl Heard {
    fn note(&self) {
        self.0.store(true, Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// Returns when a peer that was silent does not answer a ping.
pub async fn until_lost(mut pings: PingPong, heard: Heard, keepalive: Keepalive) {
    loop {
        sleep(keepalive.after).await;
        if !heard.take() && !is_there(&mut pings, &heard, keepalive.patience).await {
            return;
        }
    }
}

async fn is_there(pings: &mut PingPong, heard: &Heard, patience: Duration) -> bool {
    let _ = pings.send_ping(Ping::opaque()); // one that is on its way already will do
    let answered = timeout(patience, std::future::poll_fn(|context| pings.poll_pong(context))).await;
    if answered.is_err() {
        tokio::task::yield_now().await; // if it was this process that slept, what came meanwhile is read first
    }
    heard.take() || answered.is_ok() // an error is the end of the connection, which its task sees
}

/// What a client's connection knows of the calls on it.
#[derive(Default)]
pub struct Pulse {
    pub heard: Heard,
    under_way: AtomicUsize,
    is_answered: AtomicBool,
    is_resting: AtomicBool,
    go_on: Notify,
}

impl Pulse {
    /// A call begins; it ends with what is returned.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        if self.under_way.fetch_add(1, Relaxed) == 0 {
            self.heard.take();
        }
        self.wake();
        UnderWay(self.clone())
    }

    /// Something of a call has come in.
    pub fn answered(&self) {
        self.is_answered.store(true, Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if self.is_resting.load(Relaxed) {
            self.is_resting.store(false, Relaxed);
            self.go_on.notify_one();
        }
    }

    async fn rest(&self) {
        self.is_resting.store(true, Relaxed);
        self.go_on.notified().await;
    }

    /// Returns when a peer that owes an answer does not answer a ping.
    pub async fn until_lost(self: Arc<Self>, mut pings: PingPong, keepalive: Keepalive) {
        let (mut wait, mut spent) = (keepalive.after, 0);
        loop {
            if self.under_way.load(Relaxed) == 0 {
                self.rest().await;
                wait = keepalive.after;
            }
            sleep(wait).await;
            if self.is_answered.swap(false, Relaxed) {
                (wait, spent) = (keepalive.after, 0);
            }
            if self.heard.take() || self.under_way.load(Relaxed) == 0 {
                continue;
            }
            if spent < FORGIVEN {
                if !is_there(&mut pings, &self.heard, keepalive.patience).await {
                    return;
                }
                spent += 1;
                wait *= 2;
            } else {
                self.rest().await;
                (wait, spent) = (keepalive.after, FORGIVEN - 1);
            }
        }
    }
}

/// A call under way.
pub struct UnderWay(Arc<Pulse>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// A connection's socket that notes when something has come in.
pub struct Listening<T> {
    io: T,
    heard: Heard,
}

impl<T> Listening<T> {
    pub fn new(io: T, heard: Heard) -> Self {
        Listening { io, heard }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Listening<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard.note();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Listening<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

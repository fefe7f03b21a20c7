//! Keepalive: finds out that a peer is gone though nobody has said so.
//!
//! A server asks a client that was silent for a while, by a ping of HTTP/2. A client asks only while it waits for an
//! answer, and soon; servers end a connection that is pinged so often, so it sends settings that change nothing: a peer
//! must acknowledge those at once (RFC 9113, 6.5.3), and no server counts them. Whatever comes in is a sign of life.
//!
//! It is the peer's silence that counts, not ours: while this thread does not get to run, nobody's patience runs out.

use std::future::poll_fn;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{client, Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep_until, Instant};

use crate::bridge::lock;
use crate::message::STREAM_WINDOW;

/// Patience is counted in steps. One at whose end this thread was late by half a step does not count, but after
/// `MOST` times as many there is an end to it.
const STEP: Duration = Duration::from_millis(100);
const MOST: u128 = 4;

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

/// When something was last heard of a peer.
#[derive(Clone)]
pub struct Heard(Arc<Mutex<Instant>>);

impl Heard {
    pub fn new() -> Self {
        Heard(Arc::new(Mutex::new(Instant::now())))
    }

    fn note(&self) {
        *lock(&self.0) = Instant::now();
    }

    fn last(&self) -> Instant {
        *lock(&self.0)
    }

    /// Whether something is heard after `asked`, before patience runs out.
    async fn answer(&self, asked: Instant, patience: Duration) -> bool {
        let needed = patience.as_nanos().div_ceil(STEP.as_nanos());
        let mut counted = 0;
        for _ in 0..needed * MOST {
            let due = Instant::now() + STEP;
            wake_at(due).await;
            if self.last() > asked {
                return true;
            }
            if due.elapsed() < STEP / 2 {
                counted += 1;
            }
            if counted == needed {
                break;
            }
        }
        false
    }
}

/// Sleeps; what has come in meanwhile is read before this returns, also where that is late.
async fn wake_at(due: Instant) {
    sleep_until(due).await;
    yield_now().await;
}

/// Returns when a client that was silent does not answer a ping.
pub async fn until_lost(mut pings: PingPong, heard: Heard, keepalive: Keepalive) {
    loop {
        let due = heard.last() + keepalive.after;
        if Instant::now() < due {
            wake_at(due).await;
            continue;
        }
        let forget_last = poll_fn(|context| {
            let _ = pings.poll_pong(context);
            Poll::Ready(())
        });
        forget_last.await; // else no further one can be sent
        let asked = Instant::now();
        let _ = pings.send_ping(Ping::opaque()); // one that is on its way already will do
        if !heard.answer(asked, keepalive.patience).await {
            return;
        }
    }
}

/// What a client's connection knows of the calls on it.
pub struct Pulse {
    pub heard: Heard,
    under_way: AtomicUsize,
    waits: Mutex<Waits>,
    /// A call has begun where there was none.
    begun: Notify,
}

/// Since when calls wait, and when the last one ended. Time without calls is left out: the beginning is later by it.
struct Waits {
    since: Instant,
    ended: Instant,
}

impl Pulse {
    pub fn new() -> Self {
        let now = Instant::now();
        Pulse {
            heard: Heard::new(),
            under_way: AtomicUsize::new(0),
            waits: Mutex::new(Waits { since: now, ended: now }),
            begun: Notify::new(),
        }
    }

    /// A call begins; it ends with what is returned.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        if self.under_way.fetch_add(1, Relaxed) == 0 {
            let mut waits = lock(&self.waits);
            let waited = waits
                .ended
                .saturating_duration_since(waits.since.max(self.heard.last()));
            let now = Instant::now();
            waits.since = now.checked_sub(waited).unwrap_or(now);
            self.begun.notify_one();
        }
        UnderWay(self.clone())
    }

    /// Returns when calls have waited for so long, and nothing was heard.
    async fn silence(&self, length: Duration) {
        loop {
            while self.under_way.load(Relaxed) == 0 {
                self.begun.notified().await;
            }
            let due = lock(&self.waits).since.max(self.heard.last()) + length;
            if Instant::now() >= due {
                return;
            }
            wake_at(due).await;
        }
    }

    /// Keeps a connection going to its end, or until a peer that owes an answer does not say that it is there.
    pub async fn keep<T>(self: Arc<Self>, mut connection: client::Connection<T, Bytes>, keepalive: Keepalive)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            tokio::select! {
                biased;
                _ = &mut connection => return,
                () = self.silence(keepalive.after) => {}
            }
            let asked = Instant::now();
            let _ = connection.set_initial_window_size(STREAM_WINDOW); // some that are on their way already will do
            tokio::select! {
                biased;
                _ = &mut connection => return,
                is_there = self.heard.answer(asked, keepalive.patience) => if !is_there { return },
            }
        }
    }
}

/// A call under way.
pub struct UnderWay(Arc<Pulse>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Relaxed) == 1 {
            lock(&self.0.waits).ended = Instant::now();
        }
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

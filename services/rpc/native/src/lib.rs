//! The wire of Clipper in Rust: serves and calls gRPC for a Python program on asyncio.
//!
//! One thread owns all sockets. What arrives gathers in a queue; the event loop is woken once per burst, runs the
//! handlers, and their answers go back in one list. In reading order:
//!
//! - `grpc`: the words of gRPC on HTTP/2: timeouts, metadata, statuses
//! - `message`: messages out of a body and into it, with limits and flow control
//! - `runtime`: the thread
//! - `bridge`: the two queues between that thread and the event loop
//! - `net`, `tls`: addresses and sockets, encrypted or not
//! - `pulse`: whether a silent peer is still there
//! - `server`, `served`: connections that come in, and the calls on them
//! - `client`, `called`, `teller`: a connection that is made, the calls on it, and who hears of them
//! - `calls`, `streams`: calls as Python sees them
//! - `module`, `channel`: `Server` and `Channel`, as Python sees them
//! - `guard`: what becomes of a panic

mod bridge;
mod called;
mod calls;
mod channel;
mod client;
mod grpc;
mod guard;
mod message;
mod module;
mod net;
mod pulse;
mod runtime;
mod served;
mod server;
mod streams;
mod teller;
mod tls;

/// Tasks of tokio are aligned to cache lines, for which the system's allocator takes its slow way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

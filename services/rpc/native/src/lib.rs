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
//! - `server`, `client`: connections and calls, on the thread
//! - `calls`, `streams`: calls as Python sees them
//! - `module`: `Server` and `Channel`, as Python sees them

mod bridge;
mod calls;
mod client;
mod grpc;
mod message;
mod module;
mod net;
mod runtime;
mod server;
mod streams;
mod tls;

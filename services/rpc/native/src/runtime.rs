//! The thread that owns all sockets of this process. It starts when first needed and never touches Python.

use std::process;
use std::sync::Mutex;
use std::thread;

use tokio::runtime::{Builder, Handle};

use crate::bridge;

static RUNNING: Mutex<Option<(u32, Handle)>> = Mutex::new(None);

/// The thread's handle. A process that was forked off gets a thread of its own.
pub fn handle() -> std::io::Result<Handle> {
    let mut running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((owner, handle)) = running.as_ref() {
        if *owner == process::id() {
            return Ok(handle.clone());
        }
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        // Before the thread sleeps, the event loops are told what has come in: once for the whole burst.
        .on_thread_park(bridge::wake_loops)
        .build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("clipper-wire".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    if let Some((_, of_parent)) = running.replace((process::id(), handle.clone())) {
        std::mem::forget(of_parent); // its thread is in the parent only
    }
    Ok(handle)
}

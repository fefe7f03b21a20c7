//! Messages out of a body and into it, with limits and flow control.
//!
//! Memory is bounded per connection, whatever a peer sends and however far Python falls behind:
//!  1. A stream is sent no more than its window until bytes are released. The messages of a stream are released when
//!     Python takes them, so a peer is held back by a handler that does not read.
//!  2. A message above `SMALL` first gets room for all of it, in turn, and leaves it when Python has it. So of many large
//!     messages at once some come through whole; the others wait, each with no more than its window in memory.
//!  3. The window of the connection is no limit: waiting streams would fill it, and nothing could end.
//!  4. A compressed message has come in whole before it gets room for what is in it, which is apart from the other room:
//!     so nobody waits for room that is held by who waits for room.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::grpc::{self, Status, PREFIX};

/// How much of one stream may be on its way: the window of HTTP/2 for each stream.
pub const STREAM_WINDOW: u32 = 128 << 10;
/// The same for all streams of a connection together: no limit, see above.
pub const CONNECTION_WINDOW: u32 = 1 << 30;
/// How much memory frames that are too small for their own good may take.
pub const SMALL_FRAMES: usize = 4 << 20;
/// The largest frame that is taken.
pub const MAX_FRAME: u32 = 64 << 10;
/// The largest header list that is taken: more than twice what gRPC implementations send by default.
pub const MAX_HEADERS: u32 = 32 << 10;

/// What needs no room of its own.
const SMALL: usize = 16 << 10;

/// No gzip holds more bytes than so many for each of its own.
const MOST_IN_GZIP: usize = 1032;

/// What takes longer to unpack than other calls should wait: at worst some ten milliseconds.
const SOON_UNPACKED: usize = 4 << 10;

/// Room for the large messages of one connection, in KiB.
#[derive(Clone)]
pub struct Room(Arc<Rooms>);

struct Rooms {
    received: Arc<Semaphore>,
    unpacked: Arc<Semaphore>,
}

impl Room {
    const KIB: usize = 64 << 10;

    pub fn new() -> Self {
        Room(Arc::new(Rooms {
            received: Arc::new(Semaphore::new(Self::KIB)),
            unpacked: Arc::new(Semaphore::new(Self::KIB)),
        }))
    }

    /// Whether no stream has it.
    pub fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// Takes room for so many bytes; none for a small message.
async fn take(room: &Arc<Semaphore>, length: usize) -> Option<OwnedSemaphorePermit> {
    match permits(length) {
        0 => None,
        permits => room.clone().acquire_many_owned(permits).await.ok(), // it is never closed
    }
}

fn permits(length: usize) -> u32 {
    if length <= SMALL {
        return 0;
    }
    u32::try_from(length.div_ceil(1024).min(Room::KIB)).expect("no more than KIB")
}

/// One message, as the parts that arrived.
pub struct Message {
    pub parts: Vec<Bytes>,
    pub length: usize,
    /// How many bytes of its stream's window it still holds.
    pub held: usize,
    /// Given back when the message is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

/// Why there is no next message.
#[derive(Debug)]
pub enum Broken {
    /// What came is not what may come; the peer is to be told.
    Refused(Status),
    /// The peer has reset the stream, or the connection is gone.
    Gone(h2::Error),
}

/// Reads the messages of one body.
pub struct Reader {
    body: RecvStream,
    parts: VecDeque<Bytes>,
    available: usize,
    held: usize,
    limit: usize,
    is_gzip: bool,
    room: Room,
}

impl Reader {
    pub fn new(body: RecvStream, limit: usize, is_gzip: bool, room: Room) -> Self {
        Reader {
            body,
            parts: VecDeque::new(),
            available: 0,
            held: 0,
            limit,
            is_gzip,
            room,
        }
    }

    /// The next message; None at the end of the body.
    pub async fn next(&mut self) -> Result<Option<Message>, Broken> {
        while self.available < PREFIX {
            if !self.receive().await? {
                if self.available == 0 {
                    return Ok(None);
                }
                return Err(cut_short());
            }
        }
        let (is_compressed, length) = self.prefix();
        if length > self.limit {
            return Err(too_large(length, self.limit));
        }
        let room = take(&self.room.0.received, length).await;
        while self.available < length {
            if self.held > STREAM_WINDOW as usize / 2 {
                let held = std::mem::take(&mut self.held);
                self.release(held); // a message larger than the window could never end otherwise
            }
            if !self.receive().await? {
                return Err(cut_short());
            }
        }
        let held = self.held.min(PREFIX + length);
        self.held -= held;
        let message = Message {
            parts: self.take(length),
            length,
            held,
            _room: room,
        };
        match (is_compressed, self.is_gzip) {
            (0, _) => Ok(Some(message)),
            (1, true) => self.unpacked(message).await.map(Some),
            _ => Err(Broken::Refused(Status::new(
                grpc::INTERNAL,
                "a message is compressed in an undeclared way",
            ))),
        }
    }

    /// The only message of a body.
    pub async fn only(&mut self) -> Result<Message, Broken> {
        let Some(mut message) = self.next().await? else {
            return Err(Broken::Refused(Status::new(
                grpc::INTERNAL,
                "there is no message; a unary call has one",
            )));
        };
        self.release(std::mem::take(&mut message.held));
        if self.next().await?.is_some() {
            return Err(Broken::Refused(Status::new(
                grpc::INTERNAL,
                "there are several messages; a unary call has one",
            )));
        }
        Ok(message)
    }

    pub async fn trailers(&mut self) -> Result<Option<http::HeaderMap>, h2::Error> {
        self.body.trailers().await
    }

    /// Lets the peer send that much more.
    pub fn release(&mut self, bytes: usize) {
        if bytes > 0 {
            let _ = self.body.flow_control().release_capacity(bytes); // fails only if the stream has ended
        }
    }

    pub fn flow_control(&mut self) -> h2::FlowControl {
        self.body.flow_control().clone()
    }

    async fn receive(&mut self) -> Result<bool, Broken> {
        let Some(part) = self.body.data().await else {
            return Ok(false);
        };
        let part = part.map_err(Broken::Gone)?;
        self.available += part.len();
        self.held += part.len();
        if !part.is_empty() {
            self.parts.push_back(part);
        }
        Ok(true)
    }

    fn prefix(&mut self) -> (u8, usize) {
        let mut prefix = [0; PREFIX];
        for byte in &mut prefix {
            let first = self.parts.front_mut().expect("available counts the parts");
            *byte = first.get_u8();
            if first.is_empty() {
                self.parts.pop_front();
            }
        }
        self.available -= PREFIX;
        let [flag, length @ ..] = prefix;
        (flag, u32::from_be_bytes(length) as usize)
    }

    fn take(&mut self, length: usize) -> Vec<Bytes> {
        self.available -= length;
        let mut taken = Vec::with_capacity(1);
        let mut missing = length;
        while missing > 0 {
            let first = self.parts.front_mut().expect("available counts the parts");
            let part = first.split_to(missing.min(first.len()));
            missing -= part.len();
            taken.push(part);
            if first.is_empty() {
                self.parts.pop_front();
            }
        }
        taken
    }

    async fn unpacked(&self, packed: Message) -> Result<Message, Broken> {
        let (held, limit) = (packed.held, self.limit);
        let most = packed.length.saturating_mul(MOST_IN_GZIP).min(limit);
        let mut room = take(&self.room.0.unpacked, most).await;
        let inflated = if packed.length <= SOON_UNPACKED {
            inflated(packed, most, limit)?
        } else {
            let elsewhere = tokio::task::spawn_blocking(move || inflated(packed, most, limit));
            elsewhere.await.unwrap_or_else(|_| Err(failed()))?
        };
        let length = inflated.len();
        if let Some(room) = &mut room {
            let spare = room.num_permits().saturating_sub(permits(length) as usize);
            drop(room.split(spare));
        }
        Ok(Message {
            parts: vec![inflated.into()],
            length,
            held,
            _room: room,
        })
    }
}

/// What is in a message, which is at most `most`, and may be at most `limit`.
fn inflated(packed: Message, most: usize, limit: usize) -> Result<Vec<u8>, Broken> {
    let bytes: Vec<u8> = packed.parts.concat();
    let mut inflated = Vec::with_capacity(most); // it never grows, which would take twice the room; unused pages cost nothing
    flate2::read::MultiGzDecoder::new(bytes.as_slice())
        .take(limit as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|error| Broken::Refused(Status::new(grpc::INTERNAL, format!("a message is no gzip: {error}"))))?;
    if inflated.len() > limit {
        return Err(too_large(inflated.len(), limit));
    }
    inflated.shrink_to_fit();
    Ok(inflated)
}

fn failed() -> Broken {
    Broken::Refused(Status::new(grpc::INTERNAL, "the transport has failed")) // what failed was printed
}

pub fn too_large(got: usize, limit: usize) -> Broken {
    let text = format!("the message has {got} bytes or more; at most {limit} are taken");
    Broken::Refused(Status::new(grpc::RESOURCE_EXHAUSTED, text))
}

fn cut_short() -> Broken {
    Broken::Refused(Status::new(grpc::INTERNAL, "the body ends inside a message"))
}

/// Sends a part of a body no faster than the peer takes it.
pub async fn send(body: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        body.reserve_capacity(data.len());
        let mut capacity = body.capacity();
        if capacity == 0 {
            match poll_fn(|context| body.poll_capacity(context)).await {
                Some(granted) => capacity = granted?,
                None => return Err(h2::Error::from(h2::Reason::CANCEL)),
            }
        }
        body.send_data(data.split_to(capacity.min(data.len())), false)?;
    }
    Ok(())
}

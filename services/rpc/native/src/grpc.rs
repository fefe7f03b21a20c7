//! The words of gRPC on HTTP/2. Source: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.

use std::io::Write;
use std::time::Duration;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::Engine;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::write::GzEncoder;
use flate2::Compression;
use h2::Reason;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::StatusCode;

pub const OK: u8 = 0;
pub const CANCELLED: u8 = 1;
pub const UNKNOWN: u8 = 2;
pub const DEADLINE_EXCEEDED: u8 = 4;
pub const PERMISSION_DENIED: u8 = 7;
pub const RESOURCE_EXHAUSTED: u8 = 8;
pub const UNIMPLEMENTED: u8 = 12;
pub const INTERNAL: u8 = 13;
pub const UNAVAILABLE: u8 = 14;
pub const UNAUTHENTICATED: u8 = 16;

/// The compressions that are read.
pub const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip");
pub const GZIP: HeaderValue = HeaderValue::from_static("gzip");
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// What HTTP/2 and gRPC themselves use: never shown as metadata, nor taken for it.
const RESERVED: [&str; 15] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
];

/// Peers pad or do not pad; both are read, and nothing is padded here.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub code: u8,
    pub message: String,
    /// A serialized google.rpc.Status, or empty.
    pub details: Vec<u8>,
}

impl Status {
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Status {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    pub fn ok() -> Self {
        Status::new(OK, "")
    }

    /// As trailers (or, without a body, as the only headers).
    pub fn write_to(&self, headers: &mut HeaderMap) {
        headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(self.code)));
        if !self.message.is_empty() {
            headers.insert(GRPC_MESSAGE, percent_encoded(&self.message));
        }
        if !self.details.is_empty() {
            headers.insert(GRPC_DETAILS, binary_value(&self.details));
        }
    }

    /// Out of trailers; None where they hold no status.
    pub fn read_from(headers: &HeaderMap) -> Option<Self> {
        let code = headers
            .get(GRPC_STATUS)?
            .to_str()
            .ok()
            .and_then(|text| text.parse::<u8>().ok());
        let message = headers
            .get(GRPC_MESSAGE)
            .map_or_else(String::new, |value| percent_decoded(value.as_bytes()));
        let details = headers
            .get(GRPC_DETAILS)
            .and_then(|value| BASE64.decode(value.as_bytes()).ok())
            .unwrap_or_default();
        Some(Status {
            code: code.filter(|code| *code <= UNAUTHENTICATED).unwrap_or(UNKNOWN),
            message,
            details,
        })
    }

    /// What a response without a gRPC status means, by its HTTP status.
    /// Source: github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md.
    pub fn of_http(status: StatusCode) -> Self {
        let code = match status.as_u16() {
            400 => INTERNAL,
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            429 | 502 | 503 | 504 => UNAVAILABLE,
            _ => UNKNOWN,
        };
        Status::new(
            code,
            format!("the peer answered HTTP status {status} without a gRPC status"),
        )
    }

    /// What a broken stream or connection means.
    pub fn of_break(error: &h2::Error) -> Self {
        let code = match error.reason() {
            _ if error.is_io() || error.is_go_away() => UNAVAILABLE,
            Some(Reason::REFUSED_STREAM) => UNAVAILABLE,
            Some(Reason::CANCEL) => CANCELLED,
            Some(Reason::ENHANCE_YOUR_CALM) => RESOURCE_EXHAUSTED,
            Some(Reason::INADEQUATE_SECURITY) => PERMISSION_DENIED,
            Some(_) => INTERNAL,
            None => UNAVAILABLE,
        };
        Status::new(code, format!("the connection or its stream broke: {error}"))
    }
}

/// One metadata value as it is meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Binary(Vec<u8>),
}

/// The metadata among headers or trailers, in order.
pub fn metadata(headers: &HeaderMap) -> Vec<(&str, Value)> {
    let mut found = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = name.as_str();
        if RESERVED.contains(&name) {
            continue;
        }
        if name.ends_with("-bin") {
            // Proxies may join several values by commas, which base64 does not use.
            for part in value.as_bytes().split(|byte| *byte == b',') {
                if let Ok(raw) = BASE64.decode(part.trim_ascii()) {
                    found.push((name, Value::Binary(raw)));
                }
            }
        } else {
            found.push((
                name,
                Value::Text(String::from_utf8_lossy(value.as_bytes()).into_owned()),
            ));
        }
    }
    found
}

/// Adds one pair to headers or trailers; says what is wrong with it where it is no metadata.
pub fn add_metadata(headers: &mut HeaderMap, key: &str, value: &[u8]) -> Result<(), String> {
    let name = HeaderName::from_bytes(key.as_bytes()).map_err(|_| format!("metadata key {key:?} is not valid"))?;
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("metadata key {key:?} is the protocol's own"));
    }
    let value = if key.ends_with("-bin") {
        binary_value(value)
    } else {
        HeaderValue::from_bytes(value).map_err(|_| format!("the metadata value of {key:?} is not printable ASCII"))?
    };
    headers.append(name, value);
    Ok(())
}

fn binary_value(raw: &[u8]) -> HeaderValue {
    HeaderValue::try_from(BASE64.encode(raw)).expect("base64 is ASCII")
}

/// "100m" and the like; None where it is malformed.
pub fn parsed_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// At most eight digits, as fine as they allow, rounded up.
pub fn timeout_value(timeout: Duration) -> HeaderValue {
    const LIMIT: u128 = 100_000_000;
    let nanos = timeout.as_nanos();
    let text = [("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000)]
        .into_iter()
        .map(|(unit, size)| (nanos.div_ceil(size), unit))
        .find(|(amount, _)| *amount < LIMIT)
        .map_or_else(|| "99999999S".to_owned(), |(amount, unit)| format!("{amount}{unit}"));
    HeaderValue::try_from(text).expect("digits and a letter")
}

fn percent_encoded(text: &str) -> HeaderValue {
    let mut out = BytesMut::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f..=0xff => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.put_u8(byte),
        }
    }
    HeaderValue::from_maybe_shared(out.freeze()).expect("printable ASCII")
}

fn percent_decoded(encoded: &[u8]) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if let (b'%', [high, low, after @ ..]) = (first, tail) {
            if let (Some(high), Some(low)) = (hex(*high), hex(*low)) {
                out.push(high << 4 | low);
                rest = after;
                continue;
            }
        }
        out.push(first);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One message with its prefix, ready to be sent; None if it is too long for that.
pub fn framed(payload: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(payload.len()).ok()?;
    let mut frame = BytesMut::with_capacity(PREFIX + payload.len());
    frame.put_u8(0); // not compressed
    frame.put_u32(length);
    frame.put_slice(payload);
    Some(frame.freeze())
}

/// The same, compressed; None if that makes it no shorter.
pub fn compressed(payload: &[u8]) -> Option<Bytes> {
    let mut frame = vec![0; PREFIX];
    let mut packer = GzEncoder::new(&mut frame, Compression::fast());
    packer.write_all(payload).ok()?;
    packer.finish().ok()?;
    let length = frame.len() - PREFIX;
    if length >= payload.len() {
        return None;
    }
    frame[0] = 1;
    frame[1..PREFIX].copy_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
    Some(frame.into())
}

/// Whether a frame of ours is compressed.
pub fn is_compressed(frame: &[u8]) -> bool {
    frame.first() == Some(&1)
}

/// Whether who sent these headers reads gzip.
pub fn reads_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(GRPC_ACCEPT_ENCODING);
    accepted.iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|name| name.trim_ascii() == b"gzip")
    })
}

/// Bytes before each message: whether it is compressed, and its length.
pub const PREFIX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read() {
        let parse = |text: &str| parsed_timeout(&HeaderValue::from_str(text).unwrap());
        assert_eq!(parse("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("4m"), Some(Duration::from_millis(4)));
        assert_eq!(parse("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "S", "1", "1x", "-1S", "+1S", "1.5S", "123456789n", "1é"] {
            assert_eq!(
                HeaderValue::from_bytes(wrong.as_bytes())
                    .ok()
                    .as_ref()
                    .and_then(parsed_timeout),
                None
            );
        }
    }

    #[test]
    fn timeouts_are_written_as_fine_as_eight_digits_allow() {
        let write = |timeout| timeout_value(timeout).to_str().unwrap().to_owned();
        assert_eq!(write(Duration::from_nanos(7)), "7n");
        assert_eq!(write(Duration::from_millis(100)), "100000u");
        assert_eq!(write(Duration::from_nanos(100_000_001)), "100001u");
        assert_eq!(write(Duration::from_secs(200_000)), "200000S");
        assert_eq!(write(Duration::from_secs(1)), "1000000u");
        assert_eq!(write(Duration::MAX), "99999999S");
    }

    #[test]
    fn a_status_survives_its_trailers() {
        let status = Status {
            code: 9,
            message: "100 % \r\n\u{6a21} %41".into(),
            details: (0..=255).collect(),
        };
        let mut headers = HeaderMap::new();
        status.write_to(&mut headers);
        assert!(headers[GRPC_MESSAGE].to_str().unwrap().is_ascii());
        assert_eq!(Status::read_from(&headers), Some(status));
    }

    #[test]
    fn malformed_statuses_are_unknown() {
        for wrong in ["17", "-1", "x", "999", ""] {
            let headers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_str(wrong).unwrap())]);
            assert_eq!(Status::read_from(&headers).unwrap().code, UNKNOWN);
        }
        assert_eq!(Status::read_from(&HeaderMap::new()), None);
    }

    #[test]
    fn what_does_not_shrink_is_not_compressed() {
        let frame = compressed(&[7; 1000]).unwrap();
        assert!(is_compressed(&frame) && frame.len() < 100);
        assert_eq!(
            frame[1..PREFIX],
            (u32::try_from(frame.len() - PREFIX).unwrap()).to_be_bytes()
        );
        assert_eq!(compressed(b"short"), None);
        assert!(!is_compressed(&framed(b"short").unwrap()));
    }

    #[test]
    fn a_list_of_encodings_is_read() {
        let reads = |list| {
            reads_gzip(&HeaderMap::from_iter([(
                GRPC_ACCEPT_ENCODING,
                HeaderValue::from_static(list),
            )]))
        };
        assert!(reads("gzip") && reads("identity, deflate,gzip") && reads(" gzip "));
        assert!(!reads("identity") && !reads("gzipped") && !reads("") && !reads_gzip(&HeaderMap::new()));
    }

    #[test]
    fn broken_percent_encoding_is_left_as_it_is() {
        assert_eq!(percent_decoded(b"%"), "%");
        assert_eq!(percent_decoded(b"%4"), "%4");
        assert_eq!(percent_decoded(b"%zz%41"), "%zzA");
        assert_eq!(percent_decoded(b"%FF"), "\u{fffd}");
    }

    #[test]
    fn metadata_is_told_apart_from_what_the_protocol_uses() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", CONTENT_TYPE);
        add_metadata(&mut headers, "a", b"1").unwrap();
        add_metadata(&mut headers, "raw-bin", &[0, 255]).unwrap();
        add_metadata(&mut headers, "a", b"2").unwrap();
        headers.append("more-bin", HeaderValue::from_static("AA==, AQ"));
        let text = |text: &str| Value::Text(text.to_owned());
        let found = metadata(&headers);
        assert_eq!(found[0], ("a", text("1")));
        assert_eq!(found[1], ("a", text("2")));
        assert_eq!(found[2], ("raw-bin", Value::Binary(vec![0, 255])));
        assert_eq!(found[3], ("more-bin", Value::Binary(vec![0])));
        assert_eq!(found[4], ("more-bin", Value::Binary(vec![1])));
        assert!(add_metadata(&mut headers, "no good", b"").is_err());
        assert!(add_metadata(&mut headers, "a", b"line\nfeed").is_err());
        assert!(add_metadata(&mut headers, "grpc-status", b"0").is_err());
        assert!(add_metadata(&mut headers, "Connection", b"close").is_err());
    }
}

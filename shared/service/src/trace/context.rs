//! Which span of which trace: the W3C's `traceparent` (<https://www.w3.org/TR/trace-context/>), as a header
//! of requests and of records.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::kafka::Incoming;

/// The name of the header.
pub const TRACEPARENT: &str = "traceparent";

/// Its length in version 00.
const LENGTH: usize = 55;

/// A span of a trace that is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
}

/// What a sender says of his trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// His span.
    pub context: Context,
    /// Whether he records it.
    pub sampled: bool,
}

impl Given {
    /// Reads a header's value; none for what is no `traceparent`, which is as good as none at all.
    /// Of later versions what version 00 knows is read.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(LENGTH)?;
        let version = hex::<1>(&known[..2])?[0];
        let parted = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        let ends = more.is_empty() || (version > 0 && more[0] == b'-');
        if version == u8::MAX || !parted || !ends {
            return None;
        }
        let context = Context {
            trace: hex(&known[3..35])?,
            span: hex(&known[36..52])?,
        };
        let flags = hex::<1>(&known[53..])?[0];
        let valid = context.trace != [0; 16] && context.span != [0; 8];
        valid.then_some(Self {
            context,
            sampled: flags & 1 == 1,
        })
    }
}

impl Context {
    /// What the header of a record says, if that is sampled.
    pub fn of(record: &Incoming) -> Option<Self> {
        let given = Given::read(record.header(TRACEPARENT)?)?;
        given.sampled.then_some(given.context)
    }

    /// As the header's value, of version 00, sampled.
    pub fn write(&self) -> Bytes {
        let mut text = String::with_capacity(LENGTH);
        let parts: [&[u8]; 4] = [&[0], &self.trace, &self.span, &[1]];
        for part in parts {
            if !text.is_empty() {
                text.push('-');
            }
            for byte in part {
                // Writing to a text can't fail.
                let _ = write!(text, "{byte:02x}");
            }
        }
        Bytes::from(text)
    }
}

/// Lower case only, as the standard has it.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// The standard's own example, and what is near it and is none.
    #[test]
    fn a_traceparent_is_read_as_the_standard_says() {
        let given = Given::read(VALID.as_bytes()).unwrap();
        assert!(given.sampled);
        assert_eq!(given.context.write(), VALID);
        let flags = |flags: &str| Given::read(format!("{}{flags}", &VALID[..53]).as_bytes());
        assert!(!flags("00").unwrap().sampled);
        assert!(flags("03").unwrap().sampled);
        assert!(flags("zz").is_none());
        let later = format!("01{}", &VALID[2..]);
        assert!(Given::read(later.as_bytes()).is_some());
        assert!(Given::read(format!("{later}-more").as_bytes()).is_some());
        for wrong in [
            String::new(),
            VALID[..54].to_owned(),
            format!("{VALID}-more"),
            format!("{later}more"),
            format!("ff{}", &VALID[2..]),
            VALID.to_uppercase(),
            VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            VALID.replace("b7ad6b7169203331", &"0".repeat(16)),
            VALID.replace('-', "_"),
        ] {
            assert_eq!(Given::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        /// What one process writes the next one reads, and nothing that is not one of these breaks it.
        #[test]
        fn what_is_written_is_read(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), other in any::<Vec<u8>>()) {
            let context = Context { trace, span };
            let read = Given::read(&context.write());
            prop_assert_eq!(read.is_some(), trace != [0; 16] && span != [0; 8]);
            prop_assert!(read.is_none_or(|given| given.context == context && given.sampled));
            let _ = Given::read(&other);
        }
    }
}

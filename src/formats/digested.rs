//! A writer that digests what goes through it.

use std::fmt;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::hex;

/// Digests and counts what is written through it.
pub struct Digested<W> {
    /// Where it goes.
    pub out: W,
    digest: Option<Sha256>,
    length: u64,
}

impl<W> fmt::Debug for Digested<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digested({} bytes)", self.length)
    }
}

impl<W: Write> Digested<W> {
    /// Of what goes to `out`.
    pub fn new(out: W) -> Self {
        Digested {
            out,
            digest: Some(Sha256::new()),
            length: 0,
        }
    }

    /// The same where nobody asks for the digest, which takes its time.
    pub fn counting(out: W) -> Self {
        Digested {
            digest: None,
            ..Digested::new(out)
        }
    }

    /// The SHA-256 of what was written so far, in hexadecimal; of nothing where none is counted.
    pub fn sha256(&self) -> String {
        hex::encode(self.digest.clone().unwrap_or_default().finalize())
    }

    /// How many bytes were written.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        if let Some(digest) = &mut self.digest {
            digest.update(&bytes[..written]);
        }
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

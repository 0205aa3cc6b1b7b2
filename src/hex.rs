//! Lower-case hexadecimal digits: of bytes, of digests, of random numbers.

use std::fmt::Write as _;

use anyhow::Context;
use sha2::{Digest, Sha256};

/// Random bytes of what nobody may guess (paths, marks, identities): nobody guesses 128 bits.
const RANDOM_BYTES: usize = 16;

/// Bytes, two digits each.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    encode(Sha256::digest(bytes))
}

/// A random number of 128 bits.
///
/// # Errors
/// The kernel gives no random bytes.
pub fn random() -> anyhow::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).context("reading random bytes")?;
    Ok(encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_bytes_and_digests() {
        assert_eq!(encode([0, 0x0a, 0xff]), "000aff");
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn random_numbers_differ() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!(one.len(), 2 * RANDOM_BYTES);
        assert_ne!(one, other);
    }
}

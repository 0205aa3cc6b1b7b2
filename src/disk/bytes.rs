//! Numbers and texts in structures of disks. What lies beyond the end of a structure is an error, never
//! a panic.

use anyhow::{Context, Result};

/// The number of `width` bytes (1 to 8) at a place, least significant byte first.
///
/// # Errors
/// The structure ends before.
pub fn little(bytes: &[u8], at: usize, width: usize) -> Result<u64> {
    let number = slice(bytes, at, width)?.iter().rev();
    Ok(number.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The number of `width` bytes (1 to 8) at a place, most significant byte first.
///
/// # Errors
/// The structure ends before.
pub fn big(bytes: &[u8], at: usize, width: usize) -> Result<u64> {
    let number = slice(bytes, at, width)?.iter();
    Ok(number.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// So many bytes at a place.
///
/// # Errors
/// The structure ends before.
pub fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8]> {
    bytes
        .get(at..)
        .and_then(|rest| rest.get(..length))
        .context("a structure ends too early")
}

/// A text in a field of fixed length that ends at the first zero byte; none if it is empty.
pub fn text(field: &[u8]) -> Option<String> {
    let text = field.split(|byte| *byte == 0).next()?;
    let text = String::from_utf8_lossy(text).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// A UUID as it is written, in lower case; none if it is all zeroes.
pub fn uuid(bytes: &[u8]) -> Option<String> {
    let digits = crate::hex::encode(bytes.get(..16)?);
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let groups = groups.map(|group| &digits[group]);
    (!digits.bytes().all(|digit| digit == b'0')).then(|| groups.join("-"))
}

/// The UUID of a GPT, whose first three groups are least significant byte first (UEFI Specification
/// 2.10, appendix A).
pub fn guid(bytes: &[u8]) -> Option<String> {
    let mut bytes: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    uuid(&bytes)
}

/// Whether bytes are all zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    const ZEROES: [u8; 4096] = [0; 4096];
    // Compared as memory is, fast without optimisation, too.
    bytes
        .chunks(ZEROES.len())
        .all(|part| part == &ZEROES[..part.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_with_their_structure() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(little(&bytes, 0, 4).unwrap(), 0x0403_0201);
        assert_eq!(big(&bytes, 2, 2).unwrap(), 0x0304);
        big(&bytes, 3, 2).unwrap_err();
        little(&bytes, usize::MAX, 8).unwrap_err();
    }

    #[test]
    fn identities_are_written_as_tools_do() {
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(
            uuid(&bytes).unwrap(),
            "00010203-0405-0607-0809-0a0b0c0d0e0f"
        );
        assert_eq!(
            guid(&bytes).unwrap(),
            "03020100-0504-0706-0809-0a0b0c0d0e0f"
        );
        assert_eq!(uuid(&[0; 16]), None);
        assert_eq!(text(b"root\0\0old").as_deref(), Some("root"));
        assert_eq!(text(&[0; 16]), None);
    }
}

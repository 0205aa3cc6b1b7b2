//! UUIDs (RFC 9562), by which hypervisors know machines and disks.

use anyhow::{Context, Result};

use crate::hex;

/// A random one, version 4.
///
/// # Errors
/// The system has no random numbers.
pub fn random() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("making a UUID")?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &hex[part]);
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn version_and_variant_are_marked() {
        let uuid = super::random().unwrap();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }
}

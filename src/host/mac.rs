//! Hardware addresses of guests' network cards.

use std::fmt;
use std::str::FromStr;

/// The prefix that QEMU and libvirt give to their guests.
const QEMU_PREFIX: [u8; 3] = [0x52, 0x54, 0x00];

/// An Ethernet address that a guest may have: unicast, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// An address with QEMU's prefix and three random bytes.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> anyhow::Result<Self> {
        let mut tail = [0; 3];
        getrandom::fill(&mut tail)
            .map_err(|error| anyhow::anyhow!("getting random bytes: {error}"))?;
        let [a, b, c] = QEMU_PREFIX;
        let [d, e, f] = tail;
        Ok(Mac([a, b, c, d, e, f]))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "`{text}` is not a guest's MAC address: {why}; write it like 52:54:00:12:34:56"
            ))
        };
        let parts: Vec<&str> = text.split([':', '-']).collect();
        let mut bytes = [0; 6];
        if parts.len() != bytes.len() {
            return refuse("it needs six bytes");
        }
        for (byte, part) in bytes.iter_mut().zip(parts) {
            let hex = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            match u8::from_str_radix(part, 16) {
                Ok(value) if hex => *byte = value,
                _ => return refuse("each byte is two hexadecimal digits"),
            }
        }
        if bytes[0] & 1 == 1 {
            return refuse("the first byte is odd, which makes it a multicast address");
        }
        if bytes == [0; 6] {
            return refuse("it is all zero");
        }
        Ok(Mac(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, shown) in [
            ("52:54:00:AB:cd:01", "52:54:00:ab:cd:01"),
            ("02-00-00-00-00-01", "02:00:00:00:00:01"),
        ] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "52:54:00:ab:cd",
            "52:54:00:ab:cd:0g",
            "52:54:00:ab:cd:+1",
            "53:54:00:ab:cd:01",
            "00:00:00:00:00:00",
            "5:54:00:ab:cd:001",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn random_addresses_are_qemus_and_differ() {
        let (one, other) = (Mac::random().unwrap(), Mac::random().unwrap());
        assert!(one.to_string().starts_with("52:54:00:"));
        assert_ne!(one, other);
    }
}

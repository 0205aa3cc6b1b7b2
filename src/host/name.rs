//! Domain names that libvirt, file systems and socket paths can all carry.

use sha2::{Digest, Sha256};

/// Longest domain name made here, in bytes: libvirt puts it into file names (`NAME.log`,
/// `NAME_VARS.fd`) and refuses longer paths of unix sockets than 107 bytes.
const MAX_LENGTH: usize = 48;
/// Hexadecimal digits of the digest that keeps altered names apart: 32 bits are plenty for the
/// guests of one host.
const DIGEST_DIGITS: usize = 8;
/// What is put before every domain's name, so that a person who lists guests knows whose they are.
const PREFIX: &str = "ozr-";

/// The domain name for an image's name.
///
/// libvirt 9.0 makes directory names of the first 20 characters of a domain's name through
/// `mbstowcs(3)`, which fails on non-ASCII names in a program that runs in the C locale, as every
/// Rust program does. Names that hold anything but ASCII letters, digits, `.`, `_` and `-`, or
/// are too long, are altered and get a digest of the whole name, so that the mapping is stable
/// and two names never share a domain.
pub fn domain_name(image_name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if image_name.chars().all(plain) && PREFIX.len() + image_name.len() <= MAX_LENGTH {
        return format!("{PREFIX}{image_name}");
    }
    let digest: String = Sha256::digest(image_name.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let room = MAX_LENGTH - PREFIX.len() - 1 - DIGEST_DIGITS;
    let readable: String = image_name
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(room)
        .collect();
    format!("{PREFIX}{readable}-{}", &digest[..DIGEST_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(domain_name("rocky9-base_1.2"), "ozr-rocky9-base_1.2");
    }

    #[test]
    fn odd_names_become_plain_short_and_stay_apart() {
        let odd = [
            "a b",
            "a&b",
            "a\"b",
            "ä",
            "a/b",
            "",
            "Rocky 9 <base>",
            "名前",
        ];
        for name in odd {
            let made = domain_name(name);
            assert!(made.is_ascii() && made.len() <= MAX_LENGTH, "{made}");
            assert!(!made.contains(['/', ' ', '&', '"', '<']), "{made}");
        }
        assert_ne!(domain_name("a b"), domain_name("a&b"));
        let long = "x".repeat(300);
        assert_eq!(domain_name(&long).len(), MAX_LENGTH);
        assert_ne!(domain_name(&long), domain_name(&"x".repeat(301)));
        assert_eq!(domain_name("a b"), domain_name("a b"));
    }
}

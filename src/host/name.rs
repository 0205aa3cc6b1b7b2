//! Domain names that libvirt, file systems and socket paths can all carry.

use crate::hex;

/// Longest domain name made here, in bytes: libvirt puts it into file names (`NAME.log`,
/// `NAME_VARS.fd`) and refuses longer paths of unix sockets than 107 bytes.
const MAX_LENGTH: usize = 48;
/// Hexadecimal digits of the digest that keeps altered names apart: 32 bits are plenty for the
/// guests of one host.
const DIGEST_DIGITS: usize = 8;
/// What is put before the name of every guest that installs, so that a person who lists guests knows
/// whose they are.
const PREFIX: &str = "ozr-";

/// The name of the guest that installs an image.
pub fn domain_name(image_name: &str) -> String {
    fit(PREFIX, image_name)
}

/// The name of the domain that boots a finished image: the image's own, as far as libvirt can carry
/// it. A machine that was made of last night's image is not in the way of tonight's guest so.
pub fn finished_name(image_name: &str) -> String {
    fit("", image_name)
}

/// libvirt 9.0 makes directory names of the first 20 characters of a domain's name through
/// `mbstowcs(3)`, which fails on non-ASCII names in a program that runs in the C locale, as every
/// Rust program does. Names that hold anything but ASCII letters, digits, `.`, `_` and `-`, or
/// are too long, are altered and get a digest of the whole name, so that the mapping is stable
/// and two names never share a domain.
fn fit(prefix: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.chars().all(plain) && prefix.len() + name.len() <= MAX_LENGTH {
        return format!("{prefix}{name}");
    }
    let digest = hex::sha256(name);
    let room = MAX_LENGTH - prefix.len() - 1 - DIGEST_DIGITS;
    let readable: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(room)
        .collect();
    format!("{prefix}{readable}-{}", &digest[..DIGEST_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(domain_name("rocky9-base_1.2"), "ozr-rocky9-base_1.2");
        assert_eq!(finished_name("rocky9-base_1.2"), "rocky9-base_1.2");
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
            assert_ne!(finished_name(name), made);
        }
        assert_ne!(domain_name("a b"), domain_name("a&b"));
        let long = "x".repeat(300);
        assert_eq!(domain_name(&long).len(), MAX_LENGTH);
        assert_ne!(domain_name(&long), domain_name(&"x".repeat(301)));
        assert_eq!(domain_name("a b"), domain_name("a b"));
    }
}

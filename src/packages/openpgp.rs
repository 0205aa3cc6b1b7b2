//! Who made a signature (RFC 9580, sections 4.2 and 5.2).

use crate::disk::bytes::big;
use crate::hex;

/// The packet that is a signature.
const SIGNATURE: u8 = 2;

/// Subpackets of a signature that say whose it is: the key's id, and its fingerprint.
const ISSUER: u8 = 16;
const FINGERPRINT: u8 = 33;

/// The id of the key that made a signature, in hexadecimal; none if it does not say.
pub fn issuer(packet: &[u8]) -> Option<String> {
    let body = body(packet)?;
    match body.first()? {
        3 => body.get(7..15).map(hex::encode),
        4 | 6 => {
            let wide = if body[0] == 6 { 4 } else { 2 };
            let length = |at| big(body, at, wide).ok().map(|length| length as usize);
            let hashed = length(4)?;
            let other = 4 + wide + hashed;
            let hashed = body.get(4 + wide..other)?;
            let other = body.get(other + wide..)?.get(..length(other)?)?;
            of_subpackets(hashed).or_else(|| of_subpackets(other))
        }
        _ => None,
    }
}

/// What is in a packet, if it is a signature.
fn body(packet: &[u8]) -> Option<&[u8]> {
    let (first, rest) = packet.split_first()?;
    let (kind, head, length) = match first >> 6 {
        // The old form says how many bytes its length has.
        0b10 => {
            let wide = 1 << (first & 3);
            (first >> 2 & 0xf, wide, big(rest, 0, wide).ok()? as usize)
        }
        0b11 => {
            let (head, length) = length(rest)?;
            (first & 0x3f, head, length)
        }
        _ => return None,
    };
    (kind == SIGNATURE).then(|| rest.get(head..)?.get(..length))?
}

/// A length as new packets and subpackets have it: how many bytes it takes, and what it is.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.first()?);
    match first {
        0..=191 => Some((1, first)),
        192..=254 => Some((2, (first - 192) * 256 + usize::from(*bytes.get(1)?) + 192)),
        _ => Some((5, big(bytes, 1, 4).ok()? as usize)),
    }
}

fn of_subpackets(mut bytes: &[u8]) -> Option<String> {
    let mut found = None;
    while !bytes.is_empty() {
        let (head, length) = length(bytes)?;
        let packet = bytes.get(head..)?.get(..length)?;
        let (kind, content) = packet.split_first()?;
        match (kind & 0x7f, content) {
            (ISSUER, id) => return id.get(..8).map(hex::encode),
            // The id is the end of a fingerprint of version 4, and the beginning of later ones.
            (FINGERPRINT, [4, fingerprint @ ..]) => found = fingerprint.get(12..20),
            (FINGERPRINT, [_, fingerprint @ ..]) => found = fingerprint.get(..8),
            _ => {}
        }
        bytes = &bytes[head + length..];
    }
    found.map(hex::encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_told_by_id_or_fingerprint() {
        let id = [0x70, 0x2d, 0x42, 0x6d, 0x35, 0x0d, 0x27, 0x5d];
        let mut third = vec![0x88, 19, 3, 5, 0, 0, 0, 0, 0];
        third.extend(id);
        third.extend([1, 2, 0, 0]);
        assert_eq!(issuer(&third).as_deref(), Some("702d426d350d275d"));
        // Version 4: a fingerprint is hashed, the id beside it is not.
        let mut fourth = vec![4, 0, 1, 8, 0, 23, 22, FINGERPRINT, 4];
        fourth.extend([0; 12]);
        fourth.extend(id);
        fourth.extend([0, 0, 0, 0]);
        let mut packet = vec![0xc2, fourth.len() as u8];
        packet.extend(&fourth);
        assert_eq!(issuer(&packet).as_deref(), Some("702d426d350d275d"));
        for end in 0..packet.len() {
            assert_eq!(issuer(&packet[..end]), None, "cut short");
        }
    }
}

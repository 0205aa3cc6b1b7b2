//! By what a guest is known to DHCP servers: read from the packets that it sent.

/// How a capture begins (libpcap's format, as QEMU's `filter-dump` writes it on a little-endian host), and how
/// long its headers are: of the file, and of each packet.
const MAGIC: [u8; 4] = [0xd4, 0xc3, 0xb2, 0xa1];
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// Types of Ethernet frames.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// UDP, as both versions of IP number it.
const UDP: u8 = 17;

/// Ports of servers.
const DHCP_SERVER: u16 = 67;
const DHCPV6_SERVER: u16 = 547;

/// Behind which the options of DHCP stand (RFC 2131), and the one that identifies the client (RFC 2132).
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const OPTIONS: usize = 240;
const CLIENT_ID: u8 = 61;

/// The type of a client identifier that holds an IAID of four bytes and a DUID (RFC 4361). The IAID is the
/// interface's, and may be the same in all machines.
const DUID_TYPE: u8 = 255;

/// The option of DHCPv6 that holds the client's DUID (RFC 8415).
const CLIENT_DUID: u16 = 1;

/// What a client called itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientIds {
    /// To DHCP servers: its DUID, its identifier of another kind, or its MAC address.
    pub v4: Option<String>,
    /// To DHCPv6 servers: its DUID.
    pub v6: Option<String>,
}

/// What the client of this capture called itself, the first time. What is no capture, or broken, tells
/// nothing.
pub fn client_ids(capture: &[u8]) -> ClientIds {
    let mut ids = ClientIds::default();
    let Some(mut rest) = capture
        .strip_prefix(&MAGIC)
        .and_then(|_| capture.get(FILE_HEADER..))
    else {
        return ids;
    };
    while let Some(header) = rest.get(..PACKET_HEADER) {
        let mut length = [0; 4];
        length.copy_from_slice(&header[8..12]);
        let end = PACKET_HEADER.saturating_add(u32::from_le_bytes(length) as usize);
        let Some(packet) = rest.get(PACKET_HEADER..end) else {
            break;
        };
        look(packet, &mut ids);
        rest = &rest[end..];
    }
    ids
}

fn look(frame: &[u8], ids: &mut ClientIds) -> Option<()> {
    let (kind, packet) = (number(frame, 12)?, frame.get(14..)?);
    let (protocol, datagram) = match kind {
        IPV4 => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            (*packet.get(9)?, packet.get(header..)?)
        }
        IPV6 => (*packet.get(6)?, packet.get(40..)?),
        _ => return None,
    };
    if protocol != UDP {
        return None;
    }
    let (port, payload) = (number(datagram, 2)?, datagram.get(8..)?);
    match (kind, port) {
        (IPV4, DHCP_SERVER) if ids.v4.is_none() => ids.v4 = of_dhcp(payload),
        (IPV6, DHCPV6_SERVER) if ids.v6.is_none() => ids.v6 = of_dhcpv6(payload),
        _ => {}
    }
    Some(())
}

fn of_dhcp(message: &[u8]) -> Option<String> {
    if message.get(OPTIONS - COOKIE.len()..OPTIONS)? != COOKIE {
        return None;
    }
    let mut rest = message.get(OPTIONS..)?;
    while let [code, behind @ ..] = rest {
        match *code {
            0 => rest = behind,
            255 => break,
            code => {
                let length = usize::from(*behind.first()?);
                let value = behind.get(1..=length)?;
                if code == CLIENT_ID {
                    return Some(match value {
                        [DUID_TYPE, _, _, _, _, duid @ ..] => format!("DUID {}", hex(duid)),
                        other => format!("client identifier {}", hex(other)),
                    });
                }
                rest = &behind[1 + length..];
            }
        }
    }
    let length = usize::from(*message.get(2)?).min(16);
    Some(format!(
        "MAC address {}",
        hex(message.get(28..28 + length)?)
    ))
}

fn of_dhcpv6(message: &[u8]) -> Option<String> {
    let mut rest = message.get(4..)?;
    loop {
        let (code, length) = (number(rest, 0)?, usize::from(number(rest, 2)?));
        let value = rest.get(4..4 + length)?;
        if code == CLIENT_DUID {
            return Some(format!("DUID {}", hex(value)));
        }
        rest = &rest[4 + length..];
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    match bytes.get(at..at + 2)? {
        [high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.resize(FILE_HEADER, 0);
        for packet in packets {
            let length = (packet.len() as u32).to_le_bytes();
            file.extend([[0; 4], [0; 4], length, length].concat());
            file.extend(packet);
        }
        file
    }

    fn discover(options: &[u8]) -> Vec<u8> {
        let mut message = vec![1, 1, 6, 0];
        message.resize(28, 0);
        message.extend([0x52, 0x54, 0, 1, 2, 3]);
        message.resize(OPTIONS - COOKIE.len(), 0);
        message.extend(COOKIE);
        message.extend(options);
        let mut frame = vec![0xff; 12];
        frame.extend([8, 0]);
        let mut ip = vec![0x45; 20];
        ip[9] = UDP;
        frame.extend(ip);
        frame.extend([0, 68, 0, 67, 0, 0, 0, 0]);
        frame.extend(message);
        frame
    }

    fn solicit() -> Vec<u8> {
        let mut frame = vec![0x33; 12];
        frame.extend([0x86, 0xdd]);
        let mut ip = vec![0; 40];
        ip[6] = UDP;
        frame.extend(ip);
        frame.extend([2, 0x22, 2, 0x23, 0, 0, 0, 0]);
        frame.extend([1, 9, 9, 9]);
        frame.extend([0, 8, 0, 2, 0, 0]);
        frame.extend([0, 1, 0, 3, 0xa, 0xb, 0xc]);
        frame
    }

    #[test]
    fn clients_are_known_by_what_they_send() {
        let of = |options: &[u8]| {
            client_ids(&capture(&[vec![1, 2], discover(options)]))
                .v4
                .unwrap()
        };
        assert_eq!(
            of(&[53, 1, 1, 61, 7, 255, 1, 2, 3, 4, 0, 2, 255]),
            "DUID 00:02"
        );
        assert_eq!(of(&[0, 61, 2, 1, 0x52, 255]), "client identifier 01:52");
        assert_eq!(of(&[53, 1, 1, 255]), "MAC address 52:54:00:01:02:03");
        let both = client_ids(&capture(&[solicit(), discover(&[255])]));
        assert_eq!(both.v6.as_deref(), Some("DUID 0a:0b:0c"));
        assert!(both.v4.is_some());
    }

    #[test]
    fn what_is_broken_tells_nothing() {
        let whole = capture(&[discover(&[61, 2, 1, 0x52, 255]), solicit()]);
        for length in 0..whole.len() {
            client_ids(&whole[..length]);
        }
        assert_eq!(client_ids(b"no capture"), ClientIds::default());
        assert_eq!(client_ids(&capture(&[discover(&[61, 200, 1])])).v4, None);
    }
}

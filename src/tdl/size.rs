//! Disk sizes: `10`, `10 G`, `500MB`, `2TiB`.

/// Largest virtual disk that a qcow2 image can have, in bytes: 2 EiB.
///
/// QEMU limits the L1 table to 32 MiB (`QCOW_MAX_L1_SIZE`); with the largest clusters, 2 MiB, its
/// 2^22 entries stand for 2^39 bytes each (docs/interop/qcow2 of QEMU, field `size`; `qemu-img`
/// 10.0 creates this size with `cluster_size=2M` and refuses the next). With the default clusters
/// of 64 KiB the limit is 2 PiB.
pub const QCOW2_MAX: u64 = 1 << 61;

/// What is allowed, for the help of findings.
pub const HELP: &str = "write a whole number and a unit: `10` and `10G` are GiB, `2T` is TiB; \
                        B, KB to EB count by 1000, KiB to EiB by 1024";

/// Reads a disk size into bytes. Nothing or zero means that the template does not set one.
///
/// The units are Oz's (0.19): none and a bare `G` mean GiB, a bare `T` means TiB, `B`, and
/// `KB`...`YB` (powers of 1000) and `KiB`...`YiB` (powers of 1024), in any case.
///
/// # Errors
/// One sentence that names the cause; [`HELP`] says what is allowed.
pub fn parse(text: &str) -> Result<Option<u64>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!(
            "disk size `{}` does not begin with a digit",
            short(text)
        ));
    }
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let factor =
        factor(&unit).ok_or_else(|| format!("disk size `{}` has no known unit", short(text)))?;
    let too_large = || {
        format!(
            "disk size `{}` is more than a qcow2 image can hold, which is 2 EiB",
            short(text)
        )
    };
    let number = number.trim_start_matches('0');
    if number.is_empty() {
        return Ok(None);
    }
    let bytes = number
        .parse::<u128>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|&bytes| bytes <= QCOW2_MAX)
        .ok_or_else(too_large)?;
    Ok(Some(bytes))
}

/// Bytes in one of the lower-case unit.
fn factor(unit: &str) -> Option<u128> {
    let powers = |letter: &str| Some(1 + "kmgtpezy".find(letter)? as u32);
    Some(match unit {
        "" | "g" => 1 << 30,
        "t" => 1 << 40,
        "b" => 1,
        _ => match (unit.get(..1)?, unit.get(1..)?) {
            (letter, "b") => 1000u128.pow(powers(letter)?),
            (letter, "ib") => 1024u128.pow(powers(letter)?),
            _ => return None,
        },
    })
}

/// The beginning of a text that may be megabytes long.
fn short(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_in_bytes() {
        for (text, bytes) in [
            ("10", 10 << 30),
            ("10G", 10 << 30),
            ("10 g", 10 << 30),
            (" 007  T\n", 7 << 40),
            ("1t", 1 << 40),
            ("512b", 512),
            ("3B", 3),
            ("2kb", 2000),
            ("2KiB", 2048),
            ("2MB", 2_000_000),
            ("2mIb", 2 << 20),
            ("20 GB", 20_000_000_000),
            ("20GiB", 20 << 30),
            ("2TB", 2_000_000_000_000),
            ("2TiB", 2 << 40),
            ("1PB", 1_000_000_000_000_000),
            ("1PiB", 1 << 50),
            ("2EB", 2_000_000_000_000_000_000),
            ("2EiB", 1 << 61),
            ("10240", 10240 << 30),
            ("2305843009213693952b", QCOW2_MAX),
        ] {
            assert_eq!(parse(text), Ok(Some(bytes)), "{text}");
        }
        for unset in ["", " \n", "0", "0b", "000 G", "0YB"] {
            assert_eq!(parse(unset), Ok(None), "{unset}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "10E", "T10", "G", "b", "10k", "10M", "10p", "10z", "10y", "10i", "10ib", "10Gi",
            "10XB", "1.5G", "1,5", "-1", "+1", "1e3", "10 G B", "10\tG", "10GBB", "0x10", "١٠",
            "10é",
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(text), "{text}: {message}");
        }
        for text in [
            "3EB",
            "3EiB",
            "2305843009213693953b",
            "18446744073709551616b",
            "1ZB",
            "10ZB",
            "1YiB",
            &"9".repeat(1000),
        ] {
            let message = parse(text).unwrap_err();
            assert!(
                message.contains("2 EiB") && message.len() < 200,
                "{message}"
            );
        }
    }
}

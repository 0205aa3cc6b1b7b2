//! Headers of LUKS 1 and 2 that a hostile guest wrote: an answer or an error, never a panic. Their checksums are
//! right, or nothing behind them would be read. No passphrase is tried: what deriving a key may cost is bounded by
//! seconds and a GiB, which tests/luks.rs has, and would be all that is seen here.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::disk::device::Device;
use ozr::disk::luks;

/// Bytes of the binary header of LUKS 2 and its JSON (LUKS2 On-Disk Format 1.1, chapter 2).
const HEADER: usize = 0x4000;

/// Where the binary header has its checksum.
const CHECKSUM: std::ops::Range<usize> = 448..512;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    if bytes.starts_with(b"LUKS\xba\xbe\0\x02") && bytes.len() >= HEADER {
        bytes[CHECKSUM].fill(0);
        let sum = openssl::sha::sha256(&bytes[..HEADER]);
        bytes[CHECKSUM.start..][..sum.len()].copy_from_slice(&sum);
    }
    let disk = Device::of_bytes(bytes);
    if let Ok(found) = luks::keys(std::slice::from_ref(&disk), &[]) {
        assert!(found.keys.is_empty());
    }
});

//! Whatever a disc holds: what is on it or an error, never a panic, and no more of a file than was asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::disk::device::Device;
use ozr::disk::iso9660::{Iso, SECTOR};

/// Most bytes of a file.
const MOST: u64 = 1 << 20;

/// Where the descriptors begin.
const DESCRIPTORS: usize = 16 * SECTOR as usize;

fuzz_target!(|data: &[u8]| {
    // The system area is nobody's concern.
    let mut bytes = vec![0; DESCRIPTORS];
    bytes.extend_from_slice(data);
    let Ok(disc) = Iso::open(Device::of_bytes(bytes)) else {
        return;
    };
    let _ = disc.label();
    for path in [".treeinfo", "images/pxeboot/vmlinuz", "AppStream/repodata/repomd.xml"] {
        if let Ok(Some(content)) = disc.read(path, MOST) {
            assert!(content.len() as u64 <= MOST, "more than was asked for");
        }
    }
});

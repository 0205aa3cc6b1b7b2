//! Initramfs of a hostile guest: names of modules or an error, never a panic, and no more names than there are
//! bytes for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::inspect::initramfs;

fuzz_target!(|data: &[u8]| {
    if let Ok(modules) = initramfs::modules(data) {
        assert!(modules.iter().all(|name| !name.is_empty() && !name.contains('/')));
    }
});

//! What QEMU and libvirt say of a guest's end.

use super::pattern::{Certainty, Channel, Origin, Pattern, Text, failure, origin};
use crate::watch::cause::Cause::{self, DiskFull, GuestKilled, HypervisorFailed};

const QEMU: Origin = origin("QEMU", "all", "softmmu/runstate.c, main-loop");
const BLOCK: Origin = origin("QEMU", "all", "block/");
const MEMORY: Origin = origin("QEMU", "all", "util/oslib-posix.c");

use Text::Contains;

const fn said(text: &'static str, cause: Cause, origin: Origin, sample: &'static str) -> Pattern {
    failure(
        Channel::Hypervisor,
        Certainty::Fatal,
        Contains(text),
        cause,
        origin,
        sample,
    )
}

/// The texts.
#[rustfmt::skip]
pub static HYPERVISOR: &[Pattern] = &[
    said("No space left on device", DiskFull, BLOCK, "qemu-system-x86_64: write failed: No space left on device"),
    said("enospc", DiskFull, BLOCK, "IO error on device virtio-disk0: enospc"),
    said("cannot set up guest memory", HypervisorFailed, MEMORY, "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory"),
    said("terminating on signal", GuestKilled, QEMU, "qemu-system-x86_64: terminating on signal 15 from pid 1 (/sbin/init)"),
    said("killed by signal", GuestKilled, origin("ozr", "all", "host/"), "QEMU was killed by signal 9"),
];

/// What ended the guest, by the last words of its hypervisor.
pub fn cause_of_last_words(words: &str) -> Option<Cause> {
    let row = super::find(HYPERVISOR, Channel::Hypervisor, words, words)?;
    match row.meaning {
        super::pattern::Meaning::Failure(found) => Some(found.cause),
        _ => None,
    }
}

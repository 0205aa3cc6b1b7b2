//! Words inside a failure's message that tell what failed more exactly than the text that led to
//! it, and what QEMU and libvirt say of a guest's end. The first row that matches counts.

use super::Certainty::Fatal;
use super::Channel::{Both, Console};
use super::Text::Contains;
use super::{Origin, Pattern, failure, find};
use crate::watch::cause::Cause::{
    self, BootLoaderFailed, DiskFull, DownloadFailed, GuestKilled, HypervisorFailed,
    KickstartRejected, OutOfMemory, QuestionAsked, ScriptFailed, SoftwareMissing,
    SourceUnavailable, StorageFailed, TransactionFailed,
};
use crate::watch::signal::Signal;

const ERRORS: Origin = "anaconda, EL 7 and later: errors.py";
const SPOKES: Origin = "anaconda, EL 7 and later: ui/tui/spokes, `title`";
const SUMMARY: Origin = "anaconda, EL 7 and later: ui/tui/hubs/summary.py";
const PYKICKSTART: Origin = "pykickstart, all: errors.py";
const BOOTLOADER: Origin = "anaconda, EL 7 and later: bootloader: base.py, grub2.py, efi.py";
const YUM: Origin = "anaconda, EL 7: packaging/yumpayload.py";
const DNF: Origin = "anaconda, EL 8 and later: dnf_manager.py, transaction_progress.py";
const LIBDNF: Origin = "libdnf, EL 8 and later: libdnf/repo, goal";
const RPM: Origin = "rpm, all: lib/rpmprob.c";
const PAYLOAD: Origin = "anaconda, EL 7 and later: payload: manager.py, source tasks";
const BLIVET: Origin = "blivet, EL 7 and later: errors.py, partitioning.py, formats";
const STORAGE: Origin = "anaconda, EL 8 and later: ui/lib/storage.py, ui/tui/spokes/storage.py";
const SPACE: Origin = "anaconda, EL 7 and later: ui/lib/space.py";
const LIBC: Origin = "glibc, all: errno";

const fn says(words: &'static str, cause: Cause, origin: Origin, sample: &'static str) -> Pattern {
    failure(Both, Fatal, Contains(words), cause, origin, sample)
}

/// The words of messages.
#[rustfmt::skip]
pub static DETAILS: &[Pattern] = &[
    says("error running the kickstart script", ScriptFailed, ERRORS, "There was an error running the kickstart script at line 4."),
    // What is named in a list of spokes.
    says("Installation Destination", StorageFailed, SPOKES, "mandatory spokes are not completed: Installation Destination"),
    says("not completed: Installation source", SourceUnavailable, SPOKES, "mandatory spokes are not completed: Installation source"),
    says("mandatory spokes are not completed", QuestionAsked, SUMMARY, "The following mandatory spokes are not completed: Root password"),
    says("of the kickstart file", KickstartRejected, PYKICKSTART, "The following problem occurred on line 3 of the kickstart file: x"),

    // No room, before what failed for want of it.
    says("on the / filesystem", DiskFull, RPM, "installing package kernel-core needs 60MB on the / filesystem"),
    says("more space on the ", DiskFull, RPM, "installing package kernel-core needs 60MB more space on the / filesystem"),
    says("Disk Requirements", DiskFull, DNF, "Disk Requirements: At least 60MB more space needed"),
    says("No space left on device", DiskFull, LIBC, "[Errno 28] No space left on device: '/mnt/sysroot/etc/x'"),
    says("Not enough disk space to download", DiskFull, DNF, "Not enough disk space to download the packages; size 1.2 GiB."),
    says("Not enough space in file systems for the current software", DiskFull, SPACE, "Not enough space in file systems for the current software selection. An additional 1 GiB is needed."),
    says("Cannot allocate memory", OutOfMemory, LIBC, "[Errno 12] Cannot allocate memory"),

    // Packages that are not there.
    says("Missing package", SoftwareMissing, YUM, "CmdlineError: Missing package: nosuch"),
    says("missing packages:", SoftwareMissing, DNF, "Problems in request: missing packages: nosuch"),
    says("groups or modules are", SoftwareMissing, DNF, "Some packages, groups or modules are missing."),
    says("marked for installation has errors", SoftwareMissing, DNF, "The following software marked for installation has errors."),
    says("No match for argument", SoftwareMissing, LIBDNF, "No match for argument: nosuch"),
    says("nothing provides", SoftwareMissing, LIBDNF, "nothing provides libx needed by y"),
    says("No such package", SoftwareMissing, YUM, "NoSuchPackage: no such package nosuch"),
    says("NoSuchGroup", SoftwareMissing, YUM, "NoSuchGroup: nosuch"),
    says("NoSuchPackage", SoftwareMissing, YUM, "NoSuchPackage: nosuch"),
    says("Modular dependency problem", SoftwareMissing, DNF, "Modular dependency problem: x"),
    says("Stream was not specified for a module", SoftwareMissing, DNF, "Stream was not specified for a module without a default stream: x"),
    says("This group does not exist", SoftwareMissing, YUM, "The group 'core' is required for this installation. This group does not exist."),
    says("Multiple streams have been specified", SoftwareMissing, DNF, "Multiple streams have been specified for a single module."),
    says("This package does not exist", SoftwareMissing, YUM, "You have specified that the package 'x' should be installed. This package does not exist."),

    // The source.
    says("Error setting up base repository", SourceUnavailable, PAYLOAD, "Error setting up base repository"),
    says("Error setting up software source", SourceUnavailable, PAYLOAD, "Error setting up software source"),
    says("Error checking software selection", SoftwareMissing, PAYLOAD, "Software selection (Error checking software selection)"),
    says("Installation source not set up", SourceUnavailable, PAYLOAD, "Installation source not set up"),
    says("Failed to set up installation source", SourceUnavailable, PAYLOAD, "Failed to set up installation source"),
    says("Failed to download metadata", SourceUnavailable, LIBDNF, "Failed to download metadata for repo 'anaconda'"),
    says("Error downloading package metadata", SourceUnavailable, YUM, "Error downloading package metadata..."),
    says("Cannot prepare internal mirrorlist", SourceUnavailable, LIBDNF, "Cannot prepare internal mirrorlist: Curl error (6)"),
    says("repomd.xml", SourceUnavailable, LIBDNF, "Cannot download repomd.xml: All mirrors were tried"),
    says("Cannot find a valid baseurl", SourceUnavailable, YUM, "Cannot find a valid baseurl for repo: x"),
    says("repository is invalid", SourceUnavailable, PAYLOAD, "The 'x' repository is invalid."),

    // The download.
    says("Failed to download the following packages", DownloadFailed, DNF, "Failed to download the following packages: bash"),
    says("Error downloading packages", DownloadFailed, DNF, "Error downloading packages: Cannot download bash"),
    says("error populating transaction", DownloadFailed, YUM, "error populating transaction after 10 retries"),
    says("Cannot download Packages/", DownloadFailed, LIBDNF, "Cannot download Packages/b/bash.rpm: All mirrors were tried"),
    says("All mirrors were tried", DownloadFailed, LIBDNF, "Cannot download x: All mirrors were tried"),

    // The transaction.
    says("error occurred during the transaction", TransactionFailed, DNF, "An error occurred during the transaction: x"),
    says("has ended abruptly", TransactionFailed, DNF, "The transaction process has ended abruptly: x"),
    says("transaction process has ended with errors", TransactionFailed, DNF, "An error: The transaction process has ended with errors."),
    says("ended up abruptly", TransactionFailed, DNF, "Payload error - DNF installation has ended up abruptly: x"),
    says("scriptlet in rpm package", TransactionFailed, DNF, "Error in POSTIN scriptlet in rpm package kernel-core"),
    says("scriptlet failed", TransactionFailed, RPM, "%post(kernel) scriptlet failed, exit status 1"),
    says("Transaction check error", TransactionFailed, RPM, "Transaction check error: file /a from x conflicts with file from y"),
    says("conflicts with file from package", TransactionFailed, RPM, "file /a from install of x conflicts with file from package y"),
    says("DNF error", TransactionFailed, DNF, "DNF error: x"),
    says("Payload error", TransactionFailed, DNF, "Payload error - x"),
    says("while installing the payload", TransactionFailed, ERRORS, "The following error occurred while installing the payload."),

    // The boot loader, whose name packages and files have, too.
    says("boot loader", BootLoaderFailed, BOOTLOADER, "failed to write boot loader configuration"),
    says("bootloader", BootLoaderFailed, BOOTLOADER, "bootloader install failed"),
    says("grub", BootLoaderFailed, BOOTLOADER, "Failed to write GRUB configuration"),
    says("new efi boot target", BootLoaderFailed, BOOTLOADER, "failed to set new efi boot target. This is most likely a kernel or firmware bug."),
    says("efibootmgr", BootLoaderFailed, BOOTLOADER, "failed to remove old efi boot entry: efibootmgr"),

    // The disk.
    says("free space", StorageFailed, BLIVET, "not enough free space on disks"),
    says("enough space", StorageFailed, BLIVET, "Not enough space in the volume group"),
    says("partition scheme", StorageFailed, BLIVET, "Unable to allocate requested partition scheme."),
    says("usable disks", StorageFailed, BLIVET, "No usable disks"),
    says("storage configuration", StorageFailed, STORAGE, "Failed to save storage configuration"),
    says("No disks selected", StorageFailed, STORAGE, "No disks selected"),
    says("Kickstart insufficient", StorageFailed, STORAGE, "Kickstart insufficient"),
    says("suitable stage1 device", StorageFailed, BLIVET, "failed to find a suitable stage1 device"),
    says("format creation failed", StorageFailed, BLIVET, "FormatCreateError: format creation failed"),
    says("FSError", StorageFailed, BLIVET, "blivet.errors.FSError: filesystem creation failed"),
    says("FormatCreateError", StorageFailed, BLIVET, "blivet.errors.FormatCreateError: ('invalid device specification', '/dev/vda1')"),
    says("DeviceCreateError", StorageFailed, BLIVET, "blivet.errors.DeviceCreateError: ('x', 'vda1')"),
    says("PartitioningError", StorageFailed, BLIVET, "blivet.errors.PartitioningError: x"),
    says("lvcreate", StorageFailed, BLIVET, "Process reported exit code 5: lvcreate: x"),
];

const QEMU: Origin = "QEMU, all: softmmu/runstate.c, main-loop";
const BLOCK: Origin = "QEMU, all: block/";
const MEMORY: Origin = "QEMU, all: util/oslib-posix.c";

/// The hypervisor's texts.
#[rustfmt::skip]
pub static HYPERVISOR: &[Pattern] = &[
    says("No space left on device", DiskFull, BLOCK, "qemu-system-x86_64: write failed: No space left on device"),
    says("enospc", DiskFull, BLOCK, "IO error on device virtio-disk0: enospc"),
    says("cannot set up guest memory", HypervisorFailed, MEMORY, "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory"),
    says("terminating on signal", GuestKilled, QEMU, "qemu-system-x86_64: terminating on signal 15 from pid 1 (/sbin/init)"),
    says("killed by signal", GuestKilled, "ozr, all: host/", "QEMU was killed by signal 9"),
];

/// What failed, by the words of its message.
pub fn cause_of_message(message: &str) -> Option<Cause> {
    cause_in(DETAILS, message)
}

/// What ended the guest, by the last words of its hypervisor.
pub fn cause_of_last_words(words: &str) -> Option<Cause> {
    cause_in(HYPERVISOR, words)
}

fn cause_in(table: &[Pattern], text: &str) -> Option<Cause> {
    match find(table, Console, text, text)?.meaning {
        Signal::Failure(found) => Some(found.cause),
        _ => None,
    }
}

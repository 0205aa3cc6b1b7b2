//! Texts of the kernel and of the firmware before it, that tell of a failure.

use super::pattern::{Certainty, Channel, Origin, Pattern, Text, failure, origin};
use crate::watch::cause::Cause::{KernelPanic, NoBootOutput, OutOfMemory};

const PANIC: Origin = origin("Linux", "all", "kernel/panic.c");
const OOM: Origin = origin("Linux", "all", "mm/oom_kill.c");
const SEABIOS: Origin = origin("SeaBIOS", "all", "src/boot.c");
const EDK2: Origin = origin("edk2", "all", "MdeModulePkg BdsDxe, UefiBootManagerLib");

use Certainty::{Fatal, Suspect};
use Channel::{Both, Console};
use Text::{Both as Holds, Contains, Starts};

/// The texts.
#[rustfmt::skip]
pub static KERNEL: &[Pattern] = &[
    failure(Both, Fatal, Holds("Kernel panic - not syncing", "Out of memory"), OutOfMemory, OOM, "[    3.1] Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled"),
    failure(Both, Fatal, Holds("Kernel panic - not syncing", "deadlocked on memory"), OutOfMemory, OOM, "[    3.1] Kernel panic - not syncing: System is deadlocked on memory"),
    failure(Both, Fatal, Contains("Kernel panic - not syncing"), KernelPanic, PANIC, "[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs"),
    failure(Console, Suspect(0), Contains("Initramfs unpacking failed: write error"), OutOfMemory, origin("Linux", "all", "init/initramfs.c"), "[    1.0] Initramfs unpacking failed: write error"),
    failure(Both, Fatal, Holds("Out of memory: Kill", "(anaconda)"), OutOfMemory, OOM, "[  200.5] Out of memory: Killed process 1741 (anaconda) total-vm:1kB"),
    failure(Both, Suspect(0), Contains("Out of memory: Kill"), OutOfMemory, OOM, "[  200.5] Out of memory: Kill process 1741 (dnf) score 900 or sacrifice child"),
    failure(Both, Suspect(0), Contains("Out of memory and no killable processes"), OutOfMemory, OOM, "[  200.5] Out of memory and no killable processes..."),

    // The firmware found nothing to boot.
    failure(Console, Fatal, Starts("No bootable device."), NoBootOutput, SEABIOS, "No bootable device."),
    failure(Console, Fatal, Starts("Boot failed: could not read the boot disk"), NoBootOutput, SEABIOS, "Boot failed: could not read the boot disk"),
    failure(Console, Fatal, Starts("Boot failed: not a bootable disk"), NoBootOutput, SEABIOS, "Boot failed: not a bootable disk"),
    failure(Console, Fatal, Contains("BdsDxe: No bootable option or device was found"), NoBootOutput, EDK2, "BdsDxe: No bootable option or device was found."),
    failure(Console, Fatal, Starts("UEFI Interactive Shell"), NoBootOutput, EDK2, "UEFI Interactive Shell v2.2"),
    failure(Console, Fatal, Contains("Could not find kernel image"), NoBootOutput, origin("syslinux", "all", "core/ui.inc"), "Could not find kernel image: vmlinuz"),
    failure(Console, Fatal, Starts("grub rescue>"), NoBootOutput, origin("GRUB", "2", "grub-core/kern/rescue_reader.c"), "grub rescue> "),
    failure(Console, Fatal, Starts("FATAL: No bootable device"), NoBootOutput, SEABIOS, "FATAL: No bootable device.  Retrying in 60 seconds."),
];

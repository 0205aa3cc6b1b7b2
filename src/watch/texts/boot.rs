//! Texts of a guest that boots: of the firmware and the kernel, and of the initramfs (in EL 6: of the
//! loader), whose retries can recover until dracut gives up.

use super::Certainty::{Fatal, Suspect};
use super::Channel::{Both, Console};
use super::Text::{Between, Both as Holds, Contains, Starts};
use super::{Certainty, Found, Origin, Pattern, Text, failure, row};
use crate::watch::cause::Cause::{
    self, KernelPanic, KickstartUnreachable, MediaCheckFailed, NetworkFailed, NoBootOutput,
    OutOfMemory, Stage2Unavailable,
};
use crate::watch::signal::Signal;

const PANIC: Origin = "Linux, all: kernel/panic.c";
const OOM: Origin = "Linux, all: mm/oom_kill.c";
const SEABIOS: Origin = "SeaBIOS, all: src/boot.c";
const EDK2: Origin = "edk2, all: MdeModulePkg BdsDxe, UefiBootManagerLib";

/// The texts of the firmware and the kernel.
#[rustfmt::skip]
pub static KERNEL: &[Pattern] = &[
    failure(Both, Fatal, Holds("Kernel panic - not syncing", "Out of memory"), OutOfMemory, OOM, "[    3.1] Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled"),
    failure(Both, Fatal, Holds("Kernel panic - not syncing", "deadlocked on memory"), OutOfMemory, OOM, "[    3.1] Kernel panic - not syncing: System is deadlocked on memory"),
    failure(Both, Fatal, Contains("Kernel panic - not syncing"), KernelPanic, PANIC, "[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs"),
    failure(Console, Suspect(0), Contains("Initramfs unpacking failed: write error"), OutOfMemory, "Linux, all: init/initramfs.c", "[    1.0] Initramfs unpacking failed: write error"),
    failure(Both, Fatal, Holds("Out of memory: Kill", "(anaconda)"), OutOfMemory, OOM, "[  200.5] Out of memory: Killed process 1741 (anaconda) total-vm:1kB"),
    failure(Both, Suspect(0), Contains("Out of memory: Kill"), OutOfMemory, OOM, "[  200.5] Out of memory: Kill process 1741 (dnf) score 900 or sacrifice child"),
    failure(Both, Suspect(0), Contains("Out of memory and no killable processes"), OutOfMemory, OOM, "[  200.5] Out of memory and no killable processes..."),

    // The firmware found nothing to boot.
    failure(Console, Fatal, Starts("No bootable device."), NoBootOutput, SEABIOS, "No bootable device."),
    failure(Console, Fatal, Starts("Boot failed: could not read the boot disk"), NoBootOutput, SEABIOS, "Boot failed: could not read the boot disk"),
    failure(Console, Fatal, Starts("Boot failed: not a bootable disk"), NoBootOutput, SEABIOS, "Boot failed: not a bootable disk"),
    failure(Console, Fatal, Contains("BdsDxe: No bootable option or device was found"), NoBootOutput, EDK2, "BdsDxe: No bootable option or device was found."),
    failure(Console, Fatal, Starts("UEFI Interactive Shell"), NoBootOutput, EDK2, "UEFI Interactive Shell v2.2"),
    failure(Console, Fatal, Contains("Could not find kernel image"), NoBootOutput, "syslinux, all: core/ui.inc", "Could not find kernel image: vmlinuz"),
    failure(Console, Fatal, Starts("grub rescue>"), NoBootOutput, "GRUB, 2: grub-core/kern/rescue_reader.c", "grub rescue> "),
    failure(Console, Fatal, Starts("FATAL: No bootable device"), NoBootOutput, SEABIOS, "FATAL: No bootable device.  Retrying in 60 seconds."),
];

const FETCH_KS: Origin = "anaconda, EL 7 and later: dracut/fetch-kickstart-net.sh, -disk";
const PARSE_KS: Origin = "anaconda, EL 7 and later: dracut/parse-anaconda-kickstart.sh";
const PARSE_REPO: Origin = "anaconda, EL 7 and later: dracut/parse-anaconda-repo.sh";
const LOADER_KS: Origin = "anaconda, EL 6: loader/kickstart.c, loader/urlinstall.c";
const LOADER: Origin = "anaconda, EL 6: loader/urlinstall.c, loader/method.c";
const LOADER_NET: Origin = "anaconda, EL 6: loader/net.c";
const LIB: Origin = "anaconda, EL 7 and later: dracut/anaconda-lib.sh";
const REPORT: Origin = "anaconda, EL 9 and later: dracut/anaconda-error-reporting.sh";
const INITQUEUE: Origin = "dracut, EL 7 and later: dracut-initqueue.sh, hook names";
const EMERGENCY: Origin = "dracut, EL 7 and later: dracut-emergency.sh, dracut-lib.sh";
const URL_LIB: Origin = "dracut, EL 7 and later: 45url-lib/url-lib.sh";
const LIVE: Origin = "dracut, EL 7 and later: 90dmsquash-live/dmsquash-live-root.sh";
const IFUP: Origin = "dracut, EL 7, EL 8: 35network-legacy/ifup.sh";
const NM: Origin = "NetworkManager, EL 8 and later: src/core/devices/nm-device.c";
const INITRD: Origin = "systemd, EL 7 and later: units of the initrd";
const MEDIA: Origin = "isomd5sum, all: checkisomd5.c";
const DISKROOT: Origin = "anaconda, EL 7 and later: dracut/anaconda-diskroot";
const SULOGIN: Origin = "util-linux, all: login-utils/sulogin.c";
const CURL: Origin = "curl, all: man curl, EXIT CODES";

const fn early(
    certainty: Certainty,
    text: Text,
    cause: Cause,
    origin: Origin,
    sample: &'static str,
) -> Pattern {
    let found = Found {
        cause,
        certainty,
        of_initramfs: true,
    };
    row(Console, text, Signal::Failure(found), origin, sample)
}

const fn suspect(
    weight: u8,
    text: Text,
    cause: Cause,
    origin: Origin,
    sample: &'static str,
) -> Pattern {
    early(Suspect(weight), text, cause, origin, sample)
}

const fn gives_up(text: Text, cause: Cause, origin: Origin, sample: &'static str) -> Pattern {
    failure(Console, Certainty::Vague, text, cause, origin, sample)
}

/// The texts of the initramfs.
#[rustfmt::skip]
pub static INITRAMFS: &[Pattern] = &[
    // The kickstart.
    suspect(0, Contains("failed to fetch kickstart"), KickstartUnreachable, FETCH_KS, "dracut-initqueue[607]: Warning: failed to fetch kickstart from http://192.0.2.1/ks"),
    suspect(0, Contains("unknown network kickstart URL"), KickstartUnreachable, FETCH_KS, "Warning: unknown network kickstart URL: gopher://x"),
    suspect(0, Starts("Can't get kickstart from"), KickstartUnreachable, FETCH_KS, "Warning: Can't get kickstart from /dev/sr0:/ks.cfg"),
    suspect(0, Between("can't find /", "!"), KickstartUnreachable, PARSE_KS, "Warning: can't find /ks.cfg!"),
    suspect(1, Contains("ks.cfg.done"), KickstartUnreachable, INITQUEUE, "Warning: /lib/dracut/hooks/initqueue/finished/kickstart.sh: \"[ -e /tmp/ks.cfg.done ]\""),
    suspect(1, Contains("initqueue/finished/kickstart.sh"), KickstartUnreachable, INITQUEUE, "Warning: /lib/dracut/hooks/initqueue/finished/kickstart.sh: \"x\""),
    suspect(0, Starts("Failed to retrieve http"), KickstartUnreachable, LOADER_KS, "Failed to retrieve http://192.0.2.1/ks.cfg."),
    suspect(0, Contains("Error downloading kickstart file"), KickstartUnreachable, LOADER_KS, "Error downloading kickstart file"),
    suspect(0, Contains("Unable to download the kickstart file"), KickstartUnreachable, LOADER_KS, "Unable to download the kickstart file.  Please modify the kickstart parameter below"),
    suspect(0, Starts("Cannot find kickstart file on "), KickstartUnreachable, LOADER_KS, "Cannot find kickstart file on CDROM."),

    // The network.
    suspect(1, Contains("finished/nm.sh"), NetworkFailed, INITQUEUE, "Warning: /lib/dracut/hooks/initqueue/finished/nm.sh: \"[ -f /tmp/nm.done ]\""),
    suspect(0, Between("dhcp for interface ", " failed"), NetworkFailed, IFUP, "dracut-initqueue[500]: Warning: dhcp for interface ens3 failed"),
    suspect(0, Contains("state change: ip-config -> failed"), NetworkFailed, NM, "NetworkManager[500]: <warn>  [1.1] device (ens3): state change: ip-config -> failed (reason 'ip-config-unavailable'"),
    suspect(0, Contains("There was an error configuring your network interface"), NetworkFailed, LOADER_NET, "There was an error configuring your network interface."),
    // curl names the address, but does not say what was wanted from it.
    suspect(2, Contains("curl: (22)"), Stage2Unavailable, CURL, "curl: (22) The requested URL returned error: 404"),
    // What it writes to is memory.
    early(Certainty::Reason, Holds("curl: (23)", "writ"), OutOfMemory, CURL, "curl: (23) Failed writing body (0 != 16384)"),
    early(Certainty::Reason, Contains("No space left on device"), OutOfMemory, CURL, "dracut-initqueue[1392]: /lib/dracut-lib.sh: line 434: echo: write error: No space left on device"),
    suspect(2, Contains("curl: ("), NetworkFailed, CURL, "curl: (7) Failed to connect to 192.0.2.1 port 80: No route to host"),

    // The second stage.
    suspect(0, Contains("failed to fetch stage2"), Stage2Unavailable, LIB, "dracut-initqueue[1133]: Warning: anaconda: failed to fetch stage2 from http://192.0.2.1/os"),
    suspect(0, Contains("has no suitable runtime"), Stage2Unavailable, LIB, "Warning: boot.iso has no suitable runtime"),
    suspect(0, Contains("no suitable images"), Stage2Unavailable, LIB, "Warning: no suitable images"),
    suspect(0, Starts("Couldn't mount "), Stage2Unavailable, LIB, "Warning: Couldn't mount /dev/sr0"),
    suspect(0, Between("Invalid value for 'inst.", "': "), Stage2Unavailable, PARSE_REPO, "Warning: Invalid value for 'inst.repo': None"),
    suspect(0, Contains("Failed to find a root filesystem in"), Stage2Unavailable, LIVE, "Warning: Failed to find a root filesystem in /run/install.img."),
    suspect(0, Contains("Unable to retrieve the install image"), Stage2Unavailable, LOADER, "Unable to retrieve the install image."),
    suspect(0, Contains("installation tree in that directory does not seem to match"), Stage2Unavailable, LOADER, "The CentOS installation tree in that directory does not seem to match your boot media."),
    suspect(1, Contains("can't find installer main image path in .treeinfo"), Stage2Unavailable, LIB, "Warning: can't find installer main image path in .treeinfo"),
    suspect(1, Between("Downloading '", "' failed!"), Stage2Unavailable, URL_LIB, "Warning: Downloading 'http://192.0.2.1/os/images/install.img' failed!"),
    suspect(1, Contains("finished/devexists-\\x2fdev\\x2froot.sh"), Stage2Unavailable, INITQUEUE, "Warning: /lib/dracut/hooks/initqueue/finished/devexists-\\x2fdev\\x2froot.sh: \"[ -e \"/dev/root\" ]\""),
    suspect(1, Contains("initqueue/finished/devexists-"), Stage2Unavailable, INITQUEUE, "Warning: /lib/dracut/hooks/initqueue/finished/devexists-\\x2fdev\\x2fdisk\\x2fby-label\\x2fX.sh: \"x\""),
    suspect(0, Contains("Failed to mount /sysroot"), Stage2Unavailable, INITRD, "[FAILED] Failed to mount /sysroot."),
    suspect(1, Contains("Failed to start Switch Root"), Stage2Unavailable, INITRD, "[FAILED] Failed to start Switch Root."),
    suspect(1, Contains("Timed out waiting for device"), Stage2Unavailable, INITRD, "[ TIME ] Timed out waiting for device /dev/disk/by-label/X."),
    suspect(1, Contains("missing inst.stage2 or inst.repo boot parameters"), Stage2Unavailable, REPORT, "Warning: missing inst.stage2 or inst.repo boot parameters on the"),
    suspect(1, Contains("/dev/root does not exist"), Stage2Unavailable, EMERGENCY, "Warning: /dev/root does not exist"),
    suspect(2, Contains("Anaconda installer errors begin"), Stage2Unavailable, REPORT, "Warning: ############# Anaconda installer errors begin #############"),
    suspect(2, Contains("starting timeout scripts"), Stage2Unavailable, INITQUEUE, "Warning: dracut-initqueue timeout - starting timeout scripts"),
    suspect(2, Contains("timeout, still waiting for following initqueue hooks"), Stage2Unavailable, INITQUEUE, "Warning: dracut-initqueue: timeout, still waiting for following initqueue hooks:"),

    // The medium.
    failure(Console, Fatal, Contains("Media check failed!"), MediaCheckFailed, DISKROOT, "Media check failed! We do not recommend using this medium."),
    failure(Console, Fatal, Contains("the result is: FAIL"), MediaCheckFailed, MEDIA, "The media check is complete, the result is: FAIL."),
    failure(Console, Fatal, Contains("It is not recommended to use this media"), MediaCheckFailed, MEDIA, "It is not recommended to use this media."),
    failure(Console, Fatal, Contains("Failed to start Media check on "), MediaCheckFailed, LIVE, "[FAILED] Failed to start Media check on /dev/sr0."),
    failure(Console, Fatal, Contains("CD check failed!"), MediaCheckFailed, LIVE, "dracut: FATAL: CD check failed!"),

    // It gives up.
    gives_up(Contains("Could not boot."), Stage2Unavailable, EMERGENCY, "dracut-initqueue[574]: Warning: Could not boot."),
    gives_up(Starts("dracut: Refusing to continue"), Stage2Unavailable, EMERGENCY, "dracut: Refusing to continue"),
    gives_up(Contains("Boot has failed. To debug this issue add"), Stage2Unavailable, EMERGENCY, "Boot has failed. To debug this issue add \"rd.shell rd.debug\" to the kernel command line."),
    gives_up(Contains("Entering emergency mode"), Stage2Unavailable, EMERGENCY, "Entering emergency mode. Exit the shell to continue."),
    gives_up(Starts("You are in emergency mode."), Stage2Unavailable, "systemd, all: emergency.service", "You are in emergency mode. After logging in, type \"journalctl -xb\" to view"),
    gives_up(Contains("Give root password for maintenance"), Stage2Unavailable, SULOGIN, "Give root password for maintenance"),
    gives_up(Contains("Press Enter for maintenance"), Stage2Unavailable, SULOGIN, "Press Enter for maintenance"),
];

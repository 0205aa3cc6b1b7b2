//! What each cause means and how to mend it, for `ozr explain`.

use super::cause::Cause;

/// The explanation of a cause: a paragraph or two of plain text.
pub fn of(cause: Cause) -> &'static str {
    match cause {
        Cause::KickstartUnreachable => {
            "\
The guest booted, but never got the kickstart: ozr's server saw no complete request for it, or the
installer said that it could not read it. Without a kickstart the installer would ask questions.

- Does the guest's network reach this host? User networking (the default) does; a bridge or a
  libvirt network may be cut off by a firewall. Try `--network user`, or open its port.
- `--deliver initrd` hands the kickstart over in the initrd, without any network.
- `inst.ks=` in the template's kernel parameters takes the place of ozr's own: remove it."
        }
        Cause::KickstartRejected => {
            "\
The installer read the kickstart and refused it: a command or an option that this release does not
know or has removed, a wrong value, a section without %end, an %include that is not there.

- The verdict gives the line and the installer's message. Lines are those of the kickstart as it was
  served; what ozr adds stands at its end, so that they are yours as well.
- `ozr check` finds most of this in a second, for any release, before a guest is started.
- A kickstart for several releases can put what differs into a file that %pre writes."
        }
        Cause::NetworkFailed => {
            "\
The guest's network did not come up (no link, no answer by DHCP), or no server could be reached
through it, while the installer was being loaded.

- Is `--network` right, and does somebody answer DHCP there? With a static address, are `ip=` and
  `nameserver=` of the kernel parameters right?
- `curl: (6)` means that a name has no address, `(7)` that nobody listens, `(28)` that it took too
  long, `(60)` that a certificate is not trusted (`inst.noverifyssl`, or `--relay always`).
- `--relay always` lets ozr fetch everything, so that only this host needs the mirror."
        }
        Cause::Stage2Unavailable => {
            "\
The kernel and the initramfs ran, but the second stage of the installer (images/install.img, in EL 7
LiveOS/squashfs.img), could not be fetched or mounted.

- Does the install tree have it, and may it be read (403 and 404 are in the guest's messages and in
  access.log)? Mirrors that are being updated lack it for a while.
- `inst.stage2=` and `inst.repo=` of the template's kernel parameters take the place of ozr's own.
- The image is kept in memory: 2 GiB is little for recent releases. Try `--memory 4096`."
        }
        Cause::SourceUnavailable => {
            "\
The installer runs, but could not use the place where the packages are to come from: a repository
that is not there, metadata that cannot be fetched or read, a name that does not resolve.

- Check each `url` and `repo` line: `URL/repodata/repomd.xml` must be there and reachable from the
  guest. EL 8 and later need AppStream beside BaseOS.
- In cmdline mode the console only says that the spoke `Installation source` is not complete; the
  log of the installer has the address and the HTTP status.
- A mirror that is being updated is another candidate: start the build again."
        }
        Cause::SoftwareMissing => {
            "\
Packages, groups or modules that the kickstart asks for are in none of its repositories, or some of
them cannot be installed together (broken dependencies).

- The verdict names the packages and the repositories that were asked.
- Names change between releases, and many packages are in EPEL, CRB or AppStream only: add a `repo`.
- `%packages --ignoremissing` skips names that do not exist; `--skip-broken` (EL 8 and later) skips
  those that cannot be installed."
        }
        Cause::DownloadFailed => {
            "\
The packages were chosen, but some could not be downloaded: the mirror failed, was being updated, or
gave something else than its metadata promise (a wrong checksum).

- Start the build again; `--retries` does so by itself.
- If it is always the same package, the mirror is inconsistent: choose another.
- Proxies that answer with old files do the same. `access.log` shows what went through ozr."
        }
        Cause::TransactionFailed => {
            "\
rpm could not install a package: a scriptlet failed, two packages have the same file, a package is
damaged, or the package manager itself came to an end.

- The console's last lines name the package. `rpm -qp --scripts FILE` shows its scriptlets.
- Scriptlets that need a running system, a network or a mounted file system fail in an installer.
- Your own packages are the usual suspects; try without them.
- A disk that is full, or too little memory, is reported as such and not here."
        }
        Cause::StorageFailed => {
            "\
The installer could not partition or format the disk as the kickstart asks: no disk of that name, no
room, partitions that do not fit the firmware, or a tool that failed.

- Virtio disks are called vda; `ignoredisk`, `clearpart --drives` and `bootloader --boot-drive` must
  agree with that, or leave the name away.
- Compare the sum of the sizes with `--disk-size`.
- UEFI needs /boot/efi, BIOS with GPT a biosboot partition: `reqpart` or `autopart` makes them.

Also an install that went well and left a disk without a partition that holds anything and without
a file system: a script has emptied it, or nothing was written there."
        }
        Cause::ScriptFailed => {
            "\
A %pre, %pre-install or %post section with --erroronfail failed, or a command or file of the
template could not be carried out. Without --erroronfail such a failure is only a note.

- The verdict has the section's header, its line in your kickstart and the end of what it printed.
- A script's output goes to /tmp in the installer unless it has `--log=FILE`; `--log=/dev/console`
  shows it on the console.
- %post runs in the new system's root, without its services: no systemctl start, no dbus."
        }
        Cause::BootLoaderFailed => {
            "\
The packages are installed, but the boot loader could not be written.

- `--firmware` and the partitions must fit together: UEFI needs /boot/efi, BIOS with a GPT label a
  biosboot partition. `reqpart --add-boot` makes what is needed.
- The packages must be there: grub2-pc for BIOS, grub2-efi-x64 and shim-x64 for UEFI. A minimal
  %packages with --nocore can miss them.
- `bootloader --location=none` leaves it away on purpose."
        }
        Cause::QuestionAsked => {
            "\
The installer waits for an answer, or would have to ask and may not (cmdline mode). Something that
it must know is not in the kickstart.

- `Root password` and `User creation`: add `rootpw` or a `user` in the group wheel.
- `Installation Destination`: add `autopart` or partitions, and `clearpart --all --initlabel`.
- `Software selection`: add a %packages section. `Time settings`: add `timezone`.
- A question at the end (`Press ENTER to quit`) means that `poweroff` is missing."
        }
        Cause::InstallerFailed => {
            "\
The installer met an error that it could not handle, or ended before the install was done. This is
often a defect of anaconda, brought out by something unusual in the kickstart or the tree.

- The verdict has its message or the last lines of its traceback. Search for them in the bug tracker
  of the distribution.
- A kernel and a second stage of different composes do not fit together: `--refetch`.
- A script that shuts the machine down, or kills the installer, ends the install early, too."
        }
        Cause::OutOfMemory => {
            "\
The guest had too little memory: the installer refused to start, the initramfs was not unpacked, or
the kernel killed a process.

- Give it more with `--memory`. Recent releases need 2 GiB at least, 3 GiB or more when the second
  stage comes over the network, since it is kept in memory.
- Large transactions (desktops, language packs) need more than small ones.
- `inst.zram=1` helps a little."
        }
        Cause::DiskFull => {
            "\
A file system has no room left. The verdict says which: the guest's own disk, or the host's file
system that holds the image while it grows.

- Guest: give a larger disk with `--disk-size`, let `/` grow (`--grow`), or install less.
- Host: the file system of the output directory needs room for the image, and as much again for
  `--compress` and `--format raw`. ozr checks before it starts, but others write there, too.
- `ozr cache prune` makes room in the cache."
        }
        Cause::MediaCheckFailed => {
            "\
The installer compared the medium with the checksum inside it, and they differ: the image is
damaged or was changed.

- Fetch it again and compare its checksum with the one that the distribution publishes.
- Images that were changed after they were made (another boot menu, a kickstart) need a new sum:
  `implantisomd5`.
- Without `rd.live.check` and `inst.mediacheck` nothing is compared."
        }
        Cause::KernelPanic => {
            "\
The guest's kernel gave up. Nothing that the kickstart says has been looked at, or nothing more will
be done about it.

- `Unable to mount root fs`: the initrd is not there, not whole, or too large for the memory.
- `Attempted to kill init`: the first process died; the lines before tell why.
- A CPU model that lacks what the release needs (x86-64-v2 for EL 9, v3 for EL 10) panics early.
- Try more memory with `--memory`, and `--accel tcg` to rule the host's CPU out."
        }
        Cause::NoBootOutput => {
            "\
Nothing came from the guest's console, or only its firmware spoke: no kernel was started.

- Do the architecture and `--firmware` fit the install tree? EL 10 and aarch64 want UEFI.
- A kernel parameter `console=` in the template takes the console away from the serial port: the
  last one counts.
- The file in images/pxeboot may be no kernel (an error page of the mirror): `--refetch`.
- The guest's screen may show what the console does not."
        }
        Cause::PoweroffFailed => {
            "\
The install was over, or nearly, but the guest did not get through with shutting down, and the
completion mark had not come, so that the image is not trusted.

- A service of the installer that does not stop, or a file system that cannot be unmounted, holds it
  up; the last lines of the console name it.
- With the completion mark and all file systems unmounted this is a success with a note.
- Start the build again: it is often a matter of timing."
        }
        Cause::Stalled => {
            "\
The install still ran, but did nothing more for longer than any good install does in that phase: no
new phase, no package, no byte. Each phase has its own limit, larger in software emulation.

- Endless dots after `Starting automated install` mean that a part of the installer does not get
  ready: a disk or a repository that does not answer.
- A %post that waits (for input, a lock, a server) looks the same; ozr cannot see into it.
- The verdict names the phase and the limit."
        }
        Cause::TimedOut => {
            "\
The install went on until the limit of the whole build (`--timeout`) was reached.

- Is it slow or stuck? The verdict names the phase, and the last lines show what was going on.
- Without hardware acceleration an install takes ten times as long, or more: raise the limit.
- A slow mirror makes the download long: choose a nearer one.
- A stuck install is reported as `stalled` earlier than this, unless the limit is short."
        }
        Cause::GuestKilled => {
            "\
The virtual machine ended, and not by itself: QEMU crashed, was killed, or somebody destroyed the
guest.

- `dmesg` on the host tells whether the kernel killed QEMU for want of memory: too many guests at a
  time, or too large ones.
- Somebody may have used `virsh destroy`, or the host was shutting down.
- qemu.log has QEMU's own last words.
- Start the build again; `--retries` does so by itself."
        }
        Cause::HypervisorFailed => {
            "\
libvirt or QEMU could not do its part: the daemon went away, the disk's file could not be written,
the guest could not be started.

- See the journal of the daemon (`journalctl -u libvirtd -u virtqemud`) and qemu.log.
- A daemon that was restarted loses no guest, but ozr loses sight of it: start the build again.
- Input and output errors point to the storage below the output directory.
- This is the host's fault, not the template's: the exit status is 3."
        }
        Cause::Interrupted => {
            "\
Somebody stopped the build: Ctrl-C, SIGTERM, SIGHUP (a terminal that was closed).

- Everything unfinished was removed: the guest, its disk, its directories.
- An image that was there before is untouched.
- A CI system that stops jobs after a time sends SIGTERM: give it more time, or ozr less with
  `--timeout`, which ends in a verdict."
        }
    }
}

//! Small guests: a boot sector that says something, and the install tree's Linux with a script.

use std::path::Path;
use std::time::Duration;

use ozr::distro::{Arch, VirtioModel};
use ozr::host::{Accel, DirectBoot, DiskSpec, DomainSpec, Host, Mac, Port};
use ozr::initrd;
use ozr::machine::{DiskBus, Firmware, Network};
use ozr::serve::KICKSTART_NAME;
use ozr::watch::witness::End;

/// Nothing here takes a fifth of this on an idle machine; it turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// What a boot sector does after it has said its text.
#[derive(Clone, Copy)]
pub enum Then {
    PowerOff,
    Reset,
    Hang,
}

/// A disk whose boot sector writes `text`, `times` times, to the first serial port.
pub fn boot_sector(text: &[u8], times: u16, then: Then) -> Vec<u8> {
    /// Where the BIOS puts a boot sector.
    const ORIGIN: u16 = 0x7c00;
    let [count_low, count_high] = times.to_le_bytes();
    let mut code = vec![
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xb9, count_low, count_high, // mov cx, times
    ];
    let again = code.len();
    let message_place = code.len() + 1;
    code.extend([0xbe, 0, 0]); // mov si, message
    let next = code.len();
    code.extend([
        0xac, // lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x10, // jz said
        0x88, 0xc4, // mov ah, al
        0xba, 0xfd, 0x03, // mov dx, COM1's line status
        0xec, // wait: in al, dx
        0xa8, 0x20, // test al, room
        0x74, 0xfb, // jz wait
        0x88, 0xe0, // mov al, ah
        0xba, 0xf8, 0x03, // mov dx, COM1's data
        0xee, // out dx, al
    ]);
    // jmp next; the jump over it above counts to here
    let back = i8::try_from(next as isize - (code.len() as isize + 2)).unwrap();
    code.extend([0xeb, back as u8]);
    let jz = next + 3;
    code[jz + 1] = u8::try_from(code.len() - (jz + 2)).unwrap();
    let back = i8::try_from(again as isize - (code.len() as isize + 2)).unwrap();
    code.extend([0xe2, back as u8]); // loop again
    code.extend(match then {
        // SeaBIOS puts q35's power management at 0x600; sleep type 0 is off in QEMU.
        Then::PowerOff => vec![0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef],
        // The keyboard controller's reset line.
        Then::Reset => vec![0xb0, 0xfe, 0xe6, 0x64],
        // With interrupts: the BIOS hears Ctrl-Alt-Del, and restarts.
        Then::Hang => vec![0xfb],
    });
    code.extend([0xf4, 0xeb, 0xfd]); // hlt; jmp back to it
    let message = ORIGIN + u16::try_from(code.len()).unwrap();
    code[message_place..message_place + 2].copy_from_slice(&message.to_le_bytes());
    code.extend(text);
    code.push(0);
    assert!(code.len() <= 510, "the text is too long");
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    // QEMU wants whole clusters of some formats; a mebibyte does for all.
    code.resize(1024 * 1024, 0);
    code
}

/// A guest with one CPU and little memory.
pub fn spec(name: &str, disk: &Path, console_log: &Path) -> DomainSpec {
    DomainSpec {
        name: name.to_owned(),
        title: format!("{name} <&\"'ä"),
        arch: Arch::X86_64,
        accel: Accel::Tcg,
        virtio: VirtioModel::Modern,
        vcpus: 1,
        memory_mib: 256,
        firmware: Firmware::Bios,
        board: ozr::machine::Board::default(),
        boot: None,
        disk: DiskSpec {
            path: disk.to_owned(),
            format: ozr::machine::DiskFormat::Raw,
            backing: None,
            bus: DiskBus::Virtio,
        },
        discs: Vec::new(),
        more_disks: Vec::new(),
        agent: false,
        handover: false,
        network: Network::User,
        nic_model: "virtio".to_owned(),
        mac: Mac::random().unwrap(),
        more_nics: Vec::new(),
        console_log: console_log.to_owned(),
        capture: None,
        build_id: format!("build-{name}"),
    }
}

/// What comes of a future that must not take long.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// All that a port says.
pub async fn read_all(port: &mut Port) -> Vec<u8> {
    within("reading to the end", async {
        let mut all = Vec::new();
        while let Some(bytes) = port.read().await {
            all.extend(bytes);
        }
        all
    })
    .await
}

/// Whether `part` is in `all`.
pub fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// What the tree's initrd runs in place of its own first process: it loads the drivers, says
/// something on the console and on the log port, and switches off.
const SCRIPT: &str = "\
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
. /lib/standin/devices.sh
load_drivers
name_virtio_ports
echo OZR-CONSOLE
echo OZR-LOG > /dev/virtio-ports/org.fedoraproject.anaconda.log.0
poweroff -f
";

/// The install tree's kernel and initrd, with [`SCRIPT`] appended as a kickstart would be.
pub fn linux(dir: &Path) -> Option<DirectBoot> {
    let tree = super::tree::tree()?;
    let initrd = dir.join("initrd.img");
    let files = [("ks.cfg", 0o600, SCRIPT.as_bytes())];
    initrd::extend(&tree.join("os/images/pxeboot/initrd.img"), &initrd, &files).unwrap();
    Some(DirectBoot {
        kernel: tree.join("vmlinux"),
        initrd,
        cmdline: format!(
            "console=tty0 console=ttyS0,115200 quiet rdinit=/bin/sh -- /{KICKSTART_NAME}"
        ),
    })
}

/// Starts the Linux guest and hears it out.
pub async fn hear_linux(host: &Host, mut spec: DomainSpec, boot: DirectBoot) {
    spec.memory_mib = 512;
    spec.boot = Some(boot);
    let mut started = host.start(&spec, false).unwrap();
    started.guest.resume().unwrap();
    let (console, log) = tokio::join!(
        read_all(&mut started.console),
        read_all(&mut started.log_port)
    );
    let end = within("the end", started.guest.finished()).await;
    let said = String::from_utf8_lossy(&console);
    assert_eq!(end.cause, End::ByGuest, "{said}");
    assert!(contains(&console, b"OZR-CONSOLE"), "{said}");
    assert!(contains(&log, b"OZR-LOG"), "{said}");
}

//! Domain XML (libvirt's "Domain XML format"). Pure.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::domain::{Console, DiskSpec, DomainSpec, NicSpec, Platform, target_device};
use super::marker::{ELEMENT, Marker, NAMESPACE};
use super::probe::Accel;
use super::qemu_user::QemuUser;
use crate::machine::{DiskBus, Firmware, Network, UserNetwork};

/// The port that anaconda writes its log to if it is there (anaconda's `VIRTIO_PORT`, since
/// anaconda 14.13; RHEL 7 and every Fedora of today).
pub const LOG_PORT: &str = "org.fedoraproject.anaconda.log.0";

/// The port by which a guest whose state was saved says that it waits, and gets its kickstart.
pub const HANDOVER_PORT: &str = "org.ozr.handover.0";

/// How many disks can be plugged into a guest whose state was loaded: on PCI Express, each takes a port of
/// its own, which must be there when the state is saved, and which the kernel looks at when it starts.
pub const LATE_DISKS: usize = 4;

/// The port that QEMU's guest agent listens on (QEMU, `qga/main.c`).
const AGENT_PORT: &str = "org.qemu.guest_agent.0";

/// How a guest is wired to whoever started it: what depends on the connection, not the build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wiring {
    /// Socket of the serial console; a pseudo terminal without it, the only kind that
    /// `virDomainOpenConsole` of libvirt 9.0 connects to.
    pub(super) console_socket: Option<PathBuf>,
    /// Socket of the log port; libvirt's own choice without it.
    pub(super) log_socket: Option<PathBuf>,
    /// Socket of the port for the kickstart of a loaded guest.
    pub(super) handover_socket: Option<PathBuf>,
    /// Socket of the guest agent's port; libvirt's own choice without it.
    pub(super) agent_socket: Option<PathBuf>,
    /// Socket of the VNC server; libvirt's own choice without it.
    pub(super) vnc_socket: Option<PathBuf>,
    /// The user whom a daemon runs QEMU as; it keeps its hands off our files then.
    pub(super) run_as: Option<QemuUser>,
    /// Where UEFI keeps its variables; libvirt's own choice without it, which outlives the guest.
    pub(super) nvram: Option<PathBuf>,
    /// Whether QEMU runs on another host, where no path of ours means anything.
    pub(super) elsewhere: bool,
    /// The network of user networking; QEMU's own choice without it.
    pub(super) user_network: Option<UserNetwork>,
}

/// The transient domain that runs an installer.
pub(super) fn installer_xml(spec: &DomainSpec, wiring: &Wiring, marker: &Marker) -> String {
    domain(spec, Some((wiring, marker)))
}

/// A domain that boots the finished image, ready for `virsh define`.
pub fn bootable_xml(spec: &DomainSpec) -> String {
    domain(spec, None)
}

/// A text as XML holds it, also as the value of an attribute. XML 1.0 has no way to write control
/// characters, not even escaped.
fn escaped(text: impl Display) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.to_string().chars().map(blank).collect();
    quick_xml::escape::escape(text).into_owned()
}

/// An element, a line of its own, for what may be missing.
fn element<T>(value: Option<T>, write: impl FnOnce(T) -> String) -> String {
    value.map_or(String::new(), |value| write(value) + "\n")
}

/// `install` holds what only the installer's transient domain has.
fn domain(spec: &DomainSpec, install: Option<(&Wiring, &Marker)>) -> String {
    let wiring = install.map(|(wiring, _)| wiring);
    let platform = spec.platform();
    let capturing = install.and(spec.capture.as_deref());
    let on_scsi = install.is_some() && !spec.discs.is_empty() && spec.disc_bus() == DiskBus::Scsi;
    let threaded = on_scsi || matches!(spec.disk.bus, DiskBus::Virtio | DiskBus::Scsi);
    let features = platform.features.iter();
    let mut features: String = features.map(|name| format!("    <{name}/>\n")).collect();
    if spec.is_secure() {
        // Without it the guest could change the keys behind the firmware's back.
        features.push_str("    <smm state=\"on\"/>\n");
    }
    let tpm = platform.tpm.filter(|_| spec.board.tpm);
    format!(
        r#"<domain type="{kind}"{qemu}>
  <name>{name}</name>
  <title>{title}</title>
{metadata}  <memory unit="MiB">{memory}</memory>
  <vcpu>{vcpus}</vcpu>
{iothreads}{os}{features}{cpu}
  <clock offset="utc"/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>{reboot}</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
{disks}    <controller type="usb" model="none"/>
{ports}{interfaces}{console}{log_port}{handover}{agent}{screen}{tpm}    <rng model="virtio">
      <backend model="random">/dev/urandom</backend>
    </rng>
    <memballoon model="none"/>
  </devices>
{seclabel}{capture}</domain>
"#,
        kind = spec.accel.domain_type(),
        name = escaped(&spec.name),
        title = escaped(&spec.title),
        metadata = element(install, |(_, marker)| metadata(marker)),
        memory = spec.memory_mib,
        vcpus = spec.vcpus,
        iothreads = element(threaded.then_some(1), |n| {
            format!("  <iothreads>{n}</iothreads>")
        }),
        os = os(spec, wiring),
        features = element(Some(features).filter(|all| !all.is_empty()), |features| {
            format!("  <features>\n{features}  </features>")
        }),
        cpu = cpu(spec.accel, &platform),
        // A guest that reboots has finished installing: the disk must not be booted here. An installed
        // system may reboot, as for its first relabelling by SELinux.
        reboot = match install.and(spec.boot.as_ref()) {
            Some(_) => "destroy",
            None => "restart",
        },
        disks = disks(spec, install.is_some()),
        ports = spare_ports(spec),
        interfaces = interfaces(spec, wiring),
        console = console(spec, wiring),
        log_port = element(wiring, log_port),
        handover = element(wiring.filter(|_| spec.handover), handover_port),
        agent = element(wiring.filter(|_| spec.agent), agent_port),
        screen = element(platform.video, |model| screen(model, wiring)),
        tpm = element(tpm, |model| {
            format!(
                r#"    <tpm model="{model}">
      <backend type="emulator" version="2.0"/>
    </tpm>"#
            )
        }),
        seclabel = element(wiring.and_then(|wiring| wiring.run_as), seclabel),
        qemu = match capturing {
            Some(_) => r#" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0""#,
            None => "",
        },
        capture = element(capturing, capture),
    )
}

fn cpu(accel: Accel, platform: &Platform) -> String {
    let (mode, without) = match accel {
        Accel::Kvm => ("host-passthrough", &[][..]),
        // RHEL 9 and 10 need x86-64-v2 and v3, which QEMU's default CPU is not.
        Accel::Tcg => ("maximum", platform.slow),
    };
    if without.is_empty() {
        return format!(r#"  <cpu mode="{mode}"/>"#);
    }
    let disabled = |name| format!("    <feature name=\"{name}\" policy=\"disable\"/>\n");
    let disabled: String = without.iter().map(disabled).collect();
    format!("  <cpu mode=\"{mode}\">\n{disabled}  </cpu>")
}

/// The domain of a state that was saved, as `xml` has it, with other files and sockets (each with what it was
/// before) and another build's mark.
pub(super) fn loaded_xml(xml: &str, moved: &[(&Path, &Path)], marker: &Marker) -> String {
    let mut xml = xml.to_owned();
    for (before, now) in moved {
        for (open, close) in [("'", "'"), ("\"", "\""), (">", "<")] {
            let written = |path: &Path| format!("{open}{}{close}", escaped(path.display()));
            xml = xml.replace(&written(before), &written(now));
        }
    }
    let (open, close) = ("<metadata>", "</metadata>");
    let span = xml.find(open).zip(xml.find(close));
    if let Some((begin, end)) = span.filter(|(begin, end)| begin < end) {
        xml.replace_range(begin..end + close.len(), metadata(marker).trim());
    }
    xml
}

fn metadata(marker: &Marker) -> String {
    let attributes = marker.attributes().into_iter();
    let attributes: String = attributes
        .map(|(name, value)| format!(r#" {name}="{}""#, escaped(value)))
        .collect();
    format!(
        r#"  <metadata>
    <ozr:{ELEMENT} xmlns:ozr="{NAMESPACE}"{attributes}/>
  </metadata>"#
    )
}

fn os(spec: &DomainSpec, install: Option<&Wiring>) -> String {
    let uefi = spec.firmware == Firmware::Uefi;
    let own = spec.own_firmware();
    // libvirt chooses the file.
    let chosen = uefi && own.is_none();
    let nvram = install.and_then(|wiring| wiring.nvram.as_ref());
    let nvram = nvram.filter(|_| uefi);
    let nvram = (nvram.is_some() || own.is_some()).then_some(nvram);
    let yes_no = if spec.is_secure() { "yes" } else { "no" };
    let boot = install.and(spec.boot.as_ref());
    format!(
        r#"  <os{firmware}>
    <type arch="{arch}" machine="{machine}">hvm</type>
{features}{loader}{nvram}{boot}
  </os>
"#,
        firmware = if chosen { r#" firmware="efi""# } else { "" },
        arch = spec.arch.libvirt_name(),
        machine = spec.platform().machine,
        features = element(chosen.then_some(yes_no), |wanted| format!(
            r#"    <firmware>
      <feature enabled="{wanted}" name="secure-boot"/>
      <feature enabled="{wanted}" name="enrolled-keys"/>
    </firmware>"#
        )),
        loader = element(own, |own| format!(
            r#"    <loader readonly="yes" secure="{yes_no}" type="pflash">{}</loader>"#,
            escaped(own.code.display())
        )),
        nvram = element(nvram, |file| {
            let template = own.map_or(String::new(), |own| {
                format!(r#" template="{}""#, escaped(own.vars.display()))
            });
            match file {
                Some(file) => format!("    <nvram{template}>{}</nvram>", escaped(file.display())),
                None => format!("    <nvram{template}/>"),
            }
        }),
        boot = match boot {
            Some(boot) => format!(
                r#"    <kernel>{}</kernel>
    <initrd>{}</initrd>
    <cmdline>{}</cmdline>"#,
                escaped(boot.kernel.display()),
                escaped(boot.initrd.display()),
                escaped(&boot.cmdline)
            ),
            None => r#"    <boot dev="hd"/>"#.to_owned(),
        },
    )
}

fn disks(spec: &DomainSpec, install: bool) -> String {
    let discs = if install { &spec.discs[..] } else { &[] };
    let scsi = spec.disk.bus == DiskBus::Scsi;
    let scsi = scsi || (!discs.is_empty() && spec.disc_bus() == DiskBus::Scsi);
    let controller = scsi.then_some("virtio-scsi");
    let controller = element(controller, |model| {
        format!(
            r#"    <controller type="scsi" model="{model}" index="0">
      <driver iothread="1"/>
    </controller>"#
        )
    });
    let disks = spec.disks().filter(|_| !spec.handover).enumerate();
    let disks: String = disks
        .map(|(number, spec)| disk(number, spec, install))
        .collect();
    let discs = discs.iter().enumerate();
    let discs: String = discs
        .map(|(number, file)| disc(number, spec, file))
        .collect();
    controller + &disks + &discs
}

/// Ports for disks that are plugged in later. libvirt puts a device into each that is there before it makes
/// another, so there must be some for the others as well: network cards, serial ports, random numbers, screen,
/// a SCSI controller.
fn spare_ports(spec: &DomainSpec) -> String {
    const OTHERS: usize = 4;
    if !spec.handover || spec.platform().machine == "pc" || spec.platform().video.is_none() {
        return String::new();
    }
    let ports = spec.nics().count() + OTHERS + LATE_DISKS;
    let port = |number| {
        format!("    <controller type=\"pci\" model=\"pcie-root-port\" index=\"{number}\"/>\n")
    };
    (1..=ports).map(port).collect()
}

/// A disk that is plugged into a guest that has its state already.
pub(super) fn late_disk(number: usize, spec: &DiskSpec) -> String {
    disk(number, spec, true)
}

/// A drive with a disc in it. Its name comes behind those of the disks, which may be on the same bus.
fn disc(number: usize, spec: &DomainSpec, file: &Path) -> String {
    let bus = spec.disc_bus();
    format!(
        r#"    <disk type="file" device="cdrom">
      <driver name="qemu" type="raw"/>
      <source file="{file}"/>
      <target dev="{device}" bus="{bus}"/>
      <readonly/>
    </disk>
"#,
        file = escaped(file.display()),
        device = target_device(bus, spec.disks().count() + number),
        bus = bus.name(),
    )
}

fn disk(number: usize, spec: &DiskSpec, install: bool) -> String {
    let bus = spec.bus;
    format!(
        r#"    <disk type="file" device="disk">
      <driver name="qemu" type="{format}"{unsafe_cache} discard="unmap"{thread}/>
      <source file="{file}"/>
{backing}      <target dev="{device}" bus="{bus}"/>
    </disk>
"#,
        format = spec.format.name(),
        // The overlay names it, too, but as it is called on this host.
        backing = element(spec.backing.as_ref(), |(image, format)| {
            let (image, format) = (escaped(image.display()), format.name());
            format!(
                r#"      <backingStore type="file">
        <format type="{format}"/>
        <source file="{image}"/>
        <backingStore/>
      </backingStore>"#
            )
        }),
        // The image is synced once, when it is finished; until then it is worth nothing.
        unsafe_cache = match install {
            true => r#" cache="unsafe" detect_zeroes="unmap""#,
            false => "",
        },
        thread = match bus {
            DiskBus::Virtio => r#" iothread="1""#,
            _ => "",
        },
        file = escaped(spec.path.display()),
        device = target_device(bus, number),
        bus = bus.name(),
    )
}

fn interfaces(spec: &DomainSpec, install: Option<&Wiring>) -> String {
    let nics = spec.nics().enumerate();
    nics.map(|(number, nic)| interface(number, &nic, install))
        .collect()
}

fn interface(number: usize, nic: &NicSpec, install: Option<&Wiring>) -> String {
    let (kind, source) = match &nic.network {
        Network::User => ("user", None),
        Network::Libvirt(name) => ("network", Some(name)),
        Network::Bridge(name) => ("bridge", Some(name)),
    };
    let network = install.and_then(|wiring| wiring.user_network);
    let network = match number {
        0 => network,
        // Two cards in one network would be in each other's way, wherever it is booted.
        _ => Some(network.unwrap_or(UserNetwork::USUAL).of_card(number)),
    };
    let network = network.filter(|_| nic.network == Network::User);
    format!(
        r#"    <interface type="{kind}">
      <mac address="{mac}"/>
{source}{network}      <model type="{model}"/>
    </interface>
"#,
        mac = nic.mac,
        source = element(source, |name| {
            format!(r#"      <source {kind}="{}"/>"#, escaped(name))
        }),
        network = element(network, |address| {
            let (address, prefix) = (address.0, UserNetwork::PREFIX);
            format!(r#"      <ip family="ipv4" address="{address}" prefix="{prefix}"/>"#)
        }),
        model = escaped(&nic.model),
    )
}

fn console(spec: &DomainSpec, install: Option<&Wiring>) -> String {
    let (name, target) = match spec.platform().console {
        Console::Serial(target) => ("serial", target),
        Console::Plain(target) => ("console", target),
    };
    let socket = install.and_then(|wiring| wiring.console_socket.as_deref());
    format!(
        r#"    <{name} type="{kind}">
{source}{log}      <target type="{target}" port="0"/>
    </{name}>
"#,
        kind = socket.map_or("pty", |_| "unix"),
        source = element(socket, bound),
        // The file is there, empty, and ours. virtlogd would make another one of root's without
        // `append`.
        log = element(install.filter(|wiring| !wiring.elsewhere), |_| {
            let file = escaped(spec.console_log.display());
            format!(r#"      <log file="{file}" append="on"/>"#)
        }),
    )
}

fn log_port(wiring: &Wiring) -> String {
    channel(LOG_PORT, wiring.log_socket.as_deref())
}

fn handover_port(wiring: &Wiring) -> String {
    channel(HANDOVER_PORT, wiring.handover_socket.as_deref())
}

fn agent_port(wiring: &Wiring) -> String {
    channel(AGENT_PORT, wiring.agent_socket.as_deref())
}

fn channel(name: &str, socket: Option<&Path>) -> String {
    format!(
        r#"    <channel type="unix">
{source}      <target type="virtio" name="{name}"/>
    </channel>"#,
        source = element(socket, bound),
    )
}

/// Where QEMU listens.
fn bound(socket: &Path) -> String {
    let socket = escaped(socket.display());
    format!(r#"      <source mode="bind" path="{socket}"/>"#)
}

fn screen(model: &str, install: Option<&Wiring>) -> String {
    let socket = install.and_then(|wiring| wiring.vnc_socket.as_ref());
    let socket = socket.map(|path| format!(r#" socket="{}""#, escaped(path.display())));
    // A unix socket, so that nobody else can look or type.
    format!(
        r#"    <video>
      <model type="{model}"/>
    </video>
    <graphics type="vnc">
      <listen type="socket"{socket}/>
    </graphics>"#,
        socket = socket.unwrap_or_default(),
    )
}

/// Runs QEMU as the user whom the daemon would run it as anyway, and leaves every file's owner as
/// it is; see [`FileGrants`](super::qemu_user::FileGrants).
fn seclabel(user: QemuUser) -> String {
    format!(
        r#"  <seclabel type="static" model="dac" relabel="no">
    <label>{}</label>
  </seclabel>"#,
        user.label()
    )
}

/// Writes the beginnings of the network card's packets to a file. libvirt has no word for it, and calls the
/// first card's other end `hostnet0`.
fn capture(file: &Path) -> String {
    // Enough of each for the options of DHCP.
    const LENGTH: u32 = 600;
    // QEMU's way to write a comma within a value.
    let file = file.display().to_string().replace(',', ",,");
    format!(
        r#"  <qemu:commandline>
    <qemu:arg value="-object"/>
    <qemu:arg value="filter-dump,id=ozr-capture,netdev=hostnet0,maxlen={LENGTH},file={}"/>
  </qemu:commandline>"#,
        escaped(file)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::Arch;
    use crate::distro::VirtioModel;
    use crate::host::domain::{DirectBoot, DiskSpec};
    use crate::machine::{Board, FirmwareFiles};

    fn spec() -> DomainSpec {
        DomainSpec {
            name: "ozr-a".to_owned(),
            title: "a \"b\" <&> 'c' \u{7} ä".to_owned(),
            arch: Arch::X86_64,
            accel: Accel::Tcg,
            virtio: VirtioModel::Modern,
            vcpus: 2,
            memory_mib: 4096,
            firmware: Firmware::Bios,
            board: Board::default(),
            boot: Some(DirectBoot {
                kernel: "/c/vm&linuz".into(),
                initrd: "/c/initrd.img".into(),
                cmdline: "inst.ks=http://10.0.2.2:1/a?b&c \"x\"".to_owned(),
            }),
            disk: DiskSpec {
                path: "/o/a b.qcow2".into(),
                format: crate::machine::DiskFormat::Qcow2,
                backing: None,
                bus: DiskBus::Virtio,
            },
            more_disks: Vec::new(),
            discs: Vec::new(),
            agent: false,
            handover: false,
            network: Network::User,
            nic_model: "virtio".to_owned(),
            mac: "52:54:00:00:00:01".parse().unwrap(),
            more_nics: Vec::new(),
            console_log: "/w/console.log".into(),
            capture: None,
            build_id: "id<1>".to_owned(),
        }
    }

    fn marker() -> Marker {
        Marker {
            build_id: "id<1>".to_owned(),
            version: "0.1.0".to_owned(),
            pid: 7,
            origin: None,
            kept: false,
        }
    }

    #[test]
    fn an_installer_whole() {
        let wiring = Wiring {
            console_socket: Some("/r/console".into()),
            log_socket: Some("/r/log".into()),
            handover_socket: Some("/r/ks0".into()),
            agent_socket: None,
            vnc_socket: Some("/r/vnc".into()),
            run_as: None,
            nvram: None,
            elsewhere: false,
            user_network: None,
        };
        let want = r#"<domain type="qemu">
  <name>ozr-a</name>
  <title>a &quot;b&quot; &lt;&amp;&gt; &apos;c&apos;   ä</title>
  <metadata>
    <ozr:build xmlns:ozr="https://ozr.invalid/domain/1" id="id&lt;1&gt;" version="0.1.0" pid="7"/>
  </metadata>
  <memory unit="MiB">4096</memory>
  <vcpu>2</vcpu>
  <iothreads>1</iothreads>
  <os>
    <type arch="x86_64" machine="q35">hvm</type>
    <kernel>/c/vm&amp;linuz</kernel>
    <initrd>/c/initrd.img</initrd>
    <cmdline>inst.ks=http://10.0.2.2:1/a?b&amp;c &quot;x&quot;</cmdline>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode="maximum">
    <feature name="erms" policy="disable"/>
    <feature name="fsrm" policy="disable"/>
    <feature name="la57" policy="disable"/>
  </cpu>
  <clock offset="utc"/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" cache="unsafe" detect_zeroes="unmap" discard="unmap" iothread="1"/>
      <source file="/o/a b.qcow2"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    <controller type="usb" model="none"/>
    <interface type="user">
      <mac address="52:54:00:00:00:01"/>
      <model type="virtio"/>
    </interface>
    <serial type="unix">
      <source mode="bind" path="/r/console"/>
      <log file="/w/console.log" append="on"/>
      <target type="isa-serial" port="0"/>
    </serial>
    <channel type="unix">
      <source mode="bind" path="/r/log"/>
      <target type="virtio" name="org.fedoraproject.anaconda.log.0"/>
    </channel>
    <video>
      <model type="vga"/>
    </video>
    <graphics type="vnc">
      <listen type="socket" socket="/r/vnc"/>
    </graphics>
    <rng model="virtio">
      <backend model="random">/dev/urandom</backend>
    </rng>
    <memballoon model="none"/>
  </devices>
</domain>
"#;
        assert_eq!(installer_xml(&spec(), &wiring, &marker()), want);
    }

    #[test]
    fn on_another_host_no_file_of_this_one_is_named() {
        let mut spec = spec();
        spec.disk.backing = Some(("/i/a&b.raw".into(), crate::machine::DiskFormat::Raw));
        let spec = spec.with_files(|file| {
            let name = file.file_name().unwrap_or_default();
            std::path::Path::new("/pool").join(name)
        });
        let wiring = Wiring {
            elsewhere: true,
            ..Wiring::default()
        };
        let xml = installer_xml(&spec, &wiring, &marker());
        for present in [
            "<kernel>/pool/vm&amp;linuz</kernel>",
            "<initrd>/pool/initrd.img</initrd>",
            "      <source file=\"/pool/a b.qcow2\"/>\n      <backingStore type=\"file\">\n        <format type=\"raw\"/>\n        <source file=\"/pool/a&amp;b.raw\"/>\n        <backingStore/>\n      </backingStore>\n",
        ] {
            assert!(xml.contains(present), "{present} is not in {xml}");
        }
        for absent in ["/o/", "/c/", "/i/", "/w/", "<log "] {
            assert!(!xml.contains(absent), "{absent} is in {xml}");
        }
    }

    #[test]
    fn a_boot_test_may_reboot_and_its_packets_are_kept() {
        let spec = DomainSpec {
            boot: None,
            capture: Some("/w/a,b.pcap".into()),
            ..spec()
        };
        let xml = installer_xml(&spec, &Wiring::default(), &marker());
        for present in [
            "<domain type=\"qemu\" xmlns:qemu=",
            "netdev=hostnet0,maxlen=600,file=/w/a,,b.pcap",
            "<on_reboot>restart</on_reboot>",
            "<boot dev=\"hd\"/>",
        ] {
            assert!(xml.contains(present), "{present} not in {xml}");
        }
        assert!(!bootable_xml(&spec).contains("qemu:"));
    }

    #[test]
    fn the_finished_image_boots_from_its_disk_and_stays_up() {
        let xml = bootable_xml(&spec());
        for absent in ["kernel", "initrd", "unsafe", "metadata", "<log", "channel"] {
            assert!(!xml.contains(absent), "{absent} in {xml}");
        }
        for present in [
            "<boot dev=\"hd\"/>",
            "<on_reboot>restart</on_reboot>",
            "52:54:00:00:00:01",
            "<serial type=\"pty\">",
            "<target dev=\"vda\" bus=\"virtio\"/>",
        ] {
            assert!(xml.contains(present), "{present} not in {xml}");
        }
    }

    #[test]
    fn a_secure_machine_and_firmware_of_ones_own() {
        let secure = DomainSpec {
            firmware: Firmware::Uefi,
            board: Board {
                secure_boot: true,
                firmware_files: None,
                tpm: true,
            },
            ..spec()
        };
        let xml = bootable_xml(&secure);
        for part in [
            "<os firmware=\"efi\">",
            "<feature enabled=\"yes\" name=\"secure-boot\"/>",
            "<feature enabled=\"yes\" name=\"enrolled-keys\"/>",
            "<smm state=\"on\"/>",
            "<tpm model=\"tpm-crb\">",
            "<backend type=\"emulator\" version=\"2.0\"/>",
        ] {
            assert!(xml.contains(part), "{part} not in {xml}");
        }
        assert!(!xml.contains("nvram"), "libvirt makes it: {xml}");
        let own = DomainSpec {
            board: Board {
                firmware_files: Some(FirmwareFiles {
                    code: "/f/CODE&.fd".into(),
                    vars: "/f/VARS.fd".into(),
                }),
                ..secure.board.clone()
            },
            ..secure.clone()
        };
        let xml = bootable_xml(&own);
        for part in [
            "<os>",
            "<loader readonly=\"yes\" secure=\"yes\" type=\"pflash\">/f/CODE&amp;.fd</loader>",
            "<nvram template=\"/f/VARS.fd\"/>",
        ] {
            assert!(xml.contains(part), "{part} not in {xml}");
        }
        let wiring = Wiring {
            nvram: Some("/w/nvram.fd".into()),
            ..Wiring::default()
        };
        let xml = installer_xml(&own, &wiring, &marker());
        let part = "<nvram template=\"/f/VARS.fd\">/w/nvram.fd</nvram>";
        assert!(xml.contains(part), "{part} not in {xml}");
        // With a BIOS there is none of it.
        let bios = DomainSpec {
            firmware: Firmware::Bios,
            ..own
        };
        let xml = bootable_xml(&bios);
        for part in ["loader", "nvram", "smm", "firmware"] {
            assert!(!xml.contains(part), "{part} in {xml}");
        }
    }

    #[test]
    fn discs_are_in_drives_that_the_machine_has_and_are_not_written() {
        let x86 = DomainSpec {
            discs: vec!["/i/a&b.iso".into(), "/i/2.iso".into()],
            ..spec()
        };
        let legacy = DomainSpec {
            virtio: VirtioModel::Transitional,
            ..x86.clone()
        };
        let arm = DomainSpec {
            arch: Arch::Aarch64,
            firmware: Firmware::Uefi,
            ..x86.clone()
        };
        // Behind the one disk, whether or not it is on the same bus.
        for (spec, bus, names, controller) in [
            (x86, "sata", ["sdb", "sdc"], false),
            (legacy, "ide", ["hdb", "hdc"], false),
            (arm, "scsi", ["sdb", "sdc"], true),
        ] {
            let xml = installer_xml(&spec, &Wiring::default(), &marker());
            for (file, name) in ["/i/a&amp;b.iso", "/i/2.iso"].iter().zip(names) {
                let disc = format!(
                    r#"    <disk type="file" device="cdrom">
      <driver name="qemu" type="raw"/>
      <source file="{file}"/>
      <target dev="{name}" bus="{bus}"/>
      <readonly/>
    </disk>
"#
                );
                assert!(xml.contains(&disc), "{disc} not in {xml}");
            }
            let scsi = xml.contains(r#"<controller type="scsi" model="virtio-scsi" index="0">"#);
            assert_eq!(scsi, controller, "{xml}");
            // The machine that the image is for has none.
            assert!(!bootable_xml(&spec).contains("cdrom"));
        }
    }

    #[test]
    fn each_card_has_a_network_of_its_own() {
        let card = |network, number: u8| NicSpec {
            network,
            model: "e1000e".to_owned(),
            mac: format!("52:54:00:00:00:{number:02}").parse().unwrap(),
        };
        let spec = DomainSpec {
            more_nics: vec![
                card(Network::User, 2),
                card(Network::Bridge("br0".to_owned()), 3),
            ],
            ..spec()
        };
        let xml = bootable_xml(&spec);
        let parts = [
            "<mac address=\"52:54:00:00:00:01\"/>",
            "<mac address=\"52:54:00:00:00:02\"/>",
            "<ip family=\"ipv4\" address=\"10.0.3.0\" prefix=\"24\"/>",
            "<model type=\"e1000e\"/>",
            "<interface type=\"bridge\">",
            "<mac address=\"52:54:00:00:00:03\"/>",
            "<source bridge=\"br0\"/>",
        ];
        let places: Vec<usize> = parts
            .iter()
            .map(|part| {
                xml.find(part)
                    .unwrap_or_else(|| panic!("{part} not in {xml}"))
            })
            .collect();
        assert!(places.is_sorted(), "{xml}");
    }

    #[test]
    fn each_disk_stands_in_its_place() {
        let mut spec = spec();
        for (bus, devices) in [
            (DiskBus::Virtio, ["vda", "vdb", "vdc"]),
            (DiskBus::Sata, ["sda", "sdb", "sdc"]),
            (DiskBus::Ide, ["hda", "hdb", "hdc"]),
        ] {
            spec.disk.bus = bus;
            spec.more_disks = ["/o/b", "/o/c"]
                .map(|path| DiskSpec {
                    path: path.into(),
                    ..spec.disk.clone()
                })
                .into();
            let xml = bootable_xml(&spec);
            let places: Vec<usize> = ["/o/a b.qcow2", "/o/b", "/o/c"]
                .iter()
                .zip(devices)
                .flat_map(|(file, device)| {
                    let file = xml.find(&format!("<source file=\"{file}\"/>")).unwrap();
                    let target = format!("<target dev=\"{device}\" bus=\"{}\"/>", bus.name());
                    [file, xml.find(&target).unwrap()]
                })
                .collect();
            assert!(places.is_sorted(), "{xml}");
        }
    }

    #[test]
    fn what_depends_on_the_spec() {
        let base = spec();
        let variant = |change: &dyn Fn(&mut DomainSpec)| {
            let mut spec = base.clone();
            change(&mut spec);
            let wiring = Wiring {
                run_as: Some(QemuUser {
                    uid: 1000,
                    gid: 100,
                }),
                nvram: Some("/w/nvram.fd".into()),
                ..Wiring::default()
            };
            installer_xml(&spec, &wiring, &marker())
        };
        type Change<'a> = &'a dyn Fn(&mut DomainSpec);
        let cases: [(Change<'_>, &[&str], &[&str]); 9] = [
            (
                &|_| (),
                &[
                    "<label>+1000:+100</label>",
                    "relabel=\"no\"",
                    "<serial type=\"pty\">",
                    "<listen type=\"socket\"/>",
                ],
                &["mode=\"bind\""],
            ),
            (
                &|spec| spec.accel = Accel::Kvm,
                &["<domain type=\"kvm\">", "mode=\"host-passthrough\"/>"],
                &["maximum", "erms"],
            ),
            (
                &|spec| spec.firmware = Firmware::Uefi,
                &[
                    "<os firmware=\"efi\">",
                    "<feature enabled=\"no\" name=\"secure-boot\"/>",
                    "<feature enabled=\"no\" name=\"enrolled-keys\"/>",
                ],
                &[],
            ),
            (
                &|spec| spec.disk.bus = DiskBus::Scsi,
                &[
                    "model=\"virtio-scsi\"",
                    "<driver iothread=\"1\"/>",
                    "dev=\"sda\"",
                ],
                &["vda"],
            ),
            (
                &|spec| spec.disk.bus = DiskBus::Ide,
                &["machine=\"pc\"", "dev=\"hda\""],
                &["iothread", "q35"],
            ),
            (
                &|spec| spec.virtio = VirtioModel::Transitional,
                &["machine=\"pc\"", "bus=\"virtio\""],
                &["q35"],
            ),
            (
                &|spec| spec.network = Network::Libvirt("a'b\"&".to_owned()),
                &[
                    "<interface type=\"network\">",
                    "<source network=\"a&apos;b&quot;&amp;\"/>",
                ],
                &[],
            ),
            (
                &|spec| {
                    spec.arch = Arch::Aarch64;
                    spec.network = Network::Bridge("br0".to_owned());
                },
                &[
                    "machine=\"virt\"",
                    "system-serial",
                    "<source bridge=\"br0\"/>",
                ],
                &["isa-serial", "vga", "acpi", "apic"],
            ),
            (
                &|spec| spec.arch = Arch::S390x,
                &["s390-ccw-virtio", "<console type=\"pty\">", "sclp"],
                &["graphics", "video", "<serial"],
            ),
        ];
        for (index, (change, present, absent)) in cases.into_iter().enumerate() {
            let xml = variant(change);
            for part in present {
                assert!(xml.contains(part), "case {index}: {part} not in {xml}");
            }
            for part in absent {
                assert!(!xml.contains(part), "case {index}: {part} in {xml}");
            }
        }
    }

    #[test]
    fn a_saved_guest_has_room_for_disks_and_is_moved_with_its_files() {
        let spec = DomainSpec {
            handover: true,
            ..spec()
        };
        let wiring = Wiring {
            console_socket: Some("/run/a/con0".into()),
            handover_socket: Some("/run/a/ks0".into()),
            ..Wiring::default()
        };
        let xml = installer_xml(&spec, &wiring, &Marker::new("one", false));
        assert!(!xml.contains("<disk "), "{xml}");
        assert!(xml.contains(HANDOVER_PORT) && xml.matches("pcie-root-port").count() > LATE_DISKS);
        let moved = [
            (Path::new("/run/a/con0"), Path::new("/run/b & c/con1")),
            (Path::new("/run/a/ks0"), Path::new("/run/b/ks1")),
        ];
        let loaded = loaded_xml(&xml, &moved, &Marker::new("two", false));
        assert!(loaded.contains(r#"path="/run/b &amp; c/con1""#), "{loaded}");
        assert!(!loaded.contains("/run/a/") && !loaded.contains(r#""one""#));
        assert!(loaded.contains(r#""two""#), "{loaded}");
    }
}

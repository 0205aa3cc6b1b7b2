//! Domain XML (libvirt's "Domain XML format"), written element by element. Pure.

use std::io;
use std::path::{Path, PathBuf};

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::accel::Accel;
use super::domain::{Console, DomainSpec, first_device};
use super::marker::{ELEMENT, Marker, NAMESPACE};
use super::qemu_user::QemuUser;
use crate::machine::{DiskBus, Firmware, Network, UserNetwork};

/// The port that anaconda writes its log to if it is there (anaconda's `VIRTIO_PORT`, since
/// anaconda 14.13; RHEL 7 and every Fedora of today).
pub(super) const LOG_PORT: &str = "org.fedoraproject.anaconda.log.0";

/// How a guest is wired to whoever started it: what depends on the connection, not the build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wiring {
    /// Socket of the serial console; a pseudo terminal without it, the only kind that
    /// `virDomainOpenConsole` of libvirt 9.0 connects to.
    pub(super) console_socket: Option<PathBuf>,
    /// Socket of the log port; libvirt's own choice without it.
    pub(super) log_socket: Option<PathBuf>,
    /// Socket of the VNC server; libvirt's own choice without it.
    pub(super) vnc_socket: Option<PathBuf>,
    /// The user whom a daemon runs QEMU as; it keeps its hands off our files then.
    pub(super) run_as: Option<QemuUser>,
    /// Where UEFI keeps its variables; libvirt's own choice without it, which outlives the guest.
    pub(super) nvram: Option<PathBuf>,
    /// The network of user networking; QEMU's own choice without it.
    pub(super) user_network: Option<UserNetwork>,
}

/// The transient domain that runs an installer.
pub(super) fn installer_xml(spec: &DomainSpec, wiring: &Wiring, marker: &Marker) -> String {
    write(|writer| domain(writer, spec, Some((wiring, marker))))
}

/// A domain that boots the finished image, ready for `virsh define`.
pub fn bootable_xml(spec: &DomainSpec) -> String {
    write(|writer| domain(writer, spec, None))
}

type Xml = Writer<Vec<u8>>;

fn write(content: impl FnOnce(&mut Xml) -> io::Result<()>) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    content(&mut writer).expect("writing to memory cannot fail");
    let mut text = String::from_utf8(writer.into_inner()).expect("only text was written");
    text.push('\n');
    text
}

fn text(writer: &mut Xml, name: &str, content: &str) -> io::Result<()> {
    writer
        .create_element(name)
        .write_text_content(BytesText::new(&clean(content)))?;
    Ok(())
}

fn empty(writer: &mut Xml, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    open(
        writer,
        name,
        attributes,
        None::<fn(&mut Xml) -> io::Result<()>>,
    )
}

fn nested(
    writer: &mut Xml,
    name: &str,
    attributes: &[(&str, &str)],
    content: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    open(writer, name, attributes, Some(content))
}

fn open(
    writer: &mut Xml,
    name: &str,
    attributes: &[(&str, &str)],
    content: Option<impl FnOnce(&mut Xml) -> io::Result<()>>,
) -> io::Result<()> {
    let mut element = writer.create_element(name);
    for (key, value) in attributes {
        element = element.with_attribute((*key, clean(value).as_str()));
    }
    match content {
        Some(content) => element.write_inner_content(content)?,
        None => element.write_empty()?,
    };
    Ok(())
}

/// XML 1.0 has no way to write control characters, not even escaped.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// `install` holds what only the installer's transient domain has.
fn domain(
    writer: &mut Xml,
    spec: &DomainSpec,
    install: Option<(&Wiring, &Marker)>,
) -> io::Result<()> {
    let kind = spec.accel.domain_type();
    nested(writer, "domain", &[("type", kind)], |writer| {
        text(writer, "name", &spec.name)?;
        text(writer, "title", &spec.title)?;
        if let Some((_, marker)) = install {
            metadata(writer, marker)?;
        }
        writer
            .create_element("memory")
            .with_attribute(("unit", "MiB"))
            .write_text_content(BytesText::new(&spec.memory_mib.to_string()))?;
        text(writer, "vcpu", &spec.vcpus.to_string())?;
        if has_iothread(spec.disk.bus) {
            text(writer, "iothreads", "1")?;
        }
        os(writer, spec, install.map(|(wiring, _)| wiring))?;
        let features = spec.platform().features;
        if !features.is_empty() {
            nested(writer, "features", &[], |writer| {
                features
                    .iter()
                    .try_for_each(|name| empty(writer, name, &[]))
            })?;
        }
        cpu(writer, spec.accel)?;
        empty(writer, "clock", &[("offset", "utc")])?;
        text(writer, "on_poweroff", "destroy")?;
        // A guest that reboots has finished installing: the disk must not be booted here.
        let reboot = if install.is_some() {
            "destroy"
        } else {
            "restart"
        };
        text(writer, "on_reboot", reboot)?;
        text(writer, "on_crash", "destroy")?;
        nested(writer, "devices", &[], |writer| {
            devices(writer, spec, install.map(|(wiring, _)| wiring))
        })?;
        if let Some(user) = install.and_then(|(wiring, _)| wiring.run_as) {
            seclabel(writer, user)?;
        }
        Ok(())
    })
}

fn metadata(writer: &mut Xml, marker: &Marker) -> io::Result<()> {
    let own = marker.attributes();
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let attributes: Vec<_> = std::iter::once(("xmlns:ozr", NAMESPACE))
        .chain(own)
        .collect();
    nested(writer, "metadata", &[], |writer| {
        empty(writer, &format!("ozr:{ELEMENT}"), &attributes)
    })
}

fn os(writer: &mut Xml, spec: &DomainSpec, install: Option<&Wiring>) -> io::Result<()> {
    let machine = spec.platform().machine;
    let firmware: &[(&str, &str)] = match spec.firmware {
        Firmware::Bios => &[],
        Firmware::Uefi => &[("firmware", "efi")],
    };
    nested(writer, "os", firmware, |writer| {
        writer
            .create_element("type")
            .with_attribute(("arch", spec.arch.libvirt_name()))
            .with_attribute(("machine", machine))
            .write_text_content(BytesText::new("hvm"))?;
        if spec.firmware == Firmware::Uefi {
            // Kernels out of install trees are not signed for the keys that firmware enrolls.
            nested(writer, "firmware", &[], |writer| {
                ["secure-boot", "enrolled-keys"]
                    .iter()
                    .try_for_each(|name| {
                        empty(writer, "feature", &[("enabled", "no"), ("name", name)])
                    })
            })?;
            if let Some(nvram) = install.and_then(|wiring| wiring.nvram.as_ref()) {
                text(writer, "nvram", &path(nvram))?;
            }
        }
        let boot = install.and(spec.boot.as_ref());
        if let Some(boot) = boot {
            text(writer, "kernel", &path(&boot.kernel))?;
            text(writer, "initrd", &path(&boot.initrd))?;
            text(writer, "cmdline", &boot.cmdline)?;
        } else {
            empty(writer, "boot", &[("dev", "hd")])?;
        }
        Ok(())
    })
}

fn cpu(writer: &mut Xml, accel: Accel) -> io::Result<()> {
    let mode = match accel {
        Accel::Kvm => "host-passthrough",
        // RHEL 9 and 10 need x86-64-v2 and v3, which QEMU's default CPU is not.
        Accel::Tcg => "maximum",
    };
    empty(writer, "cpu", &[("mode", mode)])
}

fn has_iothread(bus: DiskBus) -> bool {
    matches!(bus, DiskBus::Virtio | DiskBus::Scsi)
}

fn devices(writer: &mut Xml, spec: &DomainSpec, install: Option<&Wiring>) -> io::Result<()> {
    disk(writer, spec, install.is_some())?;
    empty(writer, "controller", &[("type", "usb"), ("model", "none")])?;
    interface(writer, spec, install)?;
    console(writer, spec, install)?;
    if let Some(wiring) = install {
        nested(writer, "channel", &[("type", "unix")], |writer| {
            if let Some(socket) = &wiring.log_socket {
                empty(
                    writer,
                    "source",
                    &[("mode", "bind"), ("path", &path(socket))],
                )?;
            }
            empty(writer, "target", &[("type", "virtio"), ("name", LOG_PORT)])
        })?;
    }
    if let Some(model) = spec.platform().video {
        nested(writer, "video", &[], |writer| {
            empty(writer, "model", &[("type", model)])
        })?;
        nested(writer, "graphics", &[("type", "vnc")], |writer| {
            // A unix socket, so that nobody else can look or type.
            match install.and_then(|wiring| wiring.vnc_socket.as_ref()) {
                Some(socket) => empty(
                    writer,
                    "listen",
                    &[("type", "socket"), ("socket", &path(socket))],
                ),
                None => empty(writer, "listen", &[("type", "socket")]),
            }
        })?;
    }
    nested(writer, "rng", &[("model", "virtio")], |writer| {
        writer
            .create_element("backend")
            .with_attribute(("model", "random"))
            .write_text_content(BytesText::new("/dev/urandom"))?;
        Ok(())
    })?;
    empty(writer, "memballoon", &[("model", "none")])
}

fn disk(writer: &mut Xml, spec: &DomainSpec, install: bool) -> io::Result<()> {
    let bus = spec.disk.bus;
    if bus == DiskBus::Scsi {
        let scsi = [("type", "scsi"), ("model", "virtio-scsi"), ("index", "0")];
        nested(writer, "controller", &scsi, |writer| {
            empty(writer, "driver", &[("iothread", "1")])
        })?;
    }
    nested(
        writer,
        "disk",
        &[("type", "file"), ("device", "disk")],
        |writer| {
            let mut driver = vec![("name", "qemu"), ("type", spec.disk.format.name())];
            if install {
                // The image is synced once, when it is finished; until then it is worth nothing.
                driver.push(("cache", "unsafe"));
                driver.push(("detect_zeroes", "unmap"));
            }
            driver.push(("discard", "unmap"));
            if bus == DiskBus::Virtio {
                driver.push(("iothread", "1"));
            }
            empty(writer, "driver", &driver)?;
            empty(writer, "source", &[("file", &path(&spec.disk.path))])?;
            empty(
                writer,
                "target",
                &[("dev", first_device(bus)), ("bus", bus.name())],
            )
        },
    )
}

fn interface(writer: &mut Xml, spec: &DomainSpec, install: Option<&Wiring>) -> io::Result<()> {
    let user_network = match spec.network {
        Network::User => install.and_then(|wiring| wiring.user_network),
        _ => None,
    };
    let (kind, source) = match &spec.network {
        Network::User => ("user", None),
        Network::Libvirt(name) => ("network", Some(("network", name.as_str()))),
        Network::Bridge(name) => ("bridge", Some(("bridge", name.as_str()))),
    };
    nested(writer, "interface", &[("type", kind)], |writer| {
        empty(writer, "mac", &[("address", &spec.mac.to_string())])?;
        if let Some(source) = source {
            empty(writer, "source", &[source])?;
        }
        if let Some(network) = user_network {
            let (address, prefix) = (network.0.to_string(), UserNetwork::PREFIX.to_string());
            let attributes = [
                ("family", "ipv4"),
                ("address", &address),
                ("prefix", &prefix),
            ];
            empty(writer, "ip", &attributes)?;
        }
        empty(writer, "model", &[("type", &spec.nic_model)])
    })
}

fn console(writer: &mut Xml, spec: &DomainSpec, install: Option<&Wiring>) -> io::Result<()> {
    let (element, target) = match spec.platform().console {
        Console::Serial(target) => ("serial", target),
        Console::Plain(target) => ("console", target),
    };
    let socket = install.and_then(|wiring| wiring.console_socket.as_ref());
    let kind = if socket.is_some() { "unix" } else { "pty" };
    nested(writer, element, &[("type", kind)], |writer| {
        if let Some(socket) = socket {
            let path = path(socket);
            empty(writer, "source", &[("mode", "bind"), ("path", &path)])?;
        }
        if install.is_some() {
            let log = path(&spec.console_log);
            // The file is there, empty, and ours. virtlogd would make another one of root's without
            // `append`.
            empty(writer, "log", &[("file", &log), ("append", "on")])?;
        }
        empty(writer, "target", &[("type", target), ("port", "0")])
    })
}

/// Runs QEMU as the user whom the daemon would run it as anyway, and leaves every file's owner as
/// it is; see [`super::lending`].
fn seclabel(writer: &mut Xml, user: QemuUser) -> io::Result<()> {
    let label = [("type", "static"), ("model", "dac"), ("relabel", "no")];
    nested(writer, "seclabel", &label, |writer| {
        text(writer, "label", &user.label())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::Arch;
    use crate::host::domain::{Chipset, DirectBoot, DiskSpec};

    fn spec() -> DomainSpec {
        DomainSpec {
            name: "ozr-a".to_owned(),
            title: "a \"b\" <&> 'c' \u{7} ä".to_owned(),
            arch: Arch::X86_64,
            accel: Accel::Tcg,
            chipset: Chipset::Modern,
            vcpus: 2,
            memory_mib: 4096,
            firmware: Firmware::Bios,
            boot: Some(DirectBoot {
                kernel: "/c/vm&linuz".into(),
                initrd: "/c/initrd.img".into(),
                cmdline: "inst.ks=http://10.0.2.2:1/a?b&c \"x\"".to_owned(),
            }),
            disk: DiskSpec {
                path: "/o/a b.qcow2".into(),
                format: crate::options::Format::Qcow2,
                bus: DiskBus::Virtio,
            },
            network: Network::User,
            nic_model: "virtio".to_owned(),
            mac: "52:54:00:00:00:01".parse().unwrap(),
            console_log: "/w/console.log".into(),
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
            vnc_socket: Some("/r/vnc".into()),
            run_as: None,
            nvram: None,
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
  <cpu mode="maximum"/>
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
                &["<domain type=\"kvm\">", "mode=\"host-passthrough\""],
                &["maximum"],
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
                &|spec| spec.chipset = Chipset::Legacy,
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
}

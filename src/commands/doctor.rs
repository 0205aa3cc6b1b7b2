//! `ozr doctor`

use std::fmt;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Severity};
use crate::distro::Arch;
use crate::error::{Classify, Kind, fail};
use crate::hex;
use crate::host::{Connection, Host, HostOptions, Probe};
use crate::image::disk;
use crate::machine::{Network, Nic};
use crate::media::medium;
use crate::options::{InstallOptions, config};
use crate::process;
use crate::state::directories;
use crate::state::runtime_dir::RuntimeDir;
use crate::ui::event::Reporter;
use crate::ui::printer;

/// `ozr doctor`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The libvirt connection to look at [default: as for `ozr install`]
    #[arg(long, value_name = "URI")]
    connect: Option<String>,

    /// The network to look at [default: as for `ozr install`]
    #[arg(long, value_name = "NETWORK")]
    network: Option<Network>,

    /// Where images would be written [default: as for `ozr install`]
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// The guests' architecture
    #[arg(long, default_value = std::env::consts::ARCH, value_parser = parse_arch)]
    arch: Arch,
}

fn parse_arch(name: &str) -> Result<Arch, String> {
    let known = Arch::names();
    name.parse()
        .map_err(|_| format!("the architectures are {known}"))
}

/// Room below which a usual image does not fit: a guest's disk takes what the guest writes, two
/// to four GiB for a system of some hundred packages, and once more while it is converted.
const COMFORTABLE_SPACE: u64 = 8 << 30;

/// Memory in MiB that a guest gets by default.
const COMFORTABLE_MEMORY_MIB: u64 = 4096;

/// Memory in MiB that the host needs besides.
const HOST_MEMORY_MIB: u64 = 1024;

/// One look and what it showed.
struct Finding {
    /// Good or bad.
    /// How bad it is; nothing where all is well.
    severity: Option<Severity>,
    /// What was looked at.
    what: &'static str,
    /// What there is, or what to do.
    text: String,
}

impl Finding {
    fn new(severity: Option<Severity>, what: &'static str, text: impl fmt::Display) -> Finding {
        let text = text.to_string();
        Finding {
            severity,
            what,
            text,
        }
    }
}

/// Something is there.
fn good(what: &'static str, text: impl fmt::Display) -> Finding {
    Finding::new(None, what, text)
}

/// Something is there that makes builds worse.
fn worse(what: &'static str, text: impl fmt::Display) -> Finding {
    Finding::new(Some(Severity::Warning), what, text)
}

/// Something is not there that some builds need, and most do without.
fn absent(what: &'static str, text: impl fmt::Display) -> Finding {
    Finding::new(Some(Severity::Note), what, text)
}

/// Something is not there.
fn missing(what: &'static str, text: impl fmt::Display) -> Finding {
    Finding::new(Some(Severity::Error), what, text)
}

/// Looks at everything that an install of a guest of `arch` with these options needs.
///
/// # Errors
/// Input: no connection has that name. Host: there is no place for a cache.
fn look(options: &InstallOptions, arch: Arch) -> anyhow::Result<Vec<Finding>> {
    let connection = Connection::choose(options.connect.as_deref()).kind(Kind::Input)?;
    let cache_dir = directories::cache_dir(options.cache_dir.as_deref()).kind(Kind::Host)?;
    let network = options.first_network();
    let output_dir = options.output_dir.as_deref().unwrap_or(Path::new("."));
    let probe = Probe::take(arch);
    let mut findings = look_at_programs(&probe, arch);
    findings.extend(look_at_libvirt(
        &probe,
        arch,
        &connection,
        &network,
        options.storage_pool.as_deref(),
        &cache_dir,
    ));
    findings.push(look_at_disk(output_dir));
    let wanted = options
        .memory
        .map_or(COMFORTABLE_MEMORY_MIB, |memory| memory.0);
    findings.extend(look_at_memory(&probe, wanted));
    Ok(findings)
}

/// What this host lacks for an install with these options, for `ozr check --host`.
///
/// # Errors
/// Input: no connection has that name. Host: there is no place for a cache.
pub(super) fn findings(options: &InstallOptions, arch: Arch) -> anyhow::Result<Vec<Diagnostic>> {
    let findings = look(options, arch)?.into_iter();
    let findings =
        findings.filter_map(|look| Some(diagnostic(look.severity?, look.what, &look.text)));
    Ok(findings.collect())
}

/// What findings name in place of a file.
const THIS_HOST: &str = "this host";

/// A look as a finding with its id (KS301 to KS306); `what` is the name of the look.
fn diagnostic(severity: Severity, what: &str, text: &str) -> Diagnostic {
    let id = match what {
        "kvm" => "KS302",
        "uefi" => "KS303",
        "network" => "KS304",
        "disk" => "KS305",
        "memory" => "KS306",
        _ => "KS301",
    };
    let (message, help) = match text.split_once(": ") {
        Some((message, help)) if id != "KS302" => (message, Some(help)),
        _ => (text, None),
    };
    let finding = Diagnostic::of_file(severity, THIS_HOST, format!("{what}: {message}")).id(id);
    match help {
        Some(help) => finding.help(help),
        None => finding,
    }
}

/// Shows what this host has and lacks, a line each.
///
/// # Errors
/// Host: something that every build needs is missing. Input: the configuration is wrong.
pub fn run(args: &Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    let mut options = config::load(config)?;
    options.connect = args.connect.clone().or(options.connect);
    if let Some(network) = args.network.clone() {
        let nic = Nic {
            network,
            ..Nic::default()
        };
        options.network = vec![nic];
    }
    options.output_dir = args.output_dir.clone().or(options.output_dir);
    let mut findings = look(&options, args.arch)?;
    findings.extend(look_at_extras(args.arch));
    for Finding {
        severity,
        what,
        text,
    } in &findings
    {
        let state = match severity {
            None => "ok",
            Some(Severity::Error) => "missing",
            Some(Severity::Note) => "absent",
            // Builds work, but not well.
            Some(_) => "note",
        };
        printer::print_result(&format!("{state:<8}{what:<13}{text}"));
    }
    let missing = findings
        .iter()
        .filter(|found| found.severity == Some(Severity::Error));
    let missing: Vec<&str> = missing.map(|found| found.what).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        fail!(
            Kind::Host,
            "this host cannot build images yet: see {missing} above"
        );
    }
    reporter.note("this host can build images");
    Ok(())
}

fn look_at_programs(probe: &Probe, arch: Arch) -> Vec<Finding> {
    let qemu = match &probe.qemu {
        Some(path) => good("qemu", path.display()),
        None => {
            let text = format!("no QEMU for {arch} guests: install qemu-system-{arch} or qemu-kvm");
            missing("qemu", text)
        }
    };
    let qemu_img = match process::find("qemu-img") {
        Some(path) => good("qemu-img", path.display()),
        None => missing(
            "qemu-img",
            "not in PATH: install qemu-utils (Debian) or qemu-img (Fedora, RHEL)",
        ),
    };
    let uefi = match probe.uefi.first() {
        Some(path) => good("uefi", path.display()),
        None => worse(
            "uefi",
            "no firmware without Secure Boot was found, so --firmware uefi fails: install ovmf (Debian) or edk2-ovmf (Fedora, RHEL)",
        ),
    };
    vec![qemu, qemu_img, uefi]
}

/// Programs for what not every build does: each with what it is for, and how to get it.
const EXTRAS: [(&str, &[&str], &str); 4] = [
    (
        "tpm",
        &["swtpm", "swtpm_setup"],
        "--tpm needs: install swtpm and swtpm-tools",
    ),
    (
        "gpg",
        &["gpg", "gpgv"],
        "--sign gpg, --key gpg:FILE, --checksum-key and --repository-key need: install gnupg and gpgv (Debian) or gnupg2 (Fedora, RHEL)",
    ),
    (
        "ssh-keygen",
        &["ssh-keygen"],
        "--sign ssh:KEYFILE and --key ssh:FILE need: install openssh-client (Debian) or openssh (Fedora, RHEL)",
    ),
    (
        "cosign",
        &["cosign"],
        "--sign cosign:KEY and --key cosign:KEY need: install it from Sigstore's releases or your distribution",
    ),
];

/// What some builds need.
fn look_at_extras(arch: Arch) -> Vec<Finding> {
    let secure_boot = match Probe::take(arch).secure_boot.first() {
        Some(path) => good("secure-boot", path.display()),
        None => absent(
            "secure-boot",
            "no firmware with enrolled keys was found, which --secure-boot needs: install ovmf (Debian) or edk2-ovmf (Fedora, RHEL)",
        ),
    };
    let media = match medium::check(arch, true) {
        Ok(()) => good("media", "`ozr media` writes discs"),
        Err(error) => absent("media", format!("`ozr media` writes no discs: {error:#}")),
    };
    let programs = EXTRAS.iter().map(|(what, programs, text)| {
        let gone = programs.iter().find(|name| process::find(name).is_none());
        match gone {
            None => good(what, programs.join(" and ")),
            Some(gone) => absent(what, format!("{gone} is not in PATH, which {text}")),
        }
    });
    [secure_boot, media].into_iter().chain(programs).collect()
}

/// A directory as a build has one.
fn private_dir() -> anyhow::Result<RuntimeDir> {
    RuntimeDir::create(&RuntimeDir::place(&hex::random()?)?, None)
}

/// Opens libvirt as a build would.
fn look_at_libvirt(
    probe: &Probe,
    arch: Arch,
    connection: &Connection,
    network: &Network,
    pool: Option<&str>,
    cache_dir: &Path,
) -> Vec<Finding> {
    let opened = private_dir().and_then(|runtime| {
        let host = Host::open(&HostOptions {
            connection: connection.clone(),
            runtime_dir: runtime.path().to_path_buf(),
            capability_cache: cache_dir.join("qemu-capabilities"),
            libvirt_networks: matches!(network, Network::Libvirt(_)),
            tpm: false,
            pool: pool.map(str::to_owned),
        })?;
        let versions = host.versions()?;
        Ok((runtime, host, versions))
    });
    let (_runtime, host, versions) = match opened {
        Ok(opened) => opened,
        Err(error) => return vec![missing("libvirt", format!("{error:#}"))],
    };
    let (libvirt, qemu, named) = (&versions.libvirt, &versions.qemu, named(connection));
    let libvirt = good("libvirt", format!("{libvirt} with QEMU {qemu} on {named}"));
    let user = match host.users().pop().unwrap_or_default() {
        0 => worse(
            "user",
            "QEMU runs as root: make an unprivileged user `qemu`, or run ozr as another user",
        ),
        user => good("user", format!("QEMU runs as user {user}")),
    };
    let kvm = match host.kvm_facts(arch).obstacle(arch) {
        None => good("kvm", "runs guests"),
        Some(obstacle) => worse(
            "kvm",
            format!("cannot be used: {obstacle}; builds take many times longer without it"),
        ),
    };
    let storage = match host.storage() {
        Ok(None) => None,
        Ok(Some(place)) => Some(good("storage", format!("{} on {named}", place.display()))),
        Err(error) => Some(missing("storage", format!("{error:#}"))),
    };
    // Whom a daemon elsewhere runs QEMU as is its own affair.
    let user = host.is_local().then_some(user);
    let network = look_at_network(probe, &host, network);
    let all = [Some(libvirt), user, Some(kvm), storage, Some(network)];
    all.into_iter().flatten().collect()
}

fn look_at_network(probe: &Probe, host: &Host, network: &Network) -> Finding {
    let user = matches!(network, Network::User);
    if user && host.is_local() && probe.qemu.is_some() && !probe.user_network {
        // libvirt would start it with an address of this host's for the guest, and without a way
        // to shut the host's loopback (libvirt 9.0, `qemuPasstStart`).
        let passt = match process::find("passt") {
            Some(_) => "passt is there, which ozr does not use",
            None => "passt is not there either",
        };
        let text = format!(
            "this QEMU has no user networking (SLIRP), and {passt}: use --network NAME or \
             --network bridge:NAME"
        );
        return missing("network", text);
    }
    match host.network_address(network) {
        Ok(place) => {
            let loopback = if user {
                ", its own loopback services included: use --network NAME or bridge:NAME for \
                 kickstarts that you do not trust"
            } else {
                ""
            };
            let who = match host.is_local() {
                true => "this host",
                false => "ozr's server (by ssh), and so their host,",
            };
            let text = format!(
                "guests on `{network}` reach {who} at {}{loopback}",
                place.guest_uses
            );
            good("network", text)
        }
        // The kickstart is in the initrd there, and mirrors may be reached without us.
        Err(error) if !host.is_local() => worse("network", format!("{error:#}")),
        Err(error) => missing("network", format!("{error:#}")),
    }
}

fn named(connection: &Connection) -> &str {
    match connection {
        Connection::Embedded => "the embedded driver",
        Connection::Uri(uri) => uri,
    }
}

fn look_at_disk(output_dir: &Path) -> Finding {
    let shown = output_dir.display();
    match disk::available_space(output_dir) {
        Err(error) => missing("disk", format!("{error:#}")),
        Ok(bytes) if bytes >= COMFORTABLE_SPACE => good(
            "disk",
            format!("{} are free in {shown}", disk::human(bytes)),
        ),
        Ok(bytes) => worse(
            "disk",
            format!(
                "only {} are free in {shown}, and a usual image needs up to {}: free some, or use --output-dir",
                disk::human(bytes),
                disk::human(COMFORTABLE_SPACE)
            ),
        ),
    }
}

fn look_at_memory(probe: &Probe, wanted: u64) -> Option<Finding> {
    let (_, available) = probe.memory_mib?;
    let text = format!("{available} MiB are available, {} CPUs", probe.cpus);
    Some(match available >= wanted + HOST_MEMORY_MIB {
        true => good("memory", text),
        false => worse(
            "memory",
            format!(
                "{text}: less than a guest's {wanted} MiB and the host's own need, use --memory"
            ),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctors_words_get_ids() {
        for (what, id) in [
            ("qemu", "KS301"),
            ("libvirt", "KS301"),
            ("kvm", "KS302"),
            ("memory", "KS306"),
        ] {
            let finding = diagnostic(Severity::Warning, what, "not here: install it");
            assert_eq!(finding.id, Some(id));
            assert!(finding.to_string().contains("not here"), "{finding}");
        }
    }
}

//! `ozr doctor`

use std::fmt;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Severity};
use crate::distro::Arch;
use crate::error::{Classify, Kind, fail};
use crate::hex;
use crate::host::{Connection, Host, HostOptions, Probe};
use crate::image::disk;
use crate::machine::Network;
use crate::options::{InstallOptions, config};
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

/// What came of one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is there.
    Good,
    /// Builds work, but not well.
    Worse,
    /// No build works.
    Missing,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Good => "ok",
            State::Worse => "note",
            State::Missing => "missing",
        })
    }
}

/// One look and what it showed.
pub(super) struct Finding {
    /// Good or bad.
    pub(super) state: State,
    /// What was looked at.
    pub(super) what: &'static str,
    /// What there is, or what to do.
    pub(super) text: String,
}

/// What is looked at, and what is to suffice.
#[derive(Debug)]
pub(super) struct Question {
    /// The guests' architecture.
    pub(super) arch: Arch,
    /// The libvirt connection.
    pub(super) connection: Connection,
    /// The guests' network.
    pub(super) network: Network,
    /// Where images are written.
    pub(super) output_dir: PathBuf,
    /// Where libvirt's knowledge of QEMU is kept.
    pub(super) cache_dir: PathBuf,
    /// The guest's memory in MiB.
    pub(super) memory_mib: u64,
}

impl Question {
    /// What an install with these options would need.
    ///
    /// # Errors
    /// Input: no connection has that name. Host: there is no place for a cache.
    pub(super) fn of(options: &InstallOptions, arch: Arch) -> anyhow::Result<Question> {
        let cache = options.cache_dir.as_deref();
        Ok(Question {
            arch,
            connection: Connection::choose(options.connect.as_deref()).kind(Kind::Input)?,
            network: options.network.clone().unwrap_or_default(),
            output_dir: options
                .output_dir
                .clone()
                .unwrap_or_else(|| PathBuf::from(".")),
            cache_dir: directories::cache_dir(cache).kind(Kind::Host)?,
            memory_mib: options.memory.unwrap_or(COMFORTABLE_MEMORY_MIB),
        })
    }
}

/// Looks at everything that a build needs.
pub(super) fn look(question: &Question) -> Vec<Finding> {
    let probe = Probe::take(question.arch);
    let mut findings = look_at_programs(&probe, question.arch);
    findings.extend(look_at_libvirt(&probe, question));
    findings.extend(look_at_room(&probe, question));
    findings
}

fn finding(state: State, what: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        state,
        what,
        text: text.into(),
    }
}

/// What this host lacks for an install with these options, for `ozr check --host`.
///
/// # Errors
/// Those of [`Question::of`].
pub(super) fn findings(options: &InstallOptions, arch: Arch) -> anyhow::Result<Vec<Diagnostic>> {
    let looks = look(&Question::of(options, arch)?);
    let findings = looks.into_iter().filter_map(|look| {
        let severity = match look.state {
            State::Good => return None,
            State::Worse => Severity::Warning,
            State::Missing => Severity::Error,
        };
        Some(diagnostic(severity, look.what, &look.text))
    });
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
    let configured = config::load(config)?;
    let question = Question::of(
        &InstallOptions {
            connect: args.connect.clone().or(configured.connect),
            network: args.network.clone().or(configured.network),
            output_dir: args.output_dir.clone().or(configured.output_dir),
            memory: configured.memory,
            cache_dir: configured.cache_dir,
            ..InstallOptions::default()
        },
        args.arch,
    )?;
    let findings = look(&question);
    for found in &findings {
        printer::print_result(&format!(
            "{:<8}{:<13}{}",
            found.state, found.what, found.text
        ));
    }
    let missing: Vec<&str> = findings
        .iter()
        .filter(|found| found.state == State::Missing)
        .map(|found| found.what)
        .collect();
    if missing.is_empty() {
        reporter.note("this host can build images");
        return Ok(());
    }
    fail!(
        Kind::Host,
        "this host cannot build images yet: see {} above",
        missing.join(", ")
    )
}

fn look_at_programs(probe: &Probe, arch: Arch) -> Vec<Finding> {
    let mut findings = vec![match &probe.qemu {
        Some(path) => finding(State::Good, "qemu", path.display().to_string()),
        None => finding(
            State::Missing,
            "qemu",
            format!("no QEMU for {arch} guests: install qemu-system-{arch} or qemu-kvm"),
        ),
    }];
    findings.push(match crate::process::find("qemu-img") {
        Some(path) => finding(State::Good, "qemu-img", path.display().to_string()),
        None => finding(
            State::Missing,
            "qemu-img",
            "not in PATH: install qemu-utils (Debian) or qemu-img (Fedora, RHEL)",
        ),
    });
    findings.push(if probe.uefi.is_empty() {
        finding(
            State::Worse,
            "uefi",
            "no firmware without Secure Boot was found, so --firmware uefi fails: install ovmf (Debian) or edk2-ovmf (Fedora, RHEL)",
        )
    } else {
        finding(State::Good, "uefi", probe.uefi[0].display().to_string())
    });
    findings
}

/// A directory as a build has one.
fn private_dir() -> anyhow::Result<RuntimeDir> {
    RuntimeDir::create(&RuntimeDir::place(&hex::random()?)?, None)
}

/// Opens libvirt as a build would.
fn look_at_libvirt(probe: &Probe, question: &Question) -> Vec<Finding> {
    let Question {
        connection,
        network,
        ..
    } = question;
    let arch = question.arch;
    let opened = private_dir().and_then(|runtime| {
        let host = Host::open(&HostOptions {
            connection: connection.clone(),
            runtime_dir: runtime.path().to_path_buf(),
            capability_cache: question.cache_dir.join("qemu-capabilities"),
            libvirt_networks: matches!(network, Network::Libvirt(_)),
        })?;
        let versions = host.versions()?;
        Ok((runtime, host, versions))
    });
    let (_runtime, host, versions) = match opened {
        Ok(opened) => opened,
        Err(error) => return vec![finding(State::Missing, "libvirt", format!("{error:#}"))],
    };
    let mut findings = vec![finding(
        State::Good,
        "libvirt",
        format!(
            "{} with QEMU {} on {}",
            versions.libvirt,
            versions.qemu,
            named(connection)
        ),
    )];
    findings.push(match host.users().pop() {
        Some(0) => finding(
            State::Worse,
            "user",
            "QEMU runs as root: make an unprivileged user `qemu`, or run ozr as another user",
        ),
        user => finding(
            State::Good,
            "user",
            format!("QEMU runs as user {}", user.unwrap_or_default()),
        ),
    });
    findings.push(match host.kvm_facts(arch).obstacle(arch) {
        None => finding(State::Good, "kvm", "runs guests"),
        Some(obstacle) => finding(
            State::Worse,
            "kvm",
            format!("cannot be used: {obstacle}; builds take many times longer without it"),
        ),
    });
    findings.push(look_at_network(probe, &host, network));
    findings
}

fn look_at_network(probe: &Probe, host: &Host, network: &Network) -> Finding {
    let user = matches!(network, Network::User);
    if user && host.is_local() && probe.qemu.is_some() && !probe.user_network {
        // libvirt would start it with an address of this host's for the guest, and without a way
        // to shut the host's loopback (libvirt 9.0, `qemuPasstStart`).
        let passt = match crate::process::find("passt") {
            Some(_) => "passt is there, which ozr does not use",
            None => "passt is not there either",
        };
        let text = format!(
            "this QEMU has no user networking (SLIRP), and {passt}: use --network NAME or \
             --network bridge:NAME"
        );
        return finding(State::Missing, "network", text);
    }
    match host.network_address(network) {
        Ok(place) => {
            let loopback = if user {
                ", its own loopback services included: use --network NAME or bridge:NAME for \
                 kickstarts that you do not trust"
            } else {
                ""
            };
            let text = format!(
                "guests on `{network}` reach this host at {}{loopback}",
                place.guest_uses
            );
            finding(State::Good, "network", text)
        }
        Err(error) => finding(State::Missing, "network", format!("{error:#}")),
    }
}

fn named(connection: &Connection) -> &str {
    match connection {
        Connection::Embedded => "the embedded driver",
        Connection::Uri(uri) => uri,
    }
}

fn look_at_room(probe: &Probe, question: &Question) -> Vec<Finding> {
    let shown = question.output_dir.display();
    let mut findings = vec![match disk::available_space(&question.output_dir) {
        Ok(bytes) if bytes >= COMFORTABLE_SPACE => finding(
            State::Good,
            "disk",
            format!("{} are free in {shown}", disk::human(bytes)),
        ),
        Ok(bytes) => finding(
            State::Worse,
            "disk",
            format!(
                "only {} are free in {shown}, and a usual image needs up to {}: free some, or use --output-dir",
                disk::human(bytes),
                disk::human(COMFORTABLE_SPACE)
            ),
        ),
        Err(error) => finding(State::Missing, "disk", format!("{error:#}")),
    }];
    let Some((_, available)) = probe.memory_mib else {
        return findings;
    };
    let text = format!("{available} MiB are available, {} CPUs", probe.cpus);
    let wanted = question.memory_mib;
    findings.push(if available >= wanted + HOST_MEMORY_MIB {
        finding(State::Good, "memory", text)
    } else {
        let hint =
            format!("less than a guest's {wanted} MiB and the host's own need, use --memory");
        finding(State::Worse, "memory", format!("{text}: {hint}"))
    });
    findings
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

//! Sealing the installed disk: a guest of the release's own installer kernel and initramfs, with a
//! script of ours as its first process, takes out what makes the system one machine's own; then a
//! process that only reads looks whether it is out.
//!
//! Neither `%post` nor the running system could do it: the installer writes logs and kickstarts behind
//! every `%post`, and a system that shuts down writes its random seed and logs (what is done in it last
//! is undone by its end). This guest mounts whatever its own kernel and initramfs can (LVM, LUKS with
//! the passphrases that the build knows, RAID, every file system that the release installs on), and needs no
//! network, no rights on the host, and nothing of the kickstart.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use tokio::time::timeout;

use super::attempt::{Attempt, EXIT_LIMIT};
use super::customize;
use crate::distro::{NO_MITIGATIONS, serial_console};
use crate::error::{Classify, Kind};
use crate::hex;
use crate::host::{Accel, DirectBoot, DomainSpec, LOG_PORT, Started};
use crate::image::reader::{self, Image, Question};
use crate::image::seal::{self, Item, Proof, Unsealed};
use crate::initrd;
use crate::machine::{Board, DiskBus};
use crate::process;
use crate::sbom::icicle::Entry;
use crate::watch::verdict::Verdict;

/// The first process, and what it hands over to in the installed system.
const SCRIPT: &str = include_str!("finish.sh");
const INSIDE: &str = include_str!("finish_inside.sh");

/// The guest's initial file system, in the work directory.
const INITRD: &str = "finish.img";

/// What the guest's console says, in the work directory.
const CONSOLE: &str = "finish.log";

/// How long it may take. It boots and works for seconds with KVM; discarding the room of a large
/// disk on slow storage takes longest.
const LIMIT: Duration = Duration::from_secs(300);

/// The same in software emulation, where an initramfs of 100 MB is unpacked for a minute.
const EMULATED_LIMIT: Duration = Duration::from_secs(1200);

/// The most memory that it is given, in MiB: enough for its initramfs, of 300 MB when it is unpacked, and the files that
/// it looks at. In software emulation a kernel takes three seconds longer to look over 4 GiB; and one with two CPUs twice
/// as long to load XFS, as each place in its code is changed with both of them halted.
const MOST_MEMORY_MIB: u64 = 2048;

/// How long the guest may take to switch itself off when all is written: it does so at once.
const OFF_LIMIT: Duration = Duration::from_secs(5);

/// The most that is read of what it reports, in bytes: some lines, or a kilobyte for each of the ten
/// thousand packages that the largest systems have.
const MOST_REPORTED: usize = 16 << 20;

/// Most of what is left that a message names.
const MOST_NAMED: usize = 3;

/// What sealing came to.
#[derive(Debug, Default)]
pub struct Sealed {
    /// The items that were taken out.
    pub items: Vec<String>,
    /// Why it could not be looked at whether they are, and where, if it could not.
    pub unproved: Option<String>,
    /// The packages, with what the template's command says of each, if it was to be run.
    pub extra: Option<Vec<Entry>>,
}

impl Attempt<'_> {
    /// Seals the installed disk, if that is wanted: what came of it, or why the image is not good.
    ///
    /// # Errors
    /// What libvirt says; the user stops the build.
    pub(super) async fn seal(&mut self) -> anyhow::Result<Result<Sealed, Verdict>> {
        let items = &self.plan.seal;
        let customizing = self.plan.customizes();
        if items.is_empty() && self.plan.extra_command().is_none() && !customizing {
            return Ok(Ok(Sealed::default()));
        }
        self.reporter.step(match (customizing, items.is_empty()) {
            (true, _) => "adding what the template adds",
            (false, true) => "asking the system for its packages",
            (false, false) => "sealing the image",
        });
        let (end, report) = self.run_finishing(items).await?;
        if customizing && let Some(verdict) = self.customized(&report.output, report.unfinished)? {
            return Ok(Err(*verdict));
        }
        let extra = match self.plan.extra_command() {
            // What failed before it was run is told below.
            Some(_) if end.is_ok() => Some(report.entries().kind(Kind::Build)?),
            _ => None,
        };
        if items.is_empty() {
            let what = match customizing {
                true => "what the template adds could not be added",
                false => "the template's <extra_command> could not be run",
            };
            end.map_err(|why| anyhow!("{what}: {why}"))
                .kind(Kind::Build)?;
            let sealed = Sealed {
                extra,
                ..Sealed::default()
            };
            return Ok(Ok(sealed));
        }
        if let Err(why) = end {
            let why = format!(
                "the image could not be sealed: {}; use --no-seal for an image as the installer left it",
                self.handover.secrets.hide(&why)
            );
            return Ok(Err(self.seal_verdict(why, &[])));
        }
        let names: BTreeSet<String> = items.iter().map(|item| item.name.clone()).collect();
        let question = Question::Unsealed(names.clone());
        let program = Path::new(reader::OWN_PROGRAM);
        let disks = Image::opened(&self.prepared.disks, &self.keys);
        let looking = reader::ask::<Proof>(program, &disks, &question);
        let proof = self.cancellation.or(async { Ok(looking.await) }).await?;
        let mut sealed = Sealed {
            items: names.into_iter().collect(),
            unproved: None,
            extra,
        };
        let unproved = match proof {
            Ok(Proof { left, unproved }) if left.is_empty() => unproved.join("; "),
            Ok(Proof { left, .. }) => {
                let all = left.iter().map(ToString::to_string);
                let (sentence, all) = (sentence(&left), all.collect::<Vec<_>>());
                return Ok(Err(self.seal_verdict(sentence, &all)));
            }
            Err(error) => format!("{error:#}"),
        };
        if !unproved.is_empty() {
            self.reporter.warn(format!(
                "the image was sealed, but whether everything is out could not be looked at: {unproved}"
            ));
            sealed.unproved = Some(unproved);
        }
        Ok(Ok(sealed))
    }

    fn seal_verdict(&self, sentence: String, left: &[String]) -> Verdict {
        Verdict::of_an_unsealed_image(sentence, left, self.phases().last())
    }

    /// Runs the guest: why it did not do its work, if it did not; and what it reported.
    async fn run_finishing(
        &self,
        items: &[&'static Item],
    ) -> anyhow::Result<(Result<(), String>, Report)> {
        let token = hex::random()?;
        let spec = self.finishing_spec(items, &token).kind(Kind::Host)?;
        let Started {
            guest,
            console,
            mut log_port,
            ..
        } = self.start(&spec, false).await?;
        // What it says QEMU writes to CONSOLE, unless it is on another host; somebody has to take it from the port, or
        // the guest waits.
        let elsewhere = !self.prepared.host.is_local();
        let log = elsewhere.then(|| self.place.work.dir().file(CONSOLE, false));
        let mut log = log.transpose()?;
        let drain = tokio::spawn(async move {
            let mut console = console;
            while let Some(bytes) = console.read().await {
                if let Some(file) = &mut log
                    && file.write_all(&bytes).is_err()
                {
                    log = None;
                }
            }
        });
        guest.resume().kind(Kind::Host)?;
        let limit = match spec.accel {
            _ if self.plan.base.is_some() => self.plan.timeout,
            Accel::Tcg => EMULATED_LIMIT,
            Accel::Kvm => LIMIT,
        };
        let following = async {
            let mut report = Report::default();
            let listening = timeout(limit, async {
                while let Some(bytes) = log_port.read().await {
                    if let Some(end) = report.take(&bytes, &token) {
                        return end;
                    }
                }
                Err("the guest that seals it ended without a word".to_owned())
            });
            let end = listening.await.unwrap_or_else(|_| {
                let limit = limit.as_secs();
                Err(format!(
                    "the guest that seals it did not come to an end in {limit} s"
                ))
            });
            for note in &report.notes {
                self.reporter
                    .detail(self.handover.secrets.hide(&format!("sealing: {note}")));
            }
            Ok((end, report))
        };
        let ended = self.cancellation.or(following).await?;
        if timeout(OFF_LIMIT, guest.finished()).await.is_err() {
            tokio::task::block_in_place(|| guest.destroy()).kind(Kind::Host)?;
            // QEMU has closed the disk then.
            let _ = timeout(EXIT_LIMIT, guest.finished()).await;
        }
        drain.abort();
        self.fetch_disks(&spec).await?;
        Ok(ended)
    }

    /// The guest that seals: that of the install, with our script as its first process.
    fn finishing_spec(&self, items: &[&'static Item], token: &str) -> anyhow::Result<DomainSpec> {
        let sealing = match items {
            [] => ":\n".to_owned(),
            items => format!("{}give_back\n", seal::commands(items, "")),
        };
        let extra = process::quote(self.plan.extra_command().unwrap_or_default());
        let custom = self.handover.in_place.as_deref().map(customize::prelude);
        let custom = custom.unwrap_or_else(|| "customizing=\n".to_owned());
        let inside = format!("extra={extra}\nseal() {{\n{sealing}}}\n{custom}{INSIDE}");
        let passphrases = self.plan.passphrases();
        let passphrases = passphrases.iter().map(|one| format!("{}\n", one.reveal()));
        let passphrases: String = passphrases.collect();
        let (port, token) = (format!("{LOG_PORT}\n"), format!("{token}\n"));
        let drivers = format!("{}\n", drivers(&self.spec).join(" "));
        let files: [initrd::InitrdFile<'_>; 6] = [
            ("ozr-finish", 0o700, SCRIPT.as_bytes()),
            ("ozr-inside", 0o600, inside.as_bytes()),
            ("ozr-port", 0o600, port.as_bytes()),
            ("ozr-token", 0o600, token.as_bytes()),
            ("ozr-drivers", 0o600, drivers.as_bytes()),
            ("ozr-passphrases", 0o600, passphrases.as_bytes()),
        ];
        let work = &self.place.work;
        let copy = work.join(INITRD);
        initrd::extend(&self.prepared.tree.initrd.path, &copy, &files)?;
        work.dir().replace(CONSOLE, b"")?;
        let installer = &self.spec;
        let boot = installer.boot.as_ref();
        let kernel = boot.map_or_else(Default::default, |boot| boot.kernel.clone());
        let console = serial_console(self.plan.arch);
        let mitigations = match installer.accel {
            Accel::Tcg => format!(" {NO_MITIGATIONS}"),
            Accel::Kvm => String::new(),
        };
        let (vcpus, memory_mib) = match self.handover.in_place {
            None => (1, installer.memory_mib.min(MOST_MEMORY_MIB)),
            // What the template adds may need as much as the user gave the installer.
            Some(_) => (installer.vcpus, installer.memory_mib),
        };
        Ok(DomainSpec {
            boot: Some(DirectBoot {
                kernel,
                initrd: copy,
                // A policy is not there to be loaded; labels are attributes like others then.
                cmdline: format!(
                    "rdinit=/ozr-finish console={console} quiet panic=1 selinux=0{mitigations}"
                ),
            }),
            // The kernel is booted directly, whatever the image boots with.
            firmware: self.plan.release.default_firmware(self.plan.arch),
            board: Board::default(),
            console_log: work.join(CONSOLE),
            discs: Vec::new(),
            network: self.plan.working_network().clone(),
            vcpus,
            memory_mib,
            ..installer.clone()
        })
    }
}

/// The kernel's modules for its disks, the port that it reports to, and its first network card.
fn drivers(spec: &DomainSpec) -> Vec<&str> {
    let disks: &[&str] = match spec.disk.bus {
        DiskBus::Virtio => &["virtio_blk"],
        DiskBus::Scsi => &["virtio_scsi", "sd_mod"],
        DiskBus::Sata => &["ahci", "sd_mod"],
        DiskBus::Ide => &["ata_piix", "sd_mod"],
    };
    let card = match spec.nic_model.as_str() {
        "virtio" => "virtio_net",
        "rtl8139" => "8139cp",
        model => model,
    };
    let ours = ["virtio_pci", "virtio_console", card];
    ours.into_iter().chain(disks.iter().copied()).collect()
}

/// What the guest has reported so far.
#[derive(Debug, Default)]
struct Report {
    /// The beginning of a line that is still being written.
    begun: Vec<u8>,
    /// Bytes in all.
    bytes: usize,
    /// What programs had to remark.
    notes: Vec<String>,
    /// The lines of `rpm -qa`, and of the template's command.
    packages: Vec<String>,
    extras: Vec<String>,
    /// Which of the two failed, and its status.
    broken: Option<String>,
    /// What was printed while the template was applied.
    output: Vec<String>,
    /// Whether it could not be applied.
    unfinished: bool,
}

impl Report {
    /// Takes more of it: how it ended, once it has: all done, or why not.
    fn take(&mut self, bytes: &[u8], token: &str) -> Option<Result<(), String>> {
        self.bytes += bytes.len();
        if self.bytes > MOST_REPORTED {
            return Some(Err("the guest that seals it says too much".to_owned()));
        }
        self.begun.extend(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            let Some(line) = line.strip_prefix("ozr-finish ") else {
                continue;
            };
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "done" if rest == token => return Some(Ok(())),
                "failed" => return Some(Err(rest.to_owned())),
                "note" => self.notes.push(rest.to_owned()),
                "package" => self.packages.push(rest.to_owned()),
                "extra" => self.extras.push(rest.to_owned()),
                "output" => self.output.push(rest.to_owned()),
                "unfinished" => self.unfinished = true,
                "broken" => self.broken = Some(rest.to_owned()),
                _ => {}
            }
        }
        None
    }

    /// The packages with what the template's command says of each.
    ///
    /// # Errors
    /// A command failed; the lines do not belong together.
    fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        if let Some(broken) = &self.broken {
            let (which, status) = broken.split_once(' ').unwrap_or((broken, ""));
            let what = match which {
                "package" => "`rpm -qa`",
                _ => "the template's <extra_command>",
            };
            let said = self.notes.last().map(|note| format!(": {note}"));
            let said = said.unwrap_or_default();
            return Err(match status {
                "124" => anyhow!("{what} did not end in 120 s in the installed system"),
                _ => anyhow!("{what} failed in the installed system with status {status}{said}"),
            });
        }
        let (packages, extras) = (self.packages.len(), self.extras.len());
        ensure!(
            packages == extras,
            "the template's <extra_command> must print a line for each line of `rpm -qa`: it printed {extras}, and there are {packages} packages"
        );
        let both = self.packages.iter().zip(&self.extras);
        let entries = both.map(|(name, extra)| Entry {
            name: name.clone(),
            extra: Some(extra.clone()),
        });
        Ok(entries.collect())
    }
}

fn sentence(left: &[Unsealed]) -> String {
    let named = left.iter().take(MOST_NAMED);
    let named: Vec<String> = named.map(ToString::to_string).collect();
    let more = match left.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = left.first().map_or("", |one| one.item.as_str());
    format!(
        "the image is not sealed: {}{more}; find what keeps it there, or leave it with --seal-except {first}",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> (Option<Result<(), String>>, Report) {
        let mut report = Report::default();
        // In pieces, as it comes.
        let pieces = text.as_bytes().chunks(7);
        let end = pieces.filter_map(|piece| report.take(piece, "t0")).next();
        (end, report)
    }

    #[test]
    fn the_report_tells_the_end() {
        let end = |text: &str| report(text).0;
        assert_eq!(end("ozr-finish done t0\r\n"), Some(Ok(())));
        assert_eq!(end("ozr-finish note x\nozr-finish done t0"), None);
        assert_eq!(end("ozr-finish done t1\n"), None);
        assert_eq!(end("done t0\n"), None);
        let failed = end("ozr-finish failed no disk was found\n");
        assert_eq!(failed, Some(Err("no disk was found".to_owned())));
        let (_, all) = report("ozr-finish note rm: x\nnoise\nozr-finish done t0\n");
        assert_eq!(all.notes, ["rm: x"]);
        let flood = "x".repeat(MOST_REPORTED + 1);
        let mut all = Report::default();
        assert!(all.take(flood.as_bytes(), "t0").unwrap().is_err());
    }

    #[test]
    fn what_the_command_says_belongs_to_the_packages() {
        let of = |text: &str| {
            let entries = report(text).1.entries();
            entries.map_err(|error| error.to_string())
        };
        let good = "ozr-finish package a-1\nozr-finish package b-1\nozr-finish extra  a, 1 \nozr-finish extra\n";
        let extra = |name: &str, extra: &str| Entry {
            name: name.to_owned(),
            extra: Some(extra.to_owned()),
        };
        assert_eq!(of(good), Ok(vec![extra("a-1", " a, 1 "), extra("b-1", "")]));
        let error = of("ozr-finish package a-1\n").unwrap_err();
        assert!(error.contains("it printed 0, and there are 1"), "{error}");
        let error = of("ozr-finish note sh: x: not found\nozr-finish broken extra 127\n");
        let expected = "the template's <extra_command> failed in the installed system with status 127: sh: x: not found";
        assert_eq!(error.unwrap_err(), expected);
    }
}

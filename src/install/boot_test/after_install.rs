//! The boot test of a build: after the install, before the image has its name.

use super::plan::{BootPlan, Machine, ready};
use super::{Stage, run};
use crate::image::disk;
use crate::install::attempt::Attempt;
use crate::machine::DiskFormat;
use crate::watch::verdict::Verdict;

impl Attempt<'_> {
    /// Boots the disk of the guest that is gone, if that is wanted: why the image is none, if it fails.
    ///
    /// # Errors
    /// Host: libvirt, QEMU or the file system failed. Somebody asked to stop.
    pub(in crate::install) async fn test_boot(&self) -> anyhow::Result<Result<(), Verdict>> {
        let options = &self.plan.options.boot_test;
        if !options.always {
            return Ok(Ok(()));
        }
        let (build, spec) = (self.plan, &self.spec);
        let mut firmware = options.firmware.clone();
        if firmware.is_empty() {
            firmware.push(build.guest.firmware);
        }
        let mut secrets = self.handover.secrets.clone();
        build.boot_test.add_secrets(&mut secrets);
        let plan = BootPlan {
            name: build.name.clone(),
            image: self.place.work.join(&disk::name(0)),
            more_images: (1..build.guest.disks.len())
                .map(|disk| self.place.work.join(&disk::name(disk)))
                .collect(),
            format: DiskFormat::Qcow2,
            machine: Machine {
                arch: spec.arch,
                accel: spec.accel,
                board: build.guest.board.clone(),
                virtio: spec.virtio,
                disk_bus: spec.disk.bus,
                nic_model: spec.nic_model.clone(),
                network: spec.network.clone(),
                more_nics: spec
                    .more_nics
                    .iter()
                    .map(|nic| (nic.network.clone(), nic.model.clone()))
                    .collect(),
            },
            firmware,
            clones: options.clones.unwrap_or(1),
            ready: ready(options),
            wanted: build.boot_test.clone(),
            options: options.clone(),
            max_guests: build.options.max_guests,
            passphrases: build.passphrases(),
            secrets,
        };
        let stage = Stage {
            place: self.place,
            host: &self.prepared.host,
            cancellation: self.cancellation,
            reporter: self.reporter,
        };
        let report = run(&plan, stage, &build.output.boot_test).await?;
        for note in &report.notes {
            self.reporter.note(note);
        }
        if report.passed {
            return Ok(Ok(()));
        }
        let failed = report.boots.last();
        let last = self.phases().last();
        let mut verdict = Verdict::of_a_boot_test(report.sentence, last);
        if let Some(boot) = failed {
            verdict.seen = boot.seen.clone();
            verdict.console = boot.console.clone();
        }
        Ok(Err(verdict))
    }
}

//! Loading a saved installer, and handing it the kickstart of a trial.

use std::os::fd::AsRawFd;

use anyhow::{Context, bail};

use super::store::{MAX_AGE, States};
use super::{append, handing, key, late};
use crate::error::{Classify, Kind};
use crate::host::{DirectBoot, DomainSpec, SavedGuest, Started};
use crate::install::attempt::Attempt;
use crate::install::plan::Aim;
use crate::install::start;
use crate::kickstart::scan;
use crate::state::{LockFile, directories};
use crate::watch::verdict::Verdict;

/// What came of looking for a saved installer.
#[derive(Debug)]
pub(in crate::install) enum Resumed {
    /// One was loaded, and has taken the kickstart.
    Loaded(Box<Started>),
    /// There is none: the installer is to be booted.
    Not,
    /// One was to be made, and the installer failed.
    Failed(Box<Verdict>),
}

impl Attempt<'_> {
    /// Loads a saved installer for a trial, which is made if there is none. Whatever is in the way of that sends
    /// it the cold way, with a word.
    ///
    /// # Errors
    /// Somebody asked to stop; a guest could not be started at all.
    pub(in crate::install) async fn resume(&mut self) -> anyhow::Result<Resumed> {
        if !matches!(self.plan.aim, Aim::Trial(_)) || self.plan.cold {
            return Ok(Resumed::Not);
        }
        let (kickstart, parts) = match self.warm_kickstart().await {
            Ok(both) => both,
            Err(why) => {
                self.reporter
                    .note(format!("the installer is booted: {why}"));
                return Ok(Resumed::Not);
            }
        };
        let states = match self.states() {
            Ok(states) => states,
            Err(error) => return Ok(self.without_state(&error)),
        };
        let key = key::of(&parts);
        let lock = match self.lock_state(&states, &key).await {
            Ok(lock) => lock,
            Err(error) if self.cancellation.is_wanted() => return Err(error),
            Err(error) => return Ok(self.without_state(&error)),
        };
        if let Some(record) = states.record(&key)
            && record.age() > MAX_AGE
            && states.remove(&key).is_ok()
        {
            self.reporter.note("the saved installer is too old");
        }
        if !states.has(&key) {
            self.tell_what_changed(&states, &parts);
            match self.make_state(&states, &key, parts).await {
                Ok(Ok(_)) => {}
                Ok(Err(verdict)) => return Ok(Resumed::Failed(verdict)),
                Err(error) if self.cancellation.is_wanted() => return Err(error),
                Err(error) => return Ok(self.without_state(&error)),
            }
        }
        self.reporter.step("loading the saved installer");
        let loaded = self.load_state(&states, &key, lock, &kickstart).await;
        match loaded {
            Ok(started) => Ok(Resumed::Loaded(Box::new(started))),
            Err(error) if self.cancellation.is_wanted() => Err(error),
            Err(error) => {
                let removed = states.remove(&key);
                let end = match removed {
                    Ok(()) => "it was removed".to_owned(),
                    Err(why) => format!("it cannot be removed: {why}"),
                };
                self.reporter.warn(format!(
                    "the saved installer is not used: {error:#}; {end}, and the installer is booted"
                ));
                Ok(Resumed::Not)
            }
        }
    }

    fn without_state(&self, error: &anyhow::Error) -> Resumed {
        self.reporter
            .warn(format!("{error:#}: the installer is booted"));
        Resumed::Not
    }

    /// Where states are.
    pub(super) fn states(&self) -> anyhow::Result<States> {
        let cache = self.plan.options.cache_dir.as_deref();
        States::open(&directories::cache_dir(cache).kind(Kind::Host)?)
    }

    /// What a state is made of that this trial could load; or why it can load none.
    pub(super) async fn state_parts(&self) -> Result<key::Parts, String> {
        if let Some(why) = late::reason(self.plan, &self.place.connection) {
            return Err(why);
        }
        key::parts(self).await
    }

    /// The kickstart to hand over, and what the state is made of; or why the installer is booted.
    async fn warm_kickstart(&self) -> Result<(String, key::Parts), String> {
        let parts = self.state_parts().await?;
        let author = &self.plan.answers;
        let served = &self.handover.served;
        let mirror = &self.prepared.mirror;
        let mut text = append::expand(served, &author.text, &author.name, mirror).await?;
        let outline = scan::scan_all(&text, &author.name).0;
        if let Some(why) = late::of_kickstart(&author.name, &outline) {
            return Err(why);
        }
        if outline.source().is_none()
            && let Some(tree) = &self.handover.tree
        {
            // On the saved command line stands another address. Behind the author's lines, which keep
            // their numbers.
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("# ozr: the install tree\nurl --url=\"{tree}\"\n"));
        }
        Ok((text, parts))
    }

    /// Takes the lock of a state; tells that it is waited for.
    pub(super) async fn lock_state(&self, states: &States, key: &str) -> anyhow::Result<LockFile> {
        let held = || {
            self.reporter
                .note("waiting for the saved installer: another ozr makes or loads it");
        };
        self.cancellation.or(states.lock(key, held)).await
    }

    /// Says why no state fits, where there is one of the same tree.
    fn tell_what_changed(&self, states: &States, parts: &key::Parts) {
        let records = states.list();
        let nearest = records
            .iter()
            .filter(|record| record.parts.get("tree") == parts.get("tree"))
            .map(|record| key::differences(&record.parts, parts))
            .min_by_key(Vec::len);
        if let Some(differences) = nearest {
            self.reporter.note(format!(
                "the saved installer is of another kind: {}",
                differences.join(", ")
            ));
        }
    }

    async fn load_state(
        &self,
        states: &States,
        key: &str,
        lock: LockFile,
        kickstart: &str,
    ) -> anyhow::Result<Started> {
        let (file, mut saved) = self.cancellation.or(states.verified(key)).await?;
        // What was looked at, whatever comes to stand in its place.
        saved.file = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        let spec = self.loaded_spec(&saved)?;
        let host = &self.prepared.host;
        let load = move |host: &crate::host::Host| {
            let loaded = host.load(&spec, &saved);
            drop((file, lock));
            loaded
        };
        self.reporter
            .detail("the saved installer is what was saved");
        let mut started = start::begin(host, self.place, self.cancellation, load).await?;
        self.reporter.detail("the saved installer is loaded");
        let handed = self.hand_over(&mut started, kickstart);
        if let Err(error) = self.cancellation.or(handed).await {
            tokio::task::block_in_place(|| started.guest.destroy())?;
            let _ = started.guest.finished().await;
            return Err(error.context("handing the kickstart to it"));
        }
        Ok(started)
    }

    async fn hand_over(&self, started: &mut Started, kickstart: &str) -> anyhow::Result<()> {
        let Some(port) = &mut started.handover else {
            bail!("it has no port for a kickstart");
        };
        started.guest.resume()?;
        tokio::task::block_in_place(|| started.guest.plug_in(&self.spec))?;
        let disks = self.plan.guest.disks.len();
        let bus = self.plan.guest.disk_bus;
        let disks: Vec<String> = (0..disks).map(|disk| bus.device(disk)).collect();
        let kickstart = scan::encode(kickstart);
        let uuid = handing::hand_over(port, &kickstart, &disks).await?;
        self.reporter
            .detail(format!("the guest is reseeded: {uuid}"));
        Ok(())
    }

    /// The guest of a state with this build's files.
    fn loaded_spec(&self, saved: &SavedGuest) -> anyhow::Result<DomainSpec> {
        let initrd = self.loader_initrd().context("making the loader's initrd")?;
        Ok(DomainSpec {
            name: saved.name.clone(),
            boot: Some(DirectBoot {
                kernel: self.prepared.tree.kernel.path.clone(),
                initrd,
                cmdline: String::new(),
            }),
            handover: true,
            ..self.spec.clone()
        })
    }
}

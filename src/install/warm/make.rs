//! Making a saved installer: booting it until it waits for its kickstart, and saving it.

use std::path::PathBuf;

use anyhow::Context;
use url::Url;

use super::key::Parts;
use super::store::{Record, States};
use super::{LOADER, LOADER_INITRD};
use crate::error::{Classify, Kind, fail};
use crate::install::attempt::Attempt;
use crate::install::handover;
use crate::install::relay::Relaying;
use crate::install::supervise::Course;
use crate::install::{evidence, guest, record};
use crate::options::Deliver;
use crate::serve::{KICKSTART_NAME, Server, TREE_NAME};
use crate::watch::verdict::Verdict;
use crate::watch::witness::Expectations;
use crate::{blocking, initrd};

impl Attempt<'_> {
    /// `ozr warm`: makes the state that later tries of this template load, unless it is there.
    pub(in crate::install) async fn save_state(
        &mut self,
    ) -> anyhow::Result<Result<Vec<String>, Verdict>> {
        let parts = match self.state_parts().await {
            Ok(parts) => parts,
            Err(why) => fail!(Kind::Input, "there can be no saved installer: {why}"),
        };
        let states = self.states()?;
        let key = super::key::of(&parts);
        let _lock = self.lock_state(&states, &key).await?;
        if let Ok((_, saved)) = states.verified(&key).await {
            let note = format!("it is there already: {}", saved.file.display());
            return Ok(Ok(vec![note]));
        }
        Ok(match self.make_state(&states, &key, parts).await? {
            Ok(record) => Ok(vec![format!(
                "saved: {} MiB, {}",
                record.bytes >> 20,
                states.path(&key).display()
            )]),
            Err(verdict) => Err(*verdict),
        })
    }

    /// Boots the installer until it waits, and saves it; the caller holds the state's lock. What failed otherwise.
    pub(super) async fn make_state(
        &mut self,
        states: &States,
        key: &str,
        parts: Parts,
    ) -> anyhow::Result<Result<Record, Box<Verdict>>> {
        let (plan, place, reporter) = (self.plan, self.place, self.reporter);
        reporter.step("making a saved installer: it boots once, until it waits for its kickstart");
        let (tree, _server) = self.open_tree()?;
        let initrd = self.loader_initrd()?;
        let spec = guest::saved_domain(plan, place, &self.prepared, &tree, initrd)?;
        self.announce(&spec);
        let started = self.start(&spec, false).await?;
        let mut channels = self.take_guest(started);
        channels.accesses = None;
        let course = Course {
            // It has the loader's kickstart, which prints no mark.
            expectations: Expectations::new(false, Some(Deliver::Initrd)),
            resumed: false,
        };
        if let Err(verdict) = self.decide(channels, course).await? {
            return Ok(Err(Box::new(verdict)));
        }
        let part = states.begin(key).kind(Kind::Host)?;
        let saved = self.save_guest(part).await;
        let record = match saved {
            Ok(saved) => {
                let kept = states.keep(key, &saved, plan.release.to_string(), parts);
                self.cancellation.or(kept).await.kind(Kind::Host)
            }
            Err(error) => Err(error),
        };
        if record.is_err() {
            let _ = states.remove(key);
        }
        // What the loaded guest says is recorded anew.
        self.guest = None;
        self.supervised = None;
        self.still_runs = false;
        for name in evidence::OF_THE_GUEST.iter().chain(&[record::SERIAL_LOG]) {
            let _ = place.work.dir().remove_file(name);
        }
        record.map(Ok)
    }

    /// Saves the guest, which is gone then.
    async fn save_guest(&mut self, part: PathBuf) -> anyhow::Result<crate::host::SavedGuest> {
        let Some(guest) = self.guest.clone() else {
            unreachable!("a guest that waits is there");
        };
        self.reporter.step("saving the installer");
        let save = async {
            let saved = blocking::within_async(super::SAVE_LIMIT, move || guest.save(&part)).await;
            saved.with_context(|| {
                let limit = super::SAVE_LIMIT.as_secs();
                format!("libvirt has not saved the guest in {limit} s: look at the cache's disk")
            })?
        };
        self.cancellation.or(save).await.kind(Kind::Host)
    }

    /// The tree as a guest whose state is saved reaches it: nothing of the address is secret. The server must live
    /// as long as the guest asks it.
    fn open_tree(&self) -> anyhow::Result<(Url, Option<Server>)> {
        let (plan, prepared) = (self.plan, &self.prepared);
        let tree = plan.tree.as_ref().context("there is no tree")?;
        let server = prepared.reaches.need_server();
        let server =
            server.then(|| handover::open_server(plan, self.place, prepared, self.reporter, true));
        let server = server.transpose()?;
        let relaying = Relaying {
            reaches: &prepared.reaches,
            server: server.as_ref().map(|(server, _)| server),
            mirror: &prepared.mirror,
            reporter: self.reporter,
        };
        let (address, _) = relaying.address(TREE_NAME, tree)?;
        Ok((address, server.map(|(server, _)| server)))
    }

    /// The installer's initrd with the loader in it.
    pub(super) fn loader_initrd(&self) -> anyhow::Result<PathBuf> {
        let copy = self.place.work.join(LOADER_INITRD);
        self.place.work.dir().remove_file(LOADER_INITRD)?;
        let original = &self.prepared.tree.initrd.path;
        let loader = (KICKSTART_NAME, 0o600, LOADER.as_bytes());
        initrd::extend(original, &copy, &[loader])?;
        Ok(copy)
    }
}

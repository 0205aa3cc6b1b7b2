//! Customising an image that is there: what a template adds is added in the guest that seals
//! (`install::finish`), as `%post` would add it; the installer does not run.
//!
//! The image's own system is not booted: nothing that a first boot makes gets into it, and it need not have
//! a network, SSH or an agent. Commands run where those of an install run: in the system, with the installer's
//! kernel, as root.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::attempt::Attempt;
use super::evidence;
use crate::error::{Classify, Kind};
use crate::host;
use crate::machine::{DiskFormat, UserNetwork};
use crate::watch::cause::Cause;
use crate::watch::phases::Phase;
use crate::watch::verdict::Verdict;

/// What a kickstart is taken to say where none is read: nothing that would have to be remarked.
pub const NO_KICKSTART: &str = "poweroff\n%packages\n%end\n";

/// The image that is customised.
#[derive(Debug)]
pub struct Base {
    /// Its file, which is only read.
    pub file: File,
    /// Where that is, for people.
    pub path: PathBuf,
    /// Its format.
    pub format: DiskFormat,
}

impl Base {
    /// What a copy is made of.
    pub fn source(&self) -> (&File, DiskFormat) {
        (&self.file, self.format)
    }
}

/// What the shell in the guest is told before it reads `finish_inside.sh`: the network, and what to do.
pub fn prelude(script: &str) -> String {
    let UserNetwork(network) = host::user_network();
    // The addresses that QEMU's own DHCP server gives (net/slirp.c): the host's, a name server, the guest.
    let at = |number: u32| Ipv4Addr::from(u32::from(network) + number);
    let (gateway, names, own) = (at(2), at(3), at(15));
    let prefix = UserNetwork::PREFIX;
    format!(
        "customizing=yes\naddress={own}/{prefix}\ngateway={gateway}\nnameserver={names}\ncustomize() {{\n{script}}}\n"
    )
}

impl Attempt<'_> {
    /// Keeps what the template's commands printed; and says what failed, if something did.
    ///
    /// # Errors
    /// Host: it cannot be written.
    pub(super) fn customized(
        &self,
        output: &[String],
        failed: bool,
    ) -> anyhow::Result<Option<Box<Verdict>>> {
        let secrets = &self.handover.secrets;
        let lines = output.iter().map(|line| secrets.hide(line) + "\n");
        let text: String = lines.collect();
        self.place
            .work
            .dir()
            .replace(evidence::CONSOLE_LOG, text.as_bytes())
            .context("keeping what the commands printed")
            .kind(Kind::Host)?;
        if !failed {
            return Ok(None);
        }
        let said = output
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("ozr: "));
        let said = said.unwrap_or("what the template adds could not be added");
        let sentence = format!("{}: nothing was changed", secrets.hide(said));
        let last = output.len().saturating_sub(SHOWN);
        let console = output[last..].iter().map(|line| secrets.hide(line));
        let (phase, at) = (Phase::PostScripts, Duration::ZERO);
        let mut verdict = Verdict::new(Cause::ScriptFailed, sentence, phase, at, Vec::new());
        verdict.console = console.collect();
        Ok(Some(Box::new(verdict)))
    }
}

/// How many lines of a command's output a failure shows.
const SHOWN: usize = 20;

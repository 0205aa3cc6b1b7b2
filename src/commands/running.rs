//! The builds in the register, for the commands that look into one or all of them.

use std::path::{Path, PathBuf};

use crate::error::{Classify, Kind, failure};
use crate::input;
use crate::options::{InstallOptions, config};
use crate::state::directories;
use crate::state::register::{BuildEntry, Liveness, Register, Registered};

/// Fewest characters of an id that name a build: fewer might be meant as something else.
const MIN_ID: usize = 4;

/// Most names that are suggested in place of one that is not there.
const MAX_NEAR: usize = 3;

/// Which builds.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// Where running builds are noted [default: /var/lib/ozr for root, else ~/.local/state/ozr]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// A build that runs.
#[derive(Debug)]
pub struct Running {
    /// What it has.
    pub entry: BuildEntry,
    /// Tells when it ends.
    pub liveness: Liveness,
}

impl Where {
    /// All builds in the register.
    ///
    /// # Errors
    /// Input: the configuration is wrong. Host: the register cannot be read.
    pub fn builds(&self, config: Option<&Path>) -> anyhow::Result<Vec<Registered>> {
        let state_dir = self.state_dir(&config::load(config)?)?;
        Register::at(&state_dir).builds().kind(Kind::Host)
    }

    /// The state directory.
    ///
    /// # Errors
    /// Host: nothing says where it is.
    pub fn state_dir(&self, configured: &InstallOptions) -> anyhow::Result<PathBuf> {
        let chosen = self.state_dir.as_ref().or(configured.state_dir.as_ref());
        directories::state_dir(chosen.map(PathBuf::as_path)).kind(Kind::Host)
    }

    /// The running build that a user calls `name`: by its name, its process or the beginning of
    /// its id. Without a name the only one that runs.
    ///
    /// # Errors
    /// Input: the configuration is wrong; there is no such build, or more than one, or it does not
    /// run any more. Host: the register cannot be read.
    pub fn find(&self, name: Option<&str>, config: Option<&Path>) -> anyhow::Result<Running> {
        let mut builds = self.builds(config)?;
        let all: Vec<(&BuildEntry, bool)> = builds
            .iter()
            .map(|build| (&build.entry, runs_here(build)))
            .collect();
        let at = match name {
            Some(name) => choose(name, &all),
            None => only(&all),
        };
        let at = at.map_err(|why| failure(Kind::Input, why))?;
        let build = builds.swap_remove(at);
        Ok(Running {
            liveness: build.liveness(),
            entry: build.entry,
        })
    }
}

/// What is to be done about a build that does not run here: one that has ended without cleaning
/// up, or was kept, or is another machine's.
pub fn remedy(entry: &BuildEntry) -> String {
    let BuildEntry { name, pid, .. } = entry;
    if entry.is_elsewhere() {
        format!("`{name}` (process {pid}) is a build of another machine: look there")
    } else if entry.kept {
        format!(
            "what is left of `{name}` (process {pid}) was kept by --keep, with its files in {}: `ozr gc --kept` removes it",
            entry.work_dir.display()
        )
    } else {
        format!("`{name}` (process {pid}) is dead: `ozr gc` removes what is left of it")
    }
}

/// Whether a build runs, on this machine.
pub fn runs_here(build: &Registered) -> bool {
    build.is_alive() && !build.entry.is_elsewhere()
}

/// The place of the only build that runs here; or one sentence that says why there is none. Pure.
fn only(builds: &[(&BuildEntry, bool)]) -> Result<usize, String> {
    let running: Vec<usize> = (0..builds.len()).filter(|at| builds[*at].1).collect();
    match running.as_slice() {
        [] => Err("no build is running here".to_owned()),
        [one] => Ok(*one),
        several => {
            let names = several.iter().map(|at| {
                let entry = builds[*at].0;
                format!("{} ({})", entry.name, entry.pid)
            });
            let names: Vec<String> = names.collect();
            Err(format!(
                "several builds are running: say which by its name or process: {}",
                names.join(", ")
            ))
        }
    }
}

/// The place, among the builds and whether each runs here, of the one called `name`; or one sentence
/// that says why there is none. Pure.
fn choose(name: &str, builds: &[(&BuildEntry, bool)]) -> Result<usize, String> {
    let by_name = |entry: &BuildEntry| entry.name == name;
    let by_pid = |entry: &BuildEntry| entry.pid.to_string() == name;
    let by_id = |entry: &BuildEntry| name.len() >= MIN_ID && entry.id.starts_with(name);
    let matching = |matches: &dyn Fn(&BuildEntry) -> bool, alive: bool| -> Vec<usize> {
        (0..builds.len())
            .filter(|at| builds[*at].1 == alive && matches(builds[*at].0))
            .collect()
    };
    let ways: [&dyn Fn(&BuildEntry) -> bool; 3] = [&by_name, &by_pid, &by_id];
    for way in ways {
        match matching(way, true).as_slice() {
            [] => {}
            [one] => return Ok(*one),
            several => {
                let several: Vec<String> = several
                    .iter()
                    .map(|at| {
                        let entry = builds[*at].0;
                        format!("{} ({})", entry.pid, entry.image.display())
                    })
                    .collect();
                return Err(format!(
                    "`{name}` is more than one running build: say which by its process: {}",
                    several.join(", ")
                ));
            }
        }
    }
    let ended = ways
        .iter()
        .find_map(|way| matching(way, false).first().copied());
    if let Some(ended) = ended {
        return Err(remedy(builds[ended].0));
    }
    let names: Vec<&str> = builds
        .iter()
        .filter(|(_, alive)| *alive)
        .map(|(entry, _)| entry.name.as_str())
        .collect();
    let near = input::near(name, &names, MAX_NEAR);
    let near = match near.as_slice() {
        [] => String::new(),
        near => format!("; did you mean `{}`?", near.join("`, `")),
    };
    Err(format!(
        "no running build is called `{name}`{near} (`ozr list` shows them all)"
    ))
}

#[cfg(test)]
mod tests {

    use super::*;

    fn entry(name: &str, pid: u32, id: &str) -> BuildEntry {
        BuildEntry {
            id: id.to_owned(),
            pid,
            name: name.to_owned(),
            image: format!("/srv/{pid}/{name}.qcow2").into(),
            machine: String::new(),
            kept: name == "kept",
            ..BuildEntry::example()
        }
    }

    #[test]
    fn a_build_is_named_in_three_ways() {
        let entries = [
            entry("rocky", 10, "aaaa1111"),
            entry("rocky", 11, "aaaa2222"),
            entry("alma", 12, "bbbb3333"),
            // A name that looks like a process, and one that looks like an id.
            entry("10", 13, "cccc4444"),
            entry("bbbb", 14, "dddd5555"),
            entry("dead", 15, "eeee6666"),
            entry("kept", 16, "ffff7777"),
            entry("alma", 17, "abab8888"),
        ];
        let builds: Vec<(&BuildEntry, bool)> = entries
            .iter()
            .map(|entry| (entry, entry.pid < 15))
            .collect();
        let of = |name| choose(name, &builds).map(|at| entries[at].pid);
        assert!(
            only(&builds)
                .unwrap_err()
                .contains("which by its name or process: ")
        );
        assert_eq!(only(&builds[5..]).unwrap_err(), "no build is running here");
        assert_eq!(only(&builds[4..]), Ok(0));
        for (name, pid) in [
            ("alma", 12),
            ("11", 11),
            ("10", 13),
            ("aaaa2", 11),
            ("bbbb", 14),
            ("bbbb3333", 12),
        ] {
            assert_eq!(of(name), Ok(pid), "{name}");
        }
        for (name, says) in [
            (
                "rocky",
                "more than one running build: say which by its process: 10 (/srv/10/rocky.qcow2), 11 (/srv/11/rocky.qcow2)",
            ),
            ("aaaa", "more than one"),
            ("aaa", "no running build is called `aaa`"),
            ("rockey", "did you mean `rocky`"),
            ("dead", "`ozr gc` removes"),
            ("15", "`ozr gc` removes"),
            ("kept", "--keep"),
            ("", "`ozr list`"),
            ("zzz", "no running build is called `zzz` (`ozr list`"),
        ] {
            let error = of(name).unwrap_err();
            assert!(error.contains(says), "{name}: {error}");
        }
    }
}

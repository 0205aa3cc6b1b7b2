//! What the user runs when a build has ended: `on-success` and `on-failure` of the configuration.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;

use crate::error::{Kind, inner_of, kind_of};
use crate::image::manifest;
use crate::image::output::OutputPaths;
use crate::input;
use crate::install::Finished;
use crate::install::failed::InstallFailed;
use crate::install::run::Cancellation;
use crate::options::InstallOptions;
use crate::process::{self, quote};
use crate::watch::report;

/// The version of what a hook reads. Raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// How long a hook may take when nobody says otherwise: images of some GiB go over slow lines.
const USUAL_LIMIT: Duration = Duration::from_secs(60 * 60);

/// How long a hook that was asked to end may take for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most bytes of a hook's last words in a message.
const LAST_WORDS: usize = 300;

/// The commands of a build, and their limit.
#[derive(Debug)]
pub struct Hooks {
    on_success: Vec<Vec<String>>,
    on_failure: Vec<Vec<String>>,
    limit: Duration,
    /// Where the log is, if the outputs' place is not known.
    dir: PathBuf,
}

/// What a hook is told, on its standard input.
#[derive(Debug, Serialize)]
struct Facts {
    schema: u32,
    name: String,
    /// `done`, or what the failure is called.
    verdict: &'static str,
    exit_status: u8,
    image: Option<String>,
    images: Vec<String>,
    message: Option<String>,
    evidence: Option<String>,
    /// The manifest of a good build.
    manifest: Option<Value>,
    /// The verdict of a failed one.
    failure: Option<Value>,
}

impl Hooks {
    /// Those that the options name.
    pub fn of(options: &InstallOptions) -> Hooks {
        Hooks {
            on_success: options.on_success.0.clone(),
            on_failure: options.on_failure.0.clone(),
            limit: options.hook_timeout.map_or(USUAL_LIMIT, |limit| limit.0),
            dir: options.output_dir.clone().unwrap_or_else(|| ".".into()),
        }
    }

    fn of_end(&self, built: &anyhow::Result<Finished>) -> (&'static str, &[Vec<String>]) {
        match built {
            // Nothing has come of it that was not there before.
            Ok(finished) if finished.kept.is_some() => ("", &[]),
            Ok(_) => ("on-success", &self.on_success),
            Err(error) if kind_of(error) == Some(Kind::Interrupted) => ("", &[]),
            Err(_) => ("on-failure", &self.on_failure),
        }
    }

    /// Whether there are any for how a build ended; for one that was interrupted there are none.
    pub fn are_for(&self, built: &anyhow::Result<Finished>) -> bool {
        !self.of_end(built).1.is_empty()
    }

    /// Runs what belongs to how a build of this name ended, each whatever becomes of the others.
    ///
    /// # Errors
    /// Hook: one failed, or took too long. Interrupted: by `stop`.
    pub async fn run(
        &self,
        name: &str,
        outputs: Option<&OutputPaths>,
        built: &anyhow::Result<Finished>,
        stop: &Cancellation,
    ) -> anyhow::Result<()> {
        let (which, commands) = self.of_end(built);
        let facts = Facts::of(name, outputs, built);
        let log = Log::open(outputs, &self.dir, name);
        let mut wrong = Vec::new();
        for command in commands {
            let running = async {
                let log = log.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
                stop.or(one(command, &facts, outputs, log, self.limit))
                    .await
            };
            if let Err(error) = running.await {
                if kind_of(&error) == Some(Kind::Interrupted) {
                    return Err(error);
                }
                wrong.push(format!("`{}` {error:#}", quote(&command[0])));
            }
        }
        let kept = log.and_then(Log::keep).ok().flatten();
        if wrong.is_empty() {
            return Ok(());
        }
        let kept = kept.map_or(String::new(), |path| {
            format!(" (what it said is in {})", path.display())
        });
        let is_done = match built {
            Ok(_) => "; the image is as good as without it",
            Err(_) => "",
        };
        crate::error::fail!(Kind::Hook, "{which}: {}{kept}{is_done}", wrong.join("; "))
    }
}

impl Facts {
    fn of(name: &str, outputs: Option<&OutputPaths>, built: &anyhow::Result<Finished>) -> Facts {
        let shown = |path: &PathBuf| path.display().to_string();
        let failed = built.as_ref().err().and_then(inner_of::<InstallFailed>);
        let kind = built
            .as_ref()
            .err()
            .map(|error| kind_of(error).unwrap_or(Kind::Build));
        let images: Vec<String> = built.as_ref().map_or_else(
            |_| Vec::new(),
            |finished| finished.images.iter().map(shown).collect(),
        );
        let manifest = outputs.filter(|_| kind.is_none()).and_then(|outputs| {
            let text = input::read_bounded(&outputs.manifest, manifest::MOST_BYTES).ok()?;
            serde_json::from_slice(&text).ok()
        });
        let failure = failed.and_then(|failed| {
            let text = report::json(&failed.verdict).ok()?;
            serde_json::from_str(&text).ok()
        });
        Facts {
            schema: SCHEMA,
            name: name.to_owned(),
            verdict: match kind {
                None => "done",
                Some(kind) => report::word(kind, failed.map(|failed| &*failed.verdict)),
            },
            exit_status: kind.map_or(0, Kind::exit_status),
            image: images.first().cloned(),
            images,
            message: built.as_ref().err().map(|error| format!("{error:#}")),
            evidence: failed.and_then(|failed| failed.kept.as_ref()).map(shown),
            manifest,
            failure,
        }
    }

    /// The same as variables of the environment.
    fn variables(&self, outputs: Option<&OutputPaths>) -> Vec<(&'static str, OsString)> {
        let mut all: Vec<(&'static str, OsString)> = vec![
            ("OZR_NAME", self.name.clone().into()),
            ("OZR_VERDICT", self.verdict.into()),
            ("OZR_EXIT_STATUS", self.exit_status.to_string().into()),
        ];
        let texts = [
            ("OZR_IMAGE", &self.image),
            ("OZR_MESSAGE", &self.message),
            ("OZR_EVIDENCE", &self.evidence),
        ];
        all.extend(
            texts
                .into_iter()
                .filter_map(|(name, text)| Some((name, text.clone()?.into()))),
        );
        if let Some(outputs) = outputs.filter(|_| self.exit_status == 0) {
            all.push(("OZR_IMAGES", self.images.join("\n").into()));
            all.push(("OZR_MANIFEST", outputs.manifest.clone().into()));
            all.push(("OZR_CHECKSUM", outputs.checksum.clone().into()));
        }
        all
    }
}

/// Runs one command to its end.
async fn one(
    words: &[String],
    facts: &Facts,
    outputs: Option<&OutputPaths>,
    log: &Log,
    limit: Duration,
) -> anyhow::Result<()> {
    let text = serde_json::to_vec(facts)?;
    let before = log.aside.as_file().metadata()?.len();
    let child = process::command(&words[0])
        .args(&words[1..])
        // What it runs is neither our guest's nor a build of the family.
        .env_remove(process::PARENT_VARIABLE)
        .env_remove(process::FAMILY_VARIABLE)
        .envs(facts.variables(outputs))
        .stdin(Stdio::piped())
        .stdout(log.writer()?)
        .stderr(log.writer()?)
        .spawn()
        .context("cannot be started")?;
    let mut group = Group(child);
    let stdin = group.0.stdin.take();
    let tell = async {
        if let Some(mut stdin) = stdin {
            // Whoever does not read it needs it not.
            let _ = stdin.write_all(&text).await;
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = group.0.wait() => ended?,
        () = tell => unreachable!("it never ends"),
        () = tokio::time::sleep(limit) => {
            group.end().await;
            bail!("took more than {}", humantime::format_duration(limit));
        }
    };
    match ended.success() {
        true => Ok(()),
        false => {
            let said = log.last_words(before);
            let said = if said.is_empty() {
                said
            } else {
                format!(": {said}")
            };
            bail!("{}{said}", process::how_it_ended(ended));
        }
    }
}

/// A hook with all that it has started.
struct Group(Child);

impl Group {
    fn signal(&self, signal: Signal) {
        let group = self.0.id().and_then(|id| Pid::from_raw(id as i32));
        if let Some(group) = group {
            // One that has just ended needs none.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Asks all of it to end, and ends what does not.
    async fn end(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(PATIENCE, self.0.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.0.wait().await;
        }
    }
}

impl Drop for Group {
    /// Nobody waits for it any more.
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// What hooks write: it stands beside the image when it is whole.
struct Log {
    aside: NamedTempFile,
    place: Option<PathBuf>,
}

impl Log {
    fn open(outputs: Option<&OutputPaths>, dir: &Path, name: &str) -> anyhow::Result<Log> {
        let place = match outputs {
            Some(outputs) => Some(outputs.dir.join(format!("{}.hooks.log", outputs.stem))),
            // Without an image's name there is none for the log.
            None => (dir.is_dir() && crate::tdl::check_name(name).is_ok())
                .then(|| dir.join(format!("{name}.hooks.log"))),
        };
        let mut builder = tempfile::Builder::new();
        builder
            .prefix(".ozr-hooks-")
            // A program may print anything.
            .permissions(Permissions::from_mode(0o600));
        let aside = match place.as_deref().and_then(Path::parent) {
            Some(dir) => builder.append(true).tempfile_in(dir),
            None => builder.append(true).tempfile(),
        };
        let aside = aside.context("cannot have its log")?;
        Ok(Log { aside, place })
    }

    fn writer(&self) -> anyhow::Result<File> {
        Ok(self.aside.as_file().try_clone()?)
    }

    /// The end of what was written after the first `before` bytes, in one line.
    fn last_words(&self, before: u64) -> String {
        use std::os::unix::fs::FileExt;

        let file = self.aside.as_file();
        let end = file.metadata().map_or(before, |about| about.len());
        let start = end.saturating_sub(LAST_WORDS as u64).max(before);
        let mut bytes = vec![0; (end - start) as usize];
        let read = file.read_exact_at(&mut bytes, start);
        let text = read.map_or_else(
            |_| String::new(),
            |()| String::from_utf8_lossy(&bytes).into(),
        );
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines.join("; ")
    }

    /// Gives it its name, unless nothing was written.
    fn keep(self) -> anyhow::Result<Option<PathBuf>> {
        let is_empty = self.aside.as_file().metadata()?.len() == 0;
        let Some(place) = self.place.filter(|_| !is_empty) else {
            return Ok(None);
        };
        self.aside.as_file().sync_all()?;
        self.aside.persist(&place)?;
        Ok(Some(place))
    }
}

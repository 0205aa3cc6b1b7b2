//! Builds, each a process of its own, as many at once as may be, in their order.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::super::signals::Signals;
use super::outcome::{self, Earlier, Outcome, Verdict};
use crate::check::report::counted;
use crate::error::{Classify, Kind};
use crate::image::reader::OWN_PROGRAM;
use crate::options::variables::Setting;
use crate::process;
use crate::ui::many::{Many, Row};

/// How long builds may take to end once they were asked to: each needs about ten seconds for its guest, and more
/// where a daemon hangs. Then they are killed; what they leave `ozr gc` removes.
const STOP_PATIENCE: Duration = Duration::from_secs(150);

/// Longest line of events that is read; one has some hundred bytes, one with a kickstart's line some thousand.
const LONGEST_LINE: u64 = 1 << 20;

/// Most bytes of a build's standard output: the paths of its images.
const MOST_PATHS: u64 = 1 << 20;

/// A build to be made.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What is there of an earlier one of this name.
    pub before: Option<Earlier>,
    /// Whether it is made even if nothing else would come of it.
    pub rebuild: bool,
}

/// All builds, and how they are made.
#[derive(Debug)]
pub struct Pool<'a> {
    /// In their order.
    pub jobs: Vec<Job>,
    /// How many at a time.
    pub at_once: usize,
    /// Whether none begins after one has failed.
    pub fail_fast: bool,
    /// The file of the builds, if it was named.
    pub file: Option<PathBuf>,
    /// What was set on the command line.
    pub set: Vec<Setting>,
    /// When they began, in milliseconds since 1970.
    pub since: u64,
    /// What shows them.
    pub many: &'a Many,
}

impl Pool<'_> {
    /// Builds; what came of each, in their order. When this returns none of the processes is there any more.
    pub async fn run(self, mut signals: Signals) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = self.jobs.iter().map(|_| None).collect();
        let mut waiting: VecDeque<usize> = (0..self.jobs.len()).collect();
        let mut running: JoinSet<(usize, Outcome)> = JoinSet::new();
        let mut processes: HashMap<usize, OwnedFd> = HashMap::new();
        let mut stopped: Option<Instant> = None;
        let mut begins_more = true;
        loop {
            while begins_more && running.len() < self.at_once {
                let Some(number) = waiting.pop_front() else {
                    break;
                };
                let job = &self.jobs[number];
                let row = self.many.begin(&job.name);
                // By this thread, which lives as long as the process: the build is to end with it.
                let (child, handle) = match self.start(job) {
                    Ok(started) => started,
                    Err(error) => {
                        let status = Kind::Host.exit_status().into();
                        let mut outcome = Outcome::of(
                            &job.name,
                            Verdict::Failed {
                                status,
                                cause: None,
                            },
                        );
                        outcome.message = Some(format!("{error:#}"));
                        row.end(&outcome.line(), outcome.message.as_deref());
                        outcomes[number] = Some(outcome);
                        continue;
                    }
                };
                processes.insert(number, handle);
                let (name, before) = (job.name.clone(), job.before.clone());
                running.spawn(async move { (number, follow(child, name, before, row).await) });
            }
            self.many.waiting(waiting.len());
            if running.is_empty() {
                break;
            }
            let patience = stopped.map(|at| at + STOP_PATIENCE);
            tokio::select! {
                done = running.join_next() => {
                    if let Some(Ok((number, outcome))) = done {
                        processes.remove(&number);
                        begins_more &= !(self.fail_fast && outcome.verdict.is_failure());
                        outcomes[number] = Some(outcome);
                    }
                }
                name = signals.next() => {
                    begins_more = false;
                    stopped.get_or_insert_with(Instant::now);
                    let builds = counted(processes.len(), "build");
                    self.many.note(&format!("{name}: stopping {builds}"));
                    for process in processes.values() {
                        // One that has ended already needs none.
                        let _ = pidfd_send_signal(process, Signal::TERM);
                    }
                }
                () = until(patience) => {
                    self.many.note("the builds do not end: they are killed; `ozr gc` removes what they leave");
                    running.shutdown().await;
                }
            }
        }
        let interrupted = stopped.is_some();
        let outcomes = self.jobs.iter().zip(outcomes).map(|(job, outcome)| {
            outcome.unwrap_or_else(|| {
                Outcome::of(
                    &job.name,
                    match interrupted {
                        true => Verdict::Interrupted,
                        false => Verdict::NotBegun,
                    },
                )
            })
        });
        outcomes.collect()
    }

    /// Starts the build in a process of its own; a descriptor of that, too.
    fn start(&self, job: &Job) -> anyhow::Result<(Child, OwnedFd)> {
        let mut command = process::command(OWN_PROGRAM);
        if let Some(file) = &self.file {
            command.arg("--config").arg(file);
        }
        command.args(["install", "--build", &job.name, "--progress", "json"]);
        // No secret: of such a one there stands where it is.
        for Setting { name, value } in &self.set {
            command.arg("--set").arg(format!("{}={value}", name.0));
        }
        // What is there is an image of this build's, by the manifest beside it.
        if job.before.is_some() {
            command.arg("--force");
        }
        command.arg(match job.rebuild {
            true => "--rebuild",
            false => "--if-changed",
        });
        command
            .env_remove(process::PARENT_VARIABLE)
            .env(
                process::FAMILY_VARIABLE,
                format!("{} {}", std::process::id(), self.since),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        spawn(&mut command)
            .with_context(|| format!("starting the build {}", job.name))
            .kind(Kind::Host)
    }
}

fn spawn(command: &mut Command) -> anyhow::Result<(Child, OwnedFd)> {
    // One that is not followed is killed with the handle.
    let child = command.spawn()?;
    let pid = child.id().and_then(|id| Pid::from_raw(id as i32));
    let handle = pidfd_open(pid.context("it has no number")?, PidfdFlags::empty())?;
    Ok((child, handle))
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

/// Follows a build to its end.
async fn follow(mut child: Child, name: String, before: Option<Earlier>, row: Row) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome::of(&name, Verdict::Done);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let paths = async {
        let mut text = String::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(MOST_PATHS).read_to_string(&mut text).await;
        }
        text
    };
    let events = async {
        let mut last = Last::default();
        let Some(stderr) = stderr else {
            return last;
        };
        let mut lines = BufReader::new(stderr);
        loop {
            let mut line = Vec::new();
            let mut some = (&mut lines).take(LONGEST_LINE);
            match some.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return last,
                Ok(_) => last.take(&line, &row),
            }
        }
    };
    let (paths, last, ended) = tokio::join!(paths, events, child.wait());
    outcome.lasted = began.elapsed();
    outcome.images = paths.lines().map(PathBuf::from).collect();
    let status = ended.ok().and_then(|status| status.code());
    outcome.verdict = match status {
        Some(0) if last.kept => Verdict::Unchanged,
        Some(0) => Verdict::Done,
        Some(130) => Verdict::Interrupted,
        Some(status) => Verdict::Failed {
            status,
            cause: last.cause,
        },
        None => Verdict::Killed,
    };
    outcome.message = last.message.or(last.words);
    outcome.evidence = last.evidence;
    if outcome.verdict.is_good() {
        outcome.message = None;
    }
    // A hook that failed leaves the image what it is.
    if !outcome.images.is_empty() {
        outcome::weigh(&mut outcome, before.as_ref());
    }
    row.end(&outcome.line(), outcome.message.as_deref());
    outcome
}

/// What a build said last of each kind.
#[derive(Debug, Default)]
struct Last {
    /// Whether the image that is there stays.
    kept: bool,
    cause: Option<String>,
    message: Option<String>,
    evidence: Option<String>,
    /// What is no event: a runtime's last words.
    words: Option<String>,
}

impl Last {
    fn take(&mut self, line: &[u8], row: &Row) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            let words = String::from_utf8_lossy(line).trim().to_owned();
            if !words.is_empty() {
                self.words = Some(words);
            }
            return;
        };
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        let said = text("text").unwrap_or_default();
        match event["event"].as_str().unwrap_or_default() {
            "step" => row.doing(&said),
            "phase" => row.doing(&text("title").unwrap_or_default()),
            "progress" => row.progress(
                event["percent"].as_u64().unwrap_or_default() as u8,
                event["remaining"].as_f64(),
            ),
            "verdict" => row.doing(&text("title").unwrap_or_default()),
            "warning" => row.warn(&said),
            "error" => row.error(&said),
            // The sentence at its end says it; what it was is to be read above it.
            "finding" if event["severity"] == "error" => {
                let place = format!(
                    "{}:{}:{}",
                    text("file").unwrap_or_default(),
                    event["line"],
                    event["column"]
                );
                row.error(&format!("{place}: {said}"));
            }
            "kept" => self.kept = true,
            "ended" => {
                self.cause = text("cause");
                self.message = text("message");
                self.evidence = text("evidence");
            }
            _ => {}
        }
    }
}

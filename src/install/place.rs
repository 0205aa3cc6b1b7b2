//! Where a build lives while it lasts: its entry in the register, its work directory, its runtime
//! directory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::control::{Control, Live};
use super::evidence;
use super::leftovers;
use super::plan::Plan;
use crate::error::{Classify, Kind};
use crate::hex;
use crate::host::{self, Connection};
use crate::panics::lock;
use crate::state::register::{BuildEntry, Register, Registration, machine, mount_of};
use crate::state::runtime_dir::RuntimeDir;
use crate::state::work_dir::WorkDir;
use crate::state::{directories, work_dir};
use crate::ui::event::Reporter;

/// A build's place. Dropping it removes the directories, and then the entry that names them.
#[derive(Debug)]
pub struct Place {
    /// The build's id: the mark on all that it makes.
    pub id: String,
    /// Where builds of this user know of each other.
    pub state_dir: PathBuf,
    /// How far it is.
    pub live: Live,
    /// Tells others; without it the build is as good.
    _control: Option<Control>,
    /// Which libvirt it uses.
    pub connection: Connection,
    /// Everything unfinished, beside where the image will be.
    pub work: WorkDir,
    /// Sockets and libvirt's private state. Goes after libvirt is closed.
    pub runtime: Arc<RuntimeDir>,
    /// Whether guests of the build may have outlived it.
    survivals: Mutex<Vec<Arc<AtomicBool>>>,
    registration: Mutex<Registration>,
}

/// What is to have a place: a build, or a boot test.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The id that it has already, if it has one.
    pub id: Option<String>,
    /// Its name, and what its guests' names are made of.
    pub name: String,
    /// What its guest is, for people.
    pub what: String,
    /// The image that it makes or tests.
    pub image: PathBuf,
    /// The directory that its work directory is made in.
    pub dir: PathBuf,
    /// What the work directory is named after.
    pub stem: String,
    /// `--connect`, if it was given.
    pub connect: Option<String>,
    /// `--state-dir`, if it was given.
    pub state_dir: Option<PathBuf>,
}

impl Claim {
    /// Of a build.
    pub fn of(plan: &Plan) -> Claim {
        Claim {
            name: plan.name.clone(),
            what: plan.release.to_string(),
            id: Some(plan.build_id.clone()),
            image: plan.output.image.clone(),
            dir: plan.output.dir.clone(),
            stem: plan.stable().stem.clone(),
            connect: plan.options.connect.clone(),
            state_dir: plan.options.state_dir.clone(),
        }
    }
}

/// Removes what dead builds have left: before anything else, so that a build which comes to nothing
/// does not leave another's guest running.
///
/// # Errors
/// Host: what is left in this build's own place cannot be removed.
pub fn remove_leftovers(claim: &Claim, reporter: &Reporter) -> anyhow::Result<()> {
    let state_dir = directories::state_dir(claim.state_dir.as_deref());
    let state_dir = state_dir.kind(Kind::Host)?;
    let work_dir = work_dir::place(&claim.dir, &claim.stem);
    leftovers::remove_before_build(&Register::at(&state_dir), &work_dir, reporter)
}

impl Place {
    /// Enters the build in the register, and takes its directories; the short-lived one may be that of a build that
    /// this process has done before, whose embedded driver stays where it is.
    ///
    /// # Errors
    /// Input: `--connect` names no connection. Host: another build of this name is running, or a
    /// directory cannot be written.
    pub fn take(
        claim: &Claim,
        earlier: Option<Arc<RuntimeDir>>,
        reporter: &Reporter,
    ) -> anyhow::Result<Place> {
        let connection = Connection::choose(claim.connect.as_deref()).kind(Kind::Input)?;
        let state_dir = directories::state_dir(claim.state_dir.as_deref()).kind(Kind::Host)?;
        let register = Register::at(&state_dir);
        let (name, dir, stem) = (&claim.name, &claim.dir, &claim.stem);
        let work_dir = work_dir::place(dir, stem);
        let id = match (&earlier, &claim.id) {
            (Some(runtime), _) => runtime.further_id()?,
            (None, Some(id)) => id.clone(),
            (None, None) => hex::random()?,
        };
        let entry = BuildEntry {
            id: id.clone(),
            pid: std::process::id(),
            name: name.clone(),
            started: SystemTime::now(),
            connection: match &connection {
                Connection::Embedded => None,
                Connection::Uri(uri) => Some(uri.clone()),
            },
            domain: host::domain_name(name, &id),
            runtime_dir: RuntimeDir::place(&id).kind(Kind::Host)?,
            mount: mount_of(&work_dir),
            machine: machine(),
            work_dir,
            image: claim.image.clone(),
            kept: false,
        };
        let registration = register.enter(entry.clone()).kind(Kind::Host)?;
        std::fs::create_dir_all(dir).map_err(|error| work_dir::cannot_write(dir, &error))?;
        let work = WorkDir::take(dir, stem, &id).kind(Kind::Host)?;
        if !connection.runs_as_us() || rustix::process::geteuid().is_root() {
            work.let_others_pass()?;
        }
        let runtime = match earlier {
            Some(runtime) => runtime.hand_over(&entry).map(|()| runtime),
            None => RuntimeDir::create(&entry.runtime_dir, Some(&entry)).map(Arc::new),
        };
        let runtime = runtime.kind(Kind::Host)?;
        let console = work.join(evidence::CONSOLE_LOG);
        let live = Live::new(&entry, claim.what.clone(), console);
        let control = Control::serve(&runtime, live.clone())
            .inspect_err(|error| {
                reporter.warn(format!("`ozr list` cannot ask this build: {error:#}"));
            })
            .ok();
        Ok(Place {
            id,
            state_dir,
            live,
            _control: control,
            connection,
            work,
            runtime,
            survivals: Mutex::default(),
            registration: Mutex::new(registration),
        })
    }

    /// Leaves the entry in the register if a guest may outlive the build; `survival` says so at its
    /// end ([`host::Guest::survival`]).
    pub fn depends_on(&self, survival: Arc<AtomicBool>) {
        lock(&self.survivals).push(survival);
    }

    /// Leaves all of it where it is when this value is dropped: the user wants to look at it.
    ///
    /// # Errors
    /// The register cannot be written; nothing is kept then.
    pub fn keep(&self) -> anyhow::Result<()> {
        let mut registration = lock(&self.registration);
        registration.keep()?;
        self.runtime.keep(registration.entry())?;
        self.work.keep();
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let survived = |survival: &Arc<AtomicBool>| survival.load(Ordering::SeqCst);
        if lock(&self.survivals).iter().any(survived) {
            lock(&self.registration).leave();
        }
    }
}

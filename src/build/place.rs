//! Where a build lives while it lasts: its entry in the register, its work directory, its runtime
//! directory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::control::Control;
use super::evidence;
use super::live::Live;
use super::plan::Plan;
use super::register::{Entry, Register, Registration};
use super::runtime::RuntimeDir;
use super::sweep;
use super::workdir::{self, WorkDir};
use crate::error::{Classify, Kind};
use crate::hex;
use crate::host::{self, Connection};
use crate::ui::event::Reporter;

/// A build's place. Dropping it removes the directories, and then the entry that names them.
#[derive(Debug)]
pub struct Place {
    /// The build's id: the mark on all that it makes.
    pub id: String,
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
    registration: Mutex<Registration>,
}

impl Place {
    /// Removes what dead builds have left, enters this one in the register, and takes its
    /// directories.
    ///
    /// # Errors
    /// Input: `--connect` names no connection. Host: another build of this name is running, or a
    /// directory cannot be written.
    pub fn take(plan: &Plan, reporter: &Reporter) -> anyhow::Result<Place> {
        let options = &plan.request.options;
        let connection = Connection::choose(options.connect.as_deref()).kind(Kind::Input)?;
        let register = Register::at(options.state_dir.as_deref()).kind(Kind::Host)?;
        let output = &plan.output;
        let work_dir = workdir::place(&output.dir, &output.stem);
        sweep::before_build(&register, &work_dir, reporter)?;
        let id = hex::random()?;
        let entry = Entry {
            id: id.clone(),
            pid: std::process::id(),
            name: plan.name.clone(),
            started: SystemTime::now(),
            connection: match &connection {
                Connection::Embedded => None,
                Connection::Uri(uri) => Some(uri.clone()),
            },
            domain: host::domain_name(&plan.name),
            runtime_dir: RuntimeDir::place(&id).kind(Kind::Host)?,
            work_dir,
            image: output.image.clone(),
            kept: false,
        };
        let runtime_dir = entry.runtime_dir.clone();
        let registration = register.enter(entry.clone()).kind(Kind::Host)?;
        std::fs::create_dir_all(&output.dir)
            .map_err(|error| workdir::cannot_write(&output.dir, &error))?;
        let work = WorkDir::take(&output.dir, &output.stem, &id).kind(Kind::Host)?;
        if !connection.runs_as_us() {
            work.let_others_pass()?;
        }
        let runtime = RuntimeDir::create(runtime_dir).kind(Kind::Host)?;
        let live = Live::default();
        let release = plan.release.to_string();
        let console = work.join(evidence::CONSOLE_LOG);
        let control = Control::serve(&runtime, entry, release, console, live.clone());
        let control = control
            .inspect_err(|error| {
                reporter.warn(format!("`ozr list` cannot ask this build: {error:#}"));
            })
            .ok();
        Ok(Place {
            id,
            live,
            _control: control,
            connection,
            work,
            runtime: Arc::new(runtime),
            registration: Mutex::new(registration),
        })
    }

    /// Leaves all of it where it is when this value is dropped: the user wants to look at it.
    ///
    /// # Errors
    /// The register cannot be written; nothing is kept then.
    pub fn keep(&self) -> anyhow::Result<()> {
        let mut registration = self
            .registration
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        registration.keep()?;
        self.runtime.keep();
        self.work.keep();
        Ok(())
    }
}

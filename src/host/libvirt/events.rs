//! libvirt's event loop, and what its events mean.

use std::os::raw::c_int;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use super::raw::{DomainEvents, set_variable_while_alone, watch_close};
use crate::host::life::Life;
use crate::panics::lock;
use crate::state::directories;
use crate::watch::witness::End;

/// Pause after a turn of the event loop that failed, so that a lasting failure cannot use up a
/// CPU. None was ever seen.
const FAILED_TURN_PAUSE: Duration = Duration::from_millis(100);

/// Sets what libvirt reads from the environment, once:
///
/// * `LIBVIRT_LOG_OUTPUTS`, unless it is set: libvirt logs to our standard error by default, where
///   that would stand between our lines and those of `--progress json`, and offers no function to
///   change that. What it logs as an error, the call that failed returns to us too. `LIBVIRT_DEBUG`
///   as well, for what is logged before the outputs are read (libvirt 9.0, `virLogSetFromEnv`).
/// * `XDG_RUNTIME_DIR` of an ordinary user where it names another user's directory, as `su` and
///   `sudo -u` leave it, or nothing, and there is no home directory to stand in: libvirt makes
///   directories there (libvirt 9.0, `virHostdevManagerNew`), and opens no driver if it cannot.
///
/// Does nothing once the process has a second thread: call it first in `main`.
pub fn prepare_environment() {
    const OUTPUTS: &str = "LIBVIRT_LOG_OUTPUTS";
    if std::env::var_os(OUTPUTS).is_none() {
        set_variable_while_alone(OUTPUTS, "4:file:/dev/null".as_ref());
        set_variable_while_alone("LIBVIRT_DEBUG", "4".as_ref());
    }
    let uid = rustix::process::geteuid();
    let is_ours = |dir| std::fs::metadata(dir).is_ok_and(|dir| dir.uid() == uid.as_raw());
    let is_there = |name| std::env::var_os(name).map(is_ours);
    let usable = is_there(directories::RUNTIME_VARIABLE).or_else(|| is_there("HOME"));
    if !uid.is_root()
        && !usable.unwrap_or(false)
        && let Ok(place) = directories::runtime_dir()
    {
        set_variable_while_alone(directories::RUNTIME_VARIABLE, place.as_os_str());
    }
}

/// Starts libvirt's event loop, once for the process.
///
/// libvirt does nothing by itself: connections, streams, timers and event queues register file
/// descriptors with the application's event loop, and a callback is called from whichever thread
/// turns that loop. Without one, the embedded driver refuses to start and a daemon's messages
/// are never read. The loop must be registered before the first connection is opened.
pub(super) fn start_event_loop() -> anyhow::Result<()> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| start_loop_thread().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn start_loop_thread() -> anyhow::Result<()> {
    // Otherwise every error is printed, even one that is handled.
    virt::error::clear_error_callback();
    virt::event::event_register_default_impl().context("registering libvirt's event loop")?;
    thread::Builder::new()
        .name("libvirt-events".to_owned())
        .spawn(|| {
            loop {
                if virt::event::event_run_default_impl().is_err() {
                    thread::sleep(FAILED_TURN_PAUSE);
                }
            }
        })
        .context("starting libvirt's event loop")?;
    Ok(())
}

/// QEMU's word for a file system without room (libvirt 9.0, `qemuMonitorJSONHandleIOError`: a disk's
/// error with `nospace` set).
const NO_SPACE: &str = "enospc";

/// A subscription to what tells how one domain ends; ends when dropped.
pub(super) struct Subscription {
    _lifecycle: DomainEvents,
    _disk_errors: Option<DomainEvents>,
}

impl Subscription {
    /// Tells `life` how `domain` ends.
    pub(super) fn new(connect: &Connect, domain: &Domain, life: Arc<Life>) -> anyhow::Result<Self> {
        let told = Arc::clone(&life);
        // libvirt queues it before the guest's suspension.
        let disk_errors = DomainEvents::disk_errors(connect, domain, move |reason| {
            if reason == NO_SPACE {
                told.no_space();
            }
        });
        let lifecycle = DomainEvents::lifecycle(connect, domain, move |event, detail| {
            tell(&life, event, detail);
        })
        .context("asking libvirt for the guest's lifecycle events")?;
        Ok(Subscription {
            _lifecycle: lifecycle,
            // Says more, where it is known.
            _disk_errors: disk_errors.ok(),
        })
    }
}

/// What a lifecycle event means (libvirt's `virDomainEventType` and its details).
fn tell(life: &Life, event: c_int, detail: c_int) {
    let (Ok(event), Ok(detail)) = (u32::try_from(event), u32::try_from(detail)) else {
        return;
    };
    match event {
        sys::VIR_DOMAIN_EVENT_SHUTDOWN => {
            let cause = match detail {
                // Somebody ended QEMU: by a signal, or through its monitor.
                sys::VIR_DOMAIN_EVENT_SHUTDOWN_HOST => End::Killed,
                _ => End::ByGuest,
            };
            life.end(cause, None);
        }
        sys::VIR_DOMAIN_EVENT_CRASHED => {
            life.end(End::Crashed, None);
        }
        sys::VIR_DOMAIN_EVENT_SUSPENDED if detail == sys::VIR_DOMAIN_EVENT_SUSPENDED_IOERROR => {
            life.end(life.disk_error(), None);
        }
        sys::VIR_DOMAIN_EVENT_STOPPED => {
            let cause = match detail {
                sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => End::ByGuest,
                sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED => End::Killed,
                sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => End::Crashed,
                _ => End::Crashed,
            };
            life.end(cause, None);
            life.gone();
        }
        _ => {}
    }
}

/// The guests that a lost connection takes from us.
#[derive(Debug, Default)]
pub(super) struct Guests(Mutex<Vec<Weak<Life>>>);

impl Guests {
    pub(super) fn add(&self, life: &Arc<Life>) {
        let mut lives = lock(&self.0);
        lives.retain(|life| life.strong_count() > 0);
        lives.push(Arc::downgrade(life));
    }

    fn lost(&self, why: &str) {
        let lives = lock(&self.0);
        for life in lives.iter().filter_map(Weak::upgrade) {
            life.lose(why);
        }
    }
}

/// Tells `guests` when the connection to a daemon is lost.
pub(super) fn watch_connection(connect: &Connect, guests: &Arc<Guests>) -> anyhow::Result<()> {
    let guests = Arc::clone(guests);
    watch_close(connect, move |reason| guests.lost(close_reason(reason)))
        .context("asking libvirt to tell when the connection is lost")
}

/// What a closed connection means (libvirt's `virConnectCloseReason`).
fn close_reason(reason: c_int) -> &'static str {
    match u32::try_from(reason) {
        Ok(sys::VIR_CONNECT_CLOSE_REASON_EOF) => "the libvirt daemon ended",
        Ok(sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE) => "the libvirt daemon answers no more",
        _ => "the connection to the libvirt daemon broke",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_mean_what_they_say() {
        let shutdown = sys::VIR_DOMAIN_EVENT_SHUTDOWN as c_int;
        let stopped = sys::VIR_DOMAIN_EVENT_STOPPED as c_int;
        let cases = [
            (shutdown, 1, End::ByGuest, false),
            (shutdown, 2, End::Killed, false),
            (shutdown, 0, End::ByGuest, false),
            (stopped, 0, End::ByGuest, true),
            (stopped, 1, End::Killed, true),
            (stopped, 2, End::Crashed, true),
            (stopped, 5, End::Crashed, true),
            (
                sys::VIR_DOMAIN_EVENT_SUSPENDED as c_int,
                2,
                End::HostDiskError,
                false,
            ),
            (
                sys::VIR_DOMAIN_EVENT_CRASHED as c_int,
                0,
                End::Crashed,
                false,
            ),
        ];
        for (event, detail, cause, gone) in cases {
            let life = Life::new();
            tell(&life, event, detail);
            assert_eq!(life.ended().await.cause, cause, "{event} {detail}");
            assert_eq!(life.is_gone(), gone, "{event} {detail}");
        }
    }

    #[tokio::test]
    async fn a_lost_connection_ends_every_guest() {
        let guests = Guests::default();
        let life = Arc::new(Life::new());
        guests.add(&life);
        guests.lost("why");
        let end = life.finished().await;
        assert_eq!(end.cause, End::ConnectionLost);
        assert_eq!(end.detail.as_deref(), Some("why"));
    }
}

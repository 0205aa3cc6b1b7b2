//! Starting a guest: the one call of libvirt's that may take long and cannot be interrupted.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::carry;
use super::place::Place;
use super::run::Cancellation;
use crate::blocking;
use crate::error::{Kind, failed};
use crate::host::{DomainSpec, Host, Started};
use crate::ui::event::Reporter;

/// How long libvirt may take to start a guest. It asks QEMU for its abilities once (seconds), and
/// waits for QEMU's monitor for 30 s and more where the host is busy (libvirt 9.0,
/// `qemuProcessWaitForMonitor`).
const START_LIMIT: Duration = Duration::from_secs(180);

/// How long somebody who wants to stop waits for a guest that is being started, so that it is ended
/// with the build. It takes a second; libvirt cannot be interrupted.
const LAST_START: Duration = Duration::from_secs(5);

/// Starts a guest of the build in `place`, paused. `keep` leaves it running when it is dropped.
///
/// # Errors
/// Host: libvirt cannot, or does not within bounds. Somebody asked to stop.
pub async fn start(
    host: &Arc<Host>,
    place: &Place,
    cancellation: &Cancellation,
    reporter: &Reporter,
    (spec, keep): (&DomainSpec, bool),
) -> anyhow::Result<Started> {
    carry::send(host, place, cancellation, reporter, spec).await?;
    let spec = spec.clone();
    begin(host, place, cancellation, move |host| {
        host.start(&spec, keep)
    })
    .await
}

/// Starts a guest by `how`, which is such a call.
///
/// # Errors
/// As [`start`].
pub async fn begin(
    host: &Arc<Host>,
    place: &Place,
    cancellation: &Cancellation,
    how: impl FnOnce(&Host) -> anyhow::Result<Started> + Send + 'static,
) -> anyhow::Result<Started> {
    let (host, runtime) = (Arc::clone(host), place.runtime.clone());
    let start = move || {
        let started = how(&host);
        drop(runtime);
        started
    };
    let mut starting = pin!(blocking::within_async(START_LIMIT, start));
    let waiting = async { Ok((&mut starting).await) };
    let error = match cancellation.or(waiting).await {
        Ok(Some(started)) => return started.map_err(|error| cancellation.explain(error)),
        Ok(None) => failed!(
            Kind::Host,
            "libvirt has not started the guest in {} s: look at its log and QEMU's, or use another --connect",
            START_LIMIT.as_secs()
        ),
        Err(cancelled) => match tokio::time::timeout(LAST_START, starting).await {
            Ok(Some(Ok(started))) => {
                tokio::task::block_in_place(|| started.guest.destroy())?;
                return Err(cancelled);
            }
            Ok(Some(Err(_))) => return Err(cancelled),
            Ok(None) | Err(_) => cancelled,
        },
    };
    // A guest may yet come: whoever removes leftovers finds it by the entry in the register.
    place.depends_on(Arc::new(AtomicBool::new(true)));
    Err(error)
}

//! Carries the files of a guest to another host, and back: watched, within bounds, until somebody wants to stop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::place::Place;
use super::run::Cancellation;
use crate::blocking;
use crate::error::{Kind, failed};
use crate::host::{Carrying, DomainSpec, Host};
use crate::ui::event::{Event, Reporter, Transfer};

/// How often it is told how far it is.
const TOLD: Duration = Duration::from_secs(1);

/// How long nothing may come or go. libvirt notices within half a minute that a link was cut; a host that is alive
/// and whose disk takes nothing is noticed here.
const STILL: Duration = Duration::from_secs(180);

/// How long whoever carries may take to give up: a message on its way must be taken first.
const GIVE_UP: Duration = Duration::from_secs(5);

/// No call takes so long: it is ended by [`STILL`].
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Brings the files of a guest to the host that it will run on.
///
/// # Errors
/// Host: it is not possible. Somebody asked to stop.
pub async fn send(
    host: &Arc<Host>,
    place: &Place,
    cancellation: &Cancellation,
    reporter: &Reporter,
    spec: &DomainSpec,
) -> anyhow::Result<()> {
    let how: How = |host, spec, carrying| host.send_files(spec, carrying);
    let doing = "sending the guest's files";
    carry(host, place, (cancellation, reporter), spec, (doing, how)).await
}

/// Brings what a guest that is gone has written back into the files of its disks.
///
/// # Errors
/// As [`send`].
pub async fn fetch(
    host: &Arc<Host>,
    place: &Place,
    cancellation: &Cancellation,
    reporter: &Reporter,
    spec: &DomainSpec,
) -> anyhow::Result<()> {
    let how: How = |host, spec, carrying| host.fetch_disks(spec, carrying);
    let doing = "fetching the guest's disks";
    carry(host, place, (cancellation, reporter), spec, (doing, how)).await
}

type How = fn(&Host, &DomainSpec, &Carrying) -> anyhow::Result<()>;

async fn carry(
    host: &Arc<Host>,
    place: &Place,
    (cancellation, reporter): (&Cancellation, &Reporter),
    spec: &DomainSpec,
    (doing, how): (&'static str, How),
) -> anyhow::Result<()> {
    let Some(survival) = host.survival() else {
        // It is of this host.
        return Ok(());
    };
    place.depends_on(survival);
    let carrying = Arc::new(Carrying::default());
    let work = {
        let (host, spec, carrying) = (Arc::clone(host), spec.clone(), Arc::clone(&carrying));
        move || how(&host, &spec, &carrying)
    };
    let mut working = std::pin::pin!(blocking::within_async(LONGEST, work));
    let (begun, mut told) = (Instant::now(), false);
    let (mut last, mut moved, mut over) = (carrying.bytes(), begun, false);
    let watching = async {
        loop {
            if let Ok(ended) = timeout(TOLD, &mut working).await {
                over = true;
                return ended
                    .unwrap_or_else(|| Err(failed!(Kind::Host, "there is no thread for {doing}")));
            }
            let now = carrying.bytes();
            if now != last {
                (last, moved) = (now, Instant::now());
            }
            if moved.elapsed() >= STILL {
                return Err(failed!(
                    Kind::Host,
                    "{doing}: nothing has moved for {} s: look at the storage of the libvirt host, or of this one",
                    STILL.as_secs()
                ));
            }
            if !told {
                told = true;
                reporter.step(doing);
            }
            let (done, total) = now;
            let so_far = Transfer::new(&spec.title, doing, done, Some(total), begun.elapsed());
            reporter.event(Event::Transfer(so_far));
        }
    };
    let ended = cancellation.or(watching).await;
    if !over {
        carrying.stop();
        if timeout(GIVE_UP, &mut working).await.is_err() {
            // It holds on to the connection: whoever removes leftovers finds the rest by the entry in the register.
            place.depends_on(Arc::new(AtomicBool::new(true)));
        }
    }
    ended
}

//! A running guest; and the guests that exist already: finding them, and removing what an earlier
//! build left behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

use super::events::Subscription;
use super::raw::save;
use super::store::{count_volumes, remove_volumes};
use super::stream::read_whole;
use super::{Host, host_error, open_daemon};
use crate::error::{Classify, Kind, fail};
use crate::host::domain::DomainSpec;
use crate::host::domain_file::Machine;
use crate::host::domain_xml::late_disk;
use crate::host::guest::{Counters, GuestPaths, GuestSockets, SavedGuest};
use crate::host::life::{GuestEnd, Life};
use crate::host::marker::{Marker, NAMESPACE};
use crate::host::qemu_user::FileGrants;

/// Largest picture of a screen that is taken, in bytes: 4K at four bytes a pixel is 33 MB.
const MAX_SCREENSHOT: usize = 64 * 1024 * 1024;

/// How long the successor of a lost daemon is waited for: service managers start one within a
/// second, and it needs another to find its guests. Whoever waits for the verdict waits for this,
/// too; what it does not suffice for, the next build does.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(4);

/// Pause between two looks for the successor.
const SUCCESSOR_INTERVAL: Duration = Duration::from_millis(250);

/// A guest. Dropping it ends it, unless [`Guest::leave`] was called.
///
/// Functions that are not `async` block while libvirt answers.
pub struct Guest {
    pub(super) life: Arc<Life>,
    // Before the connection, on which it depends.
    pub(super) _subscription: Subscription,
    /// Where the guest is found again when the connection is lost.
    pub(super) uri: String,
    pub(super) name: String,
    pub(super) build_id: String,
    /// The domain, and what is to be seen of it.
    pub(super) observer: Observer,
    pub(super) sockets: GuestSockets,
    pub(super) paths: GuestPaths,
    pub(super) left: AtomicBool,
    /// Whether it may have outlived us.
    pub(super) survived: Arc<AtomicBool>,
    /// Taken back when QEMU is gone, or is being ended.
    pub(super) lent: FileGrants,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

impl Guest {
    /// Lets the guest's CPUs run.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt refuses.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.observer
            .domain
            .resume()
            .map_err(host_error)
            .context("starting the guest's CPUs")
    }

    /// Waits until the guest runs no more: told by libvirt's events, at once. QEMU may still
    /// have to write to the disk's file: see [`Guest::finished`].
    pub async fn ended(&self) -> GuestEnd {
        self.life.ended().await
    }

    /// Waits until QEMU has exited and closed its files. After an error of the host's disk it
    /// does not by itself.
    pub async fn finished(&self) -> GuestEnd {
        self.life.finished().await
    }

    /// Ends the guest at once, as pulling the plug does, and waits for QEMU to exit. Nothing to
    /// do if it has ended. A guest outlives its daemon: if that was lost, its successor is asked.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt cannot end it.
    pub fn destroy(&self) -> anyhow::Result<()> {
        let ended = self.end();
        self.survived.store(ended.is_err(), Ordering::SeqCst);
        ended
    }

    /// Plugs the disks of `spec` into a guest that runs without any.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt refuses.
    pub fn plug_in(&self, spec: &DomainSpec) -> anyhow::Result<()> {
        for (number, disk) in spec.disks().enumerate() {
            self.observer
                .domain
                .attach_device_flags(&late_disk(number, disk), sys::VIR_DOMAIN_AFFECT_LIVE)
                .map_err(host_error)
                .context("plugging in a disk")?;
        }
        Ok(())
    }

    /// Saves the guest's state to a file that is not there yet, or empty, and ends it: its CPUs stop first. Blocks
    /// for as long as it takes to write its memory.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt or QEMU cannot; the file may be there then, in part.
    pub fn save(&self, file: &Path) -> anyhow::Result<SavedGuest> {
        self.life.destroying();
        save(&self.observer.domain, file)
            .kind(Kind::Host)
            .context("saving the guest's state")?;
        Ok(SavedGuest {
            file: file.to_path_buf(),
            name: self.name.clone(),
            paths: self.paths.clone(),
        })
    }

    /// Asks the guest to shut itself down, as its power button does. Whether it obeys is its own
    /// affair: [`Guest::ended`] tells.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt refuses.
    pub fn press_power_button(&self) -> anyhow::Result<()> {
        let domain = &self.observer.domain;
        domain
            .shutdown_flags(sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
            .map_err(host_error)
            .context("asking the guest to shut down")
    }

    /// Presses Ctrl, Alt and Delete on the guest's keyboard, which systemd takes for the wish to reboot in
    /// order (`ctrl-alt-del.target`). Guests without such a keyboard hear nothing of it.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt refuses.
    pub fn press_ctrl_alt_delete(&self) -> anyhow::Result<()> {
        /// How long the keys are held, in milliseconds.
        const HELD: u32 = 100;
        // Left Ctrl, left Alt and Delete in Linux' numbers (`input-event-codes.h`).
        let mut keys = [29_u32, 56, 111];
        let count = keys.len() as i32;
        let domain = &self.observer.domain;
        domain
            .send_key(
                sys::VIR_KEYCODE_SET_LINUX,
                HELD,
                keys.as_mut_ptr(),
                count,
                0,
            )
            .map_err(host_error)
            .context("pressing keys of the guest")
    }

    /// Asks the guest's QEMU guest agent (QEMU, `docs/interop/qemu-ga-ref`), and waits for its answer for
    /// at most so many seconds. Blocks.
    ///
    /// # Errors
    /// [`Kind::Host`] when none answers, or refuses: libvirt's words.
    pub fn ask_agent(&self, command: &str, seconds: i32) -> anyhow::Result<String> {
        let domain = &self.observer.domain;
        domain
            .qemu_agent_command(command, seconds, 0)
            .map_err(host_error)
    }

    fn end(&self) -> anyhow::Result<()> {
        if !self.life.is_lost() {
            if self.life.is_gone() {
                return Ok(());
            }
            self.life.destroying();
            match destroy(&self.observer.domain) {
                // The daemon went away meanwhile.
                Err(_) if self.life.is_lost() => {}
                ended => return ended.context("ending the guest"),
            }
        }
        self.destroy_by_successor()
            .context("ending the guest whose libvirt daemon was lost")
    }

    /// Service managers start a daemon again, at once or when it is asked for, and so does libvirt
    /// with the user's own; it finds the guests of the one before.
    fn destroy_by_successor(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + SUCCESSOR_PATIENCE;
        let connect = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match open_daemon(&self.uri, left) {
                Ok(connect) => break connect,
                Err(message) if Instant::now() + SUCCESSOR_INTERVAL >= deadline => {
                    fail!(Kind::Host, "libvirt: {message}");
                }
                Err(_) => thread::sleep(SUCCESSOR_INTERVAL),
            }
        };
        let domain = match connect.lookup_domain_by_name(&self.name) {
            Ok(domain) => domain,
            Err(error) if error.code().is(ErrorNumber::NoDomain) => return Ok(()),
            Err(error) => return Err(host_error(error)),
        };
        let is_ours = marker(&domain)?.is_some_and(|marker| marker.build_id == self.build_id);
        if is_ours { destroy(&domain) } else { Ok(()) }
    }

    /// Tells, also after this value is dropped, whether the guest may have outlived it: nobody was
    /// there to end it.
    pub fn survival(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.survived)
    }

    /// Does not end the guest when this value is dropped.
    pub fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
    }

    /// What observes it elsewhere.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// The domain as libvirt runs it.
    ///
    /// # Errors
    /// [`Kind::Host`] when it does not run.
    pub fn live_xml(&self) -> anyhow::Result<String> {
        self.observer.domain.xml_desc(0).map_err(host_error)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where else it can be reached.
    pub fn sockets(&self) -> &GuestSockets {
        &self.sockets
    }
}

/// Ends a domain, unless it has ended.
fn destroy(domain: &Domain) -> anyhow::Result<()> {
    match domain.destroy() {
        Ok(()) => Ok(()),
        // It was faster.
        Err(error)
            if error.code().is(ErrorNumber::NoDomain)
                || error.code().is(ErrorNumber::OperationInvalid) =>
        {
            Ok(())
        }
        Err(error) => Err(host_error(error)),
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.survived.load(Ordering::SeqCst) {
            // It was tried, in vain.
        } else if !self.left.load(Ordering::SeqCst) {
            // Whoever cares for a failure calls `destroy`.
            if let Err(error) = self.destroy() {
                tracing::warn!(guest = %self.name, %error, "ending a guest");
            }
        } else if !self.life.is_gone() {
            self.lent.leave();
        }
    }
}

/// Reads a guest's counters and screen. Does not keep the guest alive, and may outlive it: what
/// hangs in libvirt must not be what the guest ends with.
#[derive(Clone)]
pub struct Observer {
    pub(super) connect: Connect,
    pub(super) domain: Domain,
    /// The disks, by what the domain's XML calls them.
    pub(super) disks: Vec<String>,
    /// The network card, by its address.
    pub(super) mac: String,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// A picture of the guest's screen, as a PNG file.
    ///
    /// # Errors
    /// [`Kind::Host`] when the guest has no screen or does not run.
    pub fn screenshot(&self) -> anyhow::Result<Vec<u8>> {
        read_whole(&self.connect, MAX_SCREENSHOT, |stream| {
            self.domain.screenshot(stream, 0, 0)
        })
        .and_then(|(_, picture)| to_png(picture))
        .context("taking a picture of the guest's screen")
        .kind(Kind::Host)
    }

    /// How much the guest has written and received. Blocks while libvirt answers.
    ///
    /// # Errors
    /// [`Kind::Host`] when it does not run.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        let mut written = 0;
        for disk in &self.disks {
            let stats = self.domain.block_stats(disk).map_err(host_error)?;
            written += count(stats.wr_bytes);
        }
        let network = self.domain.interface_stats(&self.mac);
        Ok(Counters {
            written,
            received: network.map_or(0, |stats| count(stats.rx_bytes)),
        })
    }
}

/// A picture as a PNG file: as QEMU 7.1 and later give them to libvirt 8.5 and later, a PPM before.
fn to_png(picture: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    // PNG specification, section 5.2.
    if picture.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(picture);
    }
    let (width, height, rgb) =
        read_ppm(&picture).context("it is neither a PNG nor a PPM of QEMU's")?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(rgb))
        .context("writing a PNG")?;
    Ok(file)
}

/// Width, height and pixels of a PPM as QEMU writes it (ui/console.c, `ppm_save`): three lines, then
/// three bytes a pixel.
fn read_ppm(bytes: &[u8]) -> Option<(u32, u32, &[u8])> {
    let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line = || std::str::from_utf8(parts.next()?).ok();
    let (magic, size, max) = (line()?, line()?, line()?);
    let (width, height) = size.split_once(' ')?;
    let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
    let wanted = u64::from(width)
        .checked_mul(u64::from(height))?
        .checked_mul(3)?;
    let rgb = parts.next()?.get(..usize::try_from(wanted).ok()?)?;
    (magic == "P6" && max == "255" && wanted > 0).then_some((width, height, rgb))
}

impl Host {
    /// All domains that have our mark, running or not: their names and marks.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt does not answer.
    pub fn marked(&self) -> anyhow::Result<Vec<(String, Marker)>> {
        let mut marked = Vec::new();
        for domain in self.connect.list_all_domains(0).map_err(host_error)? {
            // What others write into that place of their domains is theirs.
            if let Ok(Some(marker)) = marker(&domain) {
                marked.push((domain.name().map_err(host_error)?, marker));
            }
        }
        Ok(marked)
    }

    /// The mark on a domain, if there is one of that name and it is ours.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt does not answer.
    pub fn find(&self, name: &str) -> anyhow::Result<Option<Marker>> {
        let found = self.lookup(name)?;
        Ok(found.as_ref().map(marker).transpose()?.flatten())
    }

    /// Ends and forgets the domain that the build `build_id` left behind, if there is one of that name and it is that
    /// build's; and removes the build's files from another host.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt refuses.
    pub fn remove_leftover(&self, name: &str, build_id: &str) -> anyhow::Result<()> {
        self.remove_guest(name, build_id)?;
        match &self.store {
            Some(_) => remove_volumes(&self.connect, build_id, true),
            None => Ok(()),
        }
    }

    fn remove_guest(&self, name: &str, build_id: &str) -> anyhow::Result<()> {
        let Some(domain) = self.lookup(name)? else {
            return Ok(());
        };
        if marker(&domain)?.is_none_or(|marker| marker.build_id != build_id) {
            return Ok(());
        }
        if domain.is_active().map_err(host_error)? {
            destroy(&domain)?;
        }
        // A transient domain is gone by now.
        if let Some(domain) = self.lookup(name)? {
            let undefined = domain.undefine_flags(sys::VIR_DOMAIN_UNDEFINE_NVRAM);
            match undefined {
                Err(error) if !error.code().is(ErrorNumber::NoDomain) => {
                    return Err(host_error(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// How many files of a build are on another host.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt does not answer.
    pub fn files_left(&self, build_id: &str) -> anyhow::Result<usize> {
        match &self.store {
            Some(_) => count_volumes(&self.connect, build_id),
            None => Ok(0),
        }
    }

    /// A machine that others defined; none if there is none of that name.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt does not answer.
    pub fn machine(&self, name: &str) -> anyhow::Result<Option<Machine>> {
        let Some(domain) = self.lookup(name)? else {
            return Ok(None);
        };
        let xml = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE);
        let snapshots = domain.list_all_snapshots(0).map_err(host_error)?;
        Ok(Some(Machine {
            xml: xml.map_err(host_error)?,
            runs: domain.is_active().map_err(host_error)?,
            is_saved: domain.has_managed_save(0).map_err(host_error)?,
            snapshots: snapshots.len(),
        }))
    }

    fn lookup(&self, name: &str) -> anyhow::Result<Option<Domain>> {
        match self.connect.lookup_domain_by_name(name) {
            Ok(domain) => Ok(Some(domain)),
            Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
            Err(error) => Err(host_error(error)),
        }
    }
}

/// The mark on a domain, if it is ours.
fn marker(domain: &Domain) -> anyhow::Result<Option<Marker>> {
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
    match domain.metadata(kind, Some(NAMESPACE), 0) {
        Ok(xml) => quick_xml::de::from_str(&xml)
            .map(Some)
            .context("parsing a domain's metadata")
            .kind(Kind::Host),
        Err(error) if error.code().is(ErrorNumber::NoDomainMetadata) => Ok(None),
        // It ended between being found and being asked.
        Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
        Err(error) => Err(host_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_old_qemus_become_pngs_of_the_same_pixels() {
        let png = to_png(b"P6\n2 1\n255\n\x01\x02\x03\n\x05\x06".to_vec()).unwrap();
        assert_eq!(to_png(png.clone()).unwrap(), png, "a PNG stays as it is");
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2, 1));
        assert_eq!(pixels, [1, 2, 3, b'\n', 5, 6]);
    }

    #[test]
    fn hostile_pictures_are_refused() {
        for bytes in [
            "",
            "P3\n1 1\n255\n0 0",
            "\u{89}PNG\r\n",
            "P6",
            "P6\n1",
            "P6\n-1 1\n255\nabc",
            "P6\n1 1\n0\nabc",
            "P6\n0 1\n255\n",
            "P6\n4294967295 4294967295\n255\nabc",
            "P6\n99999999999999999999 1\n255\n",
            "P6\n1 1\n255\nab",
        ] {
            assert!(to_png(bytes.into()).is_err(), "{bytes:?}");
        }
    }
}

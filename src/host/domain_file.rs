//! A libvirt domain's XML as others wrote it: which disks its machine has. Pure: text in, disks or what is
//! wrong out.

use std::path::PathBuf;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::machine::DiskFormat;

/// Most elements; domains have some hundred.
const MOST_ELEMENTS: usize = 20_000;

/// A disk of a machine, with an image of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainDisk {
    /// Its file, as the XML names it.
    pub file: PathBuf,
    /// Its format; libvirt takes what is not said for raw.
    pub format: DiskFormat,
}

/// A machine that others defined.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its XML, as it is started the next time.
    pub xml: String,
    /// Whether it runs, or is paused.
    pub runs: bool,
    /// Whether its memory was saved, and goes on with the disks that it had (`virsh managedsave`).
    pub is_saved: bool,
    /// How many snapshots it has, which stand on its disks.
    pub snapshots: usize,
}

/// Whether a text is meant to be a domain's XML.
pub fn is_meant(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    root(text).is_some_and(|name| name == "domain")
}

/// The name of the first element.
fn root(text: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => return Some(name(&element)),
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// Reads the disks of a domain in their order, floppies and CDs apart. Nothing outside of the text is read.
///
/// # Errors
/// One sentence: it is no XML of a domain, a disk is none that a file holds, or there is none.
pub fn disks(text: &str) -> Result<Vec<DomainDisk>, String> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut path: Vec<String> = Vec::new();
    let mut disks = Vec::new();
    let mut reading = Begun::default();
    for _ in 0..MOST_ELEMENTS {
        let event = reader.read_event();
        let event = event.map_err(|error| format!("it is no XML: {error}"))?;
        match event {
            Event::Start(element) => {
                path.push(name(&element));
                reading.take(&path, &element);
            }
            Event::Empty(element) => {
                path.push(name(&element));
                reading.take(&path, &element);
                path.pop();
            }
            Event::End(_) => {
                if is_disk(&path) {
                    disks.extend(std::mem::take(&mut reading).disk()?);
                }
                path.pop();
            }
            Event::Eof if disks.is_empty() => return Err("it names no disk".to_owned()),
            Event::Eof => return Ok(disks),
            _ => {}
        }
    }
    Err("it has too many elements".to_owned())
}

fn is_disk(path: &[String]) -> bool {
    path == ["domain", "devices", "disk"]
}

/// A disk that is being read.
#[derive(Debug, Default)]
struct Begun {
    device: Option<String>,
    format: Option<String>,
    file: Option<String>,
}

impl Begun {
    fn take(&mut self, path: &[String], element: &BytesStart<'_>) {
        if is_disk(path) {
            *self = Begun {
                device: attribute(element, "device"),
                ..Begun::default()
            };
            return;
        }
        let Some((last, above)) = path.split_last() else {
            return;
        };
        if !is_disk(above) {
            return;
        }
        match last.as_str() {
            "driver" => self.format = attribute(element, "type"),
            // Of a block device, too.
            "source" => {
                self.file = attribute(element, "file").or_else(|| attribute(element, "dev"));
            }
            _ => {}
        }
    }

    fn disk(self) -> Result<Option<DomainDisk>, String> {
        // libvirt's default is `disk`.
        if self.device.is_some_and(|device| device != "disk") {
            return Ok(None);
        }
        let file = self
            .file
            .ok_or("a disk of it is in no file: copy it into one, and name that")?;
        let format = match self.format.as_deref() {
            Some("qcow2") => DiskFormat::Qcow2,
            None | Some("raw") => DiskFormat::Raw,
            Some(other) => {
                return Err(format!(
                    "its disk {file} is {other}: raw and qcow2 are read"
                ));
            }
        };
        let file = PathBuf::from(file);
        Ok(Some(DomainDisk { file, format }))
    }
}

fn name(element: &BytesStart<'_>) -> String {
    element.local_name().as_ref().to_owned()
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).ok()??;
    quick_xml::escape::unescape(&found.value)
        .map(|value| value.into_owned())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_read_in_their_order() {
        let text = "<?xml version='1.0'?>\n<domain type='kvm'><name>a</name><devices>\
            <disk type='file' device='cdrom'><source file='/x.iso'/></disk>\
            <disk device='disk' type='file'><target dev='vda' bus='virtio'/><source file='/a &amp; b.dsk'/>\
            <driver name='qemu' type='raw'/></disk>\
            <disk type='file'><driver name='qemu' type='qcow2'/><source file='b.qcow2'><x/></source></disk>\
            </devices></domain>";
        assert!(is_meant(text));
        let disk = |file: &str, format| DomainDisk {
            file: file.into(),
            format,
        };
        let expected = [
            disk("/a & b.dsk", DiskFormat::Raw),
            disk("b.qcow2", DiskFormat::Qcow2),
        ];
        assert_eq!(disks(text).unwrap(), expected);
    }

    #[test]
    fn what_is_none_is_told() {
        for (text, says) in [
            ("", "names no disk"),
            ("<domain><devices/></domain>", "names no disk"),
            ("<domain><devices><disk></domain>", "no XML"),
            (
                "<domain><devices><disk type='network'></disk></devices></domain>",
                "in no file",
            ),
            (
                "<domain><devices><disk><driver type='vdi'/><source file='x'/></disk></devices></domain>",
                "raw and qcow2",
            ),
        ] {
            let error = disks(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(!is_meant("<template/>") && !is_meant("") && !is_meant("\u{0}QFI"));
        let deep = "<x>".repeat(MOST_ELEMENTS + 1);
        assert!(disks(&deep).is_err());
    }
}

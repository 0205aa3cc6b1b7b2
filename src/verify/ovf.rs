//! What an OVF descriptor says (DSP0243 1.1), as far as importers stumble over it.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// The namespace of the first version, the only one that importers read.
pub const NAMESPACE: &str = "http://schemas.dmtf.org/ovf/envelope/1";

/// A file that is referred to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Its name in the archive.
    pub href: String,
    /// By what disks refer to it.
    pub id: String,
    /// Its length in bytes, if it is said.
    pub size: Option<u64>,
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// The file's id.
    pub file: String,
    /// Its size in `units`.
    pub capacity: Option<u64>,
    /// What the capacity counts, bytes if nothing is said.
    pub units: String,
    /// The address of its format.
    pub format: String,
    /// VirtualBox's UUID of it.
    pub uuid: String,
    /// oVirt's format of its volume.
    pub volume_format: String,
}

impl Disk {
    /// Its size in bytes, where the units are those that writers use.
    pub fn bytes(&self) -> Option<u64> {
        let power = match self.units.trim() {
            "" | "byte" => 0,
            "byte * 2^10" => 10,
            "byte * 2^20" | "MegaBytes" => 20,
            "byte * 2^30" | "GigaBytes" => 30,
            _ => return None,
        };
        self.capacity?.checked_mul(1 << power)
    }
}

/// A descriptor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// The namespace of its root.
    pub namespace: String,
    /// The files.
    pub files: Vec<File>,
    /// The disks.
    pub disks: Vec<Disk>,
    /// The families of virtual hardware: `vmx-18`.
    pub systems: Vec<String>,
    /// The types of the items of hardware.
    pub resources: Vec<String>,
    /// VMware's firmware, if it is said.
    pub firmware: Option<String>,
    /// The UUIDs of images in VirtualBox's own part.
    pub images: Vec<String>,
}

/// Most elements; descriptors have some hundreds.
const MOST_ELEMENTS: usize = 20_000;

/// Reads a descriptor. Nothing outside of it is read: entities of its own are none.
///
/// # Errors
/// One sentence: it is no XML, or has too much.
pub fn read(text: &str) -> Result<Descriptor, String> {
    let mut reader = NsReader::from_str(text);
    let mut descriptor = Descriptor::default();
    let mut element = String::new();
    let mut elements = 0;
    loop {
        let event = reader.read_resolved_event();
        let (namespace, event) = event.map_err(|error| format!("it is no XML: {error}"))?;
        match event {
            Event::Start(start) | Event::Empty(start) => {
                elements += 1;
                if elements > MOST_ELEMENTS {
                    return Err(format!("it has more than {MOST_ELEMENTS} elements"));
                }
                if elements == 1
                    && let ResolveResult::Bound(namespace) = namespace
                {
                    descriptor.namespace = namespace.as_ref().to_owned();
                }
                element = start.local_name().as_ref().to_owned();
                descriptor.element(&element, &start);
            }
            Event::Text(text) => {
                let text = text.trim().to_owned();
                match element.as_str() {
                    "VirtualSystemType" if !text.is_empty() => descriptor.systems.push(text),
                    "ResourceType" if !text.is_empty() => descriptor.resources.push(text),
                    _ => {}
                }
            }
            Event::End(_) => element.clear(),
            Event::Eof => return Ok(descriptor),
            _ => {}
        }
    }
}

impl Descriptor {
    fn element(&mut self, name: &str, start: &BytesStart<'_>) {
        let value = |wanted: &str| {
            let mut attributes = start.attributes().flatten();
            let found = attributes.find(|attribute| attribute.key.local_name().as_ref() == wanted);
            let value = found.map(|found| {
                let value = quick_xml::escape::unescape(&found.value);
                value.map_or_else(|_| found.value.to_string(), |value| value.into_owned())
            });
            value.unwrap_or_default()
        };
        match name {
            "File" => self.files.push(File {
                href: value("href"),
                id: value("id"),
                size: value("size").parse().ok(),
            }),
            "Disk" => self.disks.push(Disk {
                file: value("fileRef"),
                capacity: value("capacity").parse().ok(),
                units: value("capacityAllocationUnits"),
                format: value("format"),
                uuid: value("uuid"),
                volume_format: value("volume-format"),
            }),
            "Config" if value("key") == "firmware" => self.firmware = Some(value("value")),
            "Image" => self.images.push(value("uuid")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{hardware, ovf};

    #[test]
    fn our_own_descriptors_say_what_they_should() {
        let hardware = hardware::sample();
        let disk = ovf::Disk {
            file: "a&b.vmdk",
            size: 7,
            capacity: 10 << 30,
            populated: 1,
            uuid: "u",
        };
        let vmware = read(&ovf::vmware("a<b", &hardware, std::slice::from_ref(&disk))).unwrap();
        assert_eq!(vmware.namespace, NAMESPACE);
        assert_eq!(vmware.systems, ["vmx-18"]);
        assert_eq!(vmware.firmware.as_deref(), Some("efi"));
        assert_eq!(vmware.files[0].href, "a&b.vmdk");
        assert_eq!(vmware.disks[0].bytes(), Some(10 << 30));
        assert_eq!(vmware.disks[0].file, vmware.files[0].id);
        let virtualbox = read(&ovf::virtualbox("a", &hardware, &disk, "m")).unwrap();
        assert_eq!(virtualbox.images, ["{u}"]);
        assert!(!virtualbox.resources.contains(&"32768".to_owned()));
        let ovirt = read(&ovf::ovirt(
            "a",
            &hardware,
            std::slice::from_ref(&disk),
            "m",
        ))
        .unwrap();
        assert_eq!(ovirt.disks[0].volume_format, "COW");
    }

    #[test]
    fn what_is_no_descriptor_is_said() {
        assert!(read("<a><b></a>").is_err());
        assert_eq!(read("<a/>").unwrap(), Descriptor::default());
        let long = format!("<a>{}</a>", "<b/>".repeat(MOST_ELEMENTS));
        assert!(read(&long).is_err());
    }
}

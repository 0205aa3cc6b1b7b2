//! Whether an OVF descriptor is built as its schema says (DMTF DSP8023 1.1 and the CIM schemas that it takes its
//! hardware from), as far as importers that read by the schema stumble. Elements of other namespaces are left alone.
//! Pure.

use std::collections::BTreeSet;

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::ovf::NAMESPACE;

/// What CIM's elements of an item are in.
const ITEM: &str =
    "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData";

/// Most faults that are told.
const MOST: usize = 20;

/// Attributes that elements must have.
const NEEDED: [(&str, &[&str]); 5] = [
    ("File", &["href", "id"]),
    ("Disk", &["diskId", "capacity"]),
    ("Network", &["name"]),
    ("VirtualSystem", &["id"]),
    ("VirtualSystemCollection", &["id"]),
];

/// Elements that an item must have.
const OF_ITEMS: [&str; 3] = ["ElementName", "InstanceID", "ResourceType"];

/// The parts of an envelope, in their order.
const PARTS: [&[&str]; 4] = [
    &["References"],
    &["DiskSection", "NetworkSection"],
    &["VirtualSystem", "VirtualSystemCollection"],
    &["Strings"],
];

/// What is wrong with a descriptor's structure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// What makes it another thing than an OVF.
    pub errors: Vec<String>,
    /// What only readers mind that check each element's order.
    pub warnings: Vec<String>,
}

#[derive(Default)]
struct Reader {
    faults: Faults,
    /// The elements that are open, those of other namespaces as empty names.
    open: Vec<String>,
    part: usize,
    disks: BTreeSet<String>,
    files: BTreeSet<String>,
    instances: BTreeSet<String>,
    parents: Vec<String>,
    resources: Vec<String>,
    /// The elements of the item that is open.
    item: Vec<String>,
    /// Sections whose first child is still to come.
    fresh: bool,
}

/// What is wrong with the structure of a descriptor, which [`super::ovf::read`] has read.
pub fn faults(text: &str) -> Faults {
    let mut xml = NsReader::from_str(text);
    let mut reader = Reader::default();
    loop {
        let Ok((namespace, event)) = xml.read_resolved_event() else {
            return reader.faults;
        };
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => namespace.as_ref().to_owned(),
            _ => String::new(),
        };
        match event {
            Event::Start(start) => reader.start(&namespace, &start),
            Event::Empty(start) => {
                reader.start(&namespace, &start);
                reader.end();
            }
            Event::Text(text) => reader.text(text.trim()),
            Event::End(_) => reader.end(),
            Event::Eof => return reader.finish(),
            _ => {}
        }
    }
}

impl Reader {
    fn error(&mut self, message: String) {
        if self.faults.errors.len() < MOST {
            self.faults.errors.push(message);
        }
    }

    fn warn(&mut self, message: String) {
        if self.faults.warnings.len() < MOST {
            self.faults.warnings.push(message);
        }
    }

    fn start(&mut self, namespace: &str, start: &BytesStart<'_>) {
        let name = start.local_name().as_ref().to_owned();
        // VirtualBox' own part has elements without a prefix, which are not OVF's.
        let is_foreign = self.open.iter().any(String::is_empty);
        let is_ours = namespace == NAMESPACE && !is_foreign;
        let fresh = std::mem::take(&mut self.fresh);
        if fresh && !(is_ours && name == "Info") {
            let of = self.open.last().cloned().unwrap_or_default();
            self.error(format!("{of} does not begin with its Info"));
        }
        if self.open.last().is_some_and(|open| open == "Item") && namespace == ITEM {
            self.item.push(name.clone());
        }
        if is_ours {
            self.element(&name, start);
        }
        let known = is_ours || (namespace == ITEM && !is_foreign);
        self.open.push(if known { name } else { String::new() });
    }

    fn element(&mut self, name: &str, start: &BytesStart<'_>) {
        let value = |wanted: &str| {
            let mut attributes = start.attributes().flatten();
            let found = attributes.find(|attribute| attribute.key.local_name().as_ref() == wanted);
            found.map(|found| found.value.to_string())
        };
        for (element, attributes) in NEEDED {
            let missing = attributes
                .iter()
                .filter(|attribute| value(attribute).is_none());
            for attribute in missing.filter(|_| element == name) {
                self.error(format!("a {name} has no ovf:{attribute}"));
            }
        }
        match name {
            "File" if !self.files.insert(value("id").unwrap_or_default()) => {
                self.error("two Files have the same ovf:id".to_owned());
            }
            "Disk" if !self.disks.insert(value("diskId").unwrap_or_default()) => {
                self.error("two Disks have the same ovf:diskId".to_owned());
            }
            "Item" => self.item.clear(),
            "VirtualSystem" => self.instances.clear(),
            _ => {}
        }
        self.fresh = name.ends_with("Section") || name.starts_with("VirtualSystem");
        if self.open.len() == 1
            && let Some(part) = PARTS.iter().position(|names| names.contains(&name))
        {
            if part < self.part {
                self.warn(format!("{name} stands behind what must follow it"));
            }
            self.part = self.part.max(part);
        }
    }

    fn text(&mut self, text: &str) {
        let text = text.to_owned();
        match self.open.last().map(String::as_str) {
            _ if text.is_empty() => {}
            Some("InstanceID") if self.instances.contains(&text) => {
                self.error(format!("two items have the InstanceID {text}"));
            }
            Some("InstanceID") => drop(self.instances.insert(text)),
            Some("Parent") => self.parents.push(text),
            Some("HostResource") => self.resources.push(text),
            _ => {}
        }
    }

    fn end(&mut self) {
        let name = self.open.pop().unwrap_or_default();
        if std::mem::take(&mut self.fresh) {
            self.error(format!("{name} has no Info"));
        }
        match name.as_str() {
            "Item" => {
                let item = std::mem::take(&mut self.item);
                for needed in OF_ITEMS {
                    if !item.iter().any(|name| name == needed) {
                        self.error(format!("an Item has no {needed}"));
                    }
                }
                if let Some(pair) = item.windows(2).find(|pair| pair[0] > pair[1]) {
                    self.warn(format!(
                        "in an Item, {} stands behind {}, and the schema has them in the order of the alphabet",
                        pair[1], pair[0]
                    ));
                }
            }
            "VirtualSystem" => {
                let parents = std::mem::take(&mut self.parents);
                for parent in parents
                    .iter()
                    .filter(|parent| !self.instances.contains(*parent))
                {
                    let message = format!("an Item's Parent {parent} is no InstanceID");
                    if self.faults.errors.len() < MOST {
                        self.faults.errors.push(message);
                    }
                }
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Faults {
        for resource in std::mem::take(&mut self.resources) {
            let id = resource.trim_start_matches("ovf:");
            if let Some(disk) = id.strip_prefix("/disk/")
                && !self.disks.contains(disk)
            {
                self.error(format!(
                    "an Item's HostResource names the disk {disk}, which there is not"
                ));
            }
        }
        self.faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{hardware, ovf};

    fn ours() -> [String; 2] {
        let hardware = hardware::sample();
        let disk = ovf::Disk {
            file: "a.vmdk",
            size: 7,
            capacity: 10 << 30,
            populated: 1,
            uuid: "u",
        };
        [
            ovf::vmware("a", &hardware, std::slice::from_ref(&disk)),
            ovf::virtualbox("a", &hardware, &disk, "m"),
        ]
    }

    #[test]
    fn our_own_descriptors_have_no_faults() {
        for text in ours() {
            assert_eq!(faults(&text), Faults::default(), "{text}");
        }
    }

    #[test]
    fn faults_are_named() {
        let [text, _] = ours();
        let without = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            faults(&text.replacen(from, to, 1))
        };
        for (from, to, says) in [
            (" ovf:id=\"file1\"", "", "a File has no ovf:id"),
            (" ovf:capacity=", " ovf:size=", "a Disk has no ovf:capacity"),
            (
                "ovf:/disk/vmdisk1",
                "ovf:/disk/other",
                "names the disk other",
            ),
            (
                "<rasd:Parent>3<",
                "<rasd:Parent>33<",
                "Parent 33 is no InstanceID",
            ),
            (
                "<rasd:InstanceID>2<",
                "<rasd:InstanceID>1<",
                "two items have the InstanceID 1",
            ),
            (
                "<rasd:ResourceType>17</rasd:ResourceType>",
                "",
                "no ResourceType",
            ),
        ] {
            let found = without(from, to);
            assert!(
                found.errors.iter().any(|error| error.contains(says)),
                "{says}: {found:?}"
            );
        }
        let info = faults(
            "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"><DiskSection><Disk \
             diskId=\"a\" capacity=\"1\"/></DiskSection><References/></Envelope>",
        );
        assert_eq!(info.errors, ["DiskSection does not begin with its Info"]);
        assert_eq!(
            info.warnings,
            ["References stands behind what must follow it"]
        );
        let order = without(
            "<rasd:InstanceID>1</rasd:InstanceID>\n",
            "<rasd:ResourceType>3</rasd:ResourceType><rasd:InstanceID>1</rasd:InstanceID>\n",
        );
        assert!(
            order.warnings[0].contains("InstanceID stands behind ResourceType"),
            "{order:?}"
        );
    }
}

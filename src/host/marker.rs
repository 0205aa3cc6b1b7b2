//! The mark that says which domains are ours: only those are ever removed as leftovers.

use anyhow::Context;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::network::attribute;
use super::origin::Origin;

/// The XML namespace of our metadata. libvirt asks for one URI for each application; nothing is
/// fetched from it. A name below `.invalid` can never belong to somebody else (RFC 2606). The
/// number changes when the meaning of the element does.
pub(super) const NAMESPACE: &str = "https://ozr.invalid/domain/1";
/// The element's local name.
pub(super) const ELEMENT: &str = "build";

/// What the mark on a domain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Which build started the guest.
    pub build_id: String,
    /// The version of ozr that did.
    pub version: String,
    /// Its process, for people. Says nothing once that process is gone: numbers are used again.
    pub pid: u32,
    /// Its process, for programs; none if it could not tell.
    pub origin: Option<Origin>,
    /// Whether the guest was to stay after a failure.
    pub kept: bool,
}

impl Marker {
    /// The mark for guests of this process.
    pub(super) fn new(build_id: &str, kept: bool) -> Self {
        Marker {
            build_id: build_id.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            origin: Origin::ours(),
            kept,
        }
    }

    /// Whether the process that made it lives; none if that cannot be known here.
    pub fn is_alive(&self) -> Option<bool> {
        self.origin.as_ref()?.is_alive()
    }

    /// The element's attributes.
    pub(super) fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            ("id", self.build_id.clone()),
            ("version", self.version.clone()),
            ("pid", self.pid.to_string()),
        ];
        if let Some(origin) = &self.origin {
            attributes.push(("process", origin.to_string()));
        }
        if self.kept {
            attributes.push(("kept", "yes".to_owned()));
        }
        attributes
    }

    /// Reads the element that libvirt returned for [`NAMESPACE`].
    pub(super) fn parse(xml: &str) -> anyhow::Result<Self> {
        let mut reader = Reader::from_str(xml);
        loop {
            match reader.read_event().context("parsing a domain's metadata")? {
                Event::Start(element) | Event::Empty(element) => {
                    if element.local_name().as_ref() != ELEMENT {
                        continue;
                    }
                    return Ok(Marker {
                        build_id: attribute(&element, "id")?.unwrap_or_default(),
                        version: attribute(&element, "version")?.unwrap_or_default(),
                        pid: attribute(&element, "pid")?
                            .and_then(|text| text.parse().ok())
                            .unwrap_or_default(),
                        origin: attribute(&element, "process")?.and_then(|text| text.parse().ok()),
                        kept: attribute(&element, "kept")?.is_some_and(|text| text == "yes"),
                    });
                }
                Event::Eof => anyhow::bail!("the domain's metadata has no `{ELEMENT}` element"),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read() {
        let marker = Marker::parse("<build id='a&lt;b' version='0.1.0' pid='12'/>").unwrap();
        assert_eq!(marker.build_id, "a<b");
        assert_eq!((marker.version.as_str(), marker.pid), ("0.1.0", 12));
        assert_eq!((marker.is_alive(), marker.kept), (None, false));
        let ours = Marker::new("a", true);
        let text: String = ours
            .attributes()
            .iter()
            .map(|(name, value)| format!(" {name}='{value}'"))
            .collect();
        let read = Marker::parse(&format!("<build{text}/>")).unwrap();
        assert_eq!(read, ours);
        assert_eq!(read.is_alive(), Some(true));
        assert!(Marker::parse("<ozr:build xmlns:ozr='x' id='1'/>").is_ok());
        assert!(Marker::parse("<other/>").is_err());
        assert!(Marker::parse("<build id='").is_err());
    }
}

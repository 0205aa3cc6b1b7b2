//! The mark that says which domains are ours: only those are ever removed as leftovers.

use anyhow::Context;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::network::attribute;

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
    /// Its process. Says nothing once that process is gone: numbers are used again.
    pub pid: u32,
}

impl Marker {
    /// The mark for guests of this process.
    pub(super) fn new(build_id: &str) -> Self {
        Marker {
            build_id: build_id.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        }
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
        assert!(Marker::parse("<ozr:build xmlns:ozr='x' id='1'/>").is_ok());
        assert!(Marker::parse("<other/>").is_err());
        assert!(Marker::parse("<build id='").is_err());
    }
}

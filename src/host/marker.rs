//! The mark that says which domains are ours, and which process made them: only those of the dead are
//! ever removed as leftovers.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The XML namespace of our metadata. libvirt asks for one URI for each application; nothing is
/// fetched from it. A name below `.invalid` can never belong to somebody else (RFC 2606). The
/// number changes when the meaning of the element does.
pub(super) const NAMESPACE: &str = "https://ozr.invalid/domain/1";
/// The element's local name.
pub(super) const ELEMENT: &str = "build";

/// What the mark on a domain says: the attributes of the element that libvirt returns for
/// `NAMESPACE`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Marker {
    /// Which build started the guest.
    #[serde(rename = "@id")]
    pub build_id: String,
    /// The version of ozr that did.
    #[serde(rename = "@version", default)]
    pub version: String,
    /// Its process, for people. Says nothing once that process is gone: numbers are used again.
    #[serde(rename = "@pid", default)]
    pub pid: u32,
    /// Its process, for programs: an `Origin`; none if it could not tell.
    #[serde(rename = "@process")]
    pub origin: Option<String>,
    /// Whether the guest was to stay after a failure.
    #[serde(rename = "@kept", default)]
    pub kept: bool,
}

impl Marker {
    /// The mark for guests of this process.
    pub(super) fn new(build_id: &str, kept: bool) -> Self {
        Marker {
            build_id: build_id.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            origin: Origin::ours().map(|origin| origin.to_string()),
            kept,
        }
    }

    /// Whether the process that made it lives; none if that cannot be known here.
    pub fn is_alive(&self) -> Option<bool> {
        self.origin.as_ref()?.parse::<Origin>().ok()?.is_alive()
    }

    /// The element's attributes.
    pub(super) fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            ("id", self.build_id.clone()),
            ("version", self.version.clone()),
            ("pid", self.pid.to_string()),
        ];
        attributes.extend(self.origin.clone().map(|origin| ("process", origin)));
        if self.kept {
            attributes.push(("kept", true.to_string()));
        }
        attributes
    }
}

/// A process of this or another host, told apart from every other that had or will have its number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    /// The kernel's id of the host's current run (random(4)).
    boot: String,
    /// The namespace in which the number counts (namespaces(7)): containers have their own.
    namespace: String,
    /// Its number.
    pid: u32,
    /// When it began, in the kernel's ticks since boot: numbers are used again, never at the same
    /// time.
    started: u64,
}

impl Origin {
    /// This process; none where `/proc` does not tell.
    fn ours() -> Option<Origin> {
        let pid = std::process::id();
        Some(Origin {
            boot: boot()?,
            namespace: namespace()?,
            pid,
            started: living_since(pid)?,
        })
    }

    /// Whether the process lives; none if that cannot be known here: it belongs to another host,
    /// an earlier run of this one, or another container.
    fn is_alive(&self) -> Option<bool> {
        if boot()? != self.boot || namespace()? != self.namespace {
            return None;
        }
        Some(living_since(self.pid) == Some(self.started))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin {
            boot,
            namespace,
            pid,
            started,
        } = self;
        write!(f, "{boot}/{namespace}/{pid}/{started}")
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or(());
        let origin = Origin {
            boot: next()?.to_owned(),
            namespace: next()?.to_owned(),
            pid: next()?.parse().map_err(drop)?,
            started: next()?.parse().map_err(drop)?,
        };
        match parts.next() {
            None => Ok(origin),
            Some(_) => Err(()),
        }
    }
}

fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// `pid:[4026531836]`, of which the number counts.
fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let digits = |c: char| !c.is_ascii_digit();
    Some(link.to_str()?.trim_matches(digits).to_owned())
}

/// When a process began, if it is one and still runs (proc_pid_stat(5): field 22, and field 3 is Z
/// or X when it has ended).
fn living_since(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Result<Marker, quick_xml::DeError> {
        quick_xml::de::from_str(xml)
    }

    #[test]
    fn marks_are_read() {
        let marker = parse("<build id='a&lt;b' version='0.1.0' pid='12'/>").unwrap();
        assert_eq!(marker.build_id, "a<b");
        assert_eq!((marker.version.as_str(), marker.pid), ("0.1.0", 12));
        assert_eq!((marker.is_alive(), marker.kept), (None, false));
        let ours = Marker::new("a", true);
        let text: String = ours
            .attributes()
            .iter()
            .map(|(name, value)| format!(" {name}='{value}'"))
            .collect();
        let read = parse(&format!("<build{text}/>")).unwrap();
        assert_eq!(read, ours);
        assert_eq!(read.is_alive(), Some(true));
        assert!(parse("<ozr:build xmlns:ozr='x' id='1'/>").is_ok());
        assert!(parse("<other/>").is_err());
        assert!(parse("<build id='").is_err());
    }

    #[test]
    fn the_living_the_dead_and_strangers() {
        let ours = Origin::ours().unwrap();
        assert_eq!(ours.to_string().parse(), Ok(ours.clone()));
        assert_eq!(ours.is_alive(), Some(true));
        // Our number, but of a process that had it before us.
        let earlier = Origin {
            started: ours.started - 1,
            ..ours.clone()
        };
        assert_eq!(earlier.is_alive(), Some(false));
        let elsewhere = Origin {
            boot: "another".to_owned(),
            ..ours.clone()
        };
        assert_eq!(elsewhere.is_alive(), None);
        let contained = Origin {
            namespace: "1".to_owned(),
            ..ours
        };
        assert_eq!(contained.is_alive(), None);
        for wrong in ["", "a/b/c", "a/b/1/x", "a/b/1/2/3", "/b/1/2"] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_has_ended_is_dead_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let pid = child.id();
        assert!(living_since(pid).is_some());
        child.kill().unwrap();
        // Not reaped: `wait` comes later.
        while living_since(pid).is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(living_since(pid), None);
    }
}

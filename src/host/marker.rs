//! The mark that says which domains are ours, and which process made them: only those of the dead are
//! ever removed as leftovers.

use serde::Deserialize;

use crate::state::boot_id;

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
    /// Its process, for programs: its `origin`; none if it could not tell.
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
            origin: origin(std::process::id()),
            kept,
        }
    }

    /// Whether the process that made it lives; none if that cannot be known here: it belongs to
    /// another host, an earlier run of this one, or another container.
    pub fn is_alive(&self) -> Option<bool> {
        let (process, started) = self.origin.as_ref()?.rsplit_once('/')?;
        let (there, pid) = process.rsplit_once('/')?;
        let (pid, started): (u32, u64) = (pid.parse().ok()?, started.parse().ok()?);
        (place()? == there).then(|| living_since(pid) == Some(started))
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

/// A process of this host, told apart from every other that had or will have its number, here or
/// elsewhere: where the number counts, the number, and when it began, in the kernel's ticks since
/// boot. None where `/proc` does not tell.
fn origin(pid: u32) -> Option<String> {
    Some(format!("{}/{pid}/{}", place()?, living_since(pid)?))
}

/// Where numbers of processes count: in this run of the kernel (random(4)), and in this namespace
/// (namespaces(7)), for containers have their own.
fn place() -> Option<String> {
    Some(format!("{}/{}", boot_id()?, namespace()?))
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
        let alive = |origin: &str| {
            let marker = Marker {
                origin: Some(origin.to_owned()),
                ..Marker::new("a", false)
            };
            marker.is_alive()
        };
        let ours = origin(std::process::id()).unwrap();
        assert_eq!(alive(&ours), Some(true));
        let [boot, namespace, pid, started]: [&str; 4] =
            ours.split('/').collect::<Vec<_>>().try_into().unwrap();
        // Our number, but of a process that had it before us.
        let earlier = started.parse::<u64>().unwrap() - 1;
        assert_eq!(
            alive(&format!("{boot}/{namespace}/{pid}/{earlier}")),
            Some(false)
        );
        assert_eq!(alive(&format!("another/{namespace}/{pid}/{started}")), None);
        assert_eq!(alive(&format!("{boot}/1/{pid}/{started}")), None);
        for wrong in ["", "a/b/c", "a/b/1/x", "a/b/1/2/3", "/b/1/2"] {
            assert_eq!(alive(wrong), None, "{wrong}");
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

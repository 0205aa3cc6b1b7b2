//! Which process something comes from: told apart from every other that had or will have its
//! number.

use std::fmt;
use std::str::FromStr;

/// A process of this or another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
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
    pub fn ours() -> Option<Origin> {
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
    pub fn is_alive(&self) -> Option<bool> {
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

//! What the [judge](super::judge) is told.

use std::time::Duration;

use serde::Serialize;

use super::logport::Record;
use super::verdict::Section;
use crate::kickstart::outline::SectionKind;
use crate::kickstart::scan::scan_all;
use crate::options::{Deliver, Until};

/// What a good install shows, and what helps to explain a bad one.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// Whether the kickstart prints the completion mark. A kickstart served untouched does not;
    /// then the last phase must have been reached.
    pub mark: bool,
    /// How the kickstart gets to the guest: our server sees it fetched, or the installer's own signs
    /// must do. None where only a text is there to be read.
    pub delivery: Option<Deliver>,
    /// The script sections of the kickstart as it is served, so that one of them can be named.
    pub sections: Vec<Section>,
    /// How far the install is followed, where that is not to its end.
    pub until: Option<Until>,
    /// Where the packages come from, for a verdict about them; without credentials.
    pub repositories: Vec<String>,
}

impl Expectations {
    /// Of an install of which nothing else is known.
    pub fn new(mark: bool, delivery: Option<Deliver>) -> Self {
        Expectations {
            mark,
            delivery,
            ..Expectations::default()
        }
    }

    /// Adds what is known from a kickstart: the script sections of `served` that the installer
    /// runs, and the package sources that it names. What ozr adds stands behind `author`'s text,
    /// so that the author's lines keep their numbers.
    pub fn read_kickstart(&mut self, served: &str, author: &str) {
        let lines = author.split_inclusive('\n').count() as u64;
        let (outline, _) = scan_all(served, "served");
        for section in outline.sections() {
            use SectionKind::{Post, Pre, PreInstall};
            if matches!(section.kind, Pre | PreInstall | Post) {
                let text = served.get(section.span.clone()).unwrap_or_default();
                self.sections.push(Section {
                    header: text.lines().next().unwrap_or_default().trim().to_owned(),
                    line: section.line as u64,
                    added: section.line as u64 > lines,
                });
            }
        }
        // By the names that the author knows.
        let (outline, _) = scan_all(author, "author");
        for command in outline.commands() {
            if matches!(command.name(), "url" | "repo") {
                let options = ["url", "baseurl", "mirrorlist", "metalink"];
                let address = options.iter().find_map(|option| command.option(option));
                self.repositories.extend(address.map(str::to_owned));
            }
        }
    }
}

/// How the guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The guest shut itself down (libvirt: `SHUTDOWN` from the guest).
    ByGuest,
    /// It is gone, and who ended it is not known (a reset with `on_reboot=destroy`, for one).
    Gone,
    /// Somebody else destroyed it.
    Killed,
    /// QEMU died.
    Crashed,
    /// QEMU stopped it: the host's file system below the disk is full. It still exists.
    HostDiskFull,
    /// QEMU stopped it: the disk's file cannot be read or written. It still exists.
    HostDiskError,
    /// The connection to libvirt is lost. It may still run.
    ConnectionLost,
}

/// Something that was witnessed.
#[derive(Debug, Clone, Copy)]
pub enum Witness<'a> {
    /// A line of the console.
    Console(&'a str),
    /// The completion mark came on the console.
    Mark,
    /// A record of the log port.
    Log(&'a Record),
    /// An installer whose state was loaded has taken the kickstart.
    Resumed,
    /// Our server handed the kickstart to the guest, whole.
    KickstartFetched,
    /// Our server refused something, could not get it, or could not hand over all of it. One
    /// line: what was asked for (`kickstart`, or `NAME/PATH` of a relay), a colon, how it went.
    Refused(&'a str),
    /// The guest's disk and network counters: bytes written to its disks and received by its
    /// interfaces, since it was started. That they grow is progress, too.
    Counters {
        /// Bytes written.
        written: u64,
        /// Bytes received.
        received: u64,
    },
    /// What the hypervisor says of the guest's end, which is to follow.
    LastWords(&'a str),
    /// The guest ended.
    Ended(End),
    /// The time limit, which is given, was reached.
    TimedOut(Duration),
    /// Somebody wants to stop: the name of the signal.
    Interrupted(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kickstart::scan::BYTE_ORDER_MARK;

    #[test]
    fn a_kickstart_names_its_scripts_and_its_sources() {
        let author = "text\nurl --url=http://192.0.2.1/os\nrepo --name a --mirrorlist=http://192.0.2.1/m\n\
                      %packages\na\n%end\n%post --erroronfail  # mine\nfalse\n%end\n";
        let served = format!(
            "{author}# added\nrepo --name=b --baseurl=http://x/\n%post --nochroot\ntrue\n%end\n"
        );
        let mut expectations = Expectations::new(true, Some(Deliver::Http));
        expectations.read_kickstart(&served, &format!("{BYTE_ORDER_MARK}{author}"));
        let sections = expectations.sections.iter();
        let shown: Vec<_> = sections.map(|s| (&*s.header, s.line, s.added)).collect();
        let mine = ("%post --erroronfail  # mine", 7, false);
        assert_eq!(shown, [mine, ("%post --nochroot", 12, true)]);
        assert_eq!(
            expectations.repositories,
            ["http://192.0.2.1/os", "http://192.0.2.1/m"]
        );
    }
}

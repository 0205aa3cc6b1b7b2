//! What a kickstart, a template or an option asks for, and an installer that waits for its kickstart is too late for.
//! Pure.

use crate::host::{Connection, LATE_DISKS};
use crate::install::plan::Plan;
use crate::kickstart::outline::{Outline, SectionKind};
use crate::machine::{DiskBus, Network};

/// Commands that the initramfs or anaconda's start obey, before any kickstart can be handed over
/// (anaconda 34.25: dracut/parse-kickstart, anaconda.py).
const COMMANDS: [&str; 5] = ["updates", "driverdisk", "mediacheck", "sshpw", "rescue"];

/// Words of a template's kernelparam that say where the kickstart or the installer is.
const SOURCES: [&str; 4] = ["inst.ks", "inst.repo", "inst.stage2", "inst.dd"];

/// Why the installer of this plan is booted, and no state is loaded: one clause; none where one can be.
pub(super) fn reason(plan: &Plan, connection: &Connection) -> Option<String> {
    of_kickstart(&plan.answers.name, plan.answers.outline())
        .or_else(|| of_template(plan))
        .or_else(|| of_guest(plan, connection).map(str::to_owned))
}

/// What the author wrote, with its line.
pub(super) fn of_kickstart(name: &str, outline: &Outline) -> Option<String> {
    let commands = outline
        .commands()
        .filter(|command| COMMANDS.contains(&command.name()));
    let commands = commands.map(|command| (command.line, format!("`{}`", command.name())));
    let sections = outline.sections();
    let sections = sections.filter(|section| section.kind == SectionKind::Certificate);
    let sections = sections.map(|section| (section.line, "`%certificate`".to_owned()));
    let (line, what) = commands.chain(sections).min()?;
    Some(format!(
        "{name}:{line}: {what} is for the installer's start, which lies behind a saved one"
    ))
}

fn of_template(plan: &Plan) -> Option<String> {
    if !plan.isos.is_empty() {
        return Some("the installer comes from an ISO image".to_owned());
    }
    if !plan.release.can_wait_for_answers() {
        return Some(format!(
            "the installer of {} cannot be handed a kickstart",
            plan.release
        ));
    }
    let words = plan.template.os.kernelparam.as_deref().unwrap_or_default();
    let word = words.split_whitespace().find(|word| {
        let name = word.split('=').next().unwrap_or_default();
        // An address may hold a password, which no state may.
        SOURCES.contains(&name) || word.contains("://") || word.contains("pass")
    })?;
    let name = word.split('=').next().unwrap_or_default();
    Some(format!(
        "the template's kernelparam has `{name}`, which a saved installer may not have"
    ))
}

fn of_guest(plan: &Plan, connection: &Connection) -> Option<&'static str> {
    let guest = &plan.guest;
    let networks = guest.more_nics.iter().map(|nic| &nic.network);
    let networks: Vec<&Network> = networks.chain([&guest.network]).collect();
    if *connection != Connection::Embedded {
        Some("a saved installer is loaded by the default connection only")
    } else if networks.iter().any(|network| **network != Network::User) {
        Some("a saved installer has user networking only")
    } else if guest.board.tpm {
        Some("a TPM's state is not saved")
    } else if matches!(guest.disk_bus, DiskBus::Ide | DiskBus::Sata) {
        Some("disks cannot be plugged into an IDE or SATA bus while the guest runs")
    } else if guest.disks.len() > LATE_DISKS {
        Some("a saved installer has no room for so many disks")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kickstart::scan;

    #[test]
    fn the_first_line_that_comes_too_late_is_named() {
        let reason = |text: &str| of_kickstart("a.ks", &scan::scan_all(text, "a.ks").0);
        assert_eq!(reason("text\n%packages\nupdates\n%end\n"), None);
        for (text, names) in [
            (
                "text\nupdates\nsshpw --username=root x\n",
                "a.ks:2: `updates`",
            ),
            ("driverdisk vdb1\n", "a.ks:1: `driverdisk`"),
            ("mediacheck\n", "`mediacheck`"),
            (
                "text\n%certificate --filename=a.pem\nx\n%end\n",
                "a.ks:2: `%certificate`",
            ),
        ] {
            let why = reason(text).unwrap();
            assert!(why.starts_with(names) || why.contains(names), "{why}");
        }
    }
}

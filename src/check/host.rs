//! What this host lacks for a build, as findings: rules KS301 to KS306.
//!
//! `ozr doctor` looks at the host; here its words get ids, so that `ozr check --host` can say them
//! in every format.

use super::rules::Rule;
use crate::diagnostic::{Diagnostic, Severity};

/// What findings name in place of a file.
const NAME: &str = "this host";

/// The rules.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS301",
        title: "no hypervisor",
        explanation: "\
QEMU, qemu-img or libvirt is missing or cannot be used, so no guest can be started here. `ozr \
install` would end with exit status 3.

Install what the message names (`scripts/install-deps` of ozr's source installs all of it), or name \
another connection with --connect.",
    },
    Rule {
        id: "KS302",
        title: "no KVM",
        explanation: "\
The CPU or the kernel offers no virtualisation, so guests run in software emulation: an install of \
ten minutes takes an hour or more, and limits of time must follow.

Turn virtualisation on in the firmware, load the module kvm_intel or kvm_amd, allow nested \
virtualisation where this host is a guest itself, or give the user access to /dev/kvm.",
    },
    Rule {
        id: "KS303",
        title: "no UEFI firmware",
        explanation: "\
No EDK II firmware without Secure Boot was found, so a guest with --firmware uefi cannot start. \
Guests with BIOS are not concerned.

Install ovmf (Debian) or edk2-ovmf (Fedora, RHEL).",
    },
    Rule {
        id: "KS304",
        title: "no network for guests",
        explanation: "\
The network that guests are to be on does not exist or is not running, so the installer could fetch \
nothing, the kickstart included.

Start it (`virsh net-start NAME`), name another one with --network, or use --network user, which \
needs no preparation.",
    },
    Rule {
        id: "KS305",
        title: "little room on the disk",
        explanation: "\
The image is written where --output-dir says. A system of some hundred packages takes two to four \
GiB, and once more while it is compressed or converted; a full disk stops the guest in the middle \
of the install.

Free some, or write elsewhere with --output-dir.",
    },
    Rule {
        id: "KS306",
        title: "little memory",
        explanation: "\
The guest gets its memory from this host. With less available than it is to have the host swaps, \
and the kernel may kill the guest when memory runs out.

Give the guest less with --memory (the installer needs 2 to 3 GiB for a network install), or end \
something else.",
    },
];

/// A finding of `ozr doctor` with its id. `what` is the name that the doctor gives its look.
pub fn finding(severity: Severity, what: &str, text: &str) -> Diagnostic {
    let id = match what {
        "kvm" => "KS302",
        "uefi" => "KS303",
        "network" => "KS304",
        "disk" => "KS305",
        "memory" => "KS306",
        _ => "KS301",
    };
    let (message, help) = match text.split_once(": ") {
        Some((message, help)) if id != "KS302" => (message, Some(help)),
        _ => (text, None),
    };
    let finding = Diagnostic::of_file(severity, NAME, format!("{what}: {message}")).id(id);
    match help {
        Some(help) => finding.help(help),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctors_words_get_ids() {
        for (what, id) in [
            ("qemu", "KS301"),
            ("libvirt", "KS301"),
            ("kvm", "KS302"),
            ("memory", "KS306"),
        ] {
            let finding = finding(Severity::Warning, what, "not here: install it");
            assert_eq!(finding.id, Some(id));
            assert!(RULES.iter().any(|rule| rule.id == id));
            assert!(finding.to_string().contains("not here"), "{finding}");
        }
    }
}

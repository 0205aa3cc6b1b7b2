//! What this host lacks for a build, as findings: rules KS301 to KS306.
//!
//! `ozr doctor` looks at the host; here its words get ids, so that `ozr check --host` can say them
//! in every format.

use crate::diagnostic::{Diagnostic, Severity};

/// What findings name in place of a file.
const NAME: &str = "this host";

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
            assert!(finding.to_string().contains("not here"), "{finding}");
        }
    }
}

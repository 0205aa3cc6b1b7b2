//! What `--keep` has left, and how to reach and to remove it.

use std::path::Path;

use super::place::Place;
use super::plan::Plan;
use crate::host::{self, Guest, Host};

/// What the user is told: one sentence each. `guest` still runs.
pub fn notes(
    plan: &Plan,
    place: &Place,
    host: &Host,
    guest: Option<&std::sync::Arc<Guest>>,
) -> Vec<String> {
    let files = quoted(place.work.path());
    let removal = "`ozr gc --kept` removes it all".to_owned();
    let Some(guest) = guest else {
        return vec![format!("the guest's files were left in {files}"), removal];
    };
    let name = host::domain_name(&plan.name);
    let virsh = format!("virsh -c '{}'", host.uri());
    let sockets = guest.sockets();
    let console = match &sockets.console {
        // `virsh console` of libvirt 9.0 knows pseudo terminals only.
        Some(socket) => format!("socat -,rawer,escape=0x1d UNIX-CONNECT:{}", quoted(socket)),
        None => format!("{virsh} console {name}"),
    };
    let screen = match &sockets.screen {
        Some(socket) => format!("vncviewer {}", quoted(socket)),
        None => format!("virt-viewer -c '{}' {name}", host.uri()),
    };
    vec![
        format!("the guest was left running; its files are in {files}"),
        format!("its console: `{console}` (Ctrl-] ends it)"),
        format!("its screen: `{screen}`, or as a picture `{virsh} screenshot {name}`"),
        removal,
    ]
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_fit_for_a_shell() {
        assert_eq!(quoted(Path::new("/a/b.ozr")), "/a/b.ozr");
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}

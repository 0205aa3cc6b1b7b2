//! How the installer shows itself, and how it ends: `text`, `cmdline`, `graphical`, `vnc`, `rdp`, `reboot` and the like.

use super::Rule;

/// The rules of the commands here.
pub fn of(_command: &str) -> Option<&'static [Rule]> {
    None
}

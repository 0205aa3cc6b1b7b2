//! The system: `firewall`, `services`, `selinux`, `realm`, `rhsm` and the like.

use super::Rule;

/// The rules of the commands here.
pub fn of(_command: &str) -> Option<&'static [Rule]> {
    None
}

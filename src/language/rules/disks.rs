//! Which disks, and what is wiped: `clearpart`, `ignoredisk`, `zerombr`.

use super::Rule;

/// The rules of the commands here.
pub fn of(_command: &str) -> Option<&'static [Rule]> {
    None
}

//! Where the system comes from: `url`, `repo`, `nfs`, `harddrive`, `liveimg`, `ostreesetup` and the like.

use super::Rule;

/// The rules of the commands here.
pub fn of(_command: &str) -> Option<&'static [Rule]> {
    None
}

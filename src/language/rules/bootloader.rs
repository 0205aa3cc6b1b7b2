//! The boot loader: `bootloader`, `zipl`.

use super::Rule;

/// The rules of the commands here.
pub fn of(_command: &str) -> Option<&'static [Rule]> {
    None
}

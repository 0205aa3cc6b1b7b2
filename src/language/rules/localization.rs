//! Language, keyboard, time: `lang`, `keyboard`, `timezone`, `timesource`.

use super::Rule;

/// The rules of the commands here.
pub fn of(_command: &str) -> Option<&'static [Rule]> {
    None
}

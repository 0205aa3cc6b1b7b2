//! Disks of storage networks and other special disks: `iscsi`, `fcoe`, `zfcp`, `nvdimm`, `dmraid`, `multipath`, `device`.

use super::Rule;

/// The rules of the commands here.
pub fn of(_command: &str) -> Option<&'static [Rule]> {
    None
}

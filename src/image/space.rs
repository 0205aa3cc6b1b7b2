//! Room on a file system.

use std::path::Path;

use anyhow::{Context, Result};

use crate::error::{Kind, failure};

/// The room, in bytes, that an ordinary user has on the file system of `directory`.
///
/// # Errors
///
/// If the directory cannot be reached.
pub fn available(directory: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(directory)
        .with_context(|| format!("asking for free space in {}", directory.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Makes sure that there is room for `needed` bytes.
///
/// # Errors
///
/// Of kind [`Kind::Host`], if there is not.
pub fn ensure(directory: &Path, needed: u64, purpose: &str) -> Result<()> {
    let available = available(directory)?;
    if available >= needed {
        return Ok(());
    }
    Err(failure(
        Kind::Host,
        format!(
            "only {} are free in {}, and {purpose} needs about {}; free some space or choose \
             another place with `--output-dir`",
            human(available),
            directory.display(),
            human(needed)
        ),
    ))
}

/// A size for people, in binary units.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(1536), "1.5 KiB");
        assert_eq!(human(10 << 30), "10.0 GiB");
        assert_eq!(human(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn too_little_room_is_the_hosts_fault() {
        let here = std::env::temp_dir();
        ensure(&here, 0, "nothing").unwrap();
        let error = ensure(&here, u64::MAX, "everything").unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Host));
        assert!(
            error
                .to_string()
                .contains("everything needs about 16.0 EiB")
        );
    }
}

//! Small text files of a system.

use std::path::Path;

use anyhow::Result;

use crate::disk::system::System;

/// Most bytes of a file that is read as text here.
const MOST_BYTES: u64 = 4 << 20;

/// A file's text; none if there is no such file.
pub fn read(system: &mut System, path: &str) -> Result<Option<String>> {
    let path = Path::new(path);
    if system.find_file(path)?.is_none() {
        return Ok(None);
    }
    let content = system.read(path, MOST_BYTES)?;
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}

/// The value of `KEY=value` in a text, as shells have it: the last one counts, quotes are taken away.
pub fn value(text: &str, key: &str) -> Option<String> {
    let mut lines = text.lines().rev();
    let value = lines.find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(inner.replace("\\\"", "\"").replace("\\$", "$"))
    });
    Some(quoted.unwrap_or_else(|| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_a_shell_would() {
        let text = "# ID=no\nID=\"rocky\"\nIDX=no\n ID='rocky linux' \nEMPTY=\n";
        assert_eq!(value(text, "ID").as_deref(), Some("rocky linux"));
        assert_eq!(value(text, "EMPTY").as_deref(), Some(""));
        assert_eq!(value(text, "NAME"), None);
    }
}

//! Names that become file names: the image, the guest, what lies beside them.

/// Longest name, in bytes. File systems take 255; `.manifest.json`, and the suffixes of temporary
/// files beside it, take the rest.
pub const MAX_NAME_BYTES: usize = 200;

/// What is allowed, for the help of findings.
pub const HELP: &str = "a name is 1 to 200 bytes without `/` and control characters; it names the \
                        guest and the files in the output directory";

/// Whether `name` can be the name of a guest and of the files of its image, for templates and for
/// `--name` alike.
///
/// # Errors
/// One sentence that names the cause; [`HELP`] says what is allowed.
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_string());
    }
    if name == "." || name == ".." {
        return Err(format!("the name `{name}` is a directory, not a file"));
    }
    if name.contains('/') {
        return Err("the name holds a `/` and would leave the output directory".to_string());
    }
    if let Some(bad) = name.chars().find(|&c| c.is_control()) {
        return Err(format!(
            "the name holds a control character (U+{:04X})",
            bad as u32
        ));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!(
            "the name is {} bytes long, more than {MAX_NAME_BYTES}",
            name.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_output_directory() {
        for name in [
            "a",
            "rocky-9",
            "My image",
            "..a",
            ".a",
            "ä",
            &"x".repeat(200),
            "a\\b",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (name, part) in [
            ("", "empty"),
            (".", "directory"),
            ("..", "directory"),
            ("../../x", "/"),
            ("/x", "/"),
            ("a/b", "/"),
            ("a\nb", "U+000A"),
            ("a\u{9b}b", "U+009B"),
            (&"x".repeat(201), "201 bytes"),
            (&"ä".repeat(101), "202 bytes"),
        ] {
            let message = check(name).unwrap_err();
            assert!(message.contains(part), "{name:?}: {message}");
        }
    }
}

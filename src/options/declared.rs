//! Checks that are declared of an image: what must be true of a machine that was booted from it. They stand as
//! `[[check]]` in a file of checks, and as `[[boot-test.check]]` in the configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Source};
use crate::error::{Classify, Kind};
use crate::input;

/// What the names of files with checks end in: `web.checks.toml` stands beside `web.tdl` or `web.ks`.
pub const ENDING: &str = "checks.toml";

/// Largest file of checks, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Most checks; each may take seconds.
const MOST_CHECKS: usize = 256;

/// Longest command, in bytes: quoted, it must fit into a line that a terminal takes (4095 bytes; Linux,
/// `N_TTY_BUF_SIZE`).
const LONGEST_COMMAND: usize = 800;

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Check {
    /// What it is called in reports.
    pub name: String,
    /// What must be true.
    pub what: What,
}

/// What must be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A unit of systemd's is active.
    Unit(String),
    /// A command ends with this status.
    Command(String, u8),
    /// Somebody listens on this TCP port, not on the loopback device alone.
    Port(u16),
    /// A file on the disk has this SHA-256, in hexadecimal.
    File(PathBuf, String),
}

impl What {
    /// Whether only the running guest can tell.
    pub fn is_inside(&self) -> bool {
        !matches!(self, What::File(..))
    }
}

/// A check as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    name: Option<String>,
    unit: Option<String>,
    command: Option<String>,
    status: Option<u8>,
    port: Option<u16>,
    file: Option<PathBuf>,
    sha256: Option<String>,
}

impl TryFrom<Written> for Check {
    type Error = String;

    fn try_from(written: Written) -> Result<Check, String> {
        const ONE: &str = "a check has one of unit, command, port and file";
        if written.status.is_some() && written.command.is_none() {
            return Err("status belongs to a command".to_owned());
        }
        if written.sha256.is_some() && written.file.is_none() {
            return Err("sha256 belongs to a file".to_owned());
        }
        let what = match (written.unit, written.command, written.port, written.file) {
            (Some(unit), None, None, None) => What::Unit(unit_of(unit)?),
            (None, Some(command), None, None) => {
                What::Command(command_of(command)?, written.status.unwrap_or(0))
            }
            (None, None, Some(0), None) => return Err("there is no port 0".to_owned()),
            (None, None, Some(port), None) => What::Port(port),
            (None, None, None, Some(file)) => {
                let sha256 = written.sha256.unwrap_or_default().to_ascii_lowercase();
                if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(
                        "a file needs its sha256: 64 hexadecimal digits, as `sha256sum` gives them"
                            .to_owned(),
                    );
                }
                if let Some(problem) = input::path_problem(&file.to_string_lossy()) {
                    return Err(problem.to_owned());
                }
                What::File(file, sha256)
            }
            _ => return Err(ONE.to_owned()),
        };
        let name = written.name.unwrap_or_else(|| match &what {
            What::Unit(unit) => format!("{unit} is active"),
            What::Command(command, 0) => format!("`{command}` succeeds"),
            What::Command(command, status) => format!("`{command}` ends with status {status}"),
            What::Port(port) => format!("port {port} is open"),
            What::File(file, _) => format!("{} is as declared", file.display()),
        });
        if name.is_empty() || name.contains(char::is_control) {
            return Err("a name is a line of text".to_owned());
        }
        Ok(Check { name, what })
    }
}

/// The whole name of a unit: a service where it does not say of which kind it is.
fn unit_of(unit: String) -> Result<String, String> {
    // systemd.unit(5).
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if unit.is_empty() || unit.starts_with('-') || !unit.chars().all(is_of_a_name) {
        return Err(format!("{unit:?} is no name of a unit"));
    }
    Ok(match unit.contains('.') {
        true => unit,
        false => format!("{unit}.service"),
    })
}

fn command_of(command: String) -> Result<String, String> {
    if command.trim().is_empty() || command.contains(char::is_control) {
        return Err("a command is one line for a shell".to_owned());
    }
    if command.len() > LONGEST_COMMAND {
        return Err(format!(
            "a command has at most {LONGEST_COMMAND} bytes: put what it does into a script of the image"
        ));
    }
    Ok(command)
}

/// A file of checks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    #[serde(default)]
    check: Vec<Check>,
}

/// Reads a file of checks.
///
/// # Errors
/// Input: it cannot be read; a wrong check, with its place.
pub fn read(path: &Path) -> anyhow::Result<Vec<Check>> {
    let reading = || -> anyhow::Result<Vec<Check>> {
        let bytes = input::read_bounded(path, MOST_BYTES)?;
        Ok(parse(
            &String::from_utf8(bytes)?,
            &path.display().to_string(),
        )?)
    };
    use anyhow::Context;
    reading()
        .with_context(|| format!("reading the checks {}", path.display()))
        .kind(Kind::Input)
}

/// Parses a file of checks.
///
/// # Errors
/// The first that is wrong, with its place.
pub fn parse(text: &str, name: &str) -> Result<Vec<Check>, Diagnostic> {
    let source = Source { name, text };
    let checks: Checks = toml::from_str(text).map_err(|error| {
        let at = error.span().unwrap_or(0..0);
        Diagnostic::error(source, at, error.message().trim_end())
            .help("a check is `[[check]]` and below it unit, command (and status), port, or file and sha256")
    })?;
    if checks.check.len() > MOST_CHECKS {
        let message = format!("there are more than {MOST_CHECKS} checks");
        return Err(Diagnostic::error(source, 0..0, message));
    }
    Ok(checks.check)
}

/// Where the checks of a template or kickstart are, if there are any: `web.checks.toml` beside `web.ks`.
pub fn beside(file: &Path) -> Option<PathBuf> {
    let checks = file.with_extension(ENDING);
    checks.is_file().then_some(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read() {
        let digest = "a".repeat(64);
        let text = format!(
            "[[check]]\nunit = \"sshd\"\n\
             [[check]]\nunit = \"a.socket\"\nname = \"a socket\"\n\
             [[check]]\ncommand = \"getenforce | grep -q Enforcing\"\n\
             [[check]]\ncommand = \"false\"\nstatus = 1\n\
             [[check]]\nport = 22\n\
             [[check]]\nfile = \"/etc/motd\"\nsha256 = \"{}\"\n",
            digest.to_uppercase()
        );
        let checks = parse(&text, "c").unwrap();
        let what: Vec<&What> = checks.iter().map(|check| &check.what).collect();
        assert_eq!(
            what,
            [
                &What::Unit("sshd.service".to_owned()),
                &What::Unit("a.socket".to_owned()),
                &What::Command("getenforce | grep -q Enforcing".to_owned(), 0),
                &What::Command("false".to_owned(), 1),
                &What::Port(22),
                &What::File("/etc/motd".into(), digest),
            ]
        );
        assert_eq!(checks[0].name, "sshd.service is active");
        assert_eq!(checks[1].name, "a socket");
        assert_eq!(parse("", "c").unwrap(), []);
    }

    #[test]
    fn what_is_no_check_is_named_with_its_place() {
        let long = format!("command = \"{}\"", "x".repeat(801));
        for (wrong, says) in [
            (
                "unit = \"a\"\nport = 1",
                "one of unit, command, port and file",
            ),
            ("name = \"a\"", "one of unit, command, port and file"),
            ("unit = \"a b\"", "no name of a unit"),
            ("unit = \"-a\"", "no name of a unit"),
            ("command = \"a\\nb\"", "one line"),
            (&long, "at most 800"),
            ("port = 0", "no port 0"),
            ("port = 65536", "65536"),
            ("file = \"/a\"", "needs its sha256"),
            ("file = \"a\"\nsha256 = \"x\"", "needs its sha256"),
            ("unit = \"a\"\nstatus = 1", "belongs to a command"),
            ("uint = \"a\"", "unknown field `uint`"),
        ] {
            let text = format!("\n[[check]]\n{wrong}\n");
            let finding = parse(&text, "web.checks.toml").unwrap_err();
            assert!(finding.to_string().contains(says), "{wrong}: {finding}");
            assert!(finding.line >= 2, "{wrong}: {finding}");
        }
    }
}

//! Where a secret comes from that stands neither on a command line nor in a configuration file.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{TypedValueParser, ValueParserFactory};
use serde::Deserialize;

use crate::error::{Kind, failed};
use crate::input;
use crate::process;
use crate::secrets::{SHORTEST_PASSWORD, Secret};
use crate::terminal;

/// The longest passphrase in bytes: what cryptsetup takes from a terminal (cryptsetup 2.6,
/// `DEFAULT_PASSPHRASE_SIZE_MAX`).
const LONGEST: usize = 512;

/// How long a command may take that gives a secret: it asks a server, or an agent that asks a person.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// `file:PATH`, `env:NAME` or `prompt`; in a file also a command, as a list of its words
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum SecretSource {
    /// The first line of a file or pipe
    File(PathBuf),
    /// A variable of the environment
    Env(String),
    /// Whoever sits at the terminal
    Prompt,
    /// What a program writes to its standard output
    Command(Vec<String>),
}

/// A source as a file has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Command(Vec<String>),
}

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It opens what is there.
    Known,
    /// It is to be one: what is typed wrong would be found out too late.
    New,
}

impl FromStr for SecretSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Not repeated in messages: people write the secret itself.
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(SecretSource::File(path.into())),
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(SecretSource::Env(name.to_owned()))
            }
            Some(("prompt", "")) => Ok(SecretSource::Prompt),
            None if text == "prompt" => Ok(SecretSource::Prompt),
            _ => Err(
                "write where the secret is, and not the secret: file:PATH, env:NAME of a variable, or prompt"
                    .to_owned(),
            ),
        }
    }
}

impl ValueParserFactory for SecretSource {
    type Parser = OnCommandLine;

    fn value_parser() -> OnCommandLine {
        OnCommandLine
    }
}

/// Reads it from a command line. clap's own errors repeat what they refuse, and logs have those.
#[derive(Debug, Clone, Copy)]
pub struct OnCommandLine;

impl TypedValueParser for OnCommandLine {
    type Value = SecretSource;

    fn parse_ref(
        &self,
        command: &clap::Command,
        option: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<SecretSource, clap::Error> {
        let parsed = value.to_str().unwrap_or_default().parse();
        parsed.map_err(|error: String| {
            let name = option.and_then(clap::Arg::get_long).unwrap_or_default();
            let message = format!("--{name}: {error}\n");
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

impl TryFrom<Written> for SecretSource {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Text(text) => text.parse(),
            Written::Command(words) if words.is_empty() => {
                Err("a command has at least the name of a program".to_owned())
            }
            Written::Command(words) => Ok(SecretSource::Command(words)),
        }
    }
}

impl SecretSource {
    /// Reads the secret, which messages call `what`: one line, without its end. Not within a runtime of
    /// tokio's, for somebody may have to be asked.
    ///
    /// # Errors
    /// Input: it is not there, or is no line of text that a log could be kept free of; nobody can be asked.
    /// Interrupted: by a signal, while somebody was.
    pub fn read(&self, what: &str, purpose: Purpose) -> anyhow::Result<Secret> {
        let (place, bytes) = match self {
            SecretSource::File(path) => {
                let place = format!("the {what} in {}", path.display());
                let bytes = input::read_bounded(path, 2 * LONGEST as u64)
                    .map_err(|error| failed!(Kind::Input, "{place} cannot be read: {error}"))?;
                (place, bytes)
            }
            SecretSource::Env(name) => {
                let place = format!("the {what} in ${name}");
                let value = std::env::var_os(name).ok_or_else(|| {
                    failed!(Kind::Input, "{place} is not there: set the variable")
                })?;
                (place, value.into_encoded_bytes())
            }
            SecretSource::Command(words) => {
                let place = format!("the {what} that `{}` gives", words[0]);
                let said = of_command(words)
                    .map_err(|error| failed!(Kind::Input, "{place} cannot be had: {error:#}"))?;
                (place, said)
            }
            SecretSource::Prompt => {
                let typed = terminal::ask(what, 2 * LONGEST, purpose == Purpose::New)?;
                (format!("the {what} that was typed"), typed)
            }
        };
        let wrong = |why: &str| failed!(Kind::Input, "{place} {why}");
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.chars().any(char::is_control) {
            return Err(wrong(
                "has several lines or control characters: one line is wanted",
            ));
        }
        if line.len() < SHORTEST_PASSWORD {
            return Err(wrong(&format!(
                "has fewer than {SHORTEST_PASSWORD} bytes, which no log can be kept free of"
            )));
        }
        if line.len() > LONGEST {
            return Err(wrong(&format!("has more than {LONGEST} bytes")));
        }
        Ok(Secret::new(line))
    }
}

/// What a command writes to its standard output, within [`COMMAND_LIMIT`].
fn of_command(words: &[String]) -> anyhow::Result<Vec<u8>> {
    let mut command = process::command(&words[0]);
    command.args(&words[1..]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let said = tokio::time::timeout(COMMAND_LIMIT, process::output(&mut command)).await;
        said.with_context(|| format!("it takes more than {} s", COMMAND_LIMIT.as_secs()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_named_and_never_written() {
        let path = SecretSource::File("/run/a:b".into());
        assert_eq!("file:/run/a:b".parse(), Ok(path));
        assert_eq!("env:LUKS".parse(), Ok(SecretSource::Env("LUKS".to_owned())));
        assert_eq!("prompt".parse(), Ok(SecretSource::Prompt));
        assert_eq!("prompt:".parse(), Ok(SecretSource::Prompt));
        for wrong in ["hunter2", "file:", "env:", "env:a=b", "prompt:x", ""] {
            let error = wrong.parse::<SecretSource>().unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_secret_is_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let of = |content: &[u8]| {
            std::fs::write(file.path(), content).unwrap();
            SecretSource::File(file.path().into()).read("passphrase", Purpose::New)
        };
        for (content, secret) in [
            ("tür auf\n", "tür auf"),
            ("'\"\\ $x\r\n", "'\"\\ $x"),
            (" blanks ", " blanks "),
        ] {
            assert_eq!(of(content.as_bytes()).unwrap().reveal(), secret);
        }
        let long = "x".repeat(513);
        for (content, why) in [
            (&b"abc\n"[..], "fewer than 4 bytes"),
            (b"line\nline\n", "several lines"),
            (b"\xff\xff\xff\xff", "not UTF-8"),
            (long.as_bytes(), "more than 512"),
        ] {
            let error = of(content).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let of = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            SecretSource::Command(words).read("token", Purpose::Known)
        };
        assert_eq!(of(&["echo", "s3cret $x"]).unwrap().reveal(), "s3cret $x");
        let failed = of(&["sh", "-c", "echo s3cret; exit 3"]).unwrap_err();
        let failed = failed.to_string();
        assert!(
            failed.contains("`sh` gives") && failed.contains("status 3"),
            "{failed}"
        );
        let gone = SecretSource::File("/nowhere/x".into()).read("passphrase", Purpose::New);
        assert!(gone.unwrap_err().to_string().contains("/nowhere/x"));
        let unset = SecretSource::Env("OZR_NOT_SET".to_owned()).read("passphrase", Purpose::New);
        assert!(unset.unwrap_err().to_string().contains("$OZR_NOT_SET"));
    }
}

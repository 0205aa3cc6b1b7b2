//! Passwords: whether the release can read a hash, and whether the word is what its author meant.

use std::ops::Range;

use super::{Check, is_template, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::mask;
use crate::language::reading::Entry;
use crate::language::{Reading, Version};

/// KS140 to KS146.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS140",
        title: "root password in plain text",
        explanation: "\
            The password stands readable in the kickstart, and from there in version control, on \
            the web server that serves it, and in /root/anaconda-ks.cfg or \
            /root/original-ks.cfg of the image (anaconda keeps what it was given).\n\n\
            Write `rootpw --iscrypted HASH`, with a hash from `openssl passwd -6`, which every \
            release from RHEL 6 on reads.",
    },
    Rule {
        id: "KS141",
        title: "another password in plain text",
        explanation: "\
            A `user`, `sshpw` or `bootloader` line holds a readable password, which then stands in \
            version control, on the web server and in the image.\n\n\
            Use `--iscrypted` with a hash from `openssl passwd -6`; for `bootloader` with one from \
            `grub2-mkpasswd-pbkdf2`.",
    },
    Rule {
        id: "KS142",
        title: "a password hash that the release cannot read",
        explanation: "\
            The installed system's crypt library does not know this kind of hash: the install goes \
            well, and nobody can log in.\n\n\
            RHEL 6 and 7 (glibc 2.12 and 2.17) read DES, MD5 (`$1$`), SHA-256 (`$5$`) and SHA-512 \
            (`$6$`). RHEL 8 (libxcrypt 4.1.1) also reads bcrypt (`$2b$`). yescrypt (`$y$`) and \
            scrypt (`$7$`) came with libxcrypt 4.2.0, gost-yescrypt (`$gy$`) with 4.3.0: Fedora 29 \
            and 30, RHEL 9. yescrypt is what `mkpasswd` and today's Debian and Fedora make by \
            default.\n\n\
            Make a hash with `openssl passwd -6`: every release reads it.",
    },
    Rule {
        id: "KS143",
        title: "a weak password hash",
        explanation: "\
            DES hashes use the first eight characters of a password and are broken in minutes; MD5 \
            hashes (`$1$`) are broken quickly on a graphics card. Every release still reads them, \
            except in FIPS mode, where nobody can log in.\n\n\
            Make a new hash with `openssl passwd -6`.",
    },
    Rule {
        id: "KS144",
        title: "`--iscrypted` with something that is no hash",
        explanation: "\
            The word after `--iscrypted` goes to /etc/shadow as it is. This one is no hash of any \
            kind, or one that was cut, so no password fits and the account is locked. Often it is \
            a plain password, or a hash whose `$` parts a shell or template engine has \
            replaced.\n\n\
            Make a hash with `openssl passwd -6` and put it in single quotes wherever a shell sees \
            it; or drop `--iscrypted`; or, if nobody is meant to log in, write `rootpw --lock`.",
    },
    Rule {
        id: "KS145",
        title: "a `#` cuts a word short",
        explanation: "\
            Outside of quotes `#` begins a comment even in the middle of a word (pykickstart \
            splits lines with Python's shlex, comments on): `rootpw a#b` sets the password `a`, \
            and nothing says so. For a password it is an error, because the image will have \
            another password than its author believes; for other values it is a warning.\n\n\
            Put the word in quotes: `rootpw \"a#b\"`. If a comment is meant, put a space before it.",
    },
    Rule {
        id: "KS146",
        title: "a hash without `--iscrypted`",
        explanation: "\
            The password looks like a crypt(5) hash, and the line does not say `--iscrypted`. The \
            installer hashes it once more, so that the hash itself is the password.\n\n\
            Add `--iscrypted`.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[plain_text, hashes, cut_short];

/// A password of a line.
struct Password<'a> {
    entry: &'a Entry,
    text: &'a str,
    span: Range<usize>,
    crypted: bool,
}

/// The password of a line, if it has one that counts.
fn of(entry: &Entry) -> Option<Password<'_>> {
    let arguments = entry.arguments();
    let (text, span) = match entry.name {
        "rootpw" | "sshpw" => {
            let word = arguments.positionals().next()?;
            (word.text.as_str(), word.span.clone())
        }
        "user" | "bootloader" => (
            arguments.filled("--password")?,
            arguments.span("--password")?,
        ),
        _ => return None,
    };
    Some(Password {
        entry,
        text,
        span,
        crypted: arguments.has("--iscrypted"),
    })
}

fn all(reading: &Reading) -> impl Iterator<Item = Password<'_>> {
    ["rootpw", "user", "sshpw", "bootloader"]
        .into_iter()
        .flat_map(|name| running(reading, name))
        .filter_map(of)
}

/// A kind of hash in /etc/shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Des,
    Md5,
    Sha,
    Bcrypt,
    Yescrypt,
    Gost,
    Scrypt,
    /// Locked on purpose.
    Locked,
    /// To be filled in.
    Template,
    /// None of all.
    Nonsense,
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Hash::Des => "DES",
            Hash::Md5 => "MD5",
            Hash::Sha => "SHA-2",
            Hash::Bcrypt => "bcrypt",
            Hash::Yescrypt => "yescrypt",
            Hash::Gost => "gost-yescrypt",
            Hash::Scrypt => "scrypt",
            Hash::Locked | Hash::Template | Hash::Nonsense => "such",
        }
    }
}

/// Characters of a digest in crypt's base64 by kind: MD5, SHA-256, SHA-512.
const DIGESTS: [(&str, Hash, usize); 3] = [
    ("$1$", Hash::Md5, 22),
    ("$5$", Hash::Sha, 43),
    ("$6$", Hash::Sha, 86),
];

/// Characters of salt and digest of bcrypt.
const BCRYPT: usize = 53;

/// Characters of a DES hash.
const DES: usize = 13;

fn kind(text: &str) -> Hash {
    let of_crypt = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/')
    };
    if text.is_empty() || text.starts_with(['!', '*']) {
        return Hash::Locked;
    }
    if is_template(text) {
        return Hash::Template;
    }
    for (prefix, hash, length) in DIGESTS {
        if let Some(rest) = text.strip_prefix(prefix) {
            let digest = rest.rsplit('$').next().unwrap_or_default();
            let whole = rest.contains('$') && digest.len() == length && of_crypt(digest);
            return if whole { hash } else { Hash::Nonsense };
        }
    }
    let bcrypt = text.strip_prefix("$2").and_then(|rest| {
        rest.trim_start_matches(['a', 'b', 'x', 'y'])
            .strip_prefix('$')
    });
    if let Some((cost, rest)) = bcrypt.and_then(|rest| rest.split_once('$')) {
        let whole = cost.len() == 2 && rest.len() == BCRYPT && of_crypt(rest);
        return if whole { Hash::Bcrypt } else { Hash::Nonsense };
    }
    for (prefix, hash) in [
        ("$y$", Hash::Yescrypt),
        ("$gy$", Hash::Gost),
        ("$7$", Hash::Scrypt),
    ] {
        if text.starts_with(prefix) {
            return hash;
        }
    }
    if text.len() == DES && of_crypt(text) {
        return Hash::Des;
    }
    Hash::Nonsense
}

/// What the release's crypt library is, and whether it reads the hash.
fn reads(version: Version, hash: Hash) -> Result<(), &'static str> {
    let (library, bcrypt, yescrypt, gost) = match version {
        Version::Rhel(..=6) => ("glibc 2.12", false, false, false),
        Version::Rhel(7) => ("glibc 2.17", false, false, false),
        Version::Rhel(8) => ("libxcrypt 4.1.1", true, false, false),
        Version::Fedora(..=29) => ("libxcrypt 4.2", true, true, false),
        _ => ("libxcrypt 4.4", true, true, true),
    };
    let known = match hash {
        Hash::Bcrypt => bcrypt,
        Hash::Yescrypt | Hash::Scrypt => yescrypt,
        Hash::Gost => gost,
        _ => true,
    };
    if known { Ok(()) } else { Err(library) }
}

fn plain_text(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for password in all(reading) {
        let entry = password.entry;
        let arguments = entry.arguments();
        if password.crypted || arguments.has("--lock") || is_template(password.text) {
            continue;
        }
        // GRUB's own form says what it is.
        if entry.name == "bootloader" && password.text.starts_with("grub.pbkdf2.") {
            continue;
        }
        let name = entry.name;
        let (id, severity, message, help) = if kind(password.text) != Hash::Nonsense
            && password.text.starts_with('$')
        {
            (
                "KS146",
                Severity::Warning,
                format!("the password of `{name}` looks like a hash, and is taken for a plain one"),
                "add `--iscrypted`",
            )
        } else if name == "rootpw" {
            (
                "KS140",
                Severity::Note,
                "the root password stands in plain text".to_string(),
                "write `rootpw --iscrypted` and a hash made by `openssl passwd -6`",
            )
        } else {
            (
                "KS141",
                Severity::Note,
                format!("the password of `{name}` stands in plain text"),
                "write `--iscrypted` and a hash",
            )
        };
        let finding = reading.finding(severity, entry.text, password.span, message);
        findings.push(finding.id(id).help(help));
    }
}

fn hashes(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for password in all(reading) {
        let entry = password.entry;
        // GRUB has hashes of its own kind.
        if !password.crypted || entry.name == "bootloader" || entry.arguments().has("--lock") {
            continue;
        }
        let hash = kind(password.text);
        let name = entry.name;
        let (id, severity, message, help) = match (hash, reads(setting.version, hash)) {
            (Hash::Locked | Hash::Template, _) => continue,
            (Hash::Nonsense, _) => (
                "KS144",
                Severity::Warning,
                format!("what `{name} --iscrypted` names is no hash, so no password fits"),
                "make one with `openssl passwd -6`, or write `--lock` if nobody is to log in",
            ),
            (Hash::Des | Hash::Md5, _) => (
                "KS143",
                Severity::Warning,
                format!(
                    "the password of `{name}` is hashed with an algorithm that is easily broken"
                ),
                "make a hash with `openssl passwd -6`",
            ),
            (_, Err(library)) => (
                "KS142",
                Severity::Error,
                format!(
                    "{} ({library}) cannot read {} hashes, so nobody could log in",
                    setting.version,
                    hash.name()
                ),
                "make a hash with `openssl passwd -6`, which every release reads",
            ),
            _ => continue,
        };
        let finding = reading.finding(severity, entry.text, password.span, message);
        findings.push(finding.id(id).help(help));
    }
}

fn cut_short(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in &reading.commands {
        let words = &entry.command.words;
        let (Some(last), true) = (words.last(), words.len() > 1) else {
            continue;
        };
        let text = &reading.texts[entry.text].text;
        let behind = &text[last.span.end..];
        let flag = last.text.starts_with('-') && !last.text.contains('=');
        if !behind.starts_with('#') || flag {
            continue;
        }
        let end = behind
            .find(char::is_whitespace)
            .map_or(text.len(), |end| last.span.end + end);
        let (severity, message) = if mask::is_secret(words) {
            let message = "an unquoted `#` cuts the password short: what follows is a comment";
            (Severity::Error, message)
        } else {
            let message = "an unquoted `#` cuts the word short: what follows is a comment";
            (Severity::Warning, message)
        };
        let finding = reading.finding(severity, entry.text, last.span.start..end, message);
        let help = "put the word in quotes, or a space before the comment";
        findings.push(finding.id("KS145").help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use super::*;
    use crate::language::Version::{Fedora, Rhel};

    const MD5: &str = "$1$saltsalt$aaaaaaaaaaaaaaaaaaaaaa";
    const BCRYPTED: &str = "$2b$12$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn sha512() -> String {
        format!("$6$saltsalt${}", "a".repeat(86))
    }

    #[test]
    fn which_release_reads_which_hash() {
        let yescrypt = "$y$j9T$abc$def";
        let gost = "$gy$j9T$abc$def";
        let long = sha512();
        let rounds = format!("$5$rounds=5000$salt${}", "b".repeat(43));
        for (hash, refused) in [
            (yescrypt, vec![Rhel(6), Rhel(7), Rhel(8)]),
            (gost, vec![Rhel(6), Rhel(7), Rhel(8), Fedora(29)]),
            (BCRYPTED, vec![Rhel(6), Rhel(7)]),
            (long.as_str(), vec![]),
            (rounds.as_str(), vec![]),
        ] {
            let text = format!("rootpw --iscrypted {hash}\n");
            for version in [
                Rhel(6),
                Rhel(7),
                Rhel(8),
                Rhel(9),
                Rhel(10),
                Fedora(29),
                Fedora(30),
                Fedora(40),
            ] {
                let expected = refused.contains(&version).then_some(Severity::Error);
                assert_eq!(alone(&text, version, "KS142"), expected, "{hash} {version}");
            }
            assert_eq!(alone(&text, Rhel(9), "KS144"), None, "{hash}");
        }
    }

    #[test]
    fn weak_hashes_and_no_hashes() {
        let cut = &sha512()[..60];
        for (hash, weak, nonsense) in [
            (MD5, true, false),
            ("ab01FAX.bQRSU", true, false),
            ("secret", false, true),
            (cut, false, true),
            ("!!", false, false),
            ("*", false, false),
            ("$rootpw_hash", false, false),
        ] {
            let text = format!("user --name=a --iscrypted --password={hash}\n");
            assert_eq!(alone(&text, Rhel(9), "KS143").is_some(), weak, "{hash}");
            assert_eq!(alone(&text, Rhel(9), "KS144").is_some(), nonsense, "{hash}");
        }
        let text = "rootpw --lock --iscrypted locked\n";
        assert_eq!(alone(text, Rhel(9), "KS144"), None);
    }

    #[test]
    fn plain_text_is_noted() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Note, "*******".to_string())];
        assert_eq!(found("rootpw hunter2\n", &setting, "KS140"), expected);
        let text = "user --name=a --password=hunter2\n";
        let expected = [(Severity::Note, "--password=*******".to_string())];
        assert_eq!(found(text, &setting, "KS141"), expected);
        let text = format!("rootpw {}\n", sha512());
        assert_eq!(alone(&text, Rhel(9), "KS140"), None);
        assert_eq!(alone(&text, Rhel(9), "KS146"), Some(Severity::Warning));
        let text = "bootloader --password=grub.pbkdf2.sha512.1.A\n";
        assert_eq!(alone(text, Rhel(9), "KS141"), None);
    }

    #[test]
    fn a_comment_cuts_a_password() {
        let setting = Setting::alone(Rhel(9));
        for (text, severity, pointed) in [
            ("rootpw a#b c\n", Severity::Error, "***"),
            ("rootpw --plaintext 'a b'#c\n", Severity::Error, "*******"),
            (
                "user --name=x --password=a#b\n",
                Severity::Error,
                "--password=***",
            ),
            ("user --name=x --password a#b\n", Severity::Error, "***"),
            (
                "part / --size=1 --encrypted --passphrase=x#y",
                Severity::Error,
                "--passphrase=***",
            ),
            (
                "url --url=http://m/#x\n",
                Severity::Warning,
                "--url=http://m/#x",
            ),
        ] {
            let expected = [(severity, pointed.to_string())];
            assert_eq!(found(text, &setting, "KS145"), expected, "{text}");
        }
        for text in [
            "rootpw \"a#b\"\n",
            "rootpw a # b\n",
            "rootpw a\\#b\n",
            "text#x\n",
            "rootpw --lock#x\n",
        ] {
            assert_eq!(found(text, &setting, "KS145"), [], "{text}");
        }
    }
}

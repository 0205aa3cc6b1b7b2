//! Passwords: whether the release can read a hash, and whether the word is what its author meant.

use super::{Lint, Linter, is_placeholder};
use crate::diagnostic::Severity::{self, Error, Note, Warning};
use crate::kickstart::mask;
use crate::language::Version;
use crate::language::reading::Entry;

/// KS140 to KS146.
pub const LINTS: &[Lint] = &[passwords, cut_short];

/// The password of a line, if it has one that counts, and where it stands.
fn password(entry: &Entry) -> Option<(&str, std::ops::Range<usize>)> {
    let arguments = entry.arguments();
    match entry.name {
        "rootpw" | "sshpw" => {
            let word = arguments.positionals().next()?;
            Some((&word.text, word.span.clone()))
        }
        _ => Some((
            arguments.filled("--password")?,
            arguments.span("--password")?,
        )),
    }
}

/// A kind of hash in /etc/shadow.
enum Hash {
    /// Locked on purpose, or to be filled in.
    Left,
    /// DES, MD5.
    Weak,
    /// SHA-256, SHA-512: every release reads them.
    Good,
    /// A kind that libxcrypt brought, and the first RHEL and Fedora that read it.
    Newer(&'static str, u8, u8),
    /// None of all, or cut.
    Nonsense,
}

/// Characters of a digest in crypt's base64.
const DIGESTS: [(&str, Hash, usize); 3] = [
    ("$1$", Hash::Weak, 22),
    ("$5$", Hash::Good, 43),
    ("$6$", Hash::Good, 86),
];

/// Kinds whose lengths vary (libxcrypt 4.2.0, 4.2.0 and 4.3.0).
const NEWER: [(&str, Hash); 3] = [
    ("$y$", Hash::Newer("yescrypt", 9, 0)),
    ("$7$", Hash::Newer("scrypt", 9, 0)),
    ("$gy$", Hash::Newer("gost-yescrypt", 9, 30)),
];

/// Characters of salt and digest of bcrypt.
const BCRYPT: usize = 53;

/// Characters of a DES hash.
const DES: usize = 13;

fn kind(text: &str) -> Hash {
    let is_of = |length: usize, text: &str| {
        let mut bytes = text.bytes();
        text.len() == length && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/')
    };
    if text.is_empty() || text.starts_with(['!', '*']) || is_placeholder(text) {
        return Hash::Left;
    }
    for (prefix, hash, length) in DIGESTS {
        if let Some(rest) = text.strip_prefix(prefix) {
            let whole = rest
                .rsplit_once('$')
                .is_some_and(|(_, digest)| is_of(length, digest));
            return if whole { hash } else { Hash::Nonsense };
        }
    }
    let bcrypt = text.strip_prefix("$2").and_then(|rest| {
        let rest = rest.trim_start_matches(['a', 'b', 'x', 'y']);
        rest.strip_prefix('$')?.split_once('$')
    });
    if let Some((cost, rest)) = bcrypt {
        return match cost.len() == 2 && is_of(BCRYPT, rest) {
            true => Hash::Newer("bcrypt", 8, 0),
            false => Hash::Nonsense,
        };
    }
    let mut newer = NEWER.into_iter();
    match newer.find(|(prefix, _)| text.starts_with(prefix)) {
        Some((_, hash)) => hash,
        None if is_of(DES, text) => Hash::Weak,
        None => Hash::Nonsense,
    }
}

/// The release's crypt library.
fn library(version: Version) -> &'static str {
    match version {
        Version::Rhel(..=6) => "glibc 2.12",
        Version::Rhel(7) => "glibc 2.17",
        Version::Rhel(8) => "libxcrypt 4.1.1",
        Version::Fedora(..=29) => "libxcrypt 4.2",
        _ => "libxcrypt 4.4",
    }
}

fn passwords(linter: &mut Linter<'_>) {
    let lines = ["rootpw", "user", "sshpw", "bootloader"].map(|name| linter.running(name));
    for entry in lines.into_iter().flatten() {
        let version = linter.setting.version;
        let found = password(entry).filter(|_| !entry.arguments().has("--lock"));
        let Some((password, span)) = found else {
            continue;
        };
        let said = match entry.arguments().has("--iscrypted") {
            true => crypted(entry.name, password, version),
            false => plain(entry.name, password),
        };
        if let Some((severity, id, message, help)) = said {
            linter.at((entry.text, &span), severity, id, message, help);
        }
    }
}

type Said = Option<(Severity, &'static str, String, &'static str)>;

/// What to say of a password in plain text.
fn plain(name: &str, password: &str) -> Said {
    // GRUB's own form says what it is.
    if is_placeholder(password) || name == "bootloader" && password.starts_with("grub.pbkdf2.") {
        return None;
    }
    Some(match (password.starts_with('$'), kind(password)) {
        (true, Hash::Weak | Hash::Good | Hash::Newer(..)) => (
            Warning,
            "KS146",
            format!("the password of `{name}` looks like a hash, and is taken for a plain one"),
            "add `--iscrypted`",
        ),
        _ if name == "rootpw" => (
            Note,
            "KS140",
            "the root password stands in plain text".to_string(),
            "write `rootpw --iscrypted` and a hash made by `openssl passwd -6`",
        ),
        _ => (
            Note,
            "KS141",
            format!("the password of `{name}` stands in plain text"),
            "write `--iscrypted` and a hash",
        ),
    })
}

/// What to say of a hash. GRUB has hashes of its own kind.
fn crypted(name: &str, hash: &str, version: Version) -> Said {
    match kind(hash) {
        _ if name == "bootloader" => None,
        Hash::Nonsense => Some((
            Warning,
            "KS144",
            format!("what `{name} --iscrypted` names is no hash, so no password fits"),
            "make one with `openssl passwd -6`, or write `--lock` if nobody is to log in",
        )),
        Hash::Weak => Some((
            Warning,
            "KS143",
            format!("the password of `{name}` is hashed with an algorithm that is easily broken"),
            "make a hash with `openssl passwd -6`",
        )),
        Hash::Newer(kind, rhel, fedora) if !version.since(rhel, fedora) => Some((
            Error,
            "KS142",
            format!(
                "{version} ({}) cannot read {kind} hashes, so nobody could log in",
                library(version)
            ),
            "make a hash with `openssl passwd -6`, which every release reads",
        )),
        _ => None,
    }
}

fn cut_short(linter: &mut Linter<'_>) {
    for entry in &linter.reading.commands {
        let [_, .., last] = entry.command.words.as_slice() else {
            continue;
        };
        let text = &linter.reading.texts[entry.text].text;
        let behind = &text[last.span.end..];
        let is_flag = last.text.starts_with('-') && !last.text.contains('=');
        if !behind.starts_with('#') || is_flag {
            continue;
        }
        let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
        let (severity, what) = match mask::is_secret(&entry.command.words) {
            true => (Error, "password"),
            false => (Warning, "word"),
        };
        let message = format!("an unquoted `#` cuts the {what} short: what follows is a comment");
        let help = "put the word in quotes, or a space before the comment";
        let span = last.span.start..last.span.end + end;
        linter.at((entry.text, &span), severity, "KS145", message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
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

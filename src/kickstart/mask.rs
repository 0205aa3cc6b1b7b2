//! A kickstart that may be shown: the secrets are replaced, the lines stay where they are.
//!
//! Commands are masked exactly (their options are known). Scripts can hide a secret in any way,
//! so there a line that so much as speaks of passwords is masked whole: too much rather than
//! too little. What cannot be recognised is a secret in a script that is not called one.

use std::borrow::Cow;
use std::ops::Range;

use super::outline::{Item, SectionKind};
use super::scan::scan_all;
use super::script::{EMBEDDED_END, SECTION_MARK};
use super::words::{Comments, Word, split};

const MASK: &str = "***";

/// Commands whose plain arguments are secret.
const SECRET_COMMANDS: [&str; 3] = ["rootpw", "sshpw", "key"];

/// Options with secret values, over all commands and releases; abbreviations count too.
const SECRET_OPTIONS: [&str; 10] = [
    "password",
    "passphrase",
    "passwd",
    "md5pass",
    "wepkey",
    "wpakey",
    "activation-key",
    "one-time-password",
    "reverse-password",
    "token",
];

/// Words that make a script's line too hot to show, in lower case.
const SECRET_WORDS: [&str; 12] = [
    "rootpw",
    "passwd",
    "password",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization:",
    "activation-key",
    "activationkey",
    "usermod -p",
];

/// Shortest tail of `$id$...` that is taken for a hash: a salt and 22 characters of MD5.
const MIN_HASH: usize = 22;

/// Masks a kickstart, and the `secrets` (URL tokens, the completion mark) wherever they stand.
pub fn mask(text: &str, secrets: &[&str]) -> String {
    let (outline, _) = scan_all(text, "");
    let mut masked = String::with_capacity(text.len());
    for item in &outline.items {
        let raw = &text[item.span()];
        match item {
            Item::Nothing(_) => mask_comment(&mut masked, raw),
            Item::Command(_) | Item::Include(_) | Item::Broken(_) => {
                masked.push_str(&mask_command(raw));
            }
            Item::Section(section) => {
                let body = &text[section.body.clone()];
                masked.push_str(&text[section.span.start..section.body.start]);
                match section.kind {
                    kind if kind.is_script() || kind == SectionKind::Unknown => {
                        mask_script(&mut masked, body);
                    }
                    SectionKind::Certificate | SectionKind::Packages => masked.push_str(body),
                    // Add-ons have lines like commands.
                    _ => {
                        for line in body.split_inclusive('\n') {
                            masked.push_str(&mask_command(line));
                        }
                    }
                }
                masked.push_str(&text[section.body.end..section.span.end]);
            }
        }
    }
    let mut masked = mask_hashes(&mask_urls(&masked));
    for secret in secrets {
        masked = mask_literal(masked, secret);
        // The mark stands in the script in two halves.
        let half = secret.len() / 2;
        if secret.len() >= 16 && secret.is_char_boundary(half) {
            masked = mask_literal(masked, &secret[..half]);
            masked = mask_literal(masked, &secret[half..]);
        }
    }
    masked
}

fn mask_literal(text: String, secret: &str) -> String {
    if secret.is_empty() || !text.contains(secret) {
        return text;
    }
    text.replace(secret, MASK)
}

/// A comment may be a command that somebody disabled, or tell the password that is hashed in the
/// next line.
fn mask_comment(masked: &mut String, raw: &str) {
    let content = raw.trim_end().len();
    let start = raw.find(|c: char| c != '#' && !c.is_whitespace());
    let start = start.unwrap_or(raw.len());
    masked.push_str(&raw[..start]);
    let first = raw[start..].split_whitespace().next().unwrap_or_default();
    if SECRET_COMMANDS.contains(&first) || raw.contains("--pass") {
        masked.push_str(&mask_command(&raw[start..]));
        return;
    }
    // Letters keep their length in ASCII lower case, so offsets stay the same.
    let lower = raw.to_ascii_lowercase();
    let told = SECRET_WORDS
        .iter()
        .filter_map(|word| Some(lower[start..].find(word)? + start + word.len()))
        .min()
        .unwrap_or(content);
    if told < content {
        masked.push_str(&raw[start..told]);
        masked.push(' ');
        masked.push_str(MASK);
        masked.push_str(&raw[content..]);
    } else {
        masked.push_str(&raw[start..]);
    }
}

/// One line of the command section, or one like it.
fn mask_command(raw: &str) -> Cow<'_, str> {
    let content = raw.trim_end().len();
    let Ok(words) = split(raw, 0, Comments::Allowed) else {
        // It cannot be read, so nothing behind its first word is shown.
        let start = raw.len() - raw.trim_start().len();
        let first = raw[start..]
            .find(char::is_whitespace)
            .map_or(content, |end| start + end);
        return Cow::Owned(format!("{} {MASK}{}", &raw[..first], &raw[content..]));
    };
    let mut edits = secret_spans(&words);
    let is_secret = words
        .first()
        .is_some_and(|name| SECRET_COMMANDS.contains(&name.text.as_str()));
    if edits.is_empty() && !is_secret {
        return Cow::Borrowed(raw);
    }
    // `rootpw a#b` leaves half of what the author meant in a comment.
    let end = words.last().map_or(0, |word| word.span.end.min(content));
    if !raw[end..content].trim().is_empty() {
        edits.push(end..content);
    }
    let mut masked = String::with_capacity(raw.len());
    let mut at = 0;
    for edit in edits {
        masked.push_str(&raw[at..edit.start]);
        masked.push_str(MASK);
        at = edit.end;
    }
    masked.push_str(&raw[at..]);
    Cow::Owned(masked)
}

/// What to replace in a line of these words, in order.
fn secret_spans(words: &[Word]) -> Vec<Range<usize>> {
    let Some((name, arguments)) = words.split_first() else {
        return Vec::new();
    };
    let secret_command = SECRET_COMMANDS.contains(&name.text.as_str());
    let mut spans = Vec::new();
    let mut value_follows = false;
    let mut value_is_harmless = false;
    for word in arguments {
        let option = word.option_name();
        let secret = option.is_some_and(is_secret_option);
        if word.option_value().is_some() {
            // The name is replaced too: quotes may stand anywhere in the word.
            if secret || (secret_command && option != Some("username")) {
                spans.push(word.span.clone());
            }
        } else if option.is_none() && (value_follows || secret_command) && !value_is_harmless {
            spans.push(word.span.clone());
        }
        value_follows = secret && word.option_value().is_none();
        value_is_harmless = word.text == "--username";
    }
    spans
}

fn is_secret_option(name: &str) -> bool {
    name.len() >= 2 && SECRET_OPTIONS.iter().any(|secret| secret.starts_with(name))
}

fn mask_script(masked: &mut String, body: &str) {
    let ours = body.starts_with(SECTION_MARK);
    let mut until: Option<String> = None;
    for line in body.split_inclusive('\n') {
        let content = line.trim_end();
        if let Some(end) = &until {
            if content.trim_start() == end || (end == "-----END" && content.contains(end)) {
                until = None;
                masked.push_str(line);
            } else {
                masked.push_str(MASK);
                masked.push_str(&line[content.len()..]);
            }
            continue;
        }
        if ours {
            masked.push_str(line);
            if content.starts_with("decode ") && content.contains(EMBEDDED_END) {
                until = Some(EMBEDDED_END.to_string());
            }
            continue;
        }
        if content.contains("-----BEGIN") && content.contains("PRIVATE KEY") {
            masked.push_str(line);
            until = Some("-----END".to_string());
            continue;
        }
        let lower = content.to_ascii_lowercase();
        if !SECRET_WORDS.iter().any(|word| lower.contains(word)) {
            masked.push_str(line);
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        masked.push_str(&line[..indent.min(content.len())]);
        masked.push_str(MASK);
        masked.push_str(&line[content.len()..]);
        until = here_document_end(content);
    }
}

/// The word that ends the here-document that a line opens.
fn here_document_end(line: &str) -> Option<String> {
    let rest = line.split_once("<<")?.1;
    let rest = rest.trim_start_matches('-').trim_start();
    let rest = rest.trim_start_matches(['\'', '"', '\\']);
    let word: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '!'))
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Masks `user:password@` of every URL.
fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let start = at + "://".len();
        let end = rest[start..]
            .find(|c: char| {
                c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>')
            })
            .map_or(rest.len(), |end| start + end);
        masked.push_str(&rest[..start]);
        match rest[start..end].rfind('@') {
            Some(at) => {
                masked.push_str(MASK);
                masked.push_str(&rest[start + at..end]);
            }
            None => masked.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    masked.push_str(rest);
    masked
}

/// Masks crypt(5) hashes and GRUB's, wherever they stand.
fn mask_hashes(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['$', 'g']) {
        let length = hash_length(&rest[at..]);
        masked.push_str(&rest[..at]);
        if length > 0 {
            masked.push_str(MASK);
            rest = &rest[at + length..];
        } else {
            masked.push_str(&rest[at..=at]);
            rest = &rest[at + 1..];
        }
    }
    masked.push_str(rest);
    masked
}

fn hash_length(text: &str) -> usize {
    let run = |text: &str, more: &str| {
        text.find(|c: char| !(c.is_ascii_alphanumeric() || more.contains(c)))
            .unwrap_or(text.len())
    };
    if text.starts_with("grub.pbkdf2.") {
        return run(text, ".");
    }
    let Some(after) = text.strip_prefix('$') else {
        return 0;
    };
    let id = run(after, "");
    if !(1..=3).contains(&id) || !after[id..].starts_with('$') {
        return 0;
    }
    let tail = run(&after[id + 1..], "./=$,");
    if tail < MIN_HASH {
        return 0;
    }
    1 + id + 1 + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kickstart::additions::{Additions, Body, FileAddition};
    use crate::kickstart::compose::compose;
    use crate::kickstart::scan::scan;

    #[test]
    fn secrets_of_commands() {
        let table = [
            ("rootpw hunter2", "rootpw ***"),
            (
                "rootpw --plaintext 'hunter 2' # x",
                "rootpw --plaintext ******",
            ),
            ("rootpw hunter#2", "rootpw ******"),
            ("  rootpw --lock\r", "  rootpw --lock\r"),
            ("rootpw 'hunter2", "rootpw ***"),
            ("#rootpw hunter2", "#rootpw ***"),
            (
                "sshpw --username=root hunter2 --plaintext",
                "sshpw --username=root *** --plaintext",
            ),
            ("sshpw --username root hunter2", "sshpw --username root ***"),
            (
                "user --name=a --password=hunter2 --uid=5",
                "user --name=a *** --uid=5",
            ),
            ("user --name=a --pas hunter2", "user --name=a --pas ***"),
            ("user --name=a '--password=hunter 2'", "user --name=a ***"),
            (
                "bootloader --iscrypted --password=grub.pbkdf2.sha512.1.A",
                "bootloader --iscrypted ***",
            ),
            (
                "part / --encrypted --passphrase=hunter2",
                "part / --encrypted ***",
            ),
            (
                "rhsm --organization=1 --activation-key=hunter2",
                "rhsm --organization=1 ***",
            ),
            (
                "url --url=https://u:hunter2@m/os/ --proxy=\"http://hunter2@p:3128\"",
                "url --url=https://***@m/os/ --proxy=\"http://***@p:3128\"",
            ),
            ("%include http://u:hunter2@m/x", "%include http://***@m/x"),
            (
                "sshkey --username=root \"ssh-rsa AAA me@host\"",
                "sshkey --username=root \"ssh-rsa AAA me@host\"",
            ),
            ("network --bootproto=dhcp", "network --bootproto=dhcp"),
            ("# see http://m/a", "# see http://m/a"),
            (
                "# Plaintext password is: hunter2",
                "# Plaintext password ***",
            ),
            ("# Root Password", "# Root Password"),
        ];
        for (line, expected) in table {
            let text = format!("text\n{line}\nreboot\n");
            let masked = mask(&text, &[]);
            assert_eq!(masked, format!("text\n{expected}\nreboot\n"));
            assert_eq!(masked.lines().count(), text.lines().count());
        }
    }

    #[test]
    fn secrets_of_scripts() {
        let hash = "$6$saltsalt$cKWJqidOqMqKZtJwPbwRYn211n3hYPu6zBXclPgj6vk4BFOJWjLiv";
        let text = format!(
            "%post\necho hunter2 | passwd --stdin root\nchpasswd <<EOF\nroot:hunter2\nEOF\n\
             echo '{hash}' >x\ncurl https://u:hunter2@m/ $1$2\nAPI_TOKEN=hunter2\n\
             cat >k <<X\n-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\nX\n%end\n"
        );
        let masked = mask(&text, &[]);
        assert!(
            !masked.contains("hunter2") && !masked.contains("$6$"),
            "{masked}"
        );
        assert!(masked.contains("curl https://***@m/ $1$2\n"), "{masked}");
        assert!(
            masked.contains("\nEOF\n") && masked.contains("\nX\n%end\n"),
            "{masked}"
        );
        assert_eq!(masked.lines().count(), text.lines().count());
    }

    #[test]
    fn our_own_secrets() {
        let mark = "0123456789abcdef0123456789abcdeX";
        let additions = Additions {
            files: vec![
                FileAddition {
                    path: "/a".into(),
                    body: Body::Embedded(b"hunter2".repeat(100)),
                },
                FileAddition {
                    path: "/b".into(),
                    body: Body::Url {
                        url: "http://10.0.2.2:1/t0ken/b".into(),
                        sha256: "0".repeat(64),
                        size: 1,
                    },
                },
            ],
            mark: mark.into(),
            ..Additions::default()
        };
        let user = "reboot\n";
        let text = compose(user, &scan(user, "u").unwrap(), &additions)
            .unwrap()
            .text;
        let masked = mask(&text, &["t0ken", mark]);
        assert!(!masked.contains("t0ken") && !masked.contains("aHVudGVyMm"));
        assert!(!masked.contains(&mark[..16]) && !masked.contains(&mark[16..]));
        assert_eq!(masked.lines().count(), text.lines().count());
        assert!(masked.contains("install_file body-0 '/a'"), "{masked}");
    }

    #[test]
    fn nothing_breaks_it() {
        for text in [
            "",
            "\u{feff}rootpw 'x",
            "%post\n\u{e9}passwd",
            "%foo\nü\n",
            "a $6$",
            "x://",
            "grub.pbkdf2.",
            "%end\n\\",
        ] {
            mask(text, &["", "ü"]);
        }
    }
}

//! A kickstart that may be shown: the secrets are replaced, the lines stay where they are.
//!
//! Commands are masked exactly (their options are known). Scripts can hide a secret in any way,
//! so there a line that so much as speaks of passwords is masked whole: too much rather than
//! too little. What cannot be recognised is a secret in a script that is not called one.

use std::ops::Range;

use super::outline::{Item, Outline, SectionKind};
use super::scan::scan_all;
use super::script::{EMBEDDED_END, SECTION_MARK};
use super::words::{Comments, Word, split};
use crate::diagnostic::{Diagnostic, Lines};
use crate::secrets::{self, Secrets, replaced};

/// What stands in place of a secret in a kickstart that is shown.
pub const MASK: &str = "***";

/// Shortest secret that is looked for as a part of a message's words, in bytes.
const MIN_LITERAL: usize = 5;

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
const SECRET_WORDS: [&str; 15] = [
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
    "sshpass",
    "mysql_pwd",
    "psk=",
];

/// Masks a kickstart. What else is secret in it (URL tokens, the completion mark) is the business of
/// [`Secrets::hide`].
pub fn mask(text: &str) -> String {
    let (outline, _) = scan_all(text, "");
    replaced(text, &secret_places(text, &outline), MASK)
}

/// Hides the secrets of a text in a finding about it: in the line that is shown, where the columns
/// stay what they are, and in what is said.
pub fn hide(finding: &mut Diagnostic, text: &str, lines: &Lines, places: &[Range<usize>]) {
    let Some(line) = lines.span(text, finding.line) else {
        return;
    };
    let first = places.partition_point(|place| place.end <= line.start);
    let here: Vec<Range<usize>> = places[first..]
        .iter()
        .take_while(|place| place.start < line.end)
        .map(|place| place.start.max(line.start)..place.end.min(line.end))
        .map(|place| value_of(text, &place))
        .collect();
    if here.is_empty() {
        return;
    }
    let secret = |at: usize| here.iter().any(|place| place.contains(&at));
    finding.hide(text, secret);
    for place in here {
        let raw = &text[place];
        let words = split(raw, 0, Comments::Literal).unwrap_or_default();
        let mut texts = vec![raw.to_string()];
        for word in words {
            texts.extend(
                word.text
                    .split_once('=')
                    .map(|(_, value)| value.to_string()),
            );
            texts.push(word.text);
        }
        for secret in texts {
            finding.message = hide_literal(&finding.message, &secret);
            let help = finding.help.as_ref();
            finding.help = help.map(|help| hide_literal(help, &secret));
        }
    }
}

/// Adds the secrets of a kickstart, to hide them in what others say of it: passwords of commands and
/// of URLs as they are meant, without quotes, what scripts give themselves away with, and whole
/// lines of scripts. Comments are left out: no program prints them, and what speaks of passwords
/// there is mostly prose.
pub fn add_secrets(text: &str, secrets: &mut Secrets) {
    let (outline, _) = scan_all(text, "");
    let is_comment = |at: usize| {
        let line = text[..at].rfind('\n').map_or(0, |feed| feed + 1);
        text[line..].trim_start().starts_with('#')
    };
    for place in secrets::places(text) {
        if !is_comment(place.start) {
            secrets.add_place(text, place);
        }
    }
    for (place, kind) in exact_places(text, &outline) {
        if is_comment(place.start) {
            continue;
        }
        let raw = text[value_of(text, &place)].trim();
        match kind {
            Kind::Embedded => {}
            Kind::Line => secrets.add_line(raw),
            Kind::Value => {
                secrets.add_password(raw);
                if let Ok([word]) = split(raw, 0, Comments::Literal).as_deref() {
                    let value = word.text.strip_prefix("--").and_then(|t| t.split_once('='));
                    secrets.add_password(value.map_or(&word.text, |(_, value)| value));
                }
            }
        }
    }
}

/// The value of `--option=value`, where no quote stands before it; else the place as it is.
fn value_of(text: &str, place: &Range<usize>) -> Range<usize> {
    let raw = &text[place.clone()];
    match raw.split_once('=') {
        Some((name, _)) if name.starts_with("--") && !name.contains(['"', '\'', '\\']) => {
            place.start + name.len() + 1..place.end
        }
        _ => place.clone(),
    }
}

/// Whether the last word of a line is a secret.
pub fn is_secret(words: &[Word]) -> bool {
    let last = words.last().map(|word| word.span.clone());
    last.is_some_and(|last| secret_spans(words).contains(&last))
}

/// Hides a secret in a message. Messages quote words in backticks; elsewhere only what cannot be
/// one of their own words is hidden, or `password` would be missing from them.
fn hide_literal(text: &str, secret: &str) -> String {
    if secret.is_empty() || secret.starts_with("--") {
        return text.to_string();
    }
    let long = secret.len() >= MIN_LITERAL;
    let a_word = secret.bytes().all(|b| b.is_ascii_lowercase());
    let parts = text.split('`').enumerate().map(|(index, part)| {
        let quoted = index % 2 == 1;
        if quoted && part == secret {
            MASK.to_string()
        } else if long && (quoted || !a_word) {
            part.replace(secret, MASK)
        } else {
            part.to_string()
        }
    });
    parts.collect::<Vec<String>>().join("`")
}

/// What a secret place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The secret, perhaps with its option and in quotes.
    Value,
    /// A line that holds one somewhere.
    Line,
    /// A line of a file that ozr embedded: nothing prints it as it stands.
    Embedded,
}

/// The secrets of a kickstart, as far as they can be recognised: bytes in order, no two places
/// overlapping.
pub fn secret_places(text: &str, outline: &Outline) -> Vec<Range<usize>> {
    let mut places = secrets::places(text);
    places.extend(
        exact_places(text, outline)
            .into_iter()
            .map(|(place, _)| place),
    );
    secrets::merge(&mut places);
    places
}

/// What the form of a kickstart tells.
fn exact_places(text: &str, outline: &Outline) -> Vec<(Range<usize>, Kind)> {
    let mut found = Vec::new();
    let mut values = Vec::new();
    for item in &outline.items {
        let span = item.span();
        match item {
            Item::Nothing(_) => in_comment(&mut values, text, &span),
            Item::Command(_) | Item::Include(_) | Item::Broken(_) => {
                in_command(&mut values, text, &span);
            }
            Item::Section(section) => match section.kind {
                kind if kind.is_script() || kind == SectionKind::Unknown => {
                    in_script(&mut found, text, &section.body);
                }
                SectionKind::Certificate | SectionKind::Packages => {}
                // Add-ons have lines like commands.
                _ => {
                    for line in lines(text, &section.body) {
                        in_command(&mut values, text, &line);
                    }
                }
            },
        }
    }
    found.extend(values.into_iter().map(|place| (place, Kind::Value)));
    found
}

/// The lines of a part of the text, each with its line feed.
fn lines(text: &str, span: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = span.start;
    text[span.clone()].split_inclusive('\n').map(move |line| {
        let at = start;
        start += line.len();
        at..start
    })
}

/// A comment may be a command that somebody disabled, or tell the password that is hashed in the
/// next line.
fn in_comment(found: &mut Vec<Range<usize>>, text: &str, span: &Range<usize>) {
    let raw = &text[span.clone()];
    let content = raw.trim_end().len();
    let start = raw.find(|c: char| c != '#' && !c.is_whitespace());
    let start = start.unwrap_or(raw.len());
    let first = raw[start..].split_whitespace().next().unwrap_or_default();
    if SECRET_COMMANDS.contains(&first) || raw.contains("--pass") {
        in_command(found, text, &(span.start + start..span.end));
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
        let told = content - raw[told..content].trim_start().len();
        found.push(span.start + told..span.start + content);
    }
}

/// One line of the command section, or one like it.
fn in_command(found: &mut Vec<Range<usize>>, text: &str, span: &Range<usize>) {
    let raw = &text[span.clone()];
    let content = raw.trim_end().len();
    let Ok(words) = split(raw, span.start, Comments::Allowed) else {
        // It cannot be read, so nothing behind its first word is shown.
        let start = raw.len() - raw.trim_start().len();
        let first = raw[start..]
            .find(char::is_whitespace)
            .map_or(content, |end| start + end);
        let rest = content - raw[first..content].trim_start().len();
        found.push(span.start + rest..span.start + content);
        return;
    };
    let mut spans = secret_spans(&words);
    let is_secret = words
        .first()
        .is_some_and(|name| SECRET_COMMANDS.contains(&name.text.as_str()));
    if spans.is_empty() && !is_secret {
        return;
    }
    // `rootpw a#b` leaves half of what the author meant in a comment.
    let content = span.start + content;
    let end = words
        .last()
        .map_or(span.start, |word| word.span.end.min(content));
    if !text[end..content].trim().is_empty() {
        spans.push(end..content);
    }
    found.append(&mut spans);
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

fn in_script(found: &mut Vec<(Range<usize>, Kind)>, text: &str, body: &Range<usize>) {
    let ours = text[body.clone()].starts_with(SECTION_MARK);
    let mut until: Option<String> = None;
    for span in lines(text, body) {
        let line = &text[span.clone()];
        let content = line.trim_end();
        let content_end = span.start + content.len();
        if let Some(end) = &until {
            if content.trim_start() == end || (end == "-----END" && content.contains(end)) {
                until = None;
            } else {
                let kind = if ours { Kind::Embedded } else { Kind::Line };
                found.push((span.start..content_end, kind));
            }
            continue;
        }
        if ours {
            if content.starts_with("decode ") && content.contains(EMBEDDED_END) {
                until = Some(EMBEDDED_END.to_string());
            }
            continue;
        }
        if content.contains("-----BEGIN") && content.contains("PRIVATE KEY") {
            until = Some("-----END".to_string());
            continue;
        }
        let lower = content.to_ascii_lowercase();
        if !SECRET_WORDS.iter().any(|word| lower.contains(word)) {
            continue;
        }
        let indent = content.len() - content.trim_start().len();
        found.push((span.start + indent..content_end, Kind::Line));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kickstart::additions::{Additions, Body, FileAddition};
    use crate::kickstart::compose::compose;
    use crate::kickstart::scan::scan;

    #[test]
    fn the_secrets_themselves_are_known() {
        let text = "rootpw --plaintext \"two words\"\nuser --name=u --password='s3cret x'\n\
                    url --url=http://me:p%40ss@h/os\nrepo --name=r --baseurl=http://t0ken@h/\n\
                    %post\necho hunter2 | passwd --stdin root\n%end\n\
                    # no password is here\n";
        let mut secrets = Secrets::default();
        add_secrets(text, &mut secrets);
        for secret in [
            "two words",
            "s3cret x",
            "p@ss",
            "p%40ss",
            "t0ken",
            "echo hunter2 | passwd --stdin root",
        ] {
            assert_eq!(secrets.hide(secret), "…", "{secret}");
        }
        for no_secret in [
            "is here",
            "me",
            "passwd",
            "root",
            "u",
            "--stdin",
            "--plaintext",
        ] {
            assert_eq!(secrets.hide(no_secret), no_secret);
        }
    }

    #[test]
    fn no_secret_is_one_too_many() {
        let script = (0..2000)
            .map(|n| format!("echo secret-{n} | passwd --stdin u{n}\n"))
            .collect::<String>();
        let text = format!(
            "%pre\n{script}%end\nrootpw hunter2\nbootloader --append=\"a inst.vncpassword=hunter3\"\n%addon a\npassphrase = hunter4\n%end\n"
        );
        let mut secrets = Secrets::default();
        add_secrets(&text, &mut secrets);
        assert_eq!(
            secrets.hide("hunter2 hunter3 hunter4 secret-1999"),
            "… … … secret-1999"
        );
        assert_eq!(
            secrets.hide("+ echo secret-1999 | passwd --stdin u1999"),
            "+ …"
        );
    }

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
                "bootloader --append=\"quiet inst.vncpassword=hunter2\"",
                "bootloader --append=\"quiet inst.vncpassword=***\"",
            ),
            (
                "repo --name=a --baseurl=http://m/a?token=hunter2",
                "repo --name=a --baseurl=http://m/a?token=***",
            ),
            (
                "# Plaintext password is: hunter2",
                "# Plaintext password ***",
            ),
            ("# Root Password", "# Root Password"),
        ];
        for (line, expected) in table {
            let text = format!("text\n{line}\nreboot\n");
            let masked = mask(&text);
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
        let masked = mask(&text);
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
        let mut secrets = Secrets::default();
        secrets.add_mark(mark);
        secrets.add("t0ken");
        let masked = secrets.hide(&mask(&text));
        assert!(!masked.contains("t0ken") && !masked.contains("aHVudGVyMm"));
        assert!(!masked.contains(&mark[..16]) && !masked.contains(&mark[16..]));
        assert_eq!(masked.lines().count(), text.lines().count());
        assert!(masked.contains("install_file body-0 '/a'"), "{masked}");
    }

    #[test]
    fn findings_show_no_secret_and_keep_their_columns() {
        let table = [
            ("rootpw hünter2 more", "rootpw ******* ****"),
            (
                "user --name=a --password=hunter2 --bogus",
                "user --name=a --password=******* --bogus",
            ),
            (
                "user --name=a '--password=hunter 2' x",
                "user --name=a ********************* x",
            ),
            (
                "bootloader --password hunter2 x",
                "bootloader --password ******* x",
            ),
            (
                "sshpw --username=root hunter2 x",
                "sshpw --username=root ******* *",
            ),
            (
                "autopart --encrypted --passphrase=hunter2 x",
                "autopart --encrypted --passphrase=******* x",
            ),
            (
                "part / --passphrase=hunter2 x",
                "part / --passphrase=******* x",
            ),
            (
                "rhsm --activation-key=hunter2 x",
                "rhsm --activation-key=******* x",
            ),
            ("network --wepkey=hunter2 x", "network --wepkey=******* x"),
            (
                "url --url=https://u:hunter2@m/os x",
                "url --url=https://*********@m/os x",
            ),
            ("rootpw 'hunter2", "rootpw ********"),
            ("timezone UTC", "timezone UTC"),
        ];
        for (line, expected) in table {
            let text = format!("text\n{line}\nreboot\n");
            let (outline, _) = scan_all(&text, "t.ks");
            let places = secret_places(&text, &outline);
            let last = text.find("\nreboot").unwrap();
            let source = crate::diagnostic::Source {
                name: "t.ks",
                text: &text,
            };
            let message = "no use for `hunter2`, nor for https://u:hunter2@m/os";
            let mut finding = Diagnostic::error(source, last - 1..last, message);
            let carets = finding.excerpt().1;
            hide(&mut finding, &text, &Lines::of(&text), &places);
            assert_eq!(finding.excerpt(), (expected, carets), "{line}");
        }
        let text = "rootpw hunter2 abc\n";
        let (outline, _) = scan_all(text, "t.ks");
        let source = crate::diagnostic::Source { name: "t.ks", text };
        let mut finding = Diagnostic::error(source, 0..1, "no use for `abc`, abc, hunter2")
            .help("quote `hunter2`");
        hide(
            &mut finding,
            text,
            &Lines::of(text),
            &secret_places(text, &outline),
        );
        assert_eq!(finding.message, "no use for `***`, abc, ***");
        assert_eq!(finding.help.as_deref(), Some("quote `***`"));

        let text = "rootpw password\n";
        let (outline, _) = scan_all(text, "t.ks");
        let source = crate::diagnostic::Source { name: "t.ks", text };
        let mut finding = Diagnostic::error(source, 0..1, "a password, `password`, `xpasswordy`");
        hide(
            &mut finding,
            text,
            &Lines::of(text),
            &secret_places(text, &outline),
        );
        assert_eq!(finding.message, "a password, `***`, `x***y`");
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
            mask(text);
        }
    }
}

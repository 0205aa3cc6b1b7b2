//! What no log, file or message may hold: the unguessable parts of our URLs, the mark, passwords.
//!
//! [`places`] finds them in texts; [`Secrets`] holds them and hides them in what others say.
//!
//! What cannot be recognised in a script, a template or a command line is a secret that nothing calls
//! one. Names of options are those of the programs' own manuals: curl(1) `-u`, mysql(1) `-p`,
//! sshpass(1) `-p`, ldapsearch(1) `-w`, usermod(8) `-p`, wpa_supplicant.conf(5) `psk=`.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::AhoCorasick;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::Regex;
use url::Url;

/// What stands in place of a secret.
const HIDDEN: &str = "…";

/// A password of fewer bytes is not looked for: its letters are part of many words, and to hide
/// them everywhere would leave nothing readable.
pub const SHORTEST_PASSWORD: usize = 4;

/// A longer one is looked for as it stands only: its forms would cost memory, and no program
/// writes them.
const LONGEST_PASSWORD: usize = 512;

/// What RFC 3986 calls unreserved stays as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What `url` and most browsers leave as it is in the user's part of a URL.
const USERINFO: &AsciiSet = &UNRESERVED
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',');

/// A text that is never printed: `Debug` shows only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Not for logs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// The secrets of one build. `Debug` shows none of them. Looking for all of them costs one pass
/// over a text, however many there are.
#[derive(Clone, Default)]
pub struct Secrets {
    texts: BTreeSet<String>,
    /// Made when it is first needed.
    searcher: OnceLock<AhoCorasick>,
}

impl Secrets {
    /// Adds one; an empty one means nothing.
    pub fn add(&mut self, secret: impl Into<String>) {
        let secret = secret.into();
        if !secret.is_empty() && self.texts.insert(secret) {
            self.searcher = OnceLock::new();
        }
    }

    /// Adds a completion mark: in the script it stands in two halves.
    pub fn add_mark(&mut self, mark: &str) {
        self.add(mark);
        if let Some((first, second)) = mark.split_at_checked(mark.len() / 2) {
            self.add(first);
            self.add(second);
        }
    }

    /// Adds a line that holds a secret, to be hidden whole. One of fewer than four bytes is none.
    pub fn add_line(&mut self, line: &str) {
        let line = line.trim();
        if line.len() >= SHORTEST_PASSWORD {
            self.add(line);
        }
    }

    /// Adds a password in every form in which a program may write it: plain, as a part of a URL,
    /// in XML. One of fewer than four bytes cannot be hidden; one of more than 512 is a line.
    pub fn add_password(&mut self, password: &str) {
        if password.len() < SHORTEST_PASSWORD {
            return;
        }
        self.add(password);
        if password.len() > LONGEST_PASSWORD {
            return;
        }
        self.add(password.replace('&', "&amp;").replace('<', "&lt;"));
        for set in [NON_ALPHANUMERIC, UNRESERVED, USERINFO] {
            let encoded = utf8_percent_encode(password, set).to_string();
            self.add(encoded.replace("%20", "+"));
            self.add(lower_escapes(&encoded));
            self.add(encoded);
        }
    }

    /// Adds the user information of an address, plain and as a server reads it, and what stands
    /// behind its `?`. A user without a password is mostly a token.
    pub fn add_url(&mut self, url: &Url) {
        self.add_encoded(url.password().unwrap_or(url.username()));
        for (_, value) in url.query_pairs() {
            self.add_password(&value);
        }
        self.add_password(url.query().unwrap_or_default());
    }

    /// Adds a password that stands percent-encoded.
    pub fn add_encoded(&mut self, password: &str) {
        self.add_password(&percent_decode_str(password).decode_utf8_lossy());
        self.add_password(password);
    }

    /// Adds all that is recognised in a text that is no kickstart: a script, a value.
    pub fn add_text(&mut self, text: &str) {
        for place in places(text) {
            self.add_place(text, place);
        }
    }

    /// Adds a place that [`places`] found in a text.
    pub fn add_place(&mut self, text: &str, place: Range<usize>) {
        let value = &text[place.clone()];
        let password = value.split_once(':').map(|(_, password)| password);
        // An address, or what `curl -u` is given.
        let in_url = text[..place.start].ends_with("://");
        if let (true, _) | (_, Some(_)) = (in_url, password) {
            self.add_encoded(password.unwrap_or(value));
        }
        self.add_password(value);
    }

    /// The secrets themselves.
    pub fn reveal(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// The text with `…` in place of every secret; secrets that overlap are hidden as one.
    pub fn hide(&self, text: &str) -> String {
        if self.texts.is_empty() {
            return text.to_owned();
        }
        let searcher = self.searcher.get_or_init(|| {
            // Only more than 2^31 bytes of secrets would be refused; texts are capped long before.
            AhoCorasick::new(&self.texts).expect("the secrets fit into a searcher")
        });
        let mut places: Vec<Range<usize>> = searcher
            .find_overlapping_iter(text)
            .map(|found| found.range())
            .collect();
        merge(&mut places);
        replaced(text, &places, HIDDEN)
    }
}

/// `text` with `by` in each of the places, which are in order and apart.
pub fn replaced(text: &str, places: &[Range<usize>], by: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    for place in places {
        shown.push_str(&text[done..place.start]);
        shown.push_str(by);
        done = place.end;
    }
    shown.push_str(&text[done..]);
    shown
}

/// `%2F` as `%2f`.
fn lower_escapes(encoded: &str) -> String {
    let mut left = 0;
    let lower = |c: char| {
        if c == '%' {
            left = 2;
        } else if left > 0 {
            left -= 1;
            return c.to_ascii_lowercase();
        }
        c
    };
    encoded.chars().map(lower).collect()
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.texts.len())
    }
}

/// A part of a name that is given to secrets, in lower case.
const NAMES: &str = "passwd|password|passphrase|passwort|secret|token|api[_-]?key|access[_-]?key|\
    activation[_-]?key|private[_-]?key|credential|mysql_pwd|mysqlpass|dbpass|psk|wpakey|wepkey|vncpass";

/// A word of a shell's, quoted or not.
const WORD: &str = r#"(?:"(?<a>[^"\n]*)"|'(?<b>[^'\n]*)'|(?<c>[^\s;&|"'<>`)]+))"#;

/// What gives itself away wherever it stands: the secret is the group `a`, `b` or `c`.
static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // `user:password@` of an address; a user without a password is mostly a token.
        r#"://(?<c>[^\s/?\#"'<>]+)@"#.to_owned(),
        // A value of an address' query.
        format!(r#"(?i)[?&;][\w.-]*(?:{NAMES}|auth|sig|signature|key)[\w.-]*=(?<c>[^&\s"'<>\#]+)"#),
        // `NAME=value`, `name: value`, `--name=value`, `"name": "value"`.
        format!(r#"(?i)[\w.-]*(?:{NAMES})[\w.-]*["']?[\s]?(?:=|:[\s])[\s]?{WORD}"#),
        // `--name value`.
        format!(r"(?i)[\s]--?[\w-]*(?:{NAMES})[\s]+{WORD}"),
        // `Authorization: Bearer value`.
        r#"(?i)authorization:[\s]*(?:[\w]+[\s]+)?(?<c>[^\s"']+)"#.to_owned(),
        // `-u user:password`, with a blank or without one.
        format!(r"\bcurl\b[^\n|;]*?[\s](?:-u|-U|--user|--proxy-user)[=\s]?[\s]*{WORD}"),
        format!(r"\b(?:mysql|mysqladmin|mysqldump|mariadb[\w]*|mariadb-[\w]+|sshpass|7za?|unzip)\b[^\n|;]*?[\s]-[pP][\s]?{WORD}"),
        format!(r"\b(?:usermod|useradd|openssl[\s]+passwd|docker[\s]+login|podman[\s]+login)\b[^\n|;]*?[\s]-p[\s]+{WORD}"),
        format!(r"\b(?:ldap[\w]+|redis-cli|smbclient|mount\.cifs)\b[^\n|;]*?[\s](?:-w|-a|-U)[\s]+{WORD}"),
        // Tokens by their shape: GitHub, GitLab, AWS, Slack, Vault, JSON Web Tokens.
        r"(?<c>\bgh[oprsu]_[\w]{4,}|\bgithub_pat_[\w]{4,}|\bglpat-[\w-]{8,}|\bAKIA[0-9A-Z]{16}|\bxox[abprs]-[\w-]{8,}|\bhvs\.[\w]{8,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*)".to_owned(),
        // Hashes of crypt(5), with at least a salt and the 22 characters of MD5, and of GRUB.
        r"(?<c>\$[0-9a-z]{1,3}\$[\w./=$,]{22,}|\bgrub\.pbkdf2\.[\w.]*)".to_owned(),
    ]
    .iter()
    .map(|pattern| {
        // ASCII only: tables of all of Unicode would cost each start of ozr milliseconds.
        let pattern = pattern
            .replace(r"\w", "0-9A-Za-z_")
            .replace(r"\s", r" \t\r\n")
            .replace(r"\b", r"(?-u:\b)");
        Regex::new(&pattern).expect("the patterns are constants")
    })
    .collect()
});

/// What a name may be given that is no secret.
const HARMLESS: [&str; 12] = [
    "true",
    "false",
    "yes",
    "no",
    "none",
    "null",
    "required",
    "sufficient",
    "sha512",
    "sha256",
    "md5",
    "yescrypt",
];

/// The secrets of a text, in bytes: in order, no two overlapping, none empty.
pub fn places(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = PATTERNS
        .iter()
        .flat_map(|pattern| pattern.captures_iter(text))
        .filter_map(|captures| {
            let value = ["a", "b", "c"]
                .iter()
                .find_map(|name| captures.name(name))?;
            (!is_harmless(value.as_str())).then(|| value.range())
        })
        .collect();
    merge(&mut found);
    found
}

/// A variable, a file's name or a word of a setting: to hide it would hide only what explains.
fn is_harmless(value: &str) -> bool {
    value.starts_with(['$', '/']) && !is_hash(value)
        || HARMLESS.contains(&value.to_ascii_lowercase().as_str())
}

fn is_hash(value: &str) -> bool {
    PATTERNS.last().is_some_and(|hash| hash.is_match(value))
}

/// Sorts places and joins those that touch or overlap; empty ones go.
pub fn merge(places: &mut Vec<Range<usize>>) {
    places.retain(|place| !place.is_empty());
    places.sort_by_key(|place| (place.start, place.end));
    places.dedup_by(|next, last| {
        let joined = next.start < last.end;
        if joined {
            last.end = last.end.max(next.end);
        }
        joined
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_left() {
        let mut secrets = Secrets::default();
        secrets.add("s3cret");
        secrets.add("");
        assert_eq!(secrets.hide("a s3cret, s3cret."), "a …, ….");
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
    }

    #[test]
    fn the_whole_of_a_secret_is_hidden_whatever_was_added_first() {
        let mut secrets = Secrets::default();
        secrets.add("s3cret");
        secrets.add("s3cret-and-more");
        assert_eq!(secrets.hide("s3cret-and-more"), "…");
    }

    #[test]
    fn secrets_that_overlap_are_hidden_whole() {
        let mut secrets = Secrets::default();
        secrets.add("abcd");
        secrets.add("cdef");
        assert_eq!(secrets.hide("-abcdef-abcd-"), "-…-…-");
        secrets.add("-abc");
        assert_eq!(secrets.hide("-abcdef-abcd-"), "……-");
    }

    #[test]
    fn passwords_of_addresses_are_hidden() {
        let mut secrets = Secrets::default();
        secrets.add_url(&Url::parse("https://me:p%40ssw@h/os?auth=t0ken").unwrap());
        secrets.add_url(&Url::parse("https://ghp_123@h/os").unwrap());
        let text = "https://me:p%40ssw@h/ p@ssw t0ken https://ghp_123@h/ os auth";
        assert_eq!(
            secrets.hide(text),
            "https://me:…@h/ … … https://…@h/ os auth"
        );
    }

    #[test]
    fn what_a_text_tells_is_hidden_elsewhere() {
        let mut secrets = Secrets::default();
        secrets.add_text(
            "curl -u ann:hunt%20er https://h/; MYSQL_PWD=s3cret mysql; x=https://u:p%40ss@h",
        );
        assert_eq!(
            secrets.hide("hunt%20er hunt er s3cret p@ss ann u"),
            "… … … … ann u"
        );
    }

    #[test]
    fn passwords_are_hidden_in_every_form() {
        let mut secrets = Secrets::default();
        secrets.add_password("p&ss/w<rd é");
        secrets.add_password("abc");
        let url = url::Url::parse("http://u:p&ss%2Fw<rd é@h/").unwrap();
        for text in [
            "p&ss/w<rd é",
            "p&amp;ss/w&lt;rd é",
            "p%26ss%2Fw%3Crd%20%C3%A9",
            "p%26ss%2fw%3crd%20%c3%a9",
            "p%26ss%2Fw%3Crd+%C3%A9",
            url.password().unwrap(),
        ] {
            assert_eq!(secrets.hide(text), "…", "{text}");
        }
        assert_eq!(secrets.hide("abcd"), "abcd");
    }

    #[test]
    fn only_escapes_are_written_small() {
        for (encoded, small) in [
            ("%2F%C3%A9", "%2f%c3%a9"),
            ("%2FAB%2FAB", "%2fAB%2fAB"),
            ("AB%2F", "AB%2f"),
        ] {
            assert_eq!(lower_escapes(encoded), small);
        }
    }

    #[test]
    fn a_mark_is_hidden_whole_and_in_halves() {
        let mut secrets = Secrets::default();
        secrets.add_mark("0123abcd");
        assert_eq!(
            secrets.hide("0123abcd '0123''abcd' 01 cd"),
            "… '…''…' 01 cd"
        );
    }

    #[test]
    fn lines_are_hidden_whole_and_short_ones_are_none() {
        let mut secrets = Secrets::default();
        for line in ["  abcd\n", "efg"] {
            secrets.add_line(line);
        }
        assert_eq!(secrets.hide("abcd efg"), "… efg");
    }

    #[test]
    fn the_longest_password_is_hidden_in_every_form_and_a_line_as_it_stands() {
        for (length, hidden) in [(LONGEST_PASSWORD, true), (LONGEST_PASSWORD + 1, false)] {
            let mut secrets = Secrets::default();
            secrets.add_password(&"&".repeat(length));
            assert_eq!(secrets.hide(&"&".repeat(length)), "…");
            assert_eq!(secrets.hide(&"%26".repeat(length)) == "…", hidden);
        }
    }

    /// The text with its secrets in brackets.
    fn marked(text: &str) -> String {
        let mut marked = text.to_owned();
        for place in places(text).into_iter().rev() {
            marked.insert(place.end, ']');
            marked.insert(place.start, '[');
        }
        marked
    }

    #[test]
    fn what_is_a_secret() {
        for wanted in [
            "curl -fsS -u [ann:hunter2] -o x https://h/x",
            "curl --user '[ann:hunter 2]' https://h/x",
            "curl -u[ann:hunter2] h",
            "psk=\"[hunter2]\"",
            "wifi-sec.psk=[hunter2]",
            "MYSQL_PWD=[hunter2] mysql db",
            "mysql -u root -p[hunter2] db",
            "sshpass -p [hunter2] ssh h",
            "sshpass -p'[hunter 2]' ssh h",
            "useradd -m -p [hunter2] ann",
            "git clone https://[ghp_0123abcd]@h/x",
            "echo [ghp_0123abcd] >t",
            "wget 'https://h/os?arch=x&token=[t0ken]'",
            "https://h/x?X-Amz-Signature=[abc]&b=c",
            "-H 'Authorization: Bearer [abc.def]'",
            "-H \"PRIVATE-TOKEN: [abc]\"",
            "ip=dhcp inst.vncpassword=[hunter2] quiet",
            "  passphrase: [hunter2]",
            "{\"api_key\": \"[hunter2]\"}",
            "register --activationkey [k1] --org 1",
            "ldapsearch -x -w [hunter2]",
            "echo 'root:[$6$saltsalt$cKWJqidOqMqKZtJwPbwRYn211n3hYPu6]' | chpasswd -e",
            "set password=[grub.pbkdf2.sha512.10000.AB]",
            "http://[u:p]@h/ ftp://[t0ken]@h/",
        ] {
            let text = wanted.replace(['[', ']'], "");
            assert_eq!(marked(&text), wanted);
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "auth --enableshadow --passalgo=sha512",
            "password    sufficient    pam_unix.so",
            "password = $PASS",
            "passwd=/etc/passwd",
            "authselect select sssd with-mkhomedir",
            "the password is in the vault",
            "cp -p a b; mkdir -p /x",
            "PasswordAuthentication: no",
            "echo $1$2 a $6$ b",
            "curl -fsSU x",
            "keyboard --vckeymap=us",
        ] {
            assert_eq!(marked(text), text);
        }
    }

    #[test]
    fn places_are_in_order_and_apart() {
        let mut places = vec![5..9, 0..2, 1..3, 4..4, 9..10];
        merge(&mut places);
        assert_eq!(places, [0..3, 5..9, 9..10]);
    }
}

//! What no log, file or message may hold: the unguessable parts of our URLs, the mark, passwords.
//!
//! [`recognise`] finds them in texts; [`Secrets`] holds them and hides them in what others say.

pub mod recognise;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// What stands in place of a secret.
const HIDDEN: &str = "…";

/// A password of fewer bytes is not looked for: its letters are part of many words, and to hide
/// them everywhere would leave nothing readable.
const SHORTEST_PASSWORD: usize = 4;

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
        for place in recognise::places(text) {
            self.add_place(text, place);
        }
    }

    /// Adds a place that [`recognise`] found in a text.
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
        recognise::merge(&mut places);
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
}

//! What no log, file or message may hold: the unguessable parts of our URLs, the mark, passwords.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in place of a secret.
const HIDDEN: &str = "…";

/// A password of fewer bytes is not looked for: its letters are part of many words, and to hide
/// them everywhere would leave nothing readable.
const SHORTEST_PASSWORD: usize = 4;

/// What `url` and most browsers leave as it is in the user's part of a URL.
const USERINFO: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',');

/// What RFC 3986 calls unreserved stays as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The secrets of one build. `Debug` shows none of them.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Adds one; an empty one means nothing.
    pub fn add(&mut self, secret: impl Into<String>) {
        let secret = secret.into();
        if secret.is_empty() || self.0.contains(&secret) {
            return;
        }
        // The longest first: what is left of it when a part of it was hidden would stay.
        let at = self.0.partition_point(|known| known.len() >= secret.len());
        self.0.insert(at, secret);
    }

    /// Adds a password in every form in which a program may write it: plain, as a part of a URL,
    /// in XML. One of fewer than four bytes cannot be hidden.
    pub fn add_password(&mut self, password: &str) {
        if password.len() < SHORTEST_PASSWORD {
            return;
        }
        self.add(password);
        self.add(password.replace('&', "&amp;").replace('<', "&lt;"));
        for set in [NON_ALPHANUMERIC, UNRESERVED, USERINFO] {
            let encoded = utf8_percent_encode(password, set).to_string();
            self.add(encoded.replace("%20", "+"));
            self.add(lower_escapes(&encoded));
            self.add(encoded);
        }
    }

    /// The secrets themselves, the longest first.
    pub fn reveal(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    /// The text with `…` in place of every secret.
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_string(), |text, secret| {
            match text.contains(secret.as_str()) {
                true => text.replace(secret, HIDDEN),
                false => text,
            }
        })
    }
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
        write!(f, "Secrets({})", self.0.len())
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
        assert!(!format!("{secrets:?}").contains("s3cret"));
    }

    #[test]
    fn the_whole_of_a_secret_is_hidden_whatever_was_added_first() {
        let mut secrets = Secrets::default();
        secrets.add("s3cret");
        secrets.add("s3cret-and-more");
        assert_eq!(secrets.hide("s3cret-and-more"), "…");
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
}

//! What no log, file or message may hold: the unguessable parts of our URLs, and the mark.

/// The secrets of one build. `Debug` shows none of them.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Adds one; an empty one means nothing.
    pub fn add(&mut self, secret: impl Into<String>) {
        let secret = secret.into();
        if !secret.is_empty() {
            self.0.push(secret);
        }
    }

    /// The secrets themselves.
    pub fn reveal(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    /// The text with `…` in place of every secret.
    pub fn hide(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_string(), |text, secret| text.replace(secret, "…"))
    }
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
}

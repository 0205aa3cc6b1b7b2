//! Addresses in templates.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

use url::{Host, Url};

/// An address as its author wrote it, known to parse. `Debug` and `Display` hide its password.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    text: String,
    url: Url,
    span: Range<usize>,
}

impl SourceUrl {
    /// Reads an address with one of `schemes`, which stands at the bytes `span` of the template.
    ///
    /// # Errors
    /// One sentence that names the cause, without the address (it may hold a password).
    pub fn parse(text: &str, schemes: &[&str], span: &Range<usize>) -> Result<Self, String> {
        let allowed = || schemes.join(", ");
        if text.is_empty() {
            return Err("the URL is empty".to_string());
        }
        // The parser would drop tabs and line breaks and encode blanks without a word.
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("the URL holds white space".to_string());
        }
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => {
                format!("the URL names no scheme (one of {})", allowed())
            }
            other => format!("the URL does not parse: {other}"),
        })?;
        let scheme = url.scheme();
        if !schemes.contains(&scheme) {
            return Err(format!(
                "the URL's scheme `{scheme}` is not one of {}",
                allowed()
            ));
        }
        if !text[scheme.len()..].starts_with("://") {
            return Err(format!("the URL does not begin with `{scheme}://`"));
        }
        match url.host_str() {
            None | Some("") if scheme != "file" => {
                return Err("the URL names no host".to_string());
            }
            Some(host) if scheme == "file" && !host.is_empty() => {
                return Err("a file URL here needs an absolute path: file:///path".to_string());
            }
            _ => {}
        }
        Ok(Self {
            text: text.to_string(),
            url,
            span: span.clone(),
        })
    }

    /// The address as written, password included. Package managers replace `$releasever` and the
    /// like in it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed address, password included.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where it stands in the template, in bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the address names the machine that looks at it (`localhost`, `127.0.0.0/8`, `::1`,
    /// the unspecified address), on any port.
    pub fn is_loopback(&self) -> bool {
        let ip = |ip: IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified();
        match self.url.host() {
            Some(Host::Ipv4(address)) => ip(address.into()),
            Some(Host::Ipv6(address)) => ip(address.into()),
            Some(Host::Domain(domain)) => {
                let domain = domain.trim_end_matches('.').to_ascii_lowercase();
                matches!(
                    domain.as_str(),
                    "localhost"
                        | "localhost.localdomain"
                        | "localhost4"
                        | "localhost6"
                        | "localhost4.localdomain4"
                        | "localhost6.localdomain6"
                ) || domain.ends_with(".localhost")
            }
            None => false,
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::mask(&self.text))
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

/// The path of a `file:` address as Oz reads it: host and path together, nothing decoded, so that
/// `file://./x` and `file://dir/x` are relative. `None` for other schemes and for an empty path.
pub fn local_path(text: &str) -> Option<PathBuf> {
    let rest = text
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("file:"))
        .map(|_| &text[5..])?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    // RFC 8089 calls this machine `localhost` or nothing.
    let path = match path.strip_prefix("localhost/") {
        Some(_) => &path["localhost".len()..],
        None => path,
    };
    (!path.is_empty()).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[&str] = &["http", "https", "ftp", "file"];

    #[test]
    fn addresses_that_parse() {
        for text in [
            "http://h/p",
            "HTTPS://h:8443/$releasever/$basearch/",
            "ftp://u:p@h/",
            "file:///mnt/tree",
            "http://[::1]:8080/",
        ] {
            assert_eq!(
                SourceUrl::parse(text, SCHEMES, &(0..0)).unwrap().as_str(),
                text
            );
        }
        for text in [
            "",
            "h/p",
            "/mnt",
            "http:h",
            "http://",
            "http://h h/",
            "http://h/\na",
            "gopher://h/",
            "http://h:99999/",
            "http://[::1/",
            "file://./x",
            "nfs://h/p",
        ] {
            assert!(SourceUrl::parse(text, SCHEMES, &(0..0)).is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        let url = SourceUrl::parse("http://u:s3cret@h/", SCHEMES, &(0..0)).unwrap();
        assert!(!format!("{url} {url:?}").contains("s3cret"));
        let error = SourceUrl::parse("http://u:s3cret@h:99999/", SCHEMES, &(0..0)).unwrap_err();
        assert!(!error.contains("s3cret"));
    }

    #[test]
    fn loopback_in_all_its_spellings() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("localhost.", true),
            ("localhost.localdomain:80", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("2130706433", true),
            ("0.0.0.0", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("localhost.example.org", false),
            ("mirror", false),
            ("128.0.0.1", false),
        ] {
            let url = SourceUrl::parse(&format!("http://{host}/"), SCHEMES, &(0..0)).unwrap();
            assert_eq!(url.is_loopback(), expected, "{host}");
        }
    }

    #[test]
    fn file_addresses_as_paths() {
        for (text, expected) in [
            ("file:///etc/motd", Some("/etc/motd")),
            ("file://./x%20y", Some("./x%20y")),
            ("FILE://dir/x", Some("dir/x")),
            ("file:x", Some("x")),
            ("file://localhost/x", Some("/x")),
            ("file://", None),
            ("http://h/", None),
            ("é", None),
        ] {
            assert_eq!(local_path(text), expected.map(PathBuf::from), "{text}");
        }
    }
}

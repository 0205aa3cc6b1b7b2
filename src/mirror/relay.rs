//! What a guest asks our own server for, fetched from where only the host can reach: a mirror on
//! the host's loopback, a directory, one behind a proxy, a private authority or a client
//! certificate.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use reqwest::header::{
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED, RANGE,
};
use reqwest::{Method, Response};
use tokio::runtime::Handle;
use url::{Host, Url};

use super::fault::Fault;
use super::fetch::{Fetcher, content_length, header};
use super::location::Location;
use super::obtain::open_local;
use crate::upstream::{Upstream, UpstreamResponse};

/// An answer without a body.
fn empty(status: u16) -> UpstreamResponse {
    UpstreamResponse {
        status,
        content_length: Some(0),
        content_type: None,
        content_range: None,
        last_modified: None,
        etag: None,
        body: Box::new(io::empty()),
    }
}

pub(super) fn upstream(fetcher: &Fetcher, base: &Url) -> Result<Arc<dyn Upstream>, Fault> {
    Ok(match Location::of(base)? {
        Location::Web(base) => Arc::new(Web {
            fetcher: fetcher.clone(),
            base,
            runtime: Handle::current(),
        }),
        Location::Local(root) => Arc::new(Directory { root }),
    })
}

/// Why a guest should not ask `url` itself.
pub(super) fn reason(url: &Url, client_certificate: bool, authority: bool) -> Option<&'static str> {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    };
    if url.scheme() == "file" {
        Some("it is a directory of this host")
    } else if loopback {
        Some("it is on this host's loopback")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("its password must not be seen in the guest")
    } else if client_certificate && url.scheme() == "https" {
        Some("it may want the client certificate")
    } else if authority && url.scheme() == "https" {
        Some("the guest does not know its certificate authority")
    } else if is_proxied(url) {
        Some("it is reached through a proxy")
    } else {
        None
    }
}

/// Whether the environment names a proxy for the scheme; `no_proxy` may still except the host,
/// and then relaying does no harm.
fn is_proxied(url: &Url) -> bool {
    let scheme = url.scheme();
    [
        format!("{scheme}_proxy"),
        format!("{}_PROXY", scheme.to_uppercase()),
        "all_proxy".to_string(),
        "ALL_PROXY".to_string(),
    ]
    .iter()
    .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Whether a relative, percent-encoded path stays below its base.
fn is_clean(path: &str) -> bool {
    let decoded = percent_decode_str(path).collect::<Vec<u8>>();
    !path.starts_with('/')
        && !path.contains(['?', '#', '\\'])
        && !decoded.contains(&0)
        && decoded
            .split(|&byte| byte == b'/' || byte == b'\\')
            .all(|part| part != b"..")
}

/// A tree behind HTTP.
struct Web {
    fetcher: Fetcher,
    base: Url,
    runtime: Handle,
}

impl Upstream for Web {
    fn open(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
    ) -> anyhow::Result<UpstreamResponse> {
        if !is_clean(path) {
            return Ok(empty(404));
        }
        // Appended as it is written: a mirror may tell `%2B` from `+`.
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        let mut headers = HeaderMap::new();
        if let Some(range) = range.and_then(|range| HeaderValue::from_str(range).ok()) {
            headers.insert(RANGE, range);
        }
        let method = if head_only { Method::HEAD } else { Method::GET };
        let response = self
            .runtime
            .block_on(self.fetcher.request(method, &url, headers))
            .map_err(Fault::into_error)?;
        Ok(UpstreamResponse {
            status: response.status().as_u16(),
            content_length: content_length(&response),
            content_type: header(&response, CONTENT_TYPE),
            content_range: header(&response, CONTENT_RANGE),
            last_modified: header(&response, LAST_MODIFIED),
            etag: header(&response, ETAG),
            body: Box::new(WebBody {
                response,
                runtime: self.runtime.clone(),
                chunk: Cursor::default(),
            }),
        })
    }
}

/// A body that is read chunk by chunk, never held whole.
struct WebBody {
    response: Response,
    runtime: Handle,
    chunk: Cursor<Vec<u8>>,
}

impl Read for WebBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.chunk.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.runtime.block_on(self.response.chunk()) {
                Ok(Some(bytes)) => self.chunk = Cursor::new(bytes.into()),
                Ok(None) => return Ok(0),
                // Without the address, which may hold a password.
                Err(error) => return Err(io::Error::other(error.without_url())),
            }
        }
    }
}

/// A tree in a directory of this host.
struct Directory {
    root: PathBuf,
}

impl Upstream for Directory {
    fn open(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
    ) -> anyhow::Result<UpstreamResponse> {
        if !is_clean(path) {
            return Ok(empty(404));
        }
        let Ok(relative) = percent_decode_str(path).decode_utf8() else {
            return Ok(empty(404));
        };
        let place = self.root.join(relative.trim_start_matches('/'));
        let shown_url = Url::from_file_path(&place)
            .map_err(|()| anyhow::anyhow!("{} is no absolute path", place.display()))?;
        let (mut file, length) = match open_local(&shown_url, &place) {
            Ok(opened) => opened,
            Err(Fault::NotFound { .. }) => return Ok(empty(404)),
            Err(Fault::Local { error, .. }) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(empty(403));
            }
            Err(fault) => return Err(fault.into_error()),
        };
        let mut response = empty(200);
        response.last_modified = last_modified(&file);
        let (start, count) = match range.and_then(|range| parse_range(range, length)) {
            None => (0, length),
            Some(Some((start, count))) => {
                response.status = 206;
                response.content_range =
                    Some(format!("bytes {start}-{}/{length}", start + count - 1));
                (start, count)
            }
            Some(None) => {
                let mut refused = empty(416);
                refused.content_range = Some(format!("bytes */{length}"));
                return Ok(refused);
            }
        };
        response.content_length = Some(count);
        if !head_only {
            file.seek(SeekFrom::Start(start))?;
            response.body = Box::new(file.take(count));
        }
        Ok(response)
    }
}

/// One range of a file of `length` bytes as first byte and count: none for what is not one such
/// range (then the whole file is right, RFC 9110, 14.2), an inner none for one past the end.
fn parse_range(value: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let wanted = last.parse::<u64>().ok()?.min(length);
        return Some((wanted > 0).then(|| (length - wanted, wanted)));
    }
    let first: u64 = first.parse().ok()?;
    let last = match last {
        "" => u64::MAX,
        last => last.parse().ok()?,
    };
    if last < first {
        return None;
    }
    if first >= length {
        return Some(None);
    }
    let last = last.min(length - 1);
    Some(Some((first, last - first + 1)))
}

/// A file's modification time as HTTP writes it.
fn last_modified(file: &File) -> Option<String> {
    let modified = file.metadata().ok()?.modified().ok()?;
    Some(httpdate::fmt_http_date(modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_tree_are_not_clean() {
        for bad in [
            "..",
            "../x",
            "a/../../x",
            "a/%2e%2e/x",
            "a/%2E./x",
            "%2e%2e%2fx",
            "a\\..\\x",
            "a/..%5cx",
            "/etc/passwd",
            "a%00b",
            "a?b",
        ] {
            assert!(!is_clean(bad), "{bad}");
        }
        for good in [
            "a",
            "Packages/g/gtk%2B.rpm",
            "a..b/...",
            ".treeinfo",
            "x%y",
            "",
        ] {
            assert!(is_clean(good), "{good}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_standard() {
        let cases = [
            ("bytes=0-0", Some(Some((0, 1)))),
            ("bytes=5-", Some(Some((5, 5)))),
            ("bytes=5-100", Some(Some((5, 5)))),
            ("bytes=-3", Some(Some((7, 3)))),
            ("bytes=-30", Some(Some((0, 10)))),
            ("bytes=-0", Some(None)),
            ("bytes=10-", Some(None)),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("items=0-1", None),
            ("bytes=x", None),
        ];
        for (value, expected) in cases {
            assert_eq!(parse_range(value, 10), expected, "{value}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Some(None));
    }

    #[test]
    fn what_only_the_host_can_reach_is_relayed() {
        let why = |url: &str| reason(&Url::parse(url).unwrap(), false, false);
        assert!(why("file:///srv/tree").is_some());
        assert!(why("http://localhost:8000/").is_some());
        assert!(why("http://127.1.2.3/").is_some());
        assert!(why("http://[::1]/").is_some());
        assert!(why("https://user:secret@192.0.2.1/").is_some());
        assert!(reason(&Url::parse("https://192.0.2.1/").unwrap(), true, false).is_some());
        assert!(reason(&Url::parse("https://192.0.2.1/").unwrap(), false, true).is_some());
    }
}

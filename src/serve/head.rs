//! Checks a request's head, byte for byte, and writes the one that is passed on.
//!
//! Stricter than RFC 9112 wherever leniency helps nobody here: the clients are curl (dracut and
//! `%pre`/`%post` scripts), librepo (dnf) and python-requests (anaconda).

use super::access::{AnacondaHeaders, printable};

/// The longest request target. Paths in RPM trees stay below 300 bytes.
const MAX_TARGET: usize = 2048;
/// The most header fields. anaconda sends two and one for each network interface.
const MAX_FIELDS: usize = 64;
/// The longest `Range` that is looked at; two 20-digit numbers fit.
const MAX_RANGE: usize = 64;
/// The most provisioning MAC headers that are noted.
const MAX_MACS: usize = 16;

/// GET or HEAD; there is nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The resource.
    Get,
    /// The headers only.
    Head,
}

impl Method {
    /// As it stands in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
        }
    }
}

/// A request that may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRequest {
    /// What is asked.
    pub method: Method,
    /// Begins with `/`; visible ASCII without `"`, `#`, `<`, `>` and `\`; not decoded.
    pub target: String,
    /// The client speaks HTTP/1.0, so it knows no chunked bodies.
    pub http10: bool,
    /// A `Range` of digits, `-`, `,`, `=`, letters and spaces; syntax is not checked here.
    pub range: Option<String>,
    /// Printable and cut; for logs only.
    pub user_agent: Option<String>,
    /// What anaconda's initramfs says about the guest; printable and cut.
    pub anaconda: Option<AnacondaHeaders>,
}

/// Why a request is not answered. Each has a fixed response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP as it should be written, or ambiguous.
    Malformed,
    /// Neither GET nor HEAD.
    Method,
    /// The head did not arrive in time.
    TooSlow,
    /// A body was announced.
    Body,
    /// The target is longer than any of ours.
    TargetTooLong,
    /// `Expect` was given.
    Expectation,
    /// The head is longer than allowed, or has too many fields.
    HeadTooLong,
    /// The server itself failed.
    Internal,
    /// `Transfer-Encoding` was given.
    TransferEncoding,
    /// Too many answers are under way.
    Busy,
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
}

impl Refusal {
    /// The status code.
    pub fn status(self) -> u16 {
        self.parts().0
    }

    fn parts(self) -> (u16, &'static str) {
        match self {
            Refusal::Malformed => (400, "Bad Request"),
            Refusal::Method => (405, "Method Not Allowed"),
            Refusal::TooSlow => (408, "Request Timeout"),
            Refusal::Body => (413, "Content Too Large"),
            Refusal::TargetTooLong => (414, "URI Too Long"),
            Refusal::Expectation => (417, "Expectation Failed"),
            Refusal::HeadTooLong => (431, "Request Header Fields Too Large"),
            Refusal::Internal => (500, "Internal Server Error"),
            Refusal::TransferEncoding => (501, "Not Implemented"),
            Refusal::Busy => (503, "Service Unavailable"),
            Refusal::Version => (505, "HTTP Version Not Supported"),
        }
    }

    /// The whole response, made of constants only.
    pub fn response(self) -> Vec<u8> {
        let (status, reason) = self.parts();
        let allow = match self {
            Refusal::Method => "Allow: GET, HEAD\r\n",
            _ => "",
        };
        let length = reason.len() + 1;
        format!(
            "HTTP/1.1 {status} {reason}\r\nServer: ozr\r\nConnection: close\r\n{allow}\
             Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{reason}\n"
        )
        .into_bytes()
    }
}

/// Where the head in `bytes` ends (the length with its empty line), `None` while it is incomplete.
///
/// Line feeds without carriage return are refused at once: programs disagree on whether they
/// end a line.
pub fn end_of_head(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut line_start = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if index == 0 || bytes[index - 1] != b'\r' => return Err(Refusal::Malformed),
            b'\n' => {
                if index - line_start == 1 {
                    // An empty line; before the request line it is refused by `check`.
                    return Ok(Some(index + 1));
                }
                line_start = index + 1;
            }
            _ if index > 0 && bytes[index - 1] == b'\r' => return Err(Refusal::Malformed),
            0 => return Err(Refusal::Malformed),
            _ => {}
        }
    }
    Ok(None)
}

/// Checks a complete head.
pub fn check(head: &[u8]) -> Result<CheckedRequest, Refusal> {
    // `httparse` skips empty lines in front; a head of ours begins with its method.
    if !head.first().is_some_and(u8::is_ascii_uppercase) || end_of_head(head)? != Some(head.len()) {
        return Err(Refusal::Malformed);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refusal::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLong),
        Err(httparse::Error::Version) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Malformed),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Refusal::Malformed);
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => return Err(Refusal::Method),
    };
    let fields = Fields(request.headers);
    fields.refuse_bodies()?;
    fields.check_host(minor)?;
    Ok(CheckedRequest {
        method,
        target: check_target(target)?.to_owned(),
        http10: minor == 0,
        range: fields.range()?,
        user_agent: fields.first("user-agent").map(printable),
        anaconda: fields.anaconda(),
    })
}

fn check_target(target: &str) -> Result<&str, Refusal> {
    if target.len() > MAX_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    // Only the origin form: no `http://…`, no `*`, no `host:port`.
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\".contains(&byte);
    if target.starts_with('/') && target.bytes().all(allowed) {
        Ok(target)
    } else {
        Err(Refusal::Malformed)
    }
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The only one of its name.
    fn single(&self, name: &str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut all = self.all(name);
        let first = all.next();
        match all.next() {
            Some(_) => Err(Refusal::Malformed),
            None => Ok(first),
        }
    }

    fn refuse_bodies(&self) -> Result<(), Refusal> {
        let length = self.single("content-length")?;
        if self.first("transfer-encoding").is_some() {
            // Together with a length it is the classic smuggling attempt.
            return Err(match length {
                Some(_) => Refusal::Malformed,
                None => Refusal::TransferEncoding,
            });
        }
        match length {
            None | Some(b"0") => {}
            Some(digits) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                return Err(Refusal::Body);
            }
            Some(_) => return Err(Refusal::Malformed),
        }
        if self.first("expect").is_some() {
            return Err(Refusal::Expectation);
        }
        if self.first("upgrade").is_some() || self.first("trailer").is_some() {
            return Err(Refusal::Malformed);
        }
        Ok(())
    }

    fn check_host(&self, minor: u8) -> Result<(), Refusal> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
        match self.single("host")? {
            Some(host) if host.iter().all(allowed) => Ok(()),
            None if minor == 0 => Ok(()),
            _ => Err(Refusal::Malformed),
        }
    }

    fn range(&self) -> Result<Option<String>, Refusal> {
        let Some(range) = self.single("range")? else {
            return Ok(None);
        };
        // Without validators of our own no `If-Range` can match, so the whole is served.
        if self.first("if-range").is_some() || range.len() > MAX_RANGE {
            return Ok(None);
        }
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"=-, ".contains(byte);
        if !range.iter().all(allowed) {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(range).into_owned()))
    }

    fn anaconda(&self) -> Option<AnacondaHeaders> {
        // Always sent by anaconda's initramfs (dracut/parse-anaconda-options.sh, RHEL 6 to 10);
        // the MAC addresses with `inst.ks.sendmac` (dracut/anaconda-ks-sendheaders.sh).
        let architecture = self.first("x-anaconda-architecture").map(printable);
        let system_release = self.first("x-anaconda-system-release").map(printable);
        if architecture.is_none() && system_release.is_none() {
            return None;
        }
        let prefix = "x-rhn-provisioning-mac-";
        let macs = self
            .0
            .iter()
            .filter(|field| {
                let start = field.name.get(..prefix.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            })
            .take(MAX_MACS)
            .map(|field| printable(field.value))
            .collect();
        Some(AnacondaHeaders {
            architecture,
            system_release,
            macs,
        })
    }
}

/// The private header that carries the exchange's number.
pub(super) const EXCHANGE_FIELD: &str = "X-Ozr-Exchange";

impl CheckedRequest {
    /// The head that is passed on: nothing but what was checked.
    pub fn canonical(&self, exchange: u64) -> String {
        let range = match &self.range {
            Some(range) => format!("Range: {range}\r\n"),
            None => String::new(),
        };
        format!(
            "{} {} HTTP/1.{}\r\nHost: ozr\r\n{EXCHANGE_FIELD}: {exchange}\r\n{range}\
             Connection: close\r\n\r\n",
            self.method.as_str(),
            self.target,
            u8::from(!self.http10),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let long_target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(2048));
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(64));
        let table: &[(&str, Refusal)] = &[
            ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Method),
            ("get / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Malformed),
            ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Method),
            ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Method),
            ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Malformed),
            (
                "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
                Refusal::Malformed,
            ),
            ("GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Malformed),
            ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Malformed),
            ("GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Malformed),
            ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Version),
            (
                "GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n",
                Refusal::Malformed,
            ),
            ("GET /\u{1} HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Malformed),
            ("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", Refusal::Version),
            ("GET / HTTP/0.9\r\nHost: h\r\n\r\n", Refusal::Version),
            ("GET /\r\n\r\n", Refusal::Malformed),
            ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\n\r\n", Refusal::Malformed),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
                Refusal::Malformed,
            ),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Refusal::Malformed),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n",
                Refusal::Body,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 0\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
                Refusal::TransferEncoding,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nTRANSFER-ENCODING: xchunked\r\n\r\n",
                Refusal::TransferEncoding,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: a\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
                Refusal::Malformed,
            ),
            ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", Refusal::Malformed),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nA: b\u{7f}\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n",
                Refusal::Malformed,
            ),
            ("GET / HTTP/1.1\nHost: h\n\n", Refusal::Malformed),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
                Refusal::Expectation,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n",
                Refusal::Malformed,
            ),
            (&long_target, Refusal::TargetTooLong),
            (&many, Refusal::HeadTooLong),
        ];
        for (head, refusal) in table {
            assert_eq!(check(head.as_bytes()), Err(*refusal), "{head:?}");
        }
    }

    #[test]
    fn what_passes_is_written_anew() {
        let head = "GET /t/a%20b HTTP/1.1\r\nhOST: 10.0.2.2:80\r\nUser-Agent: cu\"rl\u{e9}\r\n\
                    Range: bytes=1-2\r\nCookie: x\r\nContent-Length: 0\r\n\
                    X-Anaconda-Architecture: x86_64\r\nX-Anaconda-System-Release: Rocky Linux\r\n\
                    X-RHN-Provisioning-MAC-0: eth0 52:54:00:00:00:01\r\n\r\n";
        let request = check(head.as_bytes()).unwrap();
        assert_eq!(
            request.canonical(7),
            "GET /t/a%20b HTTP/1.1\r\nHost: ozr\r\nX-Ozr-Exchange: 7\r\nRange: bytes=1-2\r\n\
             Connection: close\r\n\r\n"
        );
        assert_eq!(request.user_agent.as_deref(), Some("cu?rl??"));
        let anaconda = request.anaconda.unwrap();
        assert_eq!(anaconda.architecture.as_deref(), Some("x86_64"));
        assert_eq!(anaconda.system_release.as_deref(), Some("Rocky Linux"));
        assert_eq!(anaconda.macs, ["eth0 52:54:00:00:00:01"]);

        let old = check(b"HEAD /x HTTP/1.0\r\n\r\n").unwrap();
        assert!(old.http10 && old.method == Method::Head);
        assert!(old.canonical(1).starts_with("HEAD /x HTTP/1.0\r\n"));
    }

    #[test]
    fn ranges_that_cannot_be_honoured_are_forgotten() {
        let range = |fields: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            check(head.as_bytes()).unwrap().range
        };
        assert_eq!(range("Range: bytes=0-\r\n").as_deref(), Some("bytes=0-"));
        assert_eq!(range("Range: bytes=0-\r\nIf-Range: \"x\"\r\n"), None);
        assert_eq!(range("Range: bytes=0-;x\r\n"), None);
        assert_eq!(
            range(&format!("Range: bytes={}-\r\n", "0".repeat(80))),
            None
        );
    }

    #[test]
    fn the_end_is_found_where_it_is() {
        assert_eq!(end_of_head(b""), Ok(None));
        assert_eq!(end_of_head(b"GET / HTTP/1.1\r\n\r"), Ok(None));
        assert_eq!(end_of_head(b"GET / HTTP/1.1\r\n\r\nrest"), Ok(Some(18)));
        assert_eq!(end_of_head(b"\r\nGET"), Ok(Some(2)));
        assert_eq!(end_of_head(b"\n"), Err(Refusal::Malformed));
        assert_eq!(end_of_head(b"GET /\0"), Err(Refusal::Malformed));
        assert_eq!(end_of_head(b"GET /\rx"), Err(Refusal::Malformed));
    }
}

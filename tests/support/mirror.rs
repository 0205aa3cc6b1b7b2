//! A real HTTP mirror that can be told to misbehave, and that remembers what it was asked.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};
use url::Url;

/// How long a test waits for something that must happen before it is called failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What goes wrong with one answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Another status, with more header lines.
    Status(u16, Vec<(&'static str, String)>),
    /// A web page with status 200.
    WebPage,
    /// The body ends after so many bytes, though more were announced.
    CutAt(usize),
    /// The body stops after so many bytes; the rest comes after [`Mirror::release`], and never
    /// after [`Mirror::cut`].
    StallAt(usize),
    /// The body comes byte by byte, without an end.
    Drip,
    /// The request is read and never answered.
    Hang,
    /// The connection is closed without an answer.
    HangUp,
}

/// How one file is served.
#[derive(Debug, Clone)]
pub struct File {
    pub body: Arc<Vec<u8>>,
    pub content_type: &'static str,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// Whether `Range` is obeyed.
    pub ranges: bool,
    /// `Range` gets this offset added: a broken server.
    pub range_shift: usize,
    /// What HEAD gets, where it is not known.
    pub head: Option<u16>,
    /// What the body is said to be packed with.
    pub encoding: Option<&'static str>,
    /// Sent in chunks, without a length.
    pub chunked: bool,
    /// Sent without a length, ended by closing the connection.
    pub unsized_body: bool,
    /// Only with this `Authorization` header.
    pub authorization: Option<String>,
    /// For every request.
    pub always: Option<Fault>,
    /// For the next requests, one each; `None` is an answer without a fault.
    pub next: Vec<Option<Fault>>,
}

impl File {
    /// A file with an entity tag and everything that a good mirror has.
    pub fn new(body: impl Into<Vec<u8>>) -> File {
        let body = body.into();
        File {
            etag: Some(etag(&sha256(&body))),
            body: Arc::new(body),
            content_type: "application/octet-stream",
            last_modified: Some("Tue, 01 Apr 2025 10:00:00 GMT".to_string()),
            ranges: true,
            range_shift: 0,
            head: None,
            encoding: None,
            chunked: false,
            unsized_body: false,
            authorization: None,
            always: None,
            next: Vec::new(),
        }
    }
}

fn etag(checksum: &str) -> String {
    format!("\"{}\"", &checksum[..16])
}

/// The files below a directory with the paths that they have below `prefix` on a mirror.
pub fn files_below(prefix: &str, directory: &Path) -> Vec<(String, File)> {
    let mut files = Vec::new();
    for found in std::fs::read_dir(directory).unwrap().flatten() {
        let name = found.file_name().into_string().unwrap();
        let path = format!("{}/{name}", prefix.trim_end_matches('/'));
        if found.path().is_dir() {
            files.extend(files_below(&path, &found.path()));
        } else {
            files.push((path, File::new(std::fs::read(found.path()).unwrap())));
        }
    }
    files
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// The request target as it was written.
    pub target: String,
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// The status of the answer; 0 for none.
    pub status: u16,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is_conditional(&self) -> bool {
        self.header("if-none-match").is_some() || self.header("if-modified-since").is_some()
    }
}

#[derive(Default)]
struct State {
    files: HashMap<String, File>,
    requests: Vec<Request>,
    stalled: usize,
    released: bool,
    cut: bool,
    stopped: bool,
}

/// The mirror; it stops when it is dropped.
pub struct Mirror {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn wait_until(&self, what: &str, mut is_so: impl FnMut(&State) -> bool) {
        let (_guard, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |state| !is_so(state))
            .unwrap();
        assert!(!timeout.timed_out(), "waited in vain until {what}");
    }
}

impl Mirror {
    /// Serves plain HTTP on the loopback.
    pub fn start() -> Mirror {
        Mirror::start_at("127.0.0.1", None)
    }

    /// Serves HTTPS.
    pub fn start_tls(config: Arc<ServerConfig>) -> Mirror {
        Mirror::start_at("127.0.0.1", Some(config))
    }

    /// Serves on an address of this host.
    pub fn start_at(address: &str, tls: Option<Arc<ServerConfig>>) -> Mirror {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let mirror = Mirror {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            shared: Arc::default(),
        };
        let shared = Arc::clone(&mirror.shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().stopped {
                    return;
                }
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                // A client that goes away is no failure of the mirror.
                thread::spawn(move || {
                    let _ = match tls {
                        None => answer(&shared, stream),
                        Some(config) => answer_tls(&shared, stream, config),
                    };
                });
            }
        });
        mirror
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}://{}{path}", self.scheme, self.address)).unwrap()
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Serves a file as [`File::new`] says.
    pub fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.put_all([(path.to_string(), File::new(body))]);
    }

    /// Serves the files below a directory, such as a whole install tree.
    pub fn put_directory(&self, prefix: &str, directory: &Path) {
        self.put_all(files_below(prefix, directory));
    }

    /// Serves files, each at its path.
    pub fn put_all(&self, files: impl IntoIterator<Item = (String, File)>) {
        self.shared.lock().files.extend(files);
    }

    /// Serves another file in an install tree, which `.treeinfo` has the checksum of.
    pub fn exchange(&self, tree: &str, name: &str, body: Vec<u8>) {
        let (path, ours) = (format!("{tree}/{name}"), sha256(&body));
        let mut genuine = String::new();
        self.change(&path, |file| {
            genuine = sha256(&file.body);
            file.body = Arc::new(body);
            file.etag = Some(etag(&ours));
        });
        self.change(&format!("{tree}/.treeinfo"), |file| {
            let text = str::from_utf8(&file.body).unwrap();
            assert!(text.contains(&genuine), "{text}");
            file.body = Arc::new(text.replace(&genuine, &ours).into_bytes());
            file.etag = Some(etag(&sha256(&file.body)));
        });
    }

    /// All files that are served, with their paths.
    pub fn files(&self) -> Vec<(String, File)> {
        let state = self.shared.lock();
        let files = state.files.iter();
        files
            .map(|(path, file)| (path.clone(), file.clone()))
            .collect()
    }

    /// The paths of all files that are served.
    pub fn paths(&self) -> Vec<String> {
        self.shared.lock().files.keys().cloned().collect()
    }

    /// Serves a file no more.
    pub fn remove(&self, path: &str) {
        self.shared.lock().files.remove(path);
    }

    /// Changes how a file is served.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut File)) {
        change(
            self.shared
                .lock()
                .files
                .get_mut(path)
                .unwrap_or_else(|| panic!("{path} is not served")),
        );
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// The requests for one path so far.
    pub fn requests_for(&self, path: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.path == path);
        requests
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.lock().requests.clear();
    }

    /// Waits until an answer stalls.
    pub fn wait_for_stall(&self) {
        self.shared
            .wait_until("an answer stalls", |state| state.stalled > 0);
    }

    /// Lets stalled answers, and those to come, go on.
    pub fn release(&self) {
        self.shared.lock().released = true;
        self.shared.changed.notify_all();
    }
}

impl Mirror {
    /// Closes the connections of stalled answers.
    pub fn cut(&self) {
        {
            let mut state = self.shared.lock();
            state.released = true;
            state.cut = true;
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.stopped = true;
            state.released = true;
        }
        self.shared.changed.notify_all();
        // Wakes the listener, which then sees that it is to stop.
        let _ = TcpStream::connect(self.address);
    }
}

fn answer_tls(shared: &Shared, stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut raw = stream.try_clone()?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut raw) {
            // The alert must reach the client before the connection is reset.
            let _ = connection.write_tls(&mut raw);
            let _ = raw.shutdown(Shutdown::Write);
            let _ = io::copy(&mut raw, &mut io::sink());
            return Err(error);
        }
    }
    let mut stream = StreamOwned::new(connection, stream);
    // Without the closing alert where the connection is to break.
    answer(shared, &mut stream)?;
    stream.conn.send_close_notify();
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(())
}

/// One request and its answer; connections are not kept.
fn answer(shared: &Shared, stream: impl Read + Write) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_string);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_string());
        }
    }
    // A client that takes us for its proxy writes the whole address.
    let path = match Url::parse(&target) {
        Ok(url) => url.path().to_string(),
        Err(_) => target.clone(),
    };
    // Clients may encode what need not be (dnf writes `+` as `%2b`).
    let decoded = percent_encoding::percent_decode_str(&path)
        .decode_utf8_lossy()
        .into_owned();
    let path = if shared.lock().files.contains_key(&path) {
        path
    } else {
        decoded
    };
    let mut request = Request {
        method,
        target,
        path,
        headers,
        status: 0,
    };
    let (file, fault) = {
        let mut state = shared.lock();
        let file = state.files.get_mut(&request.path);
        let fault = file.and_then(|file| {
            if file.next.is_empty() {
                file.always.clone()
            } else {
                file.next.remove(0)
            }
        });
        (state.files.get(&request.path).cloned(), fault)
    };
    let reply = reply(&request, file.as_ref(), fault.as_ref());
    request.status = reply.as_ref().map_or(0, |reply| reply.status);
    {
        shared.lock().requests.push(request.clone());
        shared.changed.notify_all();
    }
    let Some(reply) = reply else {
        if matches!(fault, Some(Fault::Hang)) {
            shared.wait_until("the mirror is stopped", |state| state.stopped);
        }
        return Err(io::Error::other("no answer as asked"));
    };
    let stream = reader.get_mut();
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return stream.flush();
    }
    let body = &reply.body[reply.part];
    if matches!(fault, Some(Fault::Drip)) {
        // Ends when the client has had enough.
        for byte in body.iter().cycle() {
            stream.write_all(std::slice::from_ref(byte))?;
            stream.flush()?;
            thread::sleep(Duration::from_millis(5));
        }
    }
    let (now, later) = match fault {
        Some(Fault::CutAt(at)) => (&body[..at.min(body.len())], &body[..0]),
        Some(Fault::StallAt(at)) => body.split_at(at.min(body.len())),
        _ => (body, &body[..0]),
    };
    let is_chunked = file.is_some_and(|file| file.chunked);
    send(stream, now, is_chunked)?;
    if matches!(fault, Some(Fault::StallAt(_))) {
        shared.lock().stalled += 1;
        shared.changed.notify_all();
        shared.wait_until("stalled answers are released", |state| state.released);
        if shared.lock().cut {
            return Ok(());
        }
    }
    if matches!(fault, Some(Fault::CutAt(_))) {
        return Err(io::Error::other("cut as asked"));
    }
    send(stream, later, is_chunked)?;
    if is_chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    stream.flush()
}

fn send(stream: &mut impl Write, bytes: &[u8], is_chunked: bool) -> io::Result<()> {
    if !is_chunked {
        stream.write_all(bytes)?;
        return stream.flush();
    }
    for chunk in bytes.chunks(10_000) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    stream.flush()
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Arc<Vec<u8>>,
    /// What of the body is sent.
    part: Range<usize>,
}

impl Reply {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Reply {
        Reply {
            status,
            headers,
            part: 0..body.len(),
            body: Arc::new(body),
        }
    }
}

fn plain(status: u16) -> Reply {
    let body = format!("status {status}\n").into_bytes();
    let headers = vec![("Content-Length", body.len().to_string())];
    Reply::new(status, headers, body)
}

/// What the mirror answers; nothing for a fault without an answer.
fn reply(request: &Request, file: Option<&File>, fault: Option<&Fault>) -> Option<Reply> {
    match fault {
        Some(Fault::Hang | Fault::HangUp) => return None,
        Some(Fault::Status(status, headers)) => {
            let mut reply = plain(*status);
            reply.headers.extend(headers.iter().cloned());
            return Some(reply);
        }
        Some(Fault::WebPage) => {
            let body = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n".to_vec();
            let headers = vec![
                ("Content-Length", body.len().to_string()),
                ("Content-Type", "text/html; charset=utf-8".to_string()),
            ];
            return Some(Reply::new(200, headers, body));
        }
        _ => {}
    }
    let Some(file) = file else {
        return Some(plain(404));
    };
    if request.method == "HEAD"
        && let Some(status) = file.head
    {
        return Some(plain(status));
    }
    if file.authorization.is_some()
        && file.authorization.as_deref() != request.header("authorization")
    {
        return Some(plain(401));
    }
    let unchanged = match request.header("if-none-match") {
        Some(etag) => file.etag.as_deref() == Some(etag),
        None => {
            let since = request.header("if-modified-since");
            since.is_some() && since == file.last_modified.as_deref()
        }
    };
    let mut headers = vec![("Content-Type", file.content_type.to_string())];
    headers.extend(
        file.encoding
            .map(|name| ("Content-Encoding", name.to_string())),
    );
    headers.extend(file.etag.clone().map(|etag| ("ETag", etag)));
    headers.extend(
        file.last_modified
            .clone()
            .map(|date| ("Last-Modified", date)),
    );
    if unchanged {
        return Some(Reply::new(304, headers, Vec::new()));
    }
    let same = request.header("if-range").is_none_or(|validator| {
        [file.etag.as_deref(), file.last_modified.as_deref()].contains(&Some(validator))
    });
    let range = request.header("range").filter(|_| file.ranges && same);
    let mut status = 200;
    let mut part = 0..file.body.len();
    if let Some((first, last)) =
        range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    {
        let total = part.end;
        let first = first.parse::<usize>().unwrap() + file.range_shift;
        let last = last.parse::<usize>().unwrap_or(total - 1).min(total - 1);
        if first >= total {
            let mut reply = plain(416);
            reply
                .headers
                .push(("Content-Range", format!("bytes */{total}")));
            return Some(reply);
        }
        status = 206;
        headers.push(("Content-Range", format!("bytes {first}-{last}/{total}")));
        part = first..last + 1;
    }
    if file.chunked {
        headers.push(("Transfer-Encoding", "chunked".to_string()));
    } else if !file.unsized_body {
        headers.push(("Content-Length", part.len().to_string()));
    }
    Some(Reply {
        status,
        headers,
        body: Arc::clone(&file.body),
        part,
    })
}

/// Bytes without a pattern, the same for the same seed (an LCG of Knuth's).
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A small install tree: right in form, though nothing in it would boot.
pub struct Tree {
    pub tree_info: String,
    pub kernel: Vec<u8>,
    pub initrd: Vec<u8>,
}

pub const KERNEL: &str = "images/pxeboot/vmlinuz";
pub const INITRD: &str = "images/pxeboot/initrd.img";
pub const STAGE2: &str = "images/install.img";

impl Tree {
    /// A tree with an initrd of so many bytes.
    pub fn new(initrd_bytes: usize) -> Tree {
        let mut kernel = b"MZ".to_vec();
        kernel.extend(noise(1, 300_000));
        let mut initrd = b"\xfd7zXZ\0".to_vec();
        initrd.extend(noise(2, initrd_bytes - 6));
        Tree {
            tree_info: format!(
                "[header]\ntype = productmd.treeinfo\nversion = 1.2\n\n[release]\nname = Test Linux\n\
                 version = 9.4\n\n[tree]\narch = x86_64\nbuild_timestamp = 1714000000\n\n\
                 [images-x86_64]\nkernel = {KERNEL}\ninitrd = {INITRD}\n\n[stage2]\n\
                 mainimage = {STAGE2}\n\n[checksums]\n{KERNEL} = sha256:{}\n{INITRD} = sha256:{}\n",
                sha256(&kernel),
                sha256(&initrd)
            ),
            kernel,
            initrd,
        }
    }

    /// The same tree without checksums.
    pub fn without_checksums(mut self) -> Tree {
        let end = self.tree_info.find("[checksums]").unwrap();
        self.tree_info.truncate(end);
        self
    }

    /// Serves the tree below `/tree/`.
    pub fn serve(&self, mirror: &Mirror) {
        mirror.put("/tree/.treeinfo", self.tree_info.clone());
        mirror.put(&format!("/tree/{KERNEL}"), self.kernel.clone());
        mirror.put(&format!("/tree/{INITRD}"), self.initrd.clone());
        mirror.put(&format!("/tree/{STAGE2}"), noise(3, 5000));
    }

    /// Writes the tree into a directory.
    pub fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory.join("images/pxeboot")).unwrap();
        std::fs::write(directory.join(".treeinfo"), &self.tree_info).unwrap();
        std::fs::write(directory.join(KERNEL), &self.kernel).unwrap();
        std::fs::write(directory.join(INITRD), &self.initrd).unwrap();
        std::fs::write(directory.join(STAGE2), noise(3, 5000)).unwrap();
    }
}

//! The guest's HTTP server, through real sockets.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ozr::options::Ports;
use ozr::serve::{
    Access, Content, KICKSTART_NAME, Limits, Resource, ServeOptions, Server, TREE_NAME, Totals,
    Upstream, UpstreamResponse,
};
use ozr::ui::event::Reporter;
use tokio::sync::mpsc::UnboundedReceiver;
use url::Url;

/// Nothing here takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(60);

/// Tests share it; the one that counts threads has it alone.
static PROCESS: RwLock<()> = RwLock::new(());

fn shared() -> impl Drop {
    PROCESS.read().unwrap_or_else(PoisonError::into_inner)
}

fn localhost() -> ServeOptions {
    ServeOptions {
        ports: Ports::ANY,
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        guest_host: "127.0.0.1".to_owned(),
        open: false,
        users: Some(vec![rustix::process::geteuid().as_raw()]),
        runtime_dir: std::env::temp_dir(),
        access_log: None,
    }
}

/// What a program of the user `uid` gets who knows the whole address: bytes of the answer.
fn asked_by(uid: u32, url: &Url) -> Vec<u8> {
    let script = r#"exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.1\r\nHost: h\r\n\r\n' "$2" >&3 && cat <&3"#;
    let output = Command::new("bash")
        .args(["-c", script, "-"])
        .args([&url.port().unwrap().to_string(), url.path()])
        .uid(uid)
        .gid(uid)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output.stdout
}

#[test]
fn another_user_of_this_host_gets_nothing() {
    let _shared = shared();
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    const NOBODY: u32 = 65534;
    let (server, _accesses) = start();
    let url = server.add(KICKSTART_NAME, bytes(b"rootpw hunter2"), "text/plain");
    assert_eq!(asked_by(NOBODY, &url), b"");
    assert!(asked_by(0, &url).ends_with(b"rootpw hunter2"));
    // On a bridge everybody who reaches the address is answered.
    let options = ServeOptions {
        open: false,
        users: None,
        ..localhost()
    };
    let (server, _accesses) = Server::start(options, Reporter::silent()).unwrap();
    let url = server.add(KICKSTART_NAME, bytes(b"rootpw hunter2"), "text/plain");
    assert!(asked_by(NOBODY, &url).ends_with(b"rootpw hunter2"));
}

fn start() -> (Server, UnboundedReceiver<Access>) {
    Server::start(localhost(), Reporter::silent()).unwrap()
}

fn start_with(limits: Limits) -> (Server, UnboundedReceiver<Access>) {
    Server::start_with_limits(localhost(), limits, Reporter::silent()).unwrap()
}

fn bytes(content: &[u8]) -> Content {
    Content::Bytes(content.into())
}

/// Bytes that are all different enough to show any shift.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.set_write_timeout(Some(HANG)).unwrap();
    stream
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends bytes as they are and reads until the server closes.
fn raw(port: u16, request: &[u8]) -> Reply {
    let mut stream = connect(port);
    // The server may close before it has taken everything.
    let _ = stream.write_all(request);
    read_reply(&mut stream)
}

fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server did not close: {error}"),
    }
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(&answer)));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head[9..12].parse().unwrap();
    let body = answer[end + 4..].to_vec();
    Reply { status, head, body }
}

fn request(method: &str, url: &Url, fields: &str) -> Reply {
    request_target(method, url.port().unwrap(), url.path(), fields)
}

fn request_target(method: &str, port: u16, target: &str, fields: &str) -> Reply {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    raw(port, head.as_bytes())
}

fn get(url: &Url) -> Reply {
    request("GET", url, "")
}

fn next(accesses: &mut UnboundedReceiver<Access>) -> Access {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let received = runtime.block_on(async { tokio::time::timeout(HANG, accesses.recv()).await });
    received.expect("a record in time").expect("a record")
}

#[test]
fn files_come_byte_for_byte() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let kickstart = server.add(KICKSTART_NAME, bytes(b"poweroff\n"), "text/plain");
    assert!(kickstart.path().ends_with("/ks.cfg"));
    assert_eq!(kickstart.port(), Some(server.port()));
    let reply = get(&kickstart);
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (200, &b"poweroff\n"[..])
    );
    assert_eq!(reply.field("content-type"), Some("text/plain"));
    assert_eq!(reply.field("content-length"), Some("9"));
    assert_eq!(reply.field("connection"), Some("close"));
    assert_eq!(reply.field("server"), Some("ozr"));
    assert_eq!(next(&mut accesses).resource, Resource::Kickstart);

    let large = pattern(16 * 1024 * 1024);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    std::fs::write(&path, &large).unwrap();
    let contents = [
        Content::File(path),
        Content::Bytes(large.clone().into()),
        bytes(b""),
    ];
    for (index, content) in contents.into_iter().enumerate() {
        let url = server.add("/etc/x y", content, "application/octet-stream");
        let reply = get(&url);
        assert_eq!(reply.status, 200);
        let expected: &[u8] = if index == 2 { b"" } else { &large };
        assert!(reply.body == expected, "content {index} differs");
        let access = next(&mut accesses);
        assert_eq!(access.resource, Resource::File("/etc/x y".to_owned()));
        assert_eq!(access.bytes, expected.len() as u64);
        assert!(access.complete);
    }
}

#[test]
fn curl_understands_it() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let content = pattern(300_000);
    let url = server.add("a", Content::Bytes(content.clone().into()), "text/plain");
    let curl = |arguments: &[&str]| {
        std::process::Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--noproxy", "*"])
            .args(arguments)
            .arg(url.as_str())
            .output()
            .unwrap()
    };
    assert!(curl(&[]).stdout == content);
    assert!(curl(&["--range", "100-299999"]).stdout == content[100..]);
    assert!(curl(&["--http1.0"]).stdout == content);
    let head = String::from_utf8(curl(&["--head"]).stdout).unwrap();
    assert!(head.contains("Content-Length: 300000\r\n"), "{head}");
    // Refused: 22 is curl's status for an HTTP error with --fail.
    assert_eq!(curl(&["--data", "x"]).status.code(), Some(22));
    let access = next(&mut accesses);
    assert!(access.user_agent.unwrap().starts_with("curl/"));
}

#[test]
fn head_has_no_body() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let url = server.add("a", bytes(b"12345"), "text/plain");
    let reply = request("HEAD", &url, "");
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.field("content-length"), Some("5"));
    let access = next(&mut accesses);
    assert_eq!(
        (access.status, access.bytes, access.complete),
        (200, 0, true)
    );
    // Heads of what is not there, too.
    let reply = request_target("HEAD", server.port(), "/nothing", "");
    assert_eq!((reply.status, reply.body.len()), (404, 0));
}

#[test]
fn ranges() {
    let _shared = shared();
    let (server, _accesses) = start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    std::fs::write(&path, "0123456789").unwrap();
    for content in [bytes(b"0123456789"), Content::File(path)] {
        let url = server.add("a", content, "text/plain");
        let part = |range: &str| request("GET", &url, &format!("Range: {range}\r\n"));
        let parts = [
            ("bytes=0-3", "0123", "bytes 0-3/10"),
            ("bytes=7-", "789", "bytes 7-9/10"),
            ("bytes=-2", "89", "bytes 8-9/10"),
            ("bytes=5-100", "56789", "bytes 5-9/10"),
        ];
        for (range, body, content_range) in parts {
            let reply = part(range);
            assert_eq!(
                (reply.status, reply.body.as_slice()),
                (206, body.as_bytes())
            );
            assert_eq!(reply.field("content-range"), Some(content_range));
        }
        for outside in ["bytes=10-", "bytes=-0"] {
            let reply = part(outside);
            assert_eq!(reply.status, 416);
            assert_eq!(reply.field("content-range"), Some("bytes */10"));
        }
        for whole in ["bytes=0-1,4-5", "bytes=3-1", "lines=1-2", "bytes=x"] {
            let reply = part(whole);
            assert_eq!((reply.status, reply.body.len()), (200, 10), "{whole}");
        }
        let reply = request("GET", &url, "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n");
        assert_eq!(reply.status, 200);
    }
}

#[test]
fn nothing_is_found_by_tricks() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let url = server.add(KICKSTART_NAME, bytes(b"secret"), "text/plain");
    let relay = server.add_relay("r", Arc::new(Fake::default()));
    let token = url.path().split('/').nth(1).unwrap().to_owned();
    assert_eq!(token.len(), 32);
    let wrong: String = token.chars().rev().collect();
    let targets = [
        "/".to_owned(),
        "/ks.cfg".to_owned(),
        format!("/{wrong}/ks.cfg"),
        format!("/{}/ks.cfg", &token[..31]),
        format!("/{}/ks.cfg", token.to_uppercase()),
        format!("//{token}/ks.cfg"),
        format!("/{token}//ks.cfg"),
        format!("/{token}/./ks.cfg"),
        format!("/x/../{token}/ks.cfg"),
        format!("/{token}/ks.cfg/"),
        format!("/{token}/ks.cfg?a"),
        format!("/{token}/ks%2ecfg"),
        format!("/{token}%2fks.cfg"),
        format!("/{token}/ks.cfg%00"),
        format!("/{token}/files/1"),
        format!("/{token}/files/../../etc/passwd"),
        format!("/{token}/tree/.treeinfo"),
        format!("/{token}/repo/other/x"),
        format!("{}../ks.cfg", relay.path()),
        format!("{}%2e%2e/ks.cfg", relay.path()),
        format!("{}.%2e/%2E./etc/passwd", relay.path()),
        format!("{}%252e%252e/x", relay.path()),
        format!("{}a%2f..%2fb", relay.path()),
        format!("{}a%5c..%5cb", relay.path()),
        format!("{}a%00b", relay.path()),
        format!("{}a%0d%0aX-Evil:%201", relay.path()),
    ];
    for target in &targets {
        let reply = request_target("GET", server.port(), target, "");
        assert_eq!(reply.status, 404, "{target}");
        assert!(!reply.head.contains("Evil"));
        let access = next(&mut accesses);
        assert_eq!((access.status, access.resource), (404, Resource::Unknown));
    }
    assert_eq!(get(&url).body, b"secret");
}

#[test]
fn what_is_no_plain_request_is_refused() {
    let _shared = shared();
    let (server, _accesses) = start();
    let url = server.add(KICKSTART_NAME, bytes(b"poweroff\n"), "text/plain");
    let path = url.path();
    let table: &[(u16, String)] = &[
        (405, format!("POST {path} HTTP/1.1\r\nHost: x\r\n\r\n")),
        (405, format!("PUT {path} HTTP/1.1\r\nHost: x\r\n\r\n")),
        (405, format!("DELETE {path} HTTP/1.1\r\nHost: x\r\n\r\n")),
        (405, "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (405, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (
            413,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"),
        ),
        (
            400,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
        ),
        (
            501,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        (
            400,
            format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\
                 Transfer-Encoding: chunked\r\n\r\n"
            ),
        ),
        (
            400,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : a\r\n\r\n"),
        ),
        (
            400,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nA: b\r\n\tfolded\r\n\r\n"),
        ),
        (400, format!("GET {path} HTTP/1.1\nHost: x\n\n")),
        (400, format!("GET {path} HTTP/1.1\r\nHost: x\nA: b\r\n\r\n")),
        (
            400,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nA: b\rB: c\r\n\r\n"),
        ),
        (
            400,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n"),
        ),
        (400, format!("GET {path}\0 HTTP/1.1\r\nHost: x\r\n\r\n")),
        (
            400,
            format!("GET http://x{path} HTTP/1.1\r\nHost: x\r\n\r\n"),
        ),
        (400, format!("GET {path} HTTP/1.1\r\n\r\n")),
        (
            400,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
        ),
        (
            400,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n"),
        ),
        (
            417,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n"),
        ),
        (505, format!("GET {path} HTTP/2.0\r\nHost: x\r\n\r\n")),
        (
            414,
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(3000)),
        ),
        // A second request on the connection, hidden or open, is never answered.
        (
            400,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\nGET {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
        ),
        (
            400,
            format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n\
                 GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"
            ),
        ),
        (400, "\u{16}\u{3}\u{1}\0\0".to_owned()),
    ];
    for (status, request) in table {
        let reply = raw(server.port(), request.as_bytes());
        assert_eq!(reply.status, *status, "{request:?}");
        assert_eq!(reply.field("connection"), Some("close"), "{request:?}");
        let body = String::from_utf8_lossy(&reply.body);
        assert!(
            !body.contains("poweroff") && !body.contains("HTTP/"),
            "{body}"
        );
    }
    assert_eq!(request("POST", &url, "").field("allow"), Some("GET, HEAD"));
    // What looks odd but is plain.
    let plain = [
        format!("GET {path} HTTP/1.0\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nhost:x\r\nContent-Length: 0\r\nA:\r\n\r\n"),
    ];
    for request in plain {
        let reply = raw(server.port(), request.as_bytes());
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, &b"poweroff\n"[..])
        );
    }
}

#[test]
fn long_heads_are_cut_off() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let url = server.add(KICKSTART_NAME, bytes(b"poweroff\n"), "text/plain");
    let field = format!("A: {}\r\n", "a".repeat(8 * 1024));
    assert_eq!(request("GET", &url, &field).status, 431);
    assert_eq!(next(&mut accesses).status, 431);
    // Without an end, far longer than any buffer: the server closes instead of reading on.
    let mut stream = connect(server.port());
    stream.write_all(b"GET /").unwrap();
    let block = [b'a'; 64 * 1024];
    let refused = (0..1024).any(|_| stream.write_all(&block).is_err());
    assert!(refused, "64 MiB of head were taken");
    assert_eq!(next(&mut accesses).status, 431);
    let many = "A: b\r\n".repeat(100);
    assert_eq!(request("GET", &url, &many).status, 431);
    assert_eq!(get(&url).status, 200);
}

#[test]
fn slow_heads_are_cut_off() {
    let _shared = shared();
    let (server, mut accesses) = start_with(Limits {
        head_time: Duration::from_millis(200),
        ..Limits::default()
    });
    let url = server.add(KICKSTART_NAME, bytes(b"poweroff\n"), "text/plain");
    let mut stream = connect(server.port());
    // Something arrives all the time, but the head as a whole takes too long.
    let line = format!("GET {} HTTP/1.1\r\nHost: x\r\nA: ", url.path());
    let mut writer = stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        let started = Instant::now();
        let _ = writer.write_all(line.as_bytes());
        while started.elapsed() < HANG && writer.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(read_reply(&mut stream).status, 408);
    stream.shutdown(Shutdown::Both).unwrap();
    trickle.join().unwrap();
    assert_eq!(next(&mut accesses).status, 408);
}

#[test]
fn idle_clients_keep_nobody_out() {
    let _shared = shared();
    let (server, _accesses) = start();
    let content = pattern(1024 * 1024);
    let url = server.add("a", Content::Bytes(content.clone().into()), "text/plain");
    let silent: Vec<_> = (0..100).map(|_| connect(server.port())).collect();
    let begun: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect(server.port());
            // The oldest may have been ended already.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHo");
            stream
        })
        .collect();
    for _ in 0..20 {
        let reply = get(&url);
        assert!(reply.status == 200 && reply.body == content);
    }
    assert_eq!(silent.len() + begun.len(), 200);
    // The oldest were closed to make room, without an answer.
    let mut oldest = &silent[0];
    assert_eq!(oldest.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn clients_that_stop_reading_are_dropped() {
    let _shared = shared();
    let limit = Duration::from_secs(1);
    let (server, mut accesses) = start_with(Limits {
        write_stall: limit,
        ..Limits::default()
    });
    let content = pattern(16 * 1024 * 1024);
    let url = server.add("a", Content::Bytes(content.clone().into()), "text/plain");
    let mut stalled = connect(server.port());
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", url.path());
    stalled.write_all(head.as_bytes()).unwrap();
    let access = next(&mut accesses);
    assert_eq!((access.status, access.complete), (200, false));
    assert!(access.bytes > 0 && access.bytes < content.len() as u64);

    // One that takes a little now and then, for longer than the limit in all, gets everything.
    let mut slow = connect(server.port());
    slow.write_all(head.as_bytes()).unwrap();
    let mut received = 0;
    let mut block = vec![0; 256 * 1024];
    let started = Instant::now();
    loop {
        // This is what makes it slow; nothing is waited for.
        std::thread::sleep(Duration::from_millis(30));
        match slow.read(&mut block).unwrap() {
            0 => break,
            count => received += count,
        }
    }
    assert!(received > content.len());
    assert!(started.elapsed() > limit);
    assert!(next(&mut accesses).complete);
}

#[test]
fn too_many_answers_are_told_so() {
    let _shared = shared();
    let (server, mut accesses) = start_with(Limits {
        answers: 2,
        ..Limits::default()
    });
    let url = server.add("a", Content::Bytes(pattern(16 << 20).into()), "text/plain");
    let small = server.add("b", bytes(b"b"), "text/plain");
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", url.path());
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(server.port());
            stream.write_all(head.as_bytes()).unwrap();
            // Its answer has begun.
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    assert_eq!(get(&small).status, 503);
    drop(busy);
    let ended: Vec<_> = (0..3).map(|_| next(&mut accesses)).collect();
    let broken = |access: &&Access| access.status == 200 && !access.complete;
    assert_eq!(ended.iter().filter(broken).count(), 2);
    assert_eq!(get(&small).status, 200);
}

#[test]
fn who_fetched_what() {
    let _shared = shared();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ServeOptions {
        access_log: Some(log.clone()),
        ..localhost()
    };
    let (server, mut accesses) = Server::start(options, Reporter::silent()).unwrap();
    let url = server.add(KICKSTART_NAME, bytes(b"poweroff\n"), "text/plain");
    let large = server.add(
        "big file",
        Content::Bytes(pattern(16 << 20).into()),
        "text/plain",
    );
    let token = url.path().split('/').nth(1).unwrap().to_owned();

    let mut stream = connect(server.port());
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/7 \"\x1bx\r\n",
        url.path()
    );
    // An escape character in a field is refused...
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream).status, 400);
    assert_eq!(next(&mut accesses).status, 400);
    // ...and quotes and other bytes do not get into the log.
    let fields = "User-Agent: curl/7.76 \"\u{e9}\r\nX-Anaconda-Architecture: x86_64\r\n\
                  X-Anaconda-System-Release: Rocky Linux\r\n\
                  X-RHN-Provisioning-MAC-0: ens3 52:54:00:12:34:56\r\n";
    assert_eq!(request("GET", &url, fields).status, 200);
    let access = next(&mut accesses);
    assert!(access.peer.ip().is_loopback());
    assert_eq!(access.resource, Resource::Kickstart);
    assert_eq!(
        (access.status, access.bytes, access.complete),
        (200, 9, true)
    );
    assert_eq!(access.user_agent.as_deref(), Some("curl/7.76 ???"));
    let anaconda = access.anaconda.unwrap();
    assert_eq!(anaconda.architecture.as_deref(), Some("x86_64"));
    assert_eq!(anaconda.system_release.as_deref(), Some("Rocky Linux"));
    assert_eq!(anaconda.macs, ["ens3 52:54:00:12:34:56"]);

    // One that hangs up in the middle.
    let mut stream = connect(server.port());
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", large.path());
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    drop(stream);
    let access = next(&mut accesses);
    assert_eq!(access.resource, Resource::File("big file".to_owned()));
    assert!(!access.complete && access.bytes < 16 << 20);

    let upper = format!("/{}/x", token.to_uppercase());
    for target in [format!("/{token}/nothing"), upper] {
        assert_eq!(
            request_target("GET", server.port(), &target, "").status,
            404
        );
        next(&mut accesses);
    }
    let totals = server.totals();
    assert_eq!(
        (totals.requests, totals.errors, totals.kickstarts),
        (5, 3, 1)
    );
    assert!(!format!("{server:?}").contains(&token));
    server.stop();

    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.to_lowercase().contains(&token), "{text}");
    assert!(
        text.is_ascii() || text.replace('…', "").is_ascii(),
        "{text}"
    );
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[1].contains("GET \"/…/ks.cfg\" 200 9 complete agent=\"curl/7.76 ???\""));
    assert!(
        lines[1].ends_with("mac=\"ens3 52:54:00:12:34:56\""),
        "{text}"
    );
    assert!(lines[2].contains("\"/…/files/big file\" 200 ") && lines[2].contains("broken"));
    assert!(lines[3].contains("\"/…/nothing\" 404 "), "{text}");
    assert!(lines[5].contains("stopped requests=5 errors=3 kickstarts=1 "));
    let mode = std::fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_missing_or_special_file_is_the_servers_fault() {
    let _shared = shared();
    let (server, _accesses) = start();
    for path in ["/nonexistent/x", "/"] {
        let url = server.add("a", Content::File(path.into()), "text/plain");
        let reply = get(&url);
        assert_eq!(reply.status, 500);
        assert!(!String::from_utf8_lossy(&reply.body).contains("nonexistent"));
    }
}

#[test]
fn it_listens_on_the_given_address_only() {
    let _shared = shared();
    let options = ServeOptions {
        ports: Ports::ANY,
        bind: "127.0.0.2".parse().unwrap(),
        ..localhost()
    };
    let (server, _accesses) = Server::start(options, Reporter::silent()).unwrap();
    let url = server.add(KICKSTART_NAME, bytes(b"x"), "text/plain");
    let there: SocketAddr = format!("127.0.0.2:{}", server.port()).parse().unwrap();
    assert!(TcpStream::connect(there).is_ok());
    let elsewhere = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()));
    assert_eq!(
        elsewhere.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    assert_eq!(url.host_str(), Some("127.0.0.1"));
}

#[test]
fn the_first_free_port_of_a_range_is_taken() {
    let _shared = shared();
    // Two in a row, of which the first is taken: found by trying.
    let (taken, first) = (0..100)
        .find_map(|_| {
            let taken = TcpListener::bind("127.0.0.1:0").unwrap();
            let first = taken.local_addr().unwrap().port();
            let free = TcpListener::bind(("127.0.0.1", first.checked_add(1)?)).is_ok();
            free.then_some((taken, first))
        })
        .unwrap();
    let options = ServeOptions {
        ports: Ports {
            first,
            last: first + 1,
        },
        ..localhost()
    };
    let (server, _accesses) = Server::start(options, Reporter::silent()).unwrap();
    let url = server.add("k", Content::Bytes(b"x".to_vec().into()), "text/plain");
    assert_eq!(url.port(), Some(first + 1));
    drop(taken);
}

#[test]
fn starting_fails_with_a_reason() {
    let _shared = shared();
    let fail = |options| {
        let error = Server::start(options, Reporter::silent()).unwrap_err();
        format!("{error:#}")
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let message = fail(ServeOptions {
        ports: Ports {
            first: port,
            last: port,
        },
        ..localhost()
    });
    assert!(message.contains(&format!("port {port}")), "{message}");
    let message = fail(ServeOptions {
        ports: Ports::ANY,
        // TEST-NET-1 (RFC 5737): on no host.
        bind: "192.0.2.1".parse().unwrap(),
        ..localhost()
    });
    assert!(message.contains("listening on 192.0.2.1"), "{message}");
    let message = fail(ServeOptions {
        guest_host: "not a host".to_owned(),
        ..localhost()
    });
    assert!(message.contains("not a host"), "{message}");
    let message = fail(ServeOptions {
        access_log: Some("/nonexistent/log".into()),
        ..localhost()
    });
    assert!(message.contains("/nonexistent/log"), "{message}");
}

/// The names of this process's threads that serve.
fn threads() -> Vec<String> {
    let names = [
        "serve-engine",
        "serve-accept",
        "serve-client",
        "serve-answer",
    ];
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok())
        .filter(|name| names.contains(&name.trim_end()))
        .collect()
}

#[test]
fn stopping_leaves_nothing() {
    let _alone = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    let (server, mut accesses) = start();
    let port = server.port();
    let large = server.add("a", Content::Bytes(pattern(16 << 20).into()), "text/plain");
    let mut idle = connect(port);
    let mut stalled = connect(port);
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", large.path());
    stalled.write_all(head.as_bytes()).unwrap();
    stalled.read_exact(&mut [0; 12]).unwrap();
    assert!(!threads().is_empty());
    server.stop();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0);
    let access = next(&mut accesses);
    assert_eq!((access.status, access.complete), (200, false));
    assert!(
        accesses.blocking_recv().is_none(),
        "somebody still holds the channel"
    );
    drop(stalled);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    // `tiny_http`'s idle threads look up every five seconds.
    let deadline = Instant::now() + HANG;
    while !threads().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(threads(), Vec::<String>::new());
}

/// Lowers the limit of descriptors while it lives.
struct FewDescriptors(rustix::process::Rlimit);

impl FewDescriptors {
    fn new(limit: u64) -> Self {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let before = getrlimit(Resource::Nofile);
        let few = Rlimit {
            current: Some(limit),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, few).unwrap();
        FewDescriptors(before)
    }
}

impl Drop for FewDescriptors {
    fn drop(&mut self) {
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, self.0);
    }
}

/// `tiny_http` stops accepting, or panics, when a descriptor is missing at the wrong moment.
#[test]
fn running_out_of_descriptors_is_survived() {
    let _alone = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    let (server, _accesses) = start();
    let url = server.add(KICKSTART_NAME, bytes(b"poweroff\n"), "text/plain");
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", url.path());
    let mut failed = 0;
    // What fails differs with what is left: our `accept`, the channel, `tiny_http`'s `accept`,
    // or its copy of a descriptor. (A blocked accept(2) holds a descriptor that nobody sees,
    // so the numbers cannot be told exactly.)
    for free in 0..8 {
        let mut stream = connect(server.port());
        let few = FewDescriptors::new(200);
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        taken.truncate(taken.len() - free);
        stream.write_all(head.as_bytes()).unwrap();
        // Where none is left for the connection itself, it waits for one.
        let patience = Duration::from_millis(300);
        stream.set_read_timeout(Some(patience)).unwrap();
        while stream.peek(&mut [0; 1]).is_err() {
            taken.pop().expect("an answer, with descriptors in plenty");
        }
        stream.set_read_timeout(Some(HANG)).unwrap();
        match read_reply(&mut stream).status {
            200 => {}
            500 => failed += 1,
            status => panic!("{status} with {free} descriptors"),
        }
        drop(taken);
        drop(few);
        // One more may reach a `tiny_http` that is about to go.
        let well = (0..3).any(|_| get(&url).body == b"poweroff\n");
        assert!(well, "nothing is served after {free} descriptors");
        assert_eq!(get(&url).body, b"poweroff\n");
    }
    assert!(failed > 0, "there were descriptors enough");
}

/// An upstream with fixed answers, by path.
#[derive(Default)]
struct Fake {
    answers: HashMap<&'static str, fn() -> UpstreamResponse>,
    asked: Mutex<Vec<(String, bool, Option<String>)>>,
}

impl Upstream for Fake {
    fn open(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
    ) -> anyhow::Result<UpstreamResponse> {
        let asked = (path.to_owned(), head_only, range.map(str::to_owned));
        self.asked.lock().unwrap().push(asked);
        match self.answers.get(path) {
            Some(answer) => Ok(answer()),
            None => anyhow::bail!("no connection"),
        }
    }
}

fn upstream(
    status: u16,
    length: Option<u64>,
    body: impl Read + Send + 'static,
) -> UpstreamResponse {
    UpstreamResponse {
        status,
        content_length: length,
        content_type: None,
        content_range: None,
        last_modified: None,
        etag: None,
        body: Box::new(body),
        file: None,
    }
}

/// Gives some bytes and then fails.
struct Failing(usize, bool);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.0);
        if count == 0 {
            assert!(!self.1, "a source that panics");
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        buffer[..count].fill(b'x');
        self.0 -= count;
        Ok(count)
    }
}

fn fake() -> Fake {
    let mut answers: HashMap<&'static str, fn() -> UpstreamResponse> = HashMap::new();
    answers.insert(".treeinfo", || UpstreamResponse {
        content_type: Some("text/plain; charset=UTF-8".to_owned()),
        last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
        etag: Some("\"5f\"".to_owned()),
        ..upstream(200, Some(9), &b"[header]\n"[..])
    });
    answers.insert("evil", || UpstreamResponse {
        content_type: Some("text/html\r\nX-Evil: 1".to_owned()),
        content_range: Some("bytes 0-1/2\r\nX-Evil: 1".to_owned()),
        last_modified: Some("today\r\nX-Evil: 1".to_owned()),
        etag: Some("\"\r\nX-Evil: 1\r\n\r\nbody\"".to_owned()),
        ..upstream(200, Some(2), &b"ok"[..])
    });
    answers.insert("part", || UpstreamResponse {
        content_range: Some("bytes 2-4/10".to_owned()),
        ..upstream(206, Some(3), &b"234"[..])
    });
    answers.insert("outside", || UpstreamResponse {
        content_range: Some("bytes */10".to_owned()),
        ..upstream(416, Some(4), &b"page"[..])
    });
    answers.insert("large", || {
        upstream(200, Some(16 << 20), io::Cursor::new(pattern(16 << 20)))
    });
    answers.insert("unknown-length", || {
        upstream(200, None, io::Cursor::new(pattern(1 << 20)))
    });
    answers.insert("unknown-huge", || {
        upstream(200, None, io::repeat(0).take(64 << 20))
    });
    answers.insert("too-short", || upstream(200, Some(10), &b"short"[..]));
    answers.insert("too-long", || upstream(200, Some(4), &b"long and more"[..]));
    answers.insert("fails", || {
        upstream(200, Some(1 << 20), Failing(500_000, false))
    });
    answers.insert("fails-chunked", || {
        upstream(200, None, Failing(500_000, false))
    });
    answers.insert("panics-chunked", || {
        upstream(200, None, Failing(500_000, true))
    });
    answers.insert("P/libstdc%2b+.rpm", || upstream(200, Some(3), &b"rpm"[..]));
    answers.insert("", || upstream(200, Some(5), &b"index"[..]));
    answers.insert("304", || upstream(304, None, io::empty()));
    answers.insert("401", || upstream(401, Some(4), &b"page"[..]));
    answers.insert("404", || upstream(404, Some(4), &b"page"[..]));
    answers.insert("500", || upstream(500, Some(4), &b"page"[..]));
    answers.insert("503", || upstream(503, Some(4), &b"page"[..]));
    Fake {
        answers,
        asked: Mutex::default(),
    }
}

/// The content of a chunked body, `None` if it does not end as it should.
fn dechunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        body = &body[end + 2..];
        if size == 0 {
            return (body == b"\r\n").then_some(content);
        }
        content.extend_from_slice(body.get(..size)?);
        body = body.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[test]
fn relays_pass_on_what_is_good() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let upstream = Arc::new(fake());
    let tree = server.add_relay(TREE_NAME, upstream.clone());
    let repository = server.add_relay("Custom RPMs", upstream.clone());
    let second = server.add_relay("Custom RPMs", upstream.clone());
    assert!(tree.path().ends_with("/tree/"));
    assert!(repository.path().ends_with("/repo/Custom-RPMs/"));
    assert!(second.path().ends_with("/repo/Custom-RPMs-2/"));

    // anaconda puts a slash before the path, whatever the URL's end.
    for path in [".treeinfo", "/.treeinfo"] {
        let target = format!("{}{path}", tree.path());
        let reply = request_target("GET", server.port(), &target, "");
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, &b"[header]\n"[..])
        );
        assert_eq!(
            reply.field("content-type"),
            Some("text/plain; charset=UTF-8")
        );
        assert_eq!(
            reply.field("last-modified"),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
        assert_eq!(reply.field("etag"), Some("\"5f\""));
        let access = next(&mut accesses);
        let (name, path) = ("tree".to_owned(), ".treeinfo".to_owned());
        assert_eq!(access.resource, Resource::Relay { name, path });
        assert!(access.complete);
    }
    assert_eq!(get(&tree).body, b"index");
    let base = tree.path().trim_end_matches('/');
    assert_eq!(
        request_target("GET", server.port(), base, "").body,
        b"index"
    );
    assert_eq!(
        get(&repository.join("P/libstdc%2b+.rpm").unwrap()).body,
        b"rpm"
    );

    let reply = request("HEAD", &tree.join("large").unwrap(), "");
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.field("content-length"), Some("16777216"));
    let reply = request("GET", &tree.join("part").unwrap(), "Range: bytes=2-4\r\n");
    assert_eq!((reply.status, reply.body.as_slice()), (206, &b"234"[..]));
    assert_eq!(reply.field("content-range"), Some("bytes 2-4/10"));
    let reply = request(
        "GET",
        &tree.join("outside").unwrap(),
        "Range: bytes=20-\r\n",
    );
    assert_eq!(reply.status, 416);
    assert_eq!(reply.field("content-range"), Some("bytes */10"));
    // Several ranges are not passed on.
    request("GET", &tree, "Range: bytes=0-1,3-4\r\n");
    let asked = upstream.asked.lock().unwrap();
    let heads: Vec<_> = asked.iter().filter(|asked| asked.1).collect();
    assert_eq!(heads, [&("large".to_owned(), true, None)]);
    let ranges: Vec<_> = asked.iter().filter_map(|asked| asked.2.clone()).collect();
    assert_eq!(ranges, ["bytes=2-4", "bytes=20-"]);
    drop(asked);

    assert!(get(&tree.join("large").unwrap()).body == pattern(16 << 20));
    let unknown = tree.join("unknown-length").unwrap();
    let reply = get(&unknown);
    assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
    assert!(dechunk(&reply.body).unwrap() == pattern(1 << 20));
    let old = |path: &str| {
        let path = tree.join(path).unwrap();
        raw(
            server.port(),
            format!("GET {} HTTP/1.0\r\n\r\n", path.path()).as_bytes(),
        )
    };
    let reply = old("unknown-length");
    assert_eq!(reply.field("content-length"), Some("1048576"));
    assert!(reply.body == pattern(1 << 20));
    assert_eq!(old("unknown-huge").status, 502);
}

#[test]
fn relays_do_not_pass_on_what_is_bad() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let tree = server.add_relay(TREE_NAME, Arc::new(fake()));
    let at = |path: &str| get(&tree.join(path).unwrap());
    let table = [
        ("304", 502),
        ("401", 403),
        ("404", 404),
        ("500", 502),
        ("503", 503),
        ("part", 502),
        ("outside", 502),
        ("not-reachable", 502),
    ];
    for (path, status) in table {
        let reply = at(path);
        assert_eq!(reply.status, status, "{path}");
        assert!(!reply.body.starts_with(b"page"), "{path}");
        let access = next(&mut accesses);
        assert_eq!(access.status, status);
        assert!(matches!(access.resource, Resource::Relay { .. }));
    }
    let reply = at("evil");
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"ok"[..]));
    assert!(!reply.head.contains("Evil"), "{}", reply.head);
    for name in ["content-type", "content-range", "last-modified", "etag"] {
        assert_eq!(reply.field(name), None, "{name}");
    }
    assert!(next(&mut accesses).complete);

    assert_eq!(at("too-long").body, b"long");
    assert!(next(&mut accesses).complete);
    // What breaks off looks broken off to the client, and in the records.
    assert!(at("too-short").body.len() < 10);
    assert!(!next(&mut accesses).complete);
    assert!(at("fails").body.len() < 1 << 20);
    assert!(!next(&mut accesses).complete);
    for path in ["fails-chunked", "panics-chunked"] {
        assert_eq!(dechunk(&at(path).body), None, "{path}");
        assert!(!next(&mut accesses).complete);
    }
    assert_eq!(at(".treeinfo").status, 200);
}

/// Gives a first part, waits for a sign, and gives the rest.
struct Gated {
    sign: Arc<Sign>,
    first: io::Take<io::Repeat>,
    rest: io::Take<io::Repeat>,
}

#[derive(Default)]
struct Sign(Mutex<bool>, Condvar);

impl Sign {
    fn give(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

impl Read for Gated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.first.read(buffer)?;
        if count > 0 {
            return Ok(count);
        }
        let mut given = self.sign.0.lock().unwrap();
        while !*given {
            given = self.sign.1.wait(given).unwrap();
        }
        self.rest.read(buffer)
    }
}

const PART: u64 = 100_000;

struct GatedUpstream(Arc<Sign>);

impl Upstream for GatedUpstream {
    fn open(&self, _: &str, _: bool, _: Option<&str>) -> anyhow::Result<UpstreamResponse> {
        let body = Gated {
            sign: Arc::clone(&self.0),
            first: io::repeat(b'1').take(PART),
            rest: io::repeat(b'2').take(PART),
        };
        Ok(upstream(200, Some(2 * PART), body))
    }
}

#[test]
fn relays_stream() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let sign = Arc::new(Sign::default());
    let url = server.add_relay("slow", Arc::new(GatedUpstream(Arc::clone(&sign))));
    let mut stream = connect(server.port());
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", url.path());
    stream.write_all(head.as_bytes()).unwrap();
    // The first part arrives while the mirror has nothing more to give.
    let mut first = vec![0; PART as usize];
    stream.read_exact(&mut first).unwrap();
    sign.give();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let whole = [first, rest].concat();
    let body = &whole[whole.len() - 2 * PART as usize..];
    let (ones, twos) = body.split_at(PART as usize);
    assert!(ones.iter().all(|byte| *byte == b'1') && twos.iter().all(|byte| *byte == b'2'));
    assert!(next(&mut accesses).complete);
}

#[test]
fn stopping_does_not_wait_for_a_mirror() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let sign = Arc::new(Sign::default());
    let url = server.add_relay("slow", Arc::new(GatedUpstream(Arc::clone(&sign))));
    let mut stream = connect(server.port());
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", url.path());
    stream.write_all(head.as_bytes()).unwrap();
    // The mirror's first bytes are here, so the relay waits for more.
    stream.read_exact(&mut [0; 12]).unwrap();
    // Others are served meanwhile.
    let other = server.add("a", bytes(b"a"), "text/plain");
    assert_eq!(get(&other).body, b"a");
    assert!(next(&mut accesses).complete);
    // Returns although nobody has given the sign.
    server.stop();
    let access = next(&mut accesses);
    assert_eq!((access.status, access.complete), (200, false));
    assert!(matches!(access.resource, Resource::Relay { .. }));
    sign.give();
}

#[test]
fn many_at_once() {
    let _shared = shared();
    let (server, mut accesses) = start();
    let content = pattern(200_000);
    let url = server.add("a", Content::Bytes(content.clone().into()), "text/plain");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(get(&url).body == content);
                }
            });
        }
    });
    for _ in 0..320 {
        assert!(next(&mut accesses).complete);
    }
    let expected = Totals {
        requests: 320,
        bytes: 320 * 200_000,
        ..Totals::default()
    };
    assert_eq!(server.totals(), expected);
}

/// Run by hand: `cargo test --release --test serve -- --ignored --nocapture throughput`.
#[test]
#[ignore = "measures, asserts little"]
fn throughput() {
    let _alone = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    let (server, _accesses) = start();
    let upstream = Arc::new(fake());
    let tree = server.add_relay(TREE_NAME, upstream);
    let large = server.add("l", Content::Bytes(vec![7; 512 << 20].into()), "text/plain");
    let small = server.add("s", Content::Bytes(vec![7; 50_000].into()), "text/plain");
    let started = Instant::now();
    let mut stream = connect(server.port());
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", large.path());
    stream.write_all(head.as_bytes()).unwrap();
    let mut total = 0;
    let mut block = vec![0; 1 << 20];
    loop {
        match stream.read(&mut block).unwrap() {
            0 => break,
            count => total += count,
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    assert!(total > 512 << 20);
    println!(
        "one file of 512 MiB: {:.0} MB/s",
        total as f64 / 1e6 / seconds
    );
    for (name, url) in [
        ("file of 50 kB", small),
        ("relay", tree.join(".treeinfo").unwrap()),
    ] {
        let started = Instant::now();
        for _ in 0..2000 {
            assert_eq!(get(&url).status, 200);
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{name}: {:.0} requests/s, one connection each",
            2000.0 / seconds
        );
    }
}

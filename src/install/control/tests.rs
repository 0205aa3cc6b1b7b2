//! Over a real socket, with clients that mean no good.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Stream;
use std::path::Path;
use std::time::Instant;

use super::super::{self as control, screenshot};
use super::*;
use crate::state::register::BuildEntry;

/// More than any answer here takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Served {
    dir: tempfile::TempDir,
    live: Live,
    control: Option<Control>,
    // The server runs in it; the tests' clients block.
    runtime: tokio::runtime::Runtime,
}

impl Served {
    fn new() -> Served {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let entry = BuildEntry {
            pid: 1,
            runtime_dir: dir.path().join("1-abc"),
            ..BuildEntry::example()
        };
        let place = RuntimeDir::create(&entry.runtime_dir, Some(&entry)).unwrap();
        place.keep(&entry).unwrap();
        let release = "Rocky Linux 9".to_owned();
        let console = "/srv/.rocky.ozr/console.log".into();
        let live = Live::new(&entry, release, console);
        let control = {
            let _inside = runtime.enter();
            Control::serve(&place, live.clone()).unwrap()
        };
        Served {
            dir,
            live,
            control: Some(control),
            runtime,
        }
    }

    fn path(&self) -> PathBuf {
        socket(&self.dir.path().join("1-abc"))
    }

    /// Sends bytes, says that no more come, and reads the answer.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        hear(&mut stream)
    }

    fn connect(&self) -> Stream {
        Stream::connect(self.path()).unwrap()
    }
}

fn hear(stream: &mut Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_build_says_how_far_it_is() {
    let served = Served::new();
    let status = control::status(&served.path(), PATIENCE).unwrap();
    assert_eq!(
        (status.name.as_str(), status.phase.as_str(), status.percent),
        ("rocky", "getting-ready", 0)
    );
    assert_eq!(status.release, "Rocky Linux 9");
    assert_eq!((status.accel, status.packages), (None, None));
    served.live.attempt(3);
    served.live.finishing();
    let status = control::status(&served.path(), PATIENCE).unwrap();
    assert_eq!((status.attempt, status.percent), (3, 99));
    let error = screenshot(&served.path(), PATIENCE).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no guest now: the build is `finishing-image`"
    );
}

#[test]
fn nobody_else_gets_at_the_socket_and_nothing_is_left_of_it() {
    let mut served = Served::new();
    let mode = std::fs::metadata(served.path()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let mut waiting = served.connect();
    drop(served.control.take());
    assert!(!served.path().exists());
    // A client that waits is let go; by a reset if it was not let in yet.
    let mut heard = Vec::new();
    let _ = waiting.read_to_end(&mut heard);
    assert_eq!(heard, b"");
    let error = control::status(&served.path(), PATIENCE).unwrap_err();
    assert!(error.to_string().contains("reaching the build"), "{error}");
}

#[test]
fn what_is_no_request_is_refused() {
    let served = Served::new();
    let long = [b"{\"request\":\"status\"".as_slice(), &[b' '; 4096]].concat();
    for (bytes, why) in [
        (&b""[..], "no line"),
        (b"{\"request\":\"status\"}", "no line"),
        (b"\n", "not understood"),
        (b"status\n", "not understood"),
        (b"{\"request\":\"reboot\"}\n", "not understood"),
        (b"{\"request\":\"status\"}{}\n", "not understood"),
        (b"\xff\xfe\0\n", "not understood"),
        (b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n", "not understood"),
    ] {
        let answer = served.say(bytes);
        assert!(
            answer.starts_with("{\"error\":\"") && answer.contains(why),
            "{answer}"
        );
    }
    // It is answered before it has said all, and may then not be heard.
    let mut stream = served.connect();
    let _ = stream.write_all(&long);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < 200, "{answer:?}");
    control::status(&served.path(), PATIENCE).unwrap();
}

#[test]
fn clients_that_say_nothing_or_do_not_listen_disturb_nobody() {
    let served = Served::new();
    let silent: Vec<Stream> = (0..MAX_CLIENTS - 1).map(|_| served.connect()).collect();
    let mut gone = served.connect();
    gone.write_all(b"{\"request\":\"status\"}\n").unwrap();
    drop(gone);
    control::status(&served.path(), PATIENCE).unwrap();
    // All places are taken: the next one waits for one of them to be given up.
    let _more = served.connect();
    control::status(&served.path(), PATIENCE).unwrap();
    for mut stream in silent {
        let answer = hear(&mut stream);
        assert!(answer.contains("no request came in time"), "{answer}");
    }
}

#[test]
fn a_build_that_hangs_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = socket(dir.path());
    let _nobody = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let began = Instant::now();
    let error = control::status(&path, Duration::from_millis(100)).unwrap_err();
    assert!(format!("{error:#}").contains("timed out"), "{error:#}");
    assert!(began.elapsed() < PATIENCE);
}

/// Answers one client with these bytes; what the client makes of them.
fn answered(dir: &Path, bytes: &'static [u8]) -> String {
    let path = socket(dir);
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Else what it has said and nobody has read resets the connection.
        let _ = stream.read(&mut [0; 256]);
        let _ = stream.write_all(bytes);
    });
    let error = screenshot(&path, PATIENCE).unwrap_err();
    server.join().unwrap();
    format!("{error:#}")
}

#[test]
fn what_is_no_answer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, why) in [
        (&b""[..], "cut off"),
        (b"{\"screenshot\":3}", "cut off"),
        (b"HTTP/1.1 200 OK\n", "reading the build's answer"),
        (b"{\"screenshot\":-1}\n", "reading the build's answer"),
        (b"{\"screenshot\":18446744073709551615}\n", "too many"),
        (b"{\"screenshot\":3}\nab", "after 2 of 3 bytes"),
        (b"{\"error\":\"no\"}\n", "no"),
        (&[b' '; 70_000], "cut off"),
    ] {
        let error = answered(dir.path(), bytes);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn the_build_goes_on_while_clients_come_and_go() {
    let served = Served::new();
    std::thread::scope(|scope| {
        for _ in 0..4 * MAX_CLIENTS {
            scope.spawn(|| control::status(&served.path(), PATIENCE).unwrap());
        }
    });
    assert!(served.runtime.block_on(async { true }));
}

#[tokio::test]
async fn a_libvirt_that_hangs_takes_one_thread_and_nobody_waits_for_it() {
    let camera = Camera::default();
    let short = Duration::from_millis(20);
    let (go_on, hangs) = std::sync::mpsc::channel::<()>();
    let hang = move || {
        hangs.recv()?;
        Ok(Vec::new())
    };
    camera.take(short, hang).await.unwrap_err();
    let shots = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let shoot = || {
        let shots = Arc::clone(&shots);
        move || {
            shots.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(b"picture".to_vec())
        }
    };
    for _ in 0..3 {
        let error = camera.take(short, shoot()).await.unwrap_err();
        assert!(error.to_string().contains("no picture"), "{error}");
    }
    assert_eq!(shots.load(std::sync::atomic::Ordering::SeqCst), 0);
    go_on.send(()).unwrap();
    assert_eq!(camera.take(PATIENCE, shoot()).await.unwrap(), b"picture");
    assert_eq!(shots.load(std::sync::atomic::Ordering::SeqCst), 1);
}

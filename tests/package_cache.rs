//! The mirror cache as guests see it: real sockets, real mirrors, no guests.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ozr::mirror::{Lock, Locked, Mirror, MirrorOptions, Via};
use ozr::options::Ports;
use ozr::serve::{ServeOptions, Server};
use ozr::ui::event::{Event, Reporter, Sink};
use support::mirror::{self as fake, Fault};
use support::repository::Repository;
use url::Url;

/// Nothing here takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(60);

/// What ozr says.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn take(&self, event: Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// A build's part in it: the mirror's clients, and the server that its guest asks.
struct Build {
    mirror: Mirror,
    server: Server,
    heard: Arc<Heard>,
}

/// An answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

fn options(cache: &Path) -> MirrorOptions {
    let mut options = MirrorOptions::new(cache);
    options.packages = true;
    options.patience.first_pause = Duration::from_millis(2);
    options.patience.longest_pause = Duration::from_millis(20);
    options
}

impl Build {
    fn new(cache: &Path) -> Build {
        Build::with(options(cache))
    }

    fn with(options: MirrorOptions) -> Build {
        let heard: Arc<Heard> = Arc::default();
        let sink: Arc<dyn Sink> = Arc::clone(&heard) as _;
        let reporter = Reporter::new(sink);
        let serving = ServeOptions {
            ports: Ports::ANY,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            guest_host: "127.0.0.1".to_owned(),
            users: None,
            open: false,
            runtime_dir: std::env::temp_dir(),
            access_log: None,
        };
        let (server, _) = Server::start(serving, reporter.clone()).unwrap();
        Build {
            mirror: Mirror::new(options, reporter).unwrap(),
            server,
            heard,
        }
    }

    /// The guest's address of a repository.
    fn offer(&self, base: &Url, via: Via) -> Url {
        let shelf = self.mirror.shelf(base, via);
        let address = self.server.add_relay("r", Arc::clone(&shelf) as _);
        shelf.served_at(&address)
    }

    fn heard(&self, text: &str) -> bool {
        let heard = self.heard.0.lock().unwrap();
        heard.iter().any(|event| event.contains(text))
    }
}

fn connect(url: &Url, fields: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", url.port().unwrap())).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n{fields}\r\n", url.path());
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn finish(mut stream: TcpStream) -> Reply {
    let mut answer = Vec::new();
    // One that is cut off is to be seen as it came.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {} bytes", answer.len()));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Reply {
        status: head[9..12].parse().unwrap(),
        head,
        body: answer[end + 4..].to_vec(),
    }
}

fn ask(url: &Url, fields: &str) -> Reply {
    finish(connect(url, fields))
}

fn get(base: &Url, path: &str) -> Reply {
    ask(&base.join(path).unwrap(), "")
}

/// Bytes that are all different enough to show any shift.
fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn rpm(name: &str, version: &str) -> String {
    format!("Packages/{name}-{version}-1.el9.x86_64.rpm")
}

/// What a guest takes that installs everything of a repository, as dnf does: metadata first.
fn install(guest: &Url, repository: &Repository) {
    for first in [true, false] {
        for (path, body) in repository.files() {
            if (path == "repodata/repomd.xml") == first {
                let reply = get(guest, &path);
                assert_eq!(reply.status, 200, "{path}");
                assert!(reply.body == body, "{path} differs");
            }
        }
    }
}

fn repository() -> Repository {
    let mut all = Repository::new().group("core", "Core");
    for number in 0..8 {
        all = all.with(
            &format!("p{number}"),
            "1.0",
            pattern(number, 40_000 + number as usize),
        );
    }
    all
}

/// The bytes of all files.
fn size(repository: &Repository) -> u64 {
    let files = repository.files();
    files.iter().map(|(_, body)| body.len() as u64).sum()
}

fn contents(cache: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(cache.join("v1/files")).unwrap();
    all.map(|found| found.unwrap().path()).collect()
}

/// Every file of the cache has the digest that is its name.
fn assert_clean(cache: &Path) {
    for path in contents(cache) {
        let digest = fake::sha256(&std::fs::read(&path).unwrap());
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), digest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_build_asks_for_next_to_nothing_and_an_update_for_itself() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let old = repository();
    old.serve(&mirror, "/r/");
    let base = mirror.url("/r/");

    let first = Build::new(cache.path());
    install(&first.offer(&base, Via::Direct), &old);
    let traffic = first.mirror.ledger().traffic();
    assert_eq!(traffic.fetched, size(&old), "each file once");
    for (path, _) in old.files() {
        assert_eq!(mirror.requests_for(&format!("/r/{path}")).len(), 1);
    }

    mirror.forget();
    let second = Build::new(cache.path());
    install(&second.offer(&base, Via::Direct), &old);
    let traffic = second.mirror.ledger().traffic();
    assert!(traffic.fetched * 100 <= size(&old), "{traffic:?}");
    assert_eq!((traffic.cached, traffic.served), (size(&old), size(&old)));
    assert_eq!(mirror.requests().len(), 1, "{:?}", mirror.requests());
    assert!(mirror.requests()[0].is_conditional());

    // One package is updated: it, and the metadata, and nothing else.
    let new = repository()
        .with("p9", "2.0", pattern(99, 50_000))
        .revision(2);
    mirror.forget();
    new.serve(&mirror, "/r/");
    let third = Build::new(cache.path());
    install(&third.offer(&base, Via::Direct), &new);
    let mut asked: Vec<String> = mirror.requests().into_iter().map(|r| r.path).collect();
    asked.sort();
    let files = new.files();
    let known: Vec<String> = old.files().into_iter().map(|(path, _)| path).collect();
    let mut expected: Vec<String> = files
        .iter()
        .filter(|(path, _)| path.ends_with("repomd.xml") || !known.contains(path))
        .map(|(path, _)| format!("/r/{path}"))
        .collect();
    expected.sort();
    assert_eq!(asked, expected);
    assert!(asked.contains(&format!("/r/{}", rpm("p9", "2.0"))));
    assert_clean(cache.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_under_one_address_is_not_fetched_from_another() {
    let cache = tempfile::tempdir().unwrap();
    let (one, other) = (fake::Mirror::start(), fake::Mirror::start());
    let all = repository();
    all.serve(&one, "/r/");
    all.serve(&other, "/elsewhere/os/");
    install(
        &Build::new(cache.path()).offer(&one.url("/r/"), Via::Direct),
        &all,
    );
    let count = contents(cache.path()).len();
    let second = Build::new(cache.path());
    install(
        &second.offer(&other.url("/elsewhere/os"), Via::Direct),
        &all,
    );
    let asked: Vec<String> = other.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(asked, ["/elsewhere/os/repodata/repomd.xml"]);
    assert_eq!(contents(cache.path()).len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_package_is_never_served_and_comes_from_the_next_mirror() {
    let cache = tempfile::tempdir().unwrap();
    let (bad, good) = (fake::Mirror::start(), fake::Mirror::start());
    let all = repository();
    all.serve(&bad, "/r/");
    all.serve(&good, "/r/");
    // As long as the right one, and another; cut off; a web page; of a mirror that has enough of us.
    let package = |number: usize| format!("/r/{}", rpm(&format!("p{number}"), "1.0"));
    bad.change(&package(1), |file| {
        let mut body = file.body.to_vec();
        body[20_000] ^= 1;
        file.body = Arc::new(body);
    });
    let always = |number: usize, fault: Fault| {
        bad.change(&package(number), |file| file.always = Some(fault));
    };
    always(2, Fault::CutAt(10_000));
    always(3, Fault::WebPage);
    always(4, Fault::Status(429, vec![("Retry-After", "1".into())]));
    let round = vec![("Location", bad.url(&package(5)).to_string())];
    always(5, Fault::Status(302, round));
    bad.remove(&package(6));
    let list = format!("{}\n{}\n", bad.url("/r/"), good.url("/r/"));
    bad.put("/list?arch=x", list);
    // The good one is to be the slower one, so that the bad one is asked first.
    good.change("/r/repodata/repomd.xml", |file| file.head = Some(503));

    let build = Build::new(cache.path());
    let address = build.offer(&bad.url("/list?arch=x"), Via::MirrorList);
    let text = String::from_utf8(ask(&address, "").body).unwrap();
    let guest = Url::parse(text.trim()).unwrap();
    install(&guest, &all);
    for number in 1..=6 {
        assert!(!bad.requests_for(&package(number)).is_empty(), "{number}");
        assert!(!good.requests_for(&package(number)).is_empty(), "{number}");
    }
    assert!(good.requests_for(&package(7)).is_empty());
    assert_clean(cache.path());

    // Where no mirror has the right one there is none.
    let cache = tempfile::tempdir().unwrap();
    let build = Build::new(cache.path());
    let guest = build.offer(&bad.url("/r/"), Via::Direct);
    get(&guest, "repodata/repomd.xml");
    let reply = get(&guest, &rpm("p1", "1.0"));
    assert_eq!(reply.status, 502);
    assert_eq!(get(&guest, &rpm("p6", "1.0")).status, 404);
    assert_clean(cache.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metalink_leads_to_us() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let all = repository();
    all.serve(&mirror, "/r/");
    let repomd = mirror.url("/r/repodata/repomd.xml");
    let link = format!(
        "<metalink><files><file name=\"repomd.xml\"><resources><url>{repomd}</url></resources></file></files></metalink>"
    );
    mirror.put("/link", link);
    let build = Build::new(cache.path());
    let address = build.offer(&mirror.url("/link"), Via::MetaLink);
    let text = String::from_utf8(ask(&address, "").body).unwrap();
    let found = ozr::mirror::lists::metalink(&text).unwrap();
    install(&Url::parse(&found[0]).unwrap(), &all);
    let (_, body) = all.files().pop().unwrap();
    assert!(text.contains(&fake::sha256(&body)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_download_serves_all_who_ask() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let body = pattern(7, 3 << 20);
    let all = Repository::new().with("big", "1", body.clone());
    all.serve(&mirror, "/r/");
    let path = format!("/r/{}", rpm("big", "1"));
    mirror.change(&path, |file| file.always = Some(Fault::StallAt(1 << 20)));
    // Two in one build, and one in another: two processes on one cache.
    let builds = [Build::new(cache.path()), Build::new(cache.path())];
    let guests = builds.each_ref().map(|build| {
        let guest = build.offer(&mirror.url("/r/"), Via::Direct);
        get(&guest, "repodata/repomd.xml");
        guest.join(&rpm("big", "1")).unwrap()
    });
    let range = "Range: bytes=1000-2000000\r\n";
    let mut clients = [
        connect(&guests[0], ""),
        connect(&guests[0], range),
        connect(&guests[1], ""),
        connect(&guests[0], ""),
    ];
    // All read what has come before the rest has.
    for client in &mut clients {
        let mut begin = vec![0; 512 << 10];
        client.read_exact(&mut begin[..1]).unwrap();
        assert_eq!(begin[0], b'H');
        client.read_exact(&mut begin[1..]).unwrap();
    }
    let [one, part, other, gone] = clients;
    drop(gone);
    mirror.release();
    let rest = |mut stream: TcpStream| {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    };
    assert!(body.ends_with(&rest(one)));
    assert!(body.ends_with(&rest(other)));
    assert!(body[..=2_000_000].ends_with(&rest(part)));
    assert_eq!(mirror.requests_for(&path).len(), 1);
    assert!(ask(&guests[0], range).body == body[1000..=2_000_000]);
    let reply = ask(&guests[0], "Range: bytes=9999999-\r\n");
    assert_eq!(reply.status, 416, "{}", reply.head);
    assert_clean(cache.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_goes_away_wastes_nothing() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let body = pattern(7, 1 << 20);
    let all = Repository::new().with("big", "1", body.clone());
    all.serve(&mirror, "/r/");
    let path = format!("/r/{}", rpm("big", "1"));
    mirror.change(&path, |file| file.always = Some(Fault::StallAt(1 << 18)));
    let build = Build::new(cache.path());
    let guest = build.offer(&mirror.url("/r/"), Via::Direct);
    get(&guest, "repodata/repomd.xml");
    let address = guest.join(&rpm("big", "1")).unwrap();
    drop(connect(&address, ""));
    mirror.wait_for_stall();
    mirror.release();
    assert!(ask(&address, "").body == body);
    assert_eq!(mirror.requests_for(&path).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_away_or_half_updated_leaves_the_last_whole_state() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let old = repository();
    old.serve(&mirror, "/r/");
    let base = mirror.url("/r/");
    install(&Build::new(cache.path()).offer(&base, Via::Direct), &old);

    // In the middle of its update: a new list that names what is not there yet.
    let new = repository()
        .with("p9", "2.0", pattern(99, 50_000))
        .revision(2);
    let primary = new.serve(&mirror, "/r/");
    mirror.remove(&primary);
    let build = Build::new(cache.path());
    install(&build.offer(&base, Via::Direct), &old);
    assert!(build.heard("out of the cache"));
    // Then it has all.
    new.serve(&mirror, "/r/");
    install(&Build::new(cache.path()).offer(&base, Via::Direct), &new);

    // Away: all that it had is there still, and what it never gave is not.
    drop(mirror);
    let build = Build::new(cache.path());
    let guest = build.offer(&base, Via::Direct);
    install(&guest, &new);
    assert!(build.heard("Warning"), "{:?}", build.heard.0.lock());
    assert_eq!(get(&guest, "Packages/other.rpm").status, 502);
    let state = &build.mirror.ledger().repositories()[0];
    assert_eq!(state.revision.as_deref(), Some("2"));
    assert!(state.kept.is_some());

    // Nobody is asked, and nobody is warned, where that is wanted.
    let build = Build::with(MirrorOptions {
        offline: true,
        ..options(cache.path())
    });
    install(&build.offer(&base, Via::Direct), &new);
    assert!(!build.heard("Warning"));
    assert_eq!(build.mirror.ledger().traffic().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_file_repeats_the_set() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let old = repository();
    old.serve(&mirror, "/r/");
    let base = mirror.url("/r/");
    let build = Build::new(cache.path());
    install(&build.offer(&base, Via::Direct), &old);
    let lock = Lock::of(build.mirror.ledger());
    assert_eq!(lock.files.len(), old.files().len());
    let path = cache.path().join("n.lock");
    std::fs::write(&path, lock.text().unwrap()).unwrap();

    let new = repository()
        .with("p9", "2.0", pattern(99, 50_000))
        .revision(2);
    new.serve(&mirror, "/r/");
    install(&Build::new(cache.path()).offer(&base, Via::Direct), &new);
    let locked = |offline: bool, cache: &Path| MirrorOptions {
        offline,
        locked: Some(Arc::new(Locked::read(&path).unwrap())),
        ..options(cache)
    };
    mirror.forget();
    let build = Build::with(locked(true, cache.path()));
    let guest = build.offer(&base, Via::Direct);
    install(&guest, &old);
    assert_eq!(get(&guest, &rpm("p9", "2.0")).status, 404);
    assert!(mirror.requests().is_empty());

    // In another cache it comes from the mirror, as long as that has it.
    let other = tempfile::tempdir().unwrap();
    let lost = locked(true, other.path()).locked.unwrap();
    let build = Build::with(locked(false, other.path()));
    assert_eq!(lost.missing(build.mirror.cache()).len(), lock.files.len());
    let guest = build.offer(&base, Via::Direct);
    assert_eq!(get(&guest, "repodata/repomd.xml").status, 502);
    old.serve(&mirror, "/r/");
    install(&guest, &old);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_known_by_its_treeinfo_and_has_repositories_within_and_beside() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let stage2 = pattern(3, 300_000);
    let info = format!(
        "[general]\narch = x86_64\n[checksums]\nimages/install.img = sha256:{}\n",
        fake::sha256(&stage2)
    );
    mirror.put("/9/BaseOS/os/.treeinfo", info.clone());
    mirror.put("/9/BaseOS/os/images/install.img", stage2.clone());
    mirror.put("/9/BaseOS/os/extra.txt", "x");
    let (within, beside) = (repository(), Repository::new().with("q", "1", "qq"));
    within.serve(&mirror, "/9/BaseOS/os/");
    beside.serve(&mirror, "/9/AppStream/os/");
    for time in 0..2 {
        let build = Build::new(cache.path());
        let guest = build.offer(&mirror.url("/9/"), Via::Direct);
        let tree = guest.join("BaseOS/os/").unwrap();
        assert_eq!(get(&tree, ".treeinfo").body, info.as_bytes());
        assert!(get(&tree, "images/install.img").body == stage2);
        assert_eq!(get(&tree, "images/updates.img").status, 404);
        assert_eq!(get(&tree, "extra.txt").body, b"x");
        install(&tree, &within);
        install(&guest.join("AppStream/os/").unwrap(), &beside);
        let asked = |path: &str| mirror.requests_for(path).len();
        assert_eq!(asked("/9/BaseOS/os/images/install.img"), 1);
        // What has no digest is asked for each time.
        assert_eq!(asked("/9/BaseOS/os/extra.txt"), time + 1);
    }
}

/// Memory of this process in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

/// Two hundred at once, some of them slow and some gone in the middle, of what is here and of what comes.
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_whatever_clients_do() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let (body, later) = (pattern(5, 6 << 20), pattern(6, 6 << 20));
    let all = Repository::new()
        .with("here", "1", body.clone())
        .with("coming", "1", later.clone());
    all.serve(&mirror, "/r/");
    let build = Build::new(cache.path());
    let guest = build.offer(&mirror.url("/r/"), Via::Direct);
    get(&guest, "repodata/repomd.xml");
    assert!(get(&guest, &rpm("here", "1")).body == body);
    let path = format!("/r/{}", rpm("coming", "1"));
    mirror.change(&path, |file| file.always = Some(Fault::StallAt(5 << 20)));
    let (here, coming) = (rpm("here", "1"), rpm("coming", "1"));
    let before = memory();
    let mut clients: Vec<TcpStream> = (0..200)
        .map(|number| {
            let path = if number % 2 == 0 { &here } else { &coming };
            connect(&guest.join(path).unwrap(), "")
        })
        .collect();
    mirror.wait_for_stall();
    // Every one has its head, and takes no more for now.
    for client in &mut clients {
        let mut begin = [0; 12];
        client.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
    }
    let grown = memory().saturating_sub(before);
    // The two threads and buffers of each; the files alone would be 1,200 MiB.
    assert!(grown < 150 << 10, "{grown} KiB for 200 downloads");
    clients.truncate(6);
    mirror.release();
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        let expected = if number % 2 == 0 { &body } else { &later };
        assert!(all.ends_with(&expected[..]), "{number}");
    }
    assert_eq!(mirror.requests_for(&path).len(), 1);
}

/// For `scripts/bench-cache`: serves the files of a directory out of a cache that has them, until its input ends.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "serves a benchmark"]
async fn serve_a_benchmark() {
    let (Ok(files), Ok(address)) = (
        std::env::var("OZR_BENCH_FILES"),
        std::env::var("OZR_BENCH_ADDRESS"),
    ) else {
        return;
    };
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let mut all = Repository::new();
    for found in std::fs::read_dir(files).unwrap() {
        let found = found.unwrap();
        let name = found.file_name().into_string().unwrap();
        all = all.with(&name, "1", std::fs::read(found.path()).unwrap());
    }
    all.serve(&mirror, "/r/");
    let build = Build::new(cache.path());
    let guest = build.offer(&mirror.url("/r/"), Via::Direct);
    install(&guest, &all);
    drop(all);
    std::fs::write(address, guest.as_str()).unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

//! The mirror cache as guests see it: real sockets, real mirrors, no guests.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ozr::mirror::{Cache, Lock, Locked, Mirror, MirrorOptions, PruneRules, Via};
use ozr::options::Ports;
use ozr::serve::{ServeOptions, Server};
use ozr::ui::event::{Event, Reporter, Sink};
use url::Url;

use crate::support::gnupg::Gnupg;
use crate::support::mirror::{self as fake, Fault};
use crate::support::repository::Repository;

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
    // Longer than the metadata says.
    bad.change(&package(0), |file| {
        let longer = [&file.body[..], b"more"].concat();
        file.body = Arc::new(longer);
    });
    let list = format!("{}\n{}\n", bad.url("/r/"), good.url("/r/"));
    bad.put("/list?arch=x", list);
    // The good one is to be the slower one, so that the bad one is asked first.
    good.change("/r/repodata/repomd.xml", |file| file.head = Some(503));

    let build = Build::new(cache.path());
    let address = build.offer(&bad.url("/list?arch=x"), Via::MirrorList);
    let text = String::from_utf8(ask(&address, "").body).unwrap();
    let guest = Url::parse(text.trim()).unwrap();
    install(&guest, &all);
    for number in 0..=6 {
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

/// Mirrors of one tree stand in for one another, also for the repositories beside it; another tree is never one of them.
#[tokio::test(flavor = "multi_thread")]
async fn several_addresses_of_a_tree_stand_in_for_one_another() {
    let stage2 = pattern(3, 300_000);
    let info = format!(
        "[general]\narch = x86_64\nvariant = BaseOS\n[variant-BaseOS]\nrepository = .\n\
         [variant-AppStream]\nrepository = ../../AppStream/os\n\
         [checksums]\nimages/install.img = sha256:{}\n",
        fake::sha256(&stage2)
    );
    let (within, beside) = (repository(), Repository::new().with("q", "1", "qq"));
    let serve = |root: &str, info: &str| {
        let mirror = fake::Mirror::start();
        mirror.put(&format!("{root}BaseOS/os/.treeinfo"), info);
        mirror.put(
            &format!("{root}BaseOS/os/images/install.img"),
            stage2.clone(),
        );
        within.serve(&mirror, &format!("{root}BaseOS/os/"));
        beside.serve(&mirror, &format!("{root}AppStream/os/"));
        mirror
    };
    let (one, two) = (serve("/9/", &info), serve("/pub/9/", &info));
    let other = serve("/9/", &format!("# of yesterday\n{info}"));
    let first = one.url("/9/BaseOS/os/");
    let several = |cache: &Path| {
        Build::with(MirrorOptions {
            tree_addresses: vec![
                first.clone(),
                two.url("/pub/9/BaseOS/os"),
                other.url("/9/BaseOS/os/"),
            ],
            ..options(cache)
        })
    };
    let take_all = |guest: &Url| {
        let tree = guest.join("BaseOS/os/").unwrap();
        assert!(get(&tree, "images/install.img").body == stage2);
        install(&tree, &within);
        install(&guest.join("AppStream/os/").unwrap(), &beside);
    };

    // One goes away in the middle: after the description of the tree.
    let cache = tempfile::tempdir().unwrap();
    let build = several(cache.path());
    let described = build.mirror.describe(&first).await.unwrap();
    assert_eq!(described.unwrap().repositories.len(), 2);
    assert!(build.heard("is another tree than"));
    let (root, rest) = build.mirror.root_of(&first);
    assert_eq!(rest, "BaseOS/os/");
    let guest = build.offer(&root, Via::Direct);
    assert_eq!(get(&guest, "BaseOS/os/.treeinfo").body, info.as_bytes());
    drop(one);
    take_all(&guest);
    assert_clean(cache.path());

    // It was never there.
    let cache = tempfile::tempdir().unwrap();
    let build = several(cache.path());
    assert!(build.mirror.describe(&first).await.unwrap().is_some());
    assert!(build.heard("is done without"));
    assert!(
        build
            .mirror
            .ask(&first.join("images/install.img").unwrap())
            .await
            .is_ok()
    );
    take_all(&build.offer(&build.mirror.root_of(&first).0, Via::Direct));
    let asked = other.requests().into_iter().map(|request| request.path);
    let asked: Vec<String> = asked.collect();
    // Once in each build, to see that it is another.
    assert_eq!(asked, vec!["/9/BaseOS/os/.treeinfo"; 2]);
    assert_clean(cache.path());
}

const SIGNATURE: &str = "/r/repodata/repomd.xml.asc";

/// Puts a signature beside the `repomd.xml` of a repository.
fn sign(gnupg: &Gnupg, mirror: &fake::Mirror, repository: &Repository) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (_, repomd) = repository.files().pop().unwrap();
    let text = dir.path().join("repomd.xml");
    std::fs::write(&text, repomd).unwrap();
    gnupg.run(&["--armor", "--detach-sign", text.to_str().unwrap()]);
    let signature = std::fs::read(dir.path().join("repomd.xml.asc")).unwrap();
    mirror.put(SIGNATURE, signature.clone());
    signature
}

/// Where a key is given, no state is served that it has not signed, from wherever it would come.
#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_signed_is_served_only_as_it_was_signed() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let keys = tempfile::tempdir().unwrap();
    let gnupg = Gnupg::make(&keys.path().join("g"));
    let other = Gnupg::make(&keys.path().join("o"));
    let file = keys.path().join("key.asc");
    std::fs::write(&file, gnupg.run(&["--armor", "--export"]).stdout).unwrap();
    let base = mirror.url("/r/");
    let signed = |cache: &Path| MirrorOptions {
        repository_keys: vec![format!("{base}={}", file.display()).parse().unwrap()],
        ..options(cache)
    };
    let old = repository();
    old.serve(&mirror, "/r/");

    // Nobody has signed it; and what was kept of it before a key was given is not taken either.
    let unsigned = |cache: &Path, why: &str| {
        let build = Build::with(signed(cache));
        let guest = build.offer(&base, Via::Direct);
        for name in ["repodata/repomd.xml", "repodata/repomd.xml.asc"] {
            assert_eq!(get(&guest, name).status, 502, "{name}");
        }
        assert!(build.mirror.ledger().repositories().is_empty());
        let check = build.mirror.check_repository(&base, Via::Direct);
        let said =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(check));
        let said = format!("{:#}", said.unwrap_err());
        assert!(said.contains("is not signed by a key of"), "{said}");
        assert!(said.contains(why), "{said}");
    };
    unsigned(cache.path(), "there is no");
    install(&Build::new(cache.path()).offer(&base, Via::Direct), &old);
    unsigned(cache.path(), "there is no");
    sign(&other, &mirror, &old);
    unsigned(cache.path(), "gpgv");

    // A repository without a key is what it was; one with it is served with its signature.
    let signature = sign(&gnupg, &mirror, &old);
    let build = Build::with(signed(cache.path()));
    let guest = build.offer(&base, Via::Direct);
    install(&guest, &old);
    assert_eq!(get(&guest, "repodata/repomd.xml.asc").body, signature);
    assert!(!build.heard("Warning"));
    let lock = Lock::of(build.mirror.ledger());
    assert_eq!(lock.files.len(), old.files().len() + 1, "and the signature");

    // Another state without one, with the last one's, and with another's: the last one is served, and that is said.
    let new = repository()
        .with("p9", "2.0", pattern(99, 50_000))
        .revision(2);
    new.serve(&mirror, "/r/");
    for change in [0, 1, 2] {
        match change {
            0 => mirror.put(SIGNATURE, signature.clone()),
            1 => drop(sign(&other, &mirror, &new)),
            _ => mirror.remove(SIGNATURE),
        }
        let build = Build::with(signed(cache.path()));
        let guest = build.offer(&base, Via::Direct);
        install(&guest, &old);
        assert_eq!(get(&guest, "repodata/repomd.xml.asc").body, signature);
        assert!(build.heard("out of the cache"), "{change}");
        assert!(build.heard("is not signed by a key of"), "{change}");
    }
    sign(&gnupg, &mirror, &new);
    install(
        &Build::with(signed(cache.path())).offer(&base, Via::Direct),
        &new,
    );

    // A lock file's set has its signature with it, or cannot be taken.
    let path = cache.path().join("n.lock");
    let locked = |lock: &Lock| {
        std::fs::write(&path, lock.text().unwrap()).unwrap();
        Build::with(MirrorOptions {
            offline: true,
            locked: Some(Arc::new(Locked::read(&path).unwrap())),
            ..signed(cache.path())
        })
    };
    install(&locked(&lock).offer(&base, Via::Direct), &old);
    let mut without = lock.clone();
    without.files.retain(|file| !file.url.ends_with(".asc"));
    let build = locked(&without);
    let guest = build.offer(&base, Via::Direct);
    assert_eq!(get(&guest, "repodata/repomd.xml").status, 502);
}

/// What the last build took is here before the guest asks, in today's version; nothing else is fetched, and what no
/// guest asked for is not said to have been taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_build_took_is_fetched_ahead() {
    let mirror = fake::Mirror::start();
    let old = repository();
    old.serve(&mirror, "/r/");
    let base = mirror.url("/r/");
    let first = tempfile::tempdir().unwrap();
    let build = Build::new(first.path());
    install(&build.offer(&base, Via::Direct), &old);
    let last = Lock::of(build.mirror.ledger());

    // One has a newer version, and one is new. All hang in the middle.
    let new = repository()
        .with("p1", "1.10", pattern(91, 50_000))
        .with("p1", "1.9", pattern(92, 50_000))
        .with("unrelated", "1.0", pattern(93, 50_000))
        .revision(2);
    new.serve(&mirror, "/r/");
    mirror.forget();
    let packages = |mirror: &fake::Mirror| -> Vec<String> {
        let asked = mirror.requests().into_iter().map(|request| request.path);
        let mut all: Vec<String> = asked.filter(|path| path.ends_with(".rpm")).collect();
        all.sort();
        all
    };
    let mut expected: Vec<String> = (0..8)
        .map(|number| match number {
            1 => format!("/r/{}", rpm("p1", "1.10")),
            _ => format!("/r/{}", rpm(&format!("p{number}"), "1.0")),
        })
        .collect();
    expected.sort();
    for path in &expected[..2] {
        mirror.change(path, |file| file.always = Some(Fault::StallAt(10_000)));
    }
    let cache = tempfile::tempdir().unwrap();
    let build = Build::new(cache.path());
    let ahead = build
        .mirror
        .fetch_ahead(vec![(base.clone(), Via::Direct)], &last);
    let wait = |what: &dyn Fn() -> bool| {
        let begin = Instant::now();
        while !what() {
            assert!(begin.elapsed() < HANG, "{:?}", mirror.requests());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait(&|| packages(&mirror).len() == 2);
    mirror.wait_for_stall();
    assert_eq!(packages(&mirror), expected[..2], "no more than two at once");
    // A guest that asks meanwhile waits for the same download.
    let guest = build.offer(&base, Via::Direct);
    get(&guest, "repodata/repomd.xml");
    let early = connect(&guest.join(&rpm("p0", "1.0")).unwrap(), "");
    mirror.release();
    assert!(finish(early).body == pattern(0, 40_000));
    let sizes = 40_000 * 8 + 28 - 40_001 + 50_000;
    wait(&|| build.mirror.ledger().traffic().ahead == sizes);
    assert_eq!(packages(&mirror), expected);
    let taken = |build: &Build| -> Vec<String> {
        let files = Lock::of(build.mirror.ledger()).files;
        let urls = files.into_iter().map(|file| file.url);
        urls.filter(|url| url.ends_with(".rpm")).collect()
    };
    assert_eq!(
        taken(&build),
        [base.join(&rpm("p0", "1.0")).unwrap().as_str()]
    );
    // The rest of what the guest takes is here.
    assert!(get(&guest, &rpm("p1", "1.10")).body == pattern(91, 50_000));
    assert_eq!(packages(&mirror), expected);
    assert_eq!(taken(&build).len(), 2);
    assert_clean(cache.path());
    drop(ahead);

    // It ends with the build, and nobody minds what it did not find.
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let build = Build::new(cache.path());
    new.serve(&mirror, "/r/");
    let base = mirror.url("/r/");
    mirror.remove(&expected[0]);
    for path in &expected[2..4] {
        mirror.change(path, |file| file.always = Some(Fault::StallAt(10_000)));
    }
    let ahead = build
        .mirror
        .fetch_ahead(vec![(base.clone(), Via::Direct)], &last);
    let begin = Instant::now();
    while packages(&mirror).len() < 4 {
        assert!(begin.elapsed() < HANG, "{:?}", mirror.requests());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(ahead);
    mirror.release();
    assert!(!build.heard("Warning"), "{:?}", build.heard.0.lock());
    let guest = build.offer(&base, Via::Direct);
    get(&guest, "repodata/repomd.xml");
    assert!(get(&guest, &rpm("p7", "1.0")).body == pattern(7, 40_007));
    assert!(mirror.requests_for(&expected[5]).is_empty());
}

/// A build in a process of its own, which can be killed.
struct Process {
    child: Child,
    guest: Url,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// One that offers a repository out of a cache.
    fn start(cache: &Path, base: &Url) -> Process {
        let address = tempfile::NamedTempFile::new().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "package_cache::a_build_of_another_process",
            ])
            .env("OZR_TEST_CACHE", cache)
            .env("OZR_TEST_REPOSITORY", base.as_str())
            .env("OZR_TEST_ADDRESS", address.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let mut process = Process {
            child: child.unwrap(),
            guest: base.clone(),
        };
        let asked = Instant::now();
        loop {
            let text = std::fs::read_to_string(address.path()).unwrap();
            if let Some(guest) = text.strip_suffix('\n') {
                process.guest = Url::parse(guest).unwrap();
                return process;
            }
            assert!(asked.elapsed() < HANG, "it does not serve");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its memory in KiB.
    fn memory(&self) -> u64 {
        memory(self.child.id())
    }
}

/// What [`Process`] runs: offers a repository until its input ends.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test's other process"]
async fn a_build_of_another_process() {
    let of = |name: &str| std::env::var(name).ok();
    let (Some(cache), Some(base), Some(address)) = (
        of("OZR_TEST_CACHE"),
        of("OZR_TEST_REPOSITORY"),
        of("OZR_TEST_ADDRESS"),
    ) else {
        return;
    };
    let build = Build::new(Path::new(&cache));
    let guest = build.offer(&Url::parse(&base).unwrap(), Via::Direct);
    std::fs::write(address, format!("{guest}\n")).unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Memory of a process in KiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
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
    let process = Process::start(cache.path(), &mirror.url("/r/"));
    let guest = process.guest.clone();
    get(&guest, "repodata/repomd.xml");
    assert!(get(&guest, &rpm("here", "1")).body == body);
    let path = format!("/r/{}", rpm("coming", "1"));
    mirror.change(&path, |file| file.always = Some(Fault::StallAt(5 << 20)));
    let (here, coming) = (rpm("here", "1"), rpm("coming", "1"));
    let before = process.memory();
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
    let grown = process.memory().saturating_sub(before);
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

/// The file systems of a test that has them for itself.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// One of so many KiB; none where that is not allowed.
    fn new(kib: u64) -> Option<SmallDisk> {
        let disk = SmallDisk(tempfile::tempdir().unwrap());
        disk.mount(&format!("size={kib}k")).then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
        mount.arg(self.0.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Whatever there was no room for: the guest gets everything, and what is kept is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_no_build_and_spoils_no_cache() {
    let mirror = fake::Mirror::start();
    let all = repository();
    all.serve(&mirror, "/r/");
    let base = mirror.url("/r/");
    // Full before the first package, in the middle, and in one of the last notes.
    for kib in [64, 100, 200, 300, 340, 360, 372, 380, 388] {
        let Some(disk) = SmallDisk::new(kib) else {
            return;
        };
        let build = Build::new(disk.0.path());
        install(&build.offer(&base, Via::Direct), &all);
        let is_told = build.heard("packages go past the cache");
        assert!(is_told || kib > 340, "{kib}");
        drop(build);
        assert_clean(disk.0.path());
        // With room again it is as ever.
        assert!(disk.mount("remount,size=16m"));
        install(&Build::new(disk.0.path()).offer(&base, Via::Direct), &all);
        let verified = Cache::open(disk.0.path()).unwrap().verify().await.unwrap();
        assert!(verified.damaged.is_empty(), "{kib}: {verified:?}");
        mirror.forget();
        install(&Build::new(disk.0.path()).offer(&base, Via::Direct), &all);
        assert_eq!(mirror.requests().len(), 1, "{kib}");
    }
}

/// Two on one cache, of which one is killed in the middle of a download that the other waits for.
#[tokio::test(flavor = "multi_thread")]
async fn the_download_of_a_killed_process_is_gone_on_with() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let body = pattern(7, 3 << 20);
    let all = Repository::new().with("big", "1", body.clone());
    all.serve(&mirror, "/r/");
    let path = format!("/r/{}", rpm("big", "1"));
    mirror.change(&path, |file| file.always = Some(Fault::StallAt(1 << 20)));
    let process = Process::start(cache.path(), &mirror.url("/r/"));
    let build = Build::new(cache.path());
    let ours = build.offer(&mirror.url("/r/"), Via::Direct);
    let client = |guest: &Url| {
        get(guest, "repodata/repomd.xml");
        let mut client = connect(&guest.join(&rpm("big", "1")).unwrap(), "");
        let mut begin = vec![0; 512 << 10];
        client.read_exact(&mut begin).unwrap();
        (client, begin)
    };
    let theirs = client(&process.guest);
    let (mut client, mut answer) = client(&ours);
    assert_eq!(mirror.requests_for(&path).len(), 1, "it reads along");
    drop(process);
    drop(theirs);
    mirror.release();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&body));
    let asked = mirror.requests_for(&path);
    assert_eq!(asked.len(), 2);
    assert!(
        asked[1].header("range").is_some(),
        "not all of it once more"
    );
    let verified = build.mirror.cache().verify().await.unwrap();
    assert!(verified.damaged.is_empty() && verified.lost == 0);
    assert_eq!(build.mirror.cache().stats().unwrap().unfinished, 0);
}

/// A mirror that dies in the middle: the next one goes on, and who reads gets the right bytes or asks again.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_mirror_goes_on_where_one_dies() {
    let (cache, good) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let dying = fake::Mirror::start();
    let body = pattern(7, 3 << 20);
    let all = Repository::new().with("big", "1", body.clone());
    all.serve(&dying, "/r/");
    all.serve(&good, "/r/");
    let path = format!("/r/{}", rpm("big", "1"));
    dying.change(&path, |file| file.always = Some(Fault::StallAt(1 << 20)));
    good.change("/r/repodata/repomd.xml", |file| file.head = Some(503));
    let list = format!("{}\n{}\n", dying.url("/r/"), good.url("/r/"));
    good.put("/list", list);
    let build = Build::new(cache.path());
    let address = build.offer(&good.url("/list"), Via::MirrorList);
    let text = String::from_utf8(ask(&address, "").body).unwrap();
    let guest = Url::parse(text.trim()).unwrap();
    get(&guest, "repodata/repomd.xml");
    let package = guest.join(&rpm("big", "1")).unwrap();
    let client = connect(&package, "");
    dying.wait_for_stall();
    dying.cut();
    drop(dying);
    let reply = finish(client);
    let whole = reply.body == body || ask(&package, "").body == body;
    assert!(whole, "{} bytes", reply.body.len());
    assert!(body.starts_with(&reply.body));
    assert_eq!(good.requests_for(&path).len(), 1);
    assert_clean(cache.path());
}

/// What a running build took, and what a lock file names, is never removed to make room.
#[tokio::test(flavor = "multi_thread")]
async fn eviction_takes_nothing_that_is_needed() {
    let (cache, mirror) = (tempfile::tempdir().unwrap(), fake::Mirror::start());
    let (old, other) = (repository(), Repository::new().with("q", "1", "qq"));
    old.serve(&mirror, "/r/");
    other.serve(&mirror, "/q/");
    let all = PruneRules {
        unused_for: None,
        max_bytes: Some(0),
    };
    let process = Process::start(cache.path(), &mirror.url("/r/"));
    install(&process.guest, &old);
    let build = Build::new(cache.path());
    install(&build.offer(&mirror.url("/q/"), Via::Direct), &other);
    let lock = cache.path().join("q.lock");
    std::fs::write(&lock, Lock::of(build.mirror.ledger()).text().unwrap()).unwrap();
    let kept = build.mirror.cache().clone();
    kept.pin(&lock).unwrap();
    drop(build);
    // The other process runs still.
    let removal = kept.prune(&all).unwrap();
    assert!(removal.removed.is_empty(), "{removal:?}");
    install(&process.guest, &old);
    drop(process);
    let count = contents(cache.path()).len();
    let removal = kept.prune(&all).unwrap();
    assert!(!removal.removed.is_empty());
    assert_eq!(removal.kept_for_locks, other.files().len());
    let locked = Locked::read(&lock).unwrap();
    assert!(locked.missing(&kept).is_empty());
    assert!(contents(cache.path()).len() < count);
    // The lock file is gone: nothing needs them.
    std::fs::remove_file(&lock).unwrap();
    kept.prune(&all).unwrap();
    assert_eq!(contents(cache.path()).len(), 0);
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

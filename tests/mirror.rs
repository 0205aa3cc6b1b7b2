//! Install trees from mirrors that behave and mirrors that do not.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::support::mirror::{self as fake, Fault, INITRD, KERNEL, STAGE2, Tree};
use crate::support::tls::{self, Authority};
use ozr::distro::{Arch, TreeLayout};
use ozr::error::{Kind, kind_of};
use ozr::mirror::{Credentials, InstallTree, Mirror, MirrorOptions, Origin, PruneRules};
use ozr::ui::event::{Event, Reporter, Sink};
use url::Url;

const MIB: usize = 1 << 20;

fn layout() -> TreeLayout {
    TreeLayout {
        kernel: KERNEL,
        initrd: INITRD,
        stage2: &[STAGE2, "LiveOS/squashfs.img"],
    }
}

/// Collects what is reported.
#[derive(Default)]
struct Heard {
    texts: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Sink for Heard {
    fn take(&self, event: Event) {
        let text = match event {
            Event::Warning(text) => format!("warning: {text}"),
            Event::Note(text) | Event::Detail(text) => text,
            other => format!("{other:?}"),
        };
        self.texts.lock().unwrap().push(text);
        self.changed.notify_all();
    }
}

impl Heard {
    fn all(&self) -> String {
        self.texts.lock().unwrap().join("\n")
    }

    fn wait_for(&self, needle: &str) {
        let (_guard, timeout) = self
            .changed
            .wait_timeout_while(self.texts.lock().unwrap(), fake::PATIENCE, |texts| {
                !texts.iter().any(|text| text.contains(needle))
            })
            .unwrap();
        assert!(!timeout.timed_out(), "never heard {needle:?}");
    }
}

/// The notes beside an unfinished download, from the path of either.
fn notes_of(part: &Path) -> PathBuf {
    match part.extension() {
        Some(extension) if extension == "json" => part.to_path_buf(),
        _ => part.with_extension("part.json"),
    }
}

/// A cache directory and a fake mirror.
struct Setting {
    cache: tempfile::TempDir,
    mirror: Arc<fake::Mirror>,
    heard: Arc<Heard>,
}

impl Setting {
    fn new() -> Setting {
        Setting::with(fake::Mirror::start())
    }

    fn with(mirror: fake::Mirror) -> Setting {
        Setting {
            cache: tempfile::tempdir().unwrap(),
            mirror: Arc::new(mirror),
            heard: Arc::default(),
        }
    }

    /// A setting whose mirror has the tree, and then a fault for one of its files.
    fn with_fault(path: &str, fault: Fault) -> Setting {
        let setting = Setting::new();
        Tree::new(MIB).serve(&setting.mirror);
        setting
            .mirror
            .change(&format!("/tree/{path}"), |file| file.always = Some(fault));
        setting
    }

    fn options(&self) -> MirrorOptions {
        quick(self.cache.path())
    }

    fn open(&self) -> Mirror {
        self.open_with(self.options())
    }

    fn open_with(&self, options: MirrorOptions) -> Mirror {
        let heard: Arc<dyn Sink> = Arc::clone(&self.heard) as _;
        Mirror::new(options, Reporter::new(heard)).unwrap()
    }

    async fn install(&self) -> anyhow::Result<InstallTree> {
        self.install_with(self.options()).await
    }

    async fn install_with(&self, options: MirrorOptions) -> anyhow::Result<InstallTree> {
        self.open_with(options)
            .install_tree(&self.mirror.url("/tree/"), Arch::X86_64, &layout())
            .await
    }

    /// Installs and expects a refusal of the given kind, with these words in one sentence.
    async fn refused(&self, kind: Kind, words: &[&str]) -> String {
        self.refused_with(self.options(), kind, words).await
    }

    async fn refused_with(&self, options: MirrorOptions, kind: Kind, words: &[&str]) -> String {
        let error = self.install_with(options).await.expect_err("must fail");
        let message = format!("{error:#}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
        assert_eq!(kind_of(&error), Some(kind), "{message}");
        message
    }

    /// Nothing of the files with these names is in the cache, whole or in part.
    fn assert_not_cached(&self, names: &[&str]) {
        let listed = self.open().cache().list().unwrap();
        for entry in &listed {
            for name in names {
                assert!(!entry.url.ends_with(name), "{} is cached", entry.url);
            }
        }
        // The tree's other files are fetched at the same time: what they have when one fails is
        // kept for the next run.
        for file in files_in(&self.dir("parts")) {
            let notes = std::fs::read_to_string(notes_of(&file)).unwrap();
            let notes: serde_json::Value = serde_json::from_str(&notes).unwrap();
            let url = notes["url"].as_str().unwrap();
            assert!(url.starts_with("http"), "{notes}");
            for name in names {
                assert!(!url.ends_with(name), "{url} is there in part");
            }
        }
        for file in files_in(&self.dir("files")) {
            assert!(
                listed.iter().any(|entry| file.ends_with(&entry.sha256)),
                "{} belongs to no entry",
                file.display()
            );
        }
    }

    async fn wait_for_stall(&self) {
        let mirror = Arc::clone(&self.mirror);
        tokio::task::spawn_blocking(move || mirror.wait_for_stall())
            .await
            .unwrap();
    }

    async fn wait_to_hear(&self, needle: &'static str) {
        let heard = Arc::clone(&self.heard);
        tokio::task::spawn_blocking(move || heard.wait_for(needle))
            .await
            .unwrap();
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.cache.path().join("v1").join(name)
    }

    fn requests(&self, path: &str) -> Vec<fake::Request> {
        self.mirror.requests_for(&format!("/tree/{path}"))
    }
}

/// Options whose pauses do not hold up the tests.
fn quick(cache: &Path) -> MirrorOptions {
    let mut options = MirrorOptions::new(cache);
    options.patience.first_pause = Duration::from_millis(2);
    options.patience.longest_pause = Duration::from_millis(20);
    options
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|found| found.unwrap().path())
        .collect();
    files.sort();
    files
}

fn assert_has(tree: &Tree, installed: &InstallTree) {
    assert_eq!(std::fs::read(&installed.kernel.path).unwrap(), tree.kernel);
    assert_eq!(std::fs::read(&installed.initrd.path).unwrap(), tree.initrd);
    assert_eq!(installed.kernel.sha256, fake::sha256(&tree.kernel));
    assert_eq!(installed.initrd.sha256, fake::sha256(&tree.initrd));
    assert_eq!(installed.initrd.bytes, tree.initrd.len() as u64);
    assert_eq!(installed.stage2_path, STAGE2);
}

// ---- what works ----

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_fetched_once_and_then_asked_for_once() {
    let setting = Setting::new();
    let tree = Tree::new(3 * MIB);
    tree.serve(&setting.mirror);
    let first = setting.install().await.unwrap();
    assert_has(&tree, &first);
    assert_eq!(first.kernel.origin, Origin::Fetched);
    assert_eq!(first.treeinfo.unwrap().version.as_deref(), Some("9.4"));
    for path in [KERNEL, INITRD] {
        assert_eq!(setting.requests(path).len(), 1, "{path}");
    }
    // QEMU may run as another user.
    for path in [&first.kernel.path, &first.initrd.path] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }
    for name in ["", "files"] {
        let mode = setting.dir(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    setting.mirror.forget();
    let second = setting.install().await.unwrap();
    assert_has(&tree, &second);
    assert_eq!(second.kernel.origin, Origin::Cached);
    assert_eq!(second.kernel.path, first.kernel.path);
    let requests = setting.mirror.requests();
    let asked: Vec<(&str, u16)> = requests
        .iter()
        .map(|request| (request.path.as_str(), request.status))
        .collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    // Whole, each time: it says which files belong together.
    assert!(asked.contains(&("/tree/.treeinfo", 200)), "{asked:?}");
    let probe = &setting.requests(STAGE2)[0];
    assert_eq!(probe.method, "HEAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_checksums_each_file_is_revalidated() {
    let setting = Setting::new();
    let tree = Tree::new(MIB).without_checksums();
    tree.serve(&setting.mirror);
    assert_has(&tree, &setting.install().await.unwrap());
    assert!(
        setting
            .heard
            .all()
            .contains("warning: the tree gives no usable checksum")
    );

    setting.mirror.forget();
    let second = setting.install().await.unwrap();
    assert_has(&tree, &second);
    assert_eq!(second.initrd.origin, Origin::Revalidated);
    for path in [KERNEL, INITRD] {
        let requests = setting.requests(path);
        assert_eq!(requests.len(), 1, "{path}");
        assert!(
            requests[0].is_conditional() && requests[0].status == 304,
            "{path}"
        );
    }

    // The mirror's file changes: a build that holds the old one keeps it.
    let mut changed = Tree::new(2 * MIB).without_checksums();
    changed.kernel.push(0);
    changed.serve(&setting.mirror);
    setting.mirror.forget();
    let third = setting.install().await.unwrap();
    assert_has(&changed, &third);
    assert_has(&tree, &second);
    assert_eq!(setting.requests(INITRD).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_date_is_enough_to_revalidate() {
    let setting = Setting::new();
    let tree = Tree::new(MIB).without_checksums();
    tree.serve(&setting.mirror);
    for path in [".treeinfo", KERNEL, INITRD] {
        setting
            .mirror
            .change(&format!("/tree/{path}"), |file| file.etag = None);
    }
    setting.install().await.unwrap();
    setting.mirror.forget();
    let second = setting.install().await.unwrap();
    assert_eq!(second.kernel.origin, Origin::Revalidated);
    assert_eq!(setting.requests(KERNEL).len(), 1);

    // A link that is turned to an older tree: `If-Modified-Since` would say that nothing changed.
    let mut older = Tree::new(MIB).without_checksums();
    older.kernel[1000] ^= 1;
    older.serve(&setting.mirror);
    for path in [".treeinfo", KERNEL, INITRD] {
        setting.mirror.change(&format!("/tree/{path}"), |file| {
            file.etag = None;
            file.last_modified = Some("Mon, 31 Mar 2025 10:00:00 GMT".to_string());
        });
    }
    assert_has(&older, &setting.install().await.unwrap());
    assert!(
        setting
            .mirror
            .requests()
            .iter()
            .all(|request| !request.is_conditional())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_trees_are_never_mixed() {
    let setting = Setting::new();
    Tree::new(MIB).without_checksums().serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.next = vec![Some(Fault::StallAt(MIB / 2))];
    });
    let installed = setting.install();
    let switched = async {
        let mirror = Arc::clone(&setting.mirror);
        tokio::task::spawn_blocking(move || {
            mirror.wait_for_stall();
            let mut next = Tree::new(MIB).without_checksums();
            next.tree_info = next.tree_info.replace("9.4", "9.5");
            mirror.put("/tree/.treeinfo", next.tree_info);
            mirror.release();
        })
        .await
        .unwrap();
    };
    let (installed, ()) = tokio::join!(installed, switched);
    let error = installed.unwrap_err();
    assert!(
        format!("{error:#}").contains("changed while it was fetched"),
        "{error:#}"
    );
    assert_eq!(kind_of(&error), Some(Kind::Mirror));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_tree_replaces_what_it_names() {
    let setting = Setting::new();
    Tree::new(MIB).serve(&setting.mirror);
    setting.install().await.unwrap();
    let changed = Tree::new(2 * MIB);
    changed.serve(&setting.mirror);
    let second = setting.install().await.unwrap();
    assert_has(&changed, &second);
    // The kernel is the same: its checksum says so, without a request.
    assert_eq!(second.kernel.origin, Origin::Cached);
    assert_eq!(second.initrd.origin, Origin::Fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_from_another_mirror_is_not_fetched_again() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    setting.install().await.unwrap();
    let other = fake::Mirror::start();
    tree.serve(&other);
    let installed = setting
        .open()
        .install_tree(&other.url("/tree"), Arch::X86_64, &layout())
        .await
        .unwrap();
    assert_eq!(installed.initrd.origin, Origin::Cached);
    assert!(other.requests_for(&format!("/tree/{INITRD}")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn refetch_takes_nothing_from_the_cache() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    let first = setting.install().await.unwrap();
    setting.mirror.forget();
    let mut options = setting.options();
    options.refetch = true;
    let second = setting.install_with(options).await.unwrap();
    assert_has(&tree, &second);
    assert_has(&tree, &first);
    assert_eq!(second.kernel.origin, Origin::Fetched);
    for path in [".treeinfo", KERNEL, INITRD] {
        assert!(!setting.requests(path)[0].is_conditional(), "{path}");
        assert_eq!(setting.requests(path)[0].status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn treeinfo_without_a_dot_and_no_treeinfo_at_all() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    setting.mirror.remove("/tree/.treeinfo");
    setting.mirror.put("/tree/treeinfo", tree.tree_info.clone());
    let installed = setting.install().await.unwrap();
    assert!(installed.treeinfo.is_some());

    // A server that hides names with a dot.
    setting.mirror.put("/tree/.treeinfo", "");
    setting.mirror.change("/tree/.treeinfo", |file| {
        file.always = Some(Fault::Status(403, Vec::new()));
    });
    assert!(setting.install().await.unwrap().treeinfo.is_some());

    setting.mirror.remove("/tree/.treeinfo");
    setting.mirror.remove("/tree/treeinfo");
    let installed = setting.install().await.unwrap();
    assert_eq!(installed.treeinfo, None);
    assert_has(&tree, &installed);
    assert!(setting.heard.all().contains("has no .treeinfo"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stage_2_is_looked_for_before_the_guest_needs_it() {
    let setting = Setting::new();
    Tree::new(MIB).serve(&setting.mirror);
    // A server without HEAD.
    setting
        .mirror
        .change(&format!("/tree/{STAGE2}"), |file| file.head = Some(405));
    setting.install().await.unwrap();
    let requests = setting.requests(STAGE2);
    assert_eq!(requests.last().unwrap().header("range"), Some("bytes=0-0"));
    // One that says that there is nothing, though there is.
    setting
        .mirror
        .change(&format!("/tree/{STAGE2}"), |file| file.head = Some(404));
    setting.install().await.unwrap();

    setting.mirror.remove(&format!("/tree/{STAGE2}"));
    setting
        .refused(Kind::Mirror, &["404", "images/install.img"])
        .await;

    // Without a word of the tree, the release's places are tried in turn.
    setting
        .mirror
        .put("/tree/.treeinfo", "[general]\narch = x86_64\n");
    setting.mirror.put("/tree/LiveOS/squashfs.img", "hsqs");
    let installed = setting.install().await.unwrap();
    assert_eq!(installed.stage2_path, "LiveOS/squashfs.img");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_resumed() {
    let setting = Setting::new();
    let tree = Tree::new(3 * MIB);
    tree.serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.next = vec![
            Some(Fault::CutAt(MIB)),
            Some(Fault::Status(503, vec![("Retry-After", "0".to_string())])),
            Some(Fault::CutAt(MIB / 2)),
        ];
    });
    assert_has(&tree, &setting.install().await.unwrap());
    let requests = setting.requests(INITRD);
    let ranges: Vec<Option<&str>> = requests.iter().map(|r| r.header("range")).collect();
    let first = format!("bytes={MIB}-");
    let second = format!("bytes={}-", MIB + MIB / 2);
    assert_eq!(
        ranges,
        [None, Some(&first[..]), Some(&first[..]), Some(&second[..])]
    );
    assert_eq!(requests[3].header("if-range").map(str::len), Some(18));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_drops_often_but_gets_on_is_forgiven() {
    let setting = Setting::new();
    let tree = Tree::new(12 * MIB);
    tree.serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.always = Some(Fault::CutAt(MIB + MIB / 2));
    });
    assert_has(&tree, &setting.install().await.unwrap());
    assert_eq!(setting.requests(INITRD).len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ranges_the_download_starts_again() {
    let setting = Setting::new();
    let tree = Tree::new(2 * MIB);
    tree.serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.ranges = false;
        file.next = vec![Some(Fault::CutAt(MIB)), Some(Fault::CutAt(MIB / 2))];
    });
    assert_has(&tree, &setting.install().await.unwrap());
    assert_eq!(setting.requests(INITRD).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_fetched_is_fetched_whole() {
    let setting = Setting::new();
    let tree = Tree::new(2 * MIB).without_checksums();
    let old = Tree::new(3 * MIB).without_checksums();
    tree.serve(&setting.mirror);
    // The first megabyte is of another file, with another tag.
    setting
        .mirror
        .put(&format!("/tree/{INITRD}"), old.initrd.clone());
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.next = vec![Some(Fault::StallAt(MIB))];
    });
    let change = async {
        setting.wait_for_stall().await;
        setting
            .mirror
            .put(&format!("/tree/{INITRD}"), tree.initrd.clone());
        setting.mirror.cut();
    };
    let (installed, ()) = tokio::join!(setting.install(), change);
    assert_has(&tree, &installed.unwrap());
    let requests = setting.requests(INITRD);
    assert_eq!(
        requests[1].header("range"),
        Some(&format!("bytes={MIB}-")[..])
    );
    assert_eq!(requests[1].status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_to_ranges_do_not_spoil_a_download() {
    for checksums in [true, false] {
        let setting = Setting::new();
        let mut tree = Tree::new(2 * MIB);
        if !checksums {
            tree = tree.without_checksums();
        }
        tree.serve(&setting.mirror);
        setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
            file.range_shift = 7;
            file.next = vec![Some(Fault::CutAt(MIB))];
        });
        assert_has(&tree, &setting.install().await.unwrap());
        let requests = setting.requests(INITRD);
        assert_eq!(requests.last().unwrap().header("range"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_are_tried_again() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{KERNEL}"), |file| {
        file.next = vec![
            Some(Fault::Status(500, Vec::new())),
            Some(Fault::Status(429, vec![("Retry-After", "1".to_string())])),
            Some(Fault::HangUp),
            Some(Fault::Status(408, Vec::new())),
        ];
    });
    assert_has(&tree, &setting.install().await.unwrap());
    assert_eq!(setting.requests(KERNEL).len(), 5);
    assert!(setting.heard.all().contains("trying again in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_a_length_are_taken() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    setting
        .mirror
        .change(&format!("/tree/{KERNEL}"), |file| file.chunked = true);
    setting
        .mirror
        .change(&format!("/tree/{INITRD}"), |file| file.unsized_body = true);
    assert_has(&tree, &setting.install().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_within_a_scheme_are_followed() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    let other = fake::Mirror::start();
    tree.serve(&other);
    for path in [".treeinfo", KERNEL, INITRD, STAGE2] {
        let path = format!("/tree/{path}");
        setting.mirror.put(&path, "");
        let to = other.url(&path).to_string();
        setting.mirror.change(&path, |file| {
            file.always = Some(Fault::Status(302, vec![("Location", to)]));
        });
    }
    assert_has(&tree, &setting.install().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_used_but_kept_nowhere() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    for path in [".treeinfo", KERNEL, INITRD, STAGE2] {
        setting.mirror.change(&format!("/tree/{path}"), |file| {
            // user:hunter2
            file.authorization = Some("Basic dXNlcjpodW50ZXIy".to_string());
        });
    }
    setting
        .refused(Kind::Mirror, &["401", "user name and password"])
        .await;
    let mut url = setting.mirror.url("/tree/");
    url.set_username("user").unwrap();
    url.set_password(Some("hunter2")).unwrap();
    let mirror = setting.open();
    let installed = mirror
        .install_tree(&url, Arch::X86_64, &layout())
        .await
        .unwrap();
    assert_has(&tree, &installed);
    url.set_path("/nowhere/");
    let error = mirror
        .install_tree(&url, Arch::X86_64, &layout())
        .await
        .unwrap_err();
    assert!(!format!("{error:#}{error:?}").contains("hunter2"));
    assert!(!setting.heard.all().contains("hunter2"));
    for name in ["entries", "locks", "parts"] {
        for file in files_in(&setting.dir(name)) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(!text.contains("hunter2"), "{}", file.display());
        }
    }
}

/// Options with which `file:` addresses may lead below a directory.
fn below(setting: &Setting, directory: &Path) -> MirrorOptions {
    let mut options = setting.options();
    options.file_roots = vec![directory.to_path_buf()];
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn file_addresses_lead_nowhere_else() {
    let setting = Setting::new();
    let folder = tempfile::tempdir().unwrap();
    let (tree, store) = (folder.path().join("tree"), folder.path().join("store"));
    Tree::new(MIB).write(&tree);
    std::fs::create_dir(&store).unwrap();
    std::fs::rename(tree.join(INITRD), store.join("initrd.img")).unwrap();
    std::os::unix::fs::symlink(store.join("initrd.img"), tree.join(INITRD)).unwrap();
    std::fs::write(folder.path().join("secret"), "s3cret").unwrap();
    std::os::unix::fs::symlink("../secret", tree.join("link")).unwrap();
    let url = Url::from_directory_path(&tree).unwrap();
    let mut options = below(&setting, &tree);
    let install = async |options: &MirrorOptions| {
        let mirror = setting.open_with(options.clone());
        mirror.install_tree(&url, Arch::X86_64, &layout()).await
    };
    let error = install(&options).await.unwrap_err();
    assert!(format!("{error:#}").contains("--file-root"), "{error:#}");
    assert_eq!(kind_of(&error), Some(Kind::Input));
    // A tree of links into a store that is listed, as repository managers publish them.
    options.file_roots.push(store.clone());
    let installed = install(&options).await.unwrap();
    assert_eq!(installed.initrd.path, store.join("initrd.img"));

    let mirror = setting.open_with(options);
    let link = tree.join("link");
    for outside in [
        link.as_path(),
        Path::new("/etc/shadow"),
        Path::new("/proc/self/environ"),
    ] {
        let url = Url::from_file_path(outside).unwrap();
        let error = mirror.fetch_bytes(&url, MIB as u64).await.unwrap_err();
        assert!(format!("{error:#}").contains("lies outside"), "{error:#}");
        let error = mirror.read_file(outside, MIB as u64).unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Input), "{error:#}");
    }
    let upstream = mirror.upstream(&url).unwrap();
    assert_eq!(upstream.open("link", false, None).unwrap().status, 403);
    let everything = mirror.upstream(&Url::parse("file:///").unwrap()).unwrap();
    assert_eq!(
        everything.open("etc/passwd", false, None).unwrap().status,
        403
    );
    assert_eq!(upstream.open(KERNEL, true, None).unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_trees_are_used_where_they_lie() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    let directory = tempfile::tempdir().unwrap();
    tree.write(directory.path());
    let url = Url::from_directory_path(directory.path()).unwrap();
    let mirror = setting.open_with(below(&setting, directory.path()));
    for _ in 0..2 {
        let installed = mirror
            .install_tree(&url, Arch::X86_64, &layout())
            .await
            .unwrap();
        assert_has(&tree, &installed);
        assert_eq!(installed.initrd.path, directory.path().join(INITRD));
        assert_eq!(installed.initrd.origin, Origin::Local);
    }
    assert!(files_in(&setting.dir("files")).is_empty());

    // A change after the first look is noticed.
    let mut bytes = tree.initrd.clone();
    bytes[MIB / 2] ^= 1;
    std::fs::write(directory.path().join(INITRD), bytes).unwrap();
    let error = mirror
        .install_tree(&url, Arch::X86_64, &layout())
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("wrong checksum"), "{error:#}");

    std::fs::remove_file(directory.path().join(KERNEL)).unwrap();
    let error = mirror
        .install_tree(&url, Arch::X86_64, &layout())
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("404"), "{error:#}");
    assert_eq!(kind_of(&error), Some(Kind::Mirror));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_fetched_into_memory() {
    let setting = Setting::new();
    setting.mirror.put("/motd", "hello\n");
    let mirror = setting.open();
    let bytes = mirror
        .fetch_bytes(&setting.mirror.url("/motd"), 100)
        .await
        .unwrap();
    assert_eq!(bytes, b"hello\n");
    setting.mirror.change("/motd", |file| {
        file.next = vec![Some(Fault::Status(502, Vec::new())), Some(Fault::CutAt(3))];
    });
    let bytes = mirror
        .fetch_bytes(&setting.mirror.url("/motd"), 100)
        .await
        .unwrap();
    assert_eq!(bytes, b"hello\n");
    for chunked in [false, true] {
        setting
            .mirror
            .change("/motd", |file| file.chunked = chunked);
        let error = mirror
            .fetch_bytes(&setting.mirror.url("/motd"), 5)
            .await
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("larger than 5 bytes"),
            "{error:#}"
        );
    }
    let error = mirror
        .fetch_bytes(&setting.mirror.url("/none"), 5)
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("404"), "{error:#}");
    let local = setting.cache.path().join("local.txt");
    std::fs::write(&local, "local").unwrap();
    let url = Url::from_file_path(&local).unwrap();
    let mirror = setting.open_with(below(&setting, setting.cache.path()));
    assert_eq!(mirror.fetch_bytes(&url, 5).await.unwrap(), b"local");
    assert!(mirror.fetch_bytes(&url, 4).await.is_err());
    assert!(files_in(&setting.dir("files")).is_empty());
}

// ---- what is refused, with which words, leaving nothing ----

#[tokio::test(flavor = "multi_thread")]
async fn refused_statuses() {
    for (status, words) in [
        (403, "does not give out"),
        (404, "check the address"),
        (410, "404"),
        (418, "no answer to a download"),
    ] {
        let setting = Setting::with_fault(INITRD, Fault::Status(status, Vec::new()));
        setting.refused(Kind::Mirror, &[words, INITRD]).await;
        assert_eq!(setting.requests(INITRD).len(), 1, "{status} is final");
        setting.assert_not_cached(&["initrd.img"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_forbidden_says_so() {
    let setting = Setting::with_fault(".treeinfo", Fault::Status(403, Vec::new()));
    setting.mirror.put("/tree/treeinfo", "");
    setting.mirror.change("/tree/treeinfo", |file| {
        file.always = Some(Fault::Status(403, Vec::new()));
    });
    setting.refused(Kind::Mirror, &["403", "treeinfo"]).await;
    setting.assert_not_cached(&["treeinfo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_without_the_tree_says_so() {
    let setting = Setting::new();
    setting
        .refused(
            Kind::Mirror,
            &["404", "images/pxeboot/", "check the address"],
        )
        .await;
    setting.assert_not_cached(&[""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lasting_server_errors_end_the_download() {
    let setting = Setting::with_fault(KERNEL, Fault::Status(502, Vec::new()));
    setting
        .refused(Kind::Mirror, &["502", "in 5 tries", KERNEL])
        .await;
    assert_eq!(setting.requests(KERNEL).len(), 5);
    setting.assert_not_cached(&["vmlinuz"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_mirror_times_out() {
    let setting = Setting::with_fault(".treeinfo", Fault::Hang);
    let mut options = setting.options();
    options.patience.idle = Duration::from_millis(100);
    options.patience.tries = 2;
    setting
        .refused_with(
            options,
            Kind::Mirror,
            &["did not answer", ".treeinfo", "in 2 tries"],
        )
        .await;
    setting.assert_not_cached(&[""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_drips_is_given_up() {
    let setting = Setting::with_fault(INITRD, Fault::Drip);
    let mut options = setting.options();
    options.patience.rate_window = Duration::from_millis(100);
    options.patience.tell_every = Duration::from_millis(20);
    setting
        .refused_with(
            options.clone(),
            Kind::Mirror,
            &[INITRD, "too slowly", "--min-rate"],
        )
        .await;
    assert_eq!(setting.requests(INITRD).len(), 1, "not tried again");
    assert!(setting.heard.all().contains("still fetching"));
    // What has come is kept.
    assert_eq!(files_in(&setting.dir("parts")).len(), 2);

    setting.mirror.put("/drip", fake::noise(1, MIB));
    setting
        .mirror
        .change("/drip", |file| file.always = Some(Fault::Drip));
    let mirror = setting.open_with(options.clone());
    let error = mirror
        .fetch_bytes(&setting.mirror.url("/drip"), 1 << 20)
        .await;
    assert!(format!("{:#}", error.unwrap_err()).contains("too slowly"));

    options.patience.min_rate = 0;
    options.patience.whole = Duration::from_millis(300);
    setting
        .refused_with(
            options,
            Kind::Mirror,
            &[INITRD, "within 300ms", "--download-timeout"],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_is_refused() {
    for chunked in [false, true] {
        let setting = Setting::with_fault(INITRD, Fault::CutAt(1000));
        setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
            file.ranges = false;
            file.chunked = chunked;
        });
        let got = if chunked {
            "ended after 1000 bytes"
        } else {
            "ended after 1000 of 1048576 bytes"
        };
        setting
            .refused(Kind::Mirror, &[got, INITRD, "in 5 tries"])
            .await;
        setting.assert_not_cached(&["initrd.img"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_is_refused_without_checksums_too() {
    let setting = Setting::new();
    Tree::new(MIB).without_checksums().serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{KERNEL}"), |file| {
        file.ranges = false;
        file.always = Some(Fault::CutAt(2000));
    });
    setting
        .refused(Kind::Mirror, &["ended after 2000 of 300002 bytes"])
        .await;
    setting.assert_not_cached(&["vmlinuz"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_names_both_digests() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    let mut wrong = tree.initrd.clone();
    wrong[MIB / 2] ^= 0x10;
    setting
        .mirror
        .put(&format!("/tree/{INITRD}"), wrong.clone());
    setting
        .refused(
            Kind::Mirror,
            &[
                "wrong checksum",
                INITRD,
                &fake::sha256(&tree.initrd),
                &fake::sha256(&wrong),
            ],
        )
        .await;
    assert_eq!(setting.requests(INITRD).len(), 1);
    setting.assert_not_cached(&["initrd.img"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_of_a_resumed_download_is_proved_by_a_whole_one() {
    let setting = Setting::new();
    let tree = Tree::new(2 * MIB);
    tree.serve(&setting.mirror);
    let mut wrong = tree.initrd.clone();
    wrong[10] ^= 1;
    setting.mirror.put(&format!("/tree/{INITRD}"), wrong);
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.next = vec![Some(Fault::CutAt(MIB))];
    });
    setting.refused(Kind::Mirror, &["wrong checksum"]).await;
    let requests = setting.requests(INITRD);
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].header("range"), None);
    setting.assert_not_cached(&["initrd.img"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_are_no_boot_files() {
    for (path, what) in [
        (".treeinfo", "not a .treeinfo"),
        (KERNEL, "not a kernel"),
        (INITRD, "not an initrd"),
    ] {
        let setting = Setting::with_fault(path, Fault::WebPage);
        setting
            .refused(Kind::Mirror, &["is a web page", what, path])
            .await;
        setting.assert_not_cached(&[path]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_is_no_kernel() {
    let setting = Setting::new();
    Tree::new(MIB).without_checksums().serve(&setting.mirror);
    setting
        .mirror
        .put(&format!("/tree/{KERNEL}"), "#!/bin/sh\n");
    setting
        .refused(Kind::Mirror, &["is not a kernel", "first bytes"])
        .await;
    setting.assert_not_cached(&["vmlinuz"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_treeinfo_is_shown_with_its_line() {
    let setting = Setting::new();
    Tree::new(MIB).serve(&setting.mirror);
    setting.mirror.put(
        "/tree/.treeinfo",
        "[general]\narch = x86_64\n[images-x86_64]\nkernel = ../../../etc/shadow\n",
    );
    setting
        .refused(
            Kind::Mirror,
            &["leads out of the tree", ".treeinfo:4:10", "^^^"],
        )
        .await;
    setting.assert_not_cached(&[".treeinfo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_for_another_architecture_is_refused() {
    let setting = Setting::new();
    Tree::new(MIB).serve(&setting.mirror);
    let error = setting
        .open()
        .install_tree(&setting.mirror.url("/tree/"), Arch::Aarch64, &layout())
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("is a tree for x86_64, but the template asks for aarch64"),
        "{error:#}"
    );
    assert_eq!(kind_of(&error), Some(Kind::Input));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_files_are_not_taken() {
    for chunked in [false, true] {
        let setting = Setting::new();
        Tree::new(MIB).serve(&setting.mirror);
        setting.mirror.put("/tree/.treeinfo", vec![b'\n'; 2 * MIB]);
        setting
            .mirror
            .change("/tree/.treeinfo", |file| file.chunked = chunked);
        setting
            .refused(Kind::Mirror, &["larger than 1048576 bytes", ".treeinfo"])
            .await;
        setting.assert_not_cached(&["treeinfo"]);
    }
}

/// Makes one mirror redirect to another, for some files of a tree.
fn redirect(from: &fake::Mirror, to: &fake::Mirror, paths: &[&str]) {
    for path in paths {
        let path = format!("/tree/{path}");
        from.put(&path, "");
        let to = to.url(&path).to_string();
        from.change(&path, |file| {
            file.always = Some(Fault::Status(302, vec![("Location", to)]));
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_to_https_are_followed_and_back_only_with_a_checksum() {
    let authority = Authority::new("test");
    let config = tls::server_config(authority.server("127.0.0.1", false), None);
    let secure = Setting::with(fake::Mirror::start_tls(config));
    let plain = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&secure.mirror);
    redirect(
        &plain.mirror,
        &secure.mirror,
        &[".treeinfo", KERNEL, INITRD, STAGE2],
    );
    let options = trusting(&plain, &authority);
    assert_has(&tree, &plain.install_with(options).await.unwrap());

    tree.serve(&plain.mirror);
    redirect(&secure.mirror, &plain.mirror, &[KERNEL, INITRD]);
    let options = trusting(&secure, &authority);
    assert_has(&tree, &secure.install_with(options.clone()).await.unwrap());

    redirect(&secure.mirror, &plain.mirror, &[".treeinfo"]);
    plain.mirror.forget();
    secure
        .refused_with(
            options,
            Kind::Mirror,
            &["redirects to http://127.0.0.1", "checksum"],
        )
        .await;
    assert!(plain.mirror.requests().is_empty());
}

/// A mirror in the network, as far as can be told through a proxy, that sends ozr inwards.
#[tokio::test(flavor = "multi_thread")]
async fn redirects_inwards_are_refused() {
    let setting = Setting::new();
    let inside = fake::Mirror::start();
    Tree::new(MIB).serve(&inside);
    let port = inside.url("/").port().unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        setting.mirror.put("/tree/.treeinfo", "");
        setting.mirror.change("/tree/.treeinfo", |file| {
            let to = format!("http://{host}:{port}/tree/.treeinfo");
            file.always = Some(Fault::Status(302, vec![("Location", to)]));
        });
        let url = Url::parse("http://mirror.invalid/tree/").unwrap();
        let text = said(
            child(&url, setting.cache.path())
                .env("http_proxy", setting.mirror.url("/").as_str())
                .env("no_proxy", "127.0.0.1,localhost,::1,0.0.0.0"),
        );
        assert!(text.contains("FAILED Some(Mirror)"), "{host}: {text}");
        assert!(
            text.contains("leads from the network to this host"),
            "{host}: {text}"
        );
    }
    assert!(inside.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_treeinfo_is_not_shown() {
    let setting = Setting::new();
    Tree::new(MIB).serve(&setting.mirror);
    for text in [
        "root:$6$s3cret:19000::::::\n",
        "token = s3cret\n",
        "[s3cret]\nx = s3cret\n",
    ] {
        setting.mirror.put("/tree/.treeinfo", text);
        let message = setting.refused(Kind::Mirror, &["is not a .treeinfo"]).await;
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_packed_unasked_is_unpacked_or_refused() {
    let setting = Setting::new();
    let tree = Tree::new(MIB).without_checksums();
    tree.serve(&setting.mirror);
    let pack = |text: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    let packed = |path: &str, body: Vec<u8>, encoding| {
        setting.mirror.put(path, body);
        setting
            .mirror
            .change(path, |file| file.encoding = Some(encoding));
        setting.mirror.url(path)
    };
    packed("/tree/.treeinfo", pack(tree.tree_info.as_bytes()), "gzip");
    assert_has(&tree, &setting.install().await.unwrap());

    let mirror = setting.open();
    let archive = pack(b"text");
    for (url, content) in [
        (packed("/a", pack(b"text"), "gzip"), &b"text"[..]),
        (packed("/b", b"text".to_vec(), "x-gzip"), b"text"),
        // Servers that know the ending by heart.
        (packed("/c.tgz", archive.clone(), "x-gzip"), &archive),
    ] {
        assert_eq!(
            mirror.fetch_bytes(&url, 1000).await.unwrap(),
            content,
            "{url}"
        );
    }
    for (url, words) in [
        (
            packed("/bomb", pack(&vec![0; 2 * MIB]), "gzip"),
            "larger than",
        ),
        (packed("/d", b"text".to_vec(), "br"), "Content-Encoding: br"),
    ] {
        let error = mirror.fetch_bytes(&url, MIB as u64).await.unwrap_err();
        assert!(format!("{error:#}").contains(words), "{error:#}");
    }
    packed(&format!("/tree/{KERNEL}"), pack(&tree.kernel), "gzip");
    setting
        .refused(Kind::Mirror, &[KERNEL, "comes packed"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_in_circles_end() {
    let setting = Setting::new();
    setting.mirror.put("/tree/.treeinfo", "");
    let to = setting.mirror.url("/tree/.treeinfo").to_string();
    setting.mirror.change("/tree/.treeinfo", |file| {
        file.always = Some(Fault::Status(302, vec![("Location", to)]));
    });
    setting
        .refused(Kind::Mirror, &["more than 10 redirects"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there() {
    let setting = Setting::new();
    let mirror = setting.open();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let cases = [
        (
            format!("http://127.0.0.1:{port}/t/"),
            "refused the connection",
            Kind::Mirror,
        ),
        (
            "http://no-such-mirror.invalid/t/".to_string(),
            "`no-such-mirror.invalid` is not known to DNS",
            Kind::Mirror,
        ),
        (
            "ftp://mirror.example/t/".to_string(),
            "scheme `ftp`",
            Kind::Input,
        ),
        (
            "http://mirror.example/t/?x=y".to_string(),
            "has a `?`",
            Kind::Input,
        ),
    ];
    for (url, words, kind) in cases {
        let error = mirror
            .install_tree(&Url::parse(&url).unwrap(), Arch::X86_64, &layout())
            .await
            .unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains(words), "{message}");
        assert_eq!(kind_of(&error), Some(kind), "{message}");
    }
}

// ---- TLS ----

fn trusting(setting: &Setting, authority: &Authority) -> MirrorOptions {
    let pem = setting.cache.path().join("ca.pem");
    std::fs::write(&pem, &authority.pem).unwrap();
    let mut options = setting.options();
    options.credentials.cacert = Some(pem);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_when_named() {
    let authority = Authority::new("site");
    let config = tls::server_config(authority.server("127.0.0.1", false), None);
    let setting = Setting::with(fake::Mirror::start_tls(config));
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    setting
        .refused(
            Kind::Mirror,
            &["signed by nobody this host trusts", "--cacert"],
        )
        .await;
    let installed = setting.install_with(trusting(&setting, &authority)).await;
    assert_has(&tree, &installed.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_tls_connection_is_resumed() {
    let authority = Authority::new("site");
    let config = tls::server_config(authority.server("127.0.0.1", false), None);
    let setting = Setting::with(fake::Mirror::start_tls(config));
    let tree = Tree::new(2 * MIB);
    tree.serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.next = vec![Some(Fault::CutAt(MIB)), Some(Fault::HangUp)];
    });
    let installed = setting.install_with(trusting(&setting, &authority)).await;
    assert_has(&tree, &installed.unwrap());
    let requests = setting.requests(INITRD);
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].status, 206);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_server_certificates_are_told_apart() {
    let authority = Authority::new("site");
    for (leaf, words) in [
        (authority.server("127.0.0.1", true), "has expired"),
        (
            authority.server("mirror.example", false),
            "is for another name",
        ),
    ] {
        let setting = Setting::with(fake::Mirror::start_tls(tls::server_config(leaf, None)));
        let options = trusting(&setting, &authority);
        setting.refused_with(options, Kind::Mirror, &[words]).await;
        assert!(setting.mirror.requests().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entitled_mirrors_get_the_client_certificate() {
    let authority = Authority::new("cdn");
    let config = tls::server_config(authority.server("127.0.0.1", false), Some(&authority));
    let setting = Setting::with(fake::Mirror::start_tls(config));
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    let without = trusting(&setting, &authority);
    setting
        .refused_with(
            without.clone(),
            Kind::Mirror,
            &["wants a client certificate", "--client-cert"],
        )
        .await;

    let client = authority.client();
    let certificate = setting.cache.path().join("client.pem");
    let key = setting.cache.path().join("client-key.pem");
    std::fs::write(&certificate, &client.pem).unwrap();
    // Entitlement keys come in the older form, with the algorithm in the first line.
    let older = openssl::pkey::PKey::private_key_from_pem(client.key_pem.as_bytes())
        .and_then(|key| key.ec_key())
        .and_then(|key| key.private_key_to_pem())
        .unwrap();
    assert!(older.starts_with(b"-----BEGIN EC PRIVATE KEY-----"));
    for pem in [client.key_pem.as_bytes(), &older] {
        std::fs::write(&key, pem).unwrap();
        let mut options = without.clone();
        options.credentials.client_cert = Some(certificate.clone());
        options.credentials.client_key = Some(key.clone());
        options.refetch = true;
        // It is for others: this host is not told who we are.
        options.credentials.client_cert_hosts = vec!["cdn.example".to_string()];
        setting
            .refused_with(
                options.clone(),
                Kind::Mirror,
                &["wants a client certificate"],
            )
            .await;
        options
            .credentials
            .client_cert_hosts
            .push("127.0.0.1".to_string());
        assert_has(&tree, &setting.install_with(options).await.unwrap());
    }

    // Both in one file, as `curl --cert` takes it.
    let both = setting.cache.path().join("both.pem");
    std::fs::write(&both, format!("{}{}", client.pem, client.key_pem)).unwrap();
    let mut options = without;
    options.credentials.client_cert = Some(both);
    options.credentials.client_cert_hosts = vec!["127.0.0.1".to_string()];
    assert_has(&tree, &setting.install_with(options).await.unwrap());
}

#[test]
fn unusable_certificates_are_input_errors() {
    let directory = tempfile::tempdir().unwrap();
    let not_pem = directory.path().join("not.pem");
    std::fs::write(&not_pem, "hello").unwrap();
    let missing = directory.path().join("missing.pem");
    for path in [not_pem, missing] {
        let cases = [
            Credentials {
                cacert: Some(path.clone()),
                ..Credentials::default()
            },
            Credentials {
                client_cert: Some(path.clone()),
                ..Credentials::default()
            },
            Credentials {
                client_key: Some(path.clone()),
                ..Credentials::default()
            },
        ];
        for credentials in cases {
            let mut options = MirrorOptions::new(directory.path());
            options.credentials = credentials;
            let error = Mirror::new(options, Reporter::silent()).unwrap_err();
            assert_eq!(kind_of(&error), Some(Kind::Input), "{error:#}");
        }
    }
}

// ---- the cache ----

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_noticed_and_fetched_anew() {
    for same_length in [true, false] {
        let setting = Setting::new();
        let tree = Tree::new(MIB);
        tree.serve(&setting.mirror);
        let path = setting.install().await.unwrap().initrd.path;
        let mut bytes = tree.initrd.clone();
        if same_length {
            bytes[1000] ^= 1;
        } else {
            bytes.truncate(1000);
        }
        std::fs::write(&path, bytes).unwrap();
        let second = setting.install().await.unwrap();
        assert_has(&tree, &second);
        assert_eq!(second.initrd.origin, Origin::Fetched);
        assert!(setting.heard.all().contains("was damaged"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_no_time_stamp_shows_is_noticed_by_the_daily_check() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    let path = setting.install().await.unwrap().initrd.path;
    let modified = path.metadata().unwrap().modified().unwrap();
    let mut bytes = tree.initrd.clone();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    for entry in files_in(&setting.dir("entries")) {
        let mut json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&entry).unwrap()).unwrap();
        let verified = json["verified"].as_u64().unwrap();
        json["verified"] = (verified - 2 * 24 * 3600).into();
        std::fs::write(&entry, json.to_string()).unwrap();
    }
    let second = setting.install().await.unwrap();
    assert_has(&tree, &second);
    assert_eq!(second.kernel.origin, Origin::Cached);
    assert_eq!(second.initrd.origin, Origin::Fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_are_no_obstacle() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    setting.install().await.unwrap();
    for entry in files_in(&setting.dir("entries")) {
        std::fs::write(&entry, "{").unwrap();
    }
    setting.mirror.forget();
    // The content is known by the tree's checksums, so only the tree is fetched.
    assert_has(&tree, &setting.install().await.unwrap());
    assert!(setting.requests(INITRD).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_fetch_once() {
    let setting = Setting::new();
    let tree = Tree::new(2 * MIB);
    tree.serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.next = vec![Some(Fault::StallAt(MIB))];
    });
    let second = async {
        setting.wait_for_stall().await;
        let release = async {
            setting.wait_to_hear("waiting for another part").await;
            setting.mirror.release();
        };
        tokio::join!(setting.install(), release).0
    };
    let (first, second) = tokio::join!(setting.install(), second);
    assert_has(&tree, &first.unwrap());
    let second = second.unwrap();
    assert_has(&tree, &second);
    assert_eq!(second.initrd.origin, Origin::Cached);
    for path in [KERNEL, INITRD] {
        assert_eq!(setting.requests(path).len(), 1, "{path}");
    }
    let heard = setting.heard.all();
    assert!(
        heard.contains("waiting for another part of this run, which is fetching"),
        "{heard}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_can_open_and_lock_holds_nothing_up() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    setting.install().await.unwrap();
    // Any user may lock what any user may read.
    let locked: Vec<_> = ["files", "entries", "parts"]
        .iter()
        .flat_map(|name| {
            let dir = setting.dir(name);
            std::iter::once(dir.clone()).chain(files_in(&dir))
        })
        .map(|path| {
            let file = std::fs::File::open(path).unwrap();
            file.try_lock().unwrap();
            file
        })
        .collect();
    // The three directories, kernel and initrd, and what is noted of each.
    assert!(locked.len() >= 7, "{}", locked.len());
    let installed = setting.install().await.unwrap();
    assert_eq!(installed.initrd.origin, Origin::Cached);
    drop(installed);
    let removal = setting.open().cache().clear().unwrap();
    assert!(removal.kept_in_use.is_empty());
    // What is locked, nobody else can open.
    setting.install().await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&setting.dir("locks")), 0o700);
    for lock in files_in(&setting.dir("locks")) {
        assert_eq!(mode(&lock), 0o600, "{}", lock.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_not_ours_is_refused_by_name() {
    let setting = Setting::new();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("aa.part"), "precious").unwrap();
    for name in ["files", "entries", "parts", "locks"] {
        setting.open();
        std::fs::remove_dir(setting.dir(name)).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), setting.dir(name)).unwrap();
        let error = Mirror::new(quick(setting.cache.path()), Reporter::silent()).unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Host));
        let text = format!("{error:#}");
        assert!(
            text.contains(&setting.dir(name).display().to_string()),
            "{text}"
        );
        assert!(text.contains("not ozr's own"), "{text}");
        std::fs::remove_file(setting.dir(name)).unwrap();
    }
    assert!(elsewhere.path().join("aa.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_listed_pruned_and_cleared() {
    let setting = Setting::new();
    Tree::new(MIB).serve(&setting.mirror);
    let installed = setting.install().await.unwrap();
    let mirror = setting.open();
    let cache = mirror.cache();
    let listed = cache.list().unwrap();
    assert_eq!(listed.len(), 2);
    let initrd = listed
        .iter()
        .find(|e| e.url.ends_with("initrd.img"))
        .unwrap();
    assert_eq!(initrd.bytes, MIB as u64);
    assert!(initrd.in_use);
    assert!(initrd.used >= initrd.fetched);

    // What a build holds stays, by whatever rule.
    let everything = PruneRules {
        unused_for: Some(Duration::ZERO),
        max_bytes: Some(0),
    };
    let removal = cache.prune(&everything).unwrap();
    assert_eq!(removal.kept_in_use.len(), 2);
    assert!(installed.initrd.path.exists());
    assert_eq!(cache.clear().unwrap().kept_in_use.len(), 2);
    drop(installed);
    // A process that another test has just forked holds what this one had open until it runs its program.
    let begin = Instant::now();
    while cache.list().unwrap().iter().any(|entry| entry.in_use) {
        assert!(begin.elapsed() < Duration::from_secs(60), "still in use");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // Rules that spare everything.
    let removal = cache
        .prune(&PruneRules {
            unused_for: Some(Duration::from_secs(3600)),
            max_bytes: Some(10 * MIB as u64),
        })
        .unwrap();
    assert!(removal.removed.is_empty());

    // Room for the kernel only.
    let removal = cache
        .prune(&PruneRules {
            unused_for: None,
            max_bytes: Some(MIB as u64 - 1),
        })
        .unwrap();
    assert_eq!(removal.removed.len(), 1);
    assert_eq!(removal.bytes, MIB as u64);
    assert!(removal.removed[0].url.ends_with("initrd.img"));

    let removal = cache.clear().unwrap();
    assert_eq!(removal.removed.len(), 1);
    for name in ["files", "entries", "parts", "locks"] {
        assert!(files_in(&setting.dir(name)).is_empty(), "{name}");
    }
    setting.mirror.forget();
    setting.install().await.unwrap();
    assert_eq!(setting.requests(INITRD).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_killed_runs_are_reaped() {
    let setting = Setting::new();
    setting.open();
    let old = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    for (name, age) in [
        ("aa.part", old),
        ("aa.part.json", old),
        (".new-x", old),
        ("bb.part", SystemTime::now()),
    ] {
        let file = std::fs::File::create(setting.dir("parts").join(name)).unwrap();
        file.set_modified(age).unwrap();
    }
    setting.open();
    assert_eq!(
        files_in(&setting.dir("parts")),
        [setting.dir("parts").join("bb.part")]
    );
}

// ---- other processes ----

/// Runs [`child_install`] in a process of its own.
fn child(tree: &Url, cache: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "mirror::child_install",
        ])
        .env("OZR_TEST_TREE", tree.as_str())
        .env("OZR_TEST_CACHE", cache)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// What [`child_install`] said.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the body of child processes of other tests"]
async fn child_install() {
    let tree = std::env::var("OZR_TEST_TREE").unwrap();
    let cache = PathBuf::from(std::env::var_os("OZR_TEST_CACHE").unwrap());
    let result = match Mirror::new(quick(&cache), Reporter::silent()) {
        Ok(mirror) => {
            let tree = Url::parse(&tree).unwrap();
            mirror.install_tree(&tree, Arch::X86_64, &layout()).await
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(tree) => println!("INSTALLED {}", tree.initrd.sha256),
        Err(error) => println!("FAILED {:?} {error:#}", kind_of(&error)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_download_is_gone_on_with() {
    let setting = Setting::new();
    let tree = Tree::new(3 * MIB);
    tree.serve(&setting.mirror);
    setting.mirror.change(&format!("/tree/{INITRD}"), |file| {
        file.next = vec![Some(Fault::StallAt(2 * MIB))];
    });
    let mut run = child(&setting.mirror.url("/tree/"), setting.cache.path())
        .spawn()
        .unwrap();
    setting.mirror.wait_for_stall();
    let part_bytes = || {
        files_in(&setting.dir("parts"))
            .iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "part")
            })
            .map(|path| path.metadata().unwrap().len())
            .max()
    };
    let deadline = Instant::now() + fake::PATIENCE;
    while part_bytes() < Some(MIB as u64) {
        assert!(Instant::now() < deadline, "the download never got to 1 MiB");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // SIGKILL.
    run.kill().unwrap();
    run.wait().unwrap();

    let have = part_bytes().unwrap();
    setting.mirror.forget();
    assert_has(&tree, &setting.install().await.unwrap());
    let requests = setting.requests(INITRD);
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0].header("range"),
        Some(&format!("bytes={have}-")[..])
    );
    assert_eq!(requests[0].status, 206);
    assert!(files_in(&setting.dir("parts")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_killed_at_any_moment_leave_a_cache_that_works() {
    let setting = Setting::new();
    let tree = Tree::new(2 * MIB);
    tree.serve(&setting.mirror);
    let url = setting.mirror.url("/tree/");
    // How long a whole run takes, to spread the kills over it.
    let begin = Instant::now();
    let scratch = tempfile::tempdir().unwrap();
    assert!(said(&mut child(&url, scratch.path())).contains("INSTALLED"));
    let whole = begin.elapsed();
    for step in 0..12u32 {
        let cache = tempfile::tempdir().unwrap();
        let mut run = child(&url, cache.path()).spawn().unwrap();
        tokio::time::sleep(whole * step / 12).await;
        run.kill().unwrap();
        run.wait().unwrap();
        let mirror = Mirror::new(quick(cache.path()), Reporter::silent()).unwrap();
        let installed = mirror
            .install_tree(&url, Arch::X86_64, &layout())
            .await
            .unwrap();
        assert_has(&tree, &installed);
        assert_eq!(mirror.cache().list().unwrap().len(), 2);
        // A small file that was just being written may lie there for an hour.
        let mut left = files_in(&cache.path().join("v1/parts"));
        left.retain(|path| path.extension().is_some());
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_a_cache() {
    let setting = Setting::new();
    let tree = Tree::new(2 * MIB);
    tree.serve(&setting.mirror);
    let url = setting.mirror.url("/tree/");
    let runs: Vec<_> = (0..4)
        .map(|_| child(&url, setting.cache.path()).spawn().unwrap())
        .collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(&fake::sha256(&tree.initrd)), "{text}");
    }
    for path in [KERNEL, INITRD] {
        assert_eq!(setting.requests(path).len(), 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_come_from_the_environment() {
    let setting = Setting::new();
    let tree = Tree::new(MIB);
    tree.serve(&setting.mirror);
    // Only the proxy knows this name.
    let url = Url::parse("http://mirror.invalid/tree/").unwrap();
    let text = said(
        child(&url, setting.cache.path())
            .env("http_proxy", setting.mirror.url("/").as_str())
            .env_remove("no_proxy")
            .env_remove("NO_PROXY"),
    );
    assert!(text.contains("INSTALLED"), "{text}");
    let target = &setting.requests(INITRD)[0].target;
    assert_eq!(target, &format!("http://mirror.invalid/tree/{INITRD}"));

    // A dead proxy, and a mirror that needs none.
    let cache = tempfile::tempdir().unwrap();
    let text = said(
        child(&setting.mirror.url("/tree/"), cache.path())
            .env("http_proxy", "http://127.0.0.1:1/")
            .env("no_proxy", "127.0.0.1"),
    );
    assert!(text.contains("INSTALLED"), "{text}");
}

/// A SOCKS 5 proxy without names and passwords (RFC 1928), for one connection after the other.
fn socks() -> Url {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("socks5://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut greeting = [0; 3];
            client.read_exact(&mut greeting).unwrap();
            client.write_all(&[5, 0]).unwrap();
            // Version, connect, reserved, IPv4, address, port.
            let mut request = [0; 10];
            client.read_exact(&mut request).unwrap();
            assert_eq!(request[..4], [5, 1, 0, 1]);
            let ip = <[u8; 4]>::try_from(&request[4..8]).unwrap();
            let port = u16::from_be_bytes([request[8], request[9]]);
            let mut server =
                std::net::TcpStream::connect((std::net::Ipv4Addr::from(ip), port)).unwrap();
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut server, &mut client);
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    Url::parse(&url).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_fault_is_the_proxys() {
    let setting = Setting::new();
    Tree::new(MIB).serve(&setting.mirror);
    setting.mirror.put("/", "");
    for path in ["/tree/.treeinfo", "/tree/treeinfo"] {
        setting.mirror.put(path, "");
        setting.mirror.change(path, |file| {
            file.always = Some(Fault::Status(407, Vec::new()));
        });
    }
    let through = |proxy: &str| {
        let cache = tempfile::tempdir().unwrap();
        let url = Url::parse("http://192.0.2.1/tree/").unwrap();
        said(
            child(&url, cache.path())
                .env("http_proxy", proxy)
                .env_remove("no_proxy")
                .env_remove("NO_PROXY"),
        )
    };
    let authority = setting.mirror.authority();
    for (proxy, words) in [
        (
            format!("http://{authority}"),
            format!("the proxy http://{authority} wants a user name"),
        ),
        (
            "http://127.0.0.1:1".into(),
            "through the proxy http://127.0.0.1:1".into(),
        ),
        (
            "socks5://127.0.0.1:1".into(),
            "through the proxy socks5://127.0.0.1:1".into(),
        ),
        (
            "http://127.0.0.1:1/ bad".into(),
            "http_proxy names no proxy".into(),
        ),
        (
            "gopher://127.0.0.1:1".into(),
            "http_proxy names no proxy".into(),
        ),
    ] {
        let text = through(&proxy);
        assert!(text.contains("FAILED"), "{text}");
        assert!(text.contains(&words), "{words}: {text}");
    }
    let setting = Setting::new();
    Tree::new(MIB).serve(&setting.mirror);
    let text = said(
        child(&setting.mirror.url("/tree/"), setting.cache.path())
            .env("http_proxy", socks().as_str())
            .env_remove("no_proxy")
            .env_remove("NO_PROXY"),
    );
    assert!(text.contains("INSTALLED"), "{text}");
}

#[test]
fn a_full_disk_is_the_hosts_fault() {
    let setting = Setting::new();
    Tree::new(8 * MIB).serve(&setting.mirror);
    let cache = setting.cache.path();
    let url = setting.mirror.url("/tree/");
    for chunked in [false, true] {
        setting
            .mirror
            .change(&format!("/tree/{INITRD}"), |file| file.chunked = chunked);
        let run = child(&url, cache);
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg("mount -t tmpfs -o size=2m tmpfs \"$OZR_TEST_CACHE\" && exec \"$0\" \"$@\"")
            .arg(run.get_program())
            .args(run.get_args())
            .env("OZR_TEST_TREE", url.as_str())
            .env("OZR_TEST_CACHE", cache)
            .stderr(Stdio::piped());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !text.contains("running 1 test") {
            // No user namespaces here (a container, or a hardened kernel).
            println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        assert!(text.contains("FAILED Some(Host)"), "{text}");
        assert!(text.contains("has no room"), "{text}");
    }
}

// ---- relaying ----

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guest_asks_for_is_relayed() {
    let setting = Setting::new();
    let tree = Tree::new(3 * MIB);
    tree.serve(&setting.mirror);
    setting.mirror.put("/tree/Packages/g/gtk%2B-1.rpm", "rpm");
    let directory = tempfile::tempdir().unwrap();
    tree.write(directory.path());
    std::fs::create_dir_all(directory.path().join("Packages/g")).unwrap();
    std::fs::write(directory.path().join("Packages/g/gtk+-1.rpm"), "rpm").unwrap();
    let mirror = setting.open_with(below(&setting, directory.path()));
    setting.mirror.put("/secret", "s3cret");
    for base in [
        setting.mirror.url("/tree"),
        Url::from_directory_path(directory.path()).unwrap(),
    ] {
        let upstream = mirror.upstream(&base).unwrap();
        let initrd = tree.initrd.clone();
        // The server's threads are none of the runtime's.
        std::thread::spawn(move || {
            let read = |path: &str, head, range| {
                let mut response = upstream.open(path, head, range).unwrap();
                let mut body = Vec::new();
                response.body.read_to_end(&mut body).unwrap();
                (response, body)
            };
            let (response, body) = read(INITRD, false, None);
            assert_eq!((response.status, body.len()), (200, initrd.len()));
            assert_eq!(body, initrd);
            assert_eq!(response.content_length, Some(initrd.len() as u64));
            assert!(response.last_modified.is_some());

            let (response, body) = read(INITRD, true, None);
            assert_eq!((response.status, body.len()), (200, 0));
            assert_eq!(response.content_length, Some(initrd.len() as u64));

            let (response, body) = read(INITRD, false, Some("bytes=10-19"));
            assert_eq!(response.status, 206);
            assert_eq!(body, initrd[10..20]);
            let range = format!("bytes 10-19/{}", initrd.len());
            assert_eq!(response.content_range, Some(range));

            let (response, _) = read(INITRD, false, Some("bytes=99999999-"));
            assert_eq!(response.status, 416);

            let (_, body) = read("Packages/g/gtk%2B-1.rpm", false, None);
            assert_eq!(body, b"rpm");

            for bad in [
                "none",
                "images",
                "../secret",
                "images/%2e%2e/%2e%2e/secret",
                "/etc/passwd",
            ] {
                assert_eq!(read(bad, false, None).0.status, 404, "{bad}");
            }
        })
        .join()
        .unwrap();
    }
    let asked = setting.mirror.requests();
    assert!(asked.iter().all(|request| !request.target.contains("..")));
    assert!(
        asked
            .iter()
            .any(|request| request.target.contains("gtk%2B"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_upstream_is_an_error_of_the_mirror() {
    let setting = Setting::new();
    let upstream = setting
        .open()
        .upstream(&Url::parse("http://127.0.0.1:1/").unwrap())
        .unwrap();
    std::thread::spawn(move || {
        let error = upstream.open("x", false, None).unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Mirror));
    })
    .join()
    .unwrap();
}

//! `ozr check --online`: addresses and packages, tried on mirrors that behave and mirrors that
//! do not.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support;
use crate::support::mirror::{Fault, KERNEL, Mirror, Tree};
use crate::support::repository::{Packing, Repository};
use crate::support::tls::{self, Authority};
use ozr::check::online::{self, GuestView, Limits, Means, Subject, TemplateText};
use ozr::diagnostic::{Diagnostic, Severity, Source};
use ozr::distro::{Arch, Release};
use ozr::host;
use ozr::language::{Included, Includes, NoIncludes, Reading, Version};
use ozr::mirror::MirrorOptions;
use ozr::options::Relay;
use ozr::tdl::Template;
use ozr::ui::event::Reporter;

/// What the main kickstart includes: the one that is checked, and another that may not be read.
struct Main<'a> {
    part: &'a str,
    complete: bool,
}

impl Includes for Main<'_> {
    fn find(&self, target: &str, _from: &str) -> Option<Included> {
        let text = match target {
            "t.ks" => self.part,
            "rest.ks" if self.complete => "# nothing\n",
            _ => return None,
        };
        Some(Included {
            name: target.to_string(),
            text: text.to_string(),
        })
    }
}

/// What is checked, and around it a cache and a mirror.
struct Setting {
    cache: tempfile::TempDir,
    mirror: Mirror,
    kickstart: String,
    template: Option<String>,
    options: MirrorOptions,
    version: Version,
    arch: Arch,
    complete: bool,
    limits: Limits,
    guest: Option<GuestView>,
    /// The kickstart is the one that is served, not one that it includes.
    alone: bool,
}

impl Setting {
    fn new(kickstart: impl Into<String>) -> Setting {
        Setting::with(Mirror::start(), kickstart)
    }

    /// `MIRROR` in the kickstart stands for the mirror's address.
    fn with(mirror: Mirror, kickstart: impl Into<String>) -> Setting {
        let cache = tempfile::tempdir().unwrap();
        let mut options = MirrorOptions::new(cache.path());
        options.patience.first_pause = Duration::from_millis(2);
        let kickstart: String = kickstart.into();
        let base = mirror.url("");
        Setting {
            kickstart: kickstart.replace("MIRROR", base.as_str().trim_end_matches('/')),
            template: None,
            options,
            cache,
            mirror,
            version: Version::Rhel(9),
            arch: Arch::X86_64,
            complete: true,
            guest: None,
            alone: false,
            // Nothing here takes a hundredth of it; tests of the limit set their own.
            limits: Limits {
                answer: support::mirror::PATIENCE,
                metadata: support::mirror::PATIENCE,
            },
        }
    }

    fn template(mut self, os: &str, more: &str) -> Setting {
        let base = self.mirror.url("");
        let text = format!(
            "<template version='1.0'>\n  <name>x</name>\n  <os>{os}<arch>x86_64</arch>\n    \
             <install type='url'><url>MIRROR/tree/</url></install></os>\n{more}\n</template>\n"
        );
        self.template = Some(text.replace("MIRROR", base.as_str().trim_end_matches('/')));
        self
    }

    async fn check(&self) -> Vec<Diagnostic> {
        let includes = Main {
            part: &self.kickstart,
            complete: self.complete,
        };
        let main = "%include t.ks\n%include rest.ks\n";
        let reading = match self.alone {
            true => Reading::new(&self.kickstart, "t.ks", self.version, &NoIncludes),
            false => Reading::new(main, "main.ks", self.version, &includes),
        };
        let template: Option<Template> = self
            .template
            .as_ref()
            .map(|text| ozr::tdl::parse(text, "t.tdl").unwrap());
        let release: Option<Release> = template
            .as_ref()
            .map(|template| *template.release().unwrap());
        let subject = Subject {
            reading: Some(&reading),
            template: template.as_ref().map(|template| TemplateText {
                template,
                source: Source {
                    name: "t.tdl",
                    text: self.template.as_deref().unwrap(),
                },
            }),
            release,
            arch: Some(self.arch),
            disc: None,
        };
        let means = Means {
            guest: self.guest,
            mirror: &self.options,
            limits: self.limits,
            reporter: &Reporter::silent(),
        };
        online::check(&subject, &means).await.unwrap()
    }

    /// Checks and compares: severity, id, line, what stands there.
    async fn finds(&self, expected: &[(Severity, &str, &str)]) -> Vec<Diagnostic> {
        let findings = self.check().await;
        let seen: Vec<(Severity, &str, String)> = findings
            .iter()
            .map(|finding| (finding.severity, finding.id.unwrap(), place(finding)))
            .collect();
        let expected: Vec<(Severity, &str, String)> = expected
            .iter()
            .map(|(severity, id, place)| {
                let base = self.mirror.url("");
                let place = place.replace("MIRROR", base.as_str().trim_end_matches('/'));
                (*severity, *id, place)
            })
            .collect();
        assert_eq!(seen, expected, "{}", shown(&findings));
        findings
    }
}

/// What stands at the place of a finding.
fn place(finding: &Diagnostic) -> String {
    let (excerpt, carets) = finding.excerpt();
    excerpt
        .chars()
        .skip(carets.start)
        .take(carets.len())
        .collect()
}

fn shown(findings: &[Diagnostic]) -> String {
    findings
        .iter()
        .map(|finding| format!("{finding}\n\n"))
        .collect()
}

const ERROR: Severity = Severity::Error;
const WARNING: Severity = Severity::Warning;
const NOTE: Severity = Severity::Note;
const ROCKY: &str = "<name>Rocky-9</name><version>9.4</version>";

/// A tree whose makers are known.
fn serve_bare_tree(mirror: &Mirror) {
    let mut tree = Tree::new(1000);
    tree.tree_info = tree.tree_info.replace("Test Linux", "Rocky Linux");
    tree.serve(mirror);
}

/// The same with packages.
fn serve_tree(mirror: &Mirror, packages: &[&str]) {
    serve_bare_tree(mirror);
    Repository::of(packages)
        .group("core", "Core")
        .environment("minimal-environment", "Minimal Install")
        .serve(mirror, "/tree/");
}

/// The most memory of its own that a check may take, in bytes, whatever a mirror sends.
const MEMORY: usize = 300 << 20;

#[test]
fn memory_is_bounded_whatever_the_lists_of_packages_hold() {
    let directory = tempfile::tempdir().unwrap();
    let mirror = Mirror::start();
    serve_tree(&mirror, &["bash"]);
    // A list that is longer than the bound in one attribute, and lists that are so together.
    let endless = "x".repeat(MEMORY);
    Repository::new()
        .package("endless", "x86_64", "1.0", &[&endless])
        .packed(Packing::Zstd, "sha256")
        .serve(&mirror, "/endless/");
    let names: Vec<String> = (0..40_000).map(|at| format!("package-{at:0>32}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let long = Repository::of(&names)
        .packed(Packing::Zstd, "sha256")
        .files();
    let base = mirror.url("");
    let base = base.as_str().trim_end_matches('/');
    let mut kickstart =
        format!("url --url={base}/tree\nrepo --name=endless --baseurl={base}/endless\n");
    for at in 0..3 {
        for (path, body) in &long {
            mirror.put(&format!("/long-{at}/{path}"), body.clone());
        }
        kickstart += &format!("repo --name=long-{at} --baseurl={base}/long-{at}\n");
    }
    kickstart += "%packages\nbash\npackage-*\n%end\n";
    std::fs::write(directory.path().join("t.ks"), kickstart).unwrap();
    let mut check = Command::new("prlimit");
    check
        .arg(format!("--data={MEMORY}"))
        .arg(env!("CARGO_BIN_EXE_ozr"))
        .args(["check", "--online", "--release", "RHEL9", "t.ks"])
        .env("XDG_CACHE_HOME", directory.path())
        .current_dir(directory.path());
    let output = check.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // An allocation that fails aborts the process: no status.
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("a tag or text is longer than 256 KiB"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_where_all_is_well() {
    let setting = Setting::new(
        "url --url=MIRROR/tree\nrepo --name=xz --baseurl=MIRROR/xz/\n\
         repo --name=zst --baseurl=MIRROR/$releasever/$basearch\n\
         repo --name=plain --mirrorlist=MIRROR/list\nrepo --name=ml --metalink=MIRROR/metalink\n\
         liveimg --url=file:///not/here\n%include MIRROR/more.ks\n%include /tmp/x\n",
    )
    .template(
        ROCKY,
        "<packages><package name='from-zst'/></packages><files><file name='/a' type='url'>\
         MIRROR/more.ks</file></files>",
    );
    let mirror = &setting.mirror;
    serve_tree(mirror, &["bash"]);
    Repository::of(&["from-xz"])
        .packed(Packing::Xz, "sha512")
        .serve(mirror, "/xz/");
    Repository::of(&["from-zst"])
        .packed(Packing::Zstd, "sha")
        .serve(mirror, "/9.4/x86_64/");
    Repository::of(&["from-plain"])
        .packed(Packing::Plain, "sha1")
        .serve(mirror, "/plain/");
    mirror.put(
        "/list",
        mirror.url("/plain\n").as_str().replace("%0A", "\n"),
    );
    let metalink = format!(
        "<metalink><files><file><resources><url>{}</url><url>{}</url></resources></file></files></metalink>",
        mirror.url("/gone/repodata/repomd.xml"),
        mirror.url("/xz/repodata/repomd.xml")
    );
    mirror.put("/metalink", metalink);
    mirror.put("/more.ks", "text\n");
    setting.finds(&[]).await;
    assert_eq!(mirror.requests_for("/more.ks").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_looked_up_in_every_packing_and_fetched_once() {
    let setting = Setting::new(
        "url --url=MIRROR/tree\nrepo --name=xz --baseurl=MIRROR/xz\nrepo --name=zst \
         --baseurl=MIRROR/zst\nrepo --name=plain --baseurl=MIRROR/plain\n%packages\n@core\n@Core\n\
         @^minimal-environment\nbash\nfrom-xz.x86_64\nfrom-z*\nfrom-plain-1.0-1.el9\nwebserver\n\
         /usr/bin/x\n@nodejs:18\n-nothing\nhtttpd # comment\n@coer\n@^minimal\nonly-required\n%end\n",
    );
    let mirror = &setting.mirror;
    Tree::new(1000).serve(mirror);
    let primary = Repository::of(&["bash"])
        .package("httpd", "x86_64", "2.4", &["webserver"])
        .group("core", "Core")
        .environment("minimal-environment", "Minimal Install")
        .serve(mirror, "/tree/");
    for (name, packing, algorithm) in [
        ("xz", Packing::Xz, "sha256"),
        ("zst", Packing::Zstd, "sha512"),
        ("plain", Packing::Plain, "sha"),
    ] {
        Repository::of(&[format!("from-{name}").as_str()])
            .packed(packing, algorithm)
            .serve(mirror, &format!("/{name}/"));
    }
    let expected = [
        (ERROR, "KS210", "htttpd"),
        (ERROR, "KS211", "@coer"),
        (ERROR, "KS211", "@^minimal"),
        (ERROR, "KS210", "only-required"),
    ];
    let findings = setting.finds(&expected).await;
    assert_eq!((findings[0].line, findings[0].column), (17, 1));
    assert_eq!(findings[0].help.as_deref(), Some("did you mean `httpd`?"));
    assert_eq!(
        findings[0].message,
        "no package is called `htttpd` in any of the 4 repositories (5 packages)"
    );
    assert_eq!(findings[0].notes, ["included at main.ks:1"]);
    assert_eq!(findings[1].help.as_deref(), Some("did you mean `@core`?"));
    assert_eq!(
        findings[2].help.as_deref(),
        Some("did you mean `@^minimal-environment`?")
    );
    // Its checksum says that the copy is right.
    setting.finds(&expected).await;
    assert_eq!(mirror.requests_for(&primary).len(), 1);
    assert!(setting.cache.path().join("v1/files").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_left_alone_where_not_all_repositories_can_be_read() {
    let body = "%packages\nnot-there\n%end\n";
    for (lines, place) in [
        ("repo --name=updates\n", "repo"),
        ("cdrom\n", "cdrom"),
        ("repo --name=a --baseurl=ftp://m/\n", "ftp://m/"),
        ("repo --name=a --baseurl=MIRROR/gone\n", "MIRROR/gone"),
    ] {
        let setting = Setting::new(format!("url --url=MIRROR/tree\n{lines}{body}"));
        serve_tree(&setting.mirror, &["bash"]);
        let findings = setting.check().await;
        let note = findings.iter().find(|f| f.id == Some("KS212"));
        let note = note.unwrap_or_else(|| panic!("{lines}: {}", shown(&findings)));
        assert_eq!(note.severity, NOTE);
        let base = setting.mirror.url("");
        let expected = place.replace("MIRROR", base.as_str().trim_end_matches('/'));
        assert_eq!(self::place(note), expected);
        assert!(findings.iter().all(|f| f.id != Some("KS210")), "{lines}");
    }
    let mut setting = Setting::new(format!("url --url=MIRROR/tree\n{body}"));
    serve_tree(&setting.mirror, &["bash"]);
    setting.finds(&[(ERROR, "KS210", "not-there")]).await;
    setting.complete = false;
    setting.finds(&[(NOTE, "KS212", "not-there")]).await;
    Setting::new(body)
        .finds(&[(NOTE, "KS212", "not-there")])
        .await;
    Setting::new(format!("liveimg --url=file:///i\n{body}"))
        .finds(&[])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_missing_is_only_a_warning() {
    let setting = Setting::new(
        "url --url=MIRROR/tree\n%packages --ignoremissing\nnot-there\n%end\n%packages\n@nodejs\n%end\n",
    );
    Tree::new(1000).serve(&setting.mirror);
    Repository::of(&["bash"])
        .with_modules()
        .serve(&setting.mirror, "/tree/");
    setting
        .finds(&[
            (WARNING, "KS210", "not-there"),
            (WARNING, "KS211", "@nodejs"),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_addresses_are_told_apart() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let setting = Setting::new(format!(
        "url --url=http://{closed}/os\nrepo --name=a --baseurl=http://no-such-mirror.invalid/a\n\
         repo --name=b --baseurl=MIRROR/hung-up\nrepo --name=c --baseurl=MIRROR/forbidden\n\
         repo --name=d --baseurl=MIRROR/busy\nrepo --name=e --baseurl=no/scheme\n\
         repo --name=f --baseurl=@URL@\nrepo --name=g --baseurl=http://{closed}/ --proxy=http://p/\n"
    ));
    let repomd = "repodata/repomd.xml";
    for (name, fault) in [
        ("hung-up", Fault::HangUp),
        ("forbidden", Fault::Status(403, Vec::new())),
        ("busy", Fault::Status(503, Vec::new())),
    ] {
        let path = format!("/{name}/{repomd}");
        setting.mirror.put(&path, "");
        setting
            .mirror
            .change(&path, |file| file.always = Some(fault));
    }
    setting.mirror.put("/forbidden/", "");
    setting.mirror.change("/forbidden/", |file| {
        file.always = Some(Fault::Status(403, Vec::new()))
    });
    let findings = setting
        .finds(&[
            (ERROR, "KS201", &format!("http://{closed}/os")),
            (ERROR, "KS201", "http://no-such-mirror.invalid/a"),
            (ERROR, "KS201", "MIRROR/hung-up"),
            (ERROR, "KS202", "MIRROR/forbidden"),
            (ERROR, "KS202", "MIRROR/busy"),
            (ERROR, "KS201", "no/scheme"),
            (NOTE, "KS214", "@URL@"),
            (WARNING, "KS201", &format!("http://{closed}/")),
        ])
        .await;
    for (finding, words) in findings.iter().zip([
        "refuses connections",
        "not known to DNS",
        "connection broke",
        "403",
        "503",
        "names no scheme",
        "something else is to replace",
        "refuses connections",
    ]) {
        assert!(finding.message.contains(words), "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tree_and_no_repository() {
    let setting = Setting::new(
        "url --url=MIRROR/gone\nurl --url=MIRROR/empty\nrepo --name=a --baseurl=MIRROR/empty\n\
         repo --name=b --baseurl=MIRROR/gone/\nostreesetup --url=MIRROR/empty --osname=a --ref=b\n\
         repo --name=c --baseurl=MIRROR/login\n%include MIRROR/gone.ks\nurl --url=MIRROR/repository\n",
    );
    setting.mirror.put("/empty/", "");
    setting.mirror.put("/login/repodata/repomd.xml", "");
    setting.mirror.change("/login/repodata/repomd.xml", |file| {
        file.always = Some(Fault::WebPage)
    });
    Repository::of(&["a"]).serve(&setting.mirror, "/repository/");
    let findings = setting
        .finds(&[
            (ERROR, "KS202", "MIRROR/gone"),
            (ERROR, "KS203", "MIRROR/empty"),
            (ERROR, "KS204", "MIRROR/empty"),
            (ERROR, "KS202", "MIRROR/gone/"),
            (ERROR, "KS204", "MIRROR/empty"),
            (ERROR, "KS204", "MIRROR/login"),
            (ERROR, "KS202", "MIRROR/gone.ks"),
        ])
        .await;
    assert!(findings[1].message.contains("is no install tree"));
    assert!(findings[4].message.contains("no OSTree repository"));
    assert!(findings[5].message.contains("is a web page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_that_cannot_be_booted() {
    let tree = "MIRROR/tree/";
    // Without `.treeinfo` the usual places do.
    let setting = Setting::new("").template(ROCKY, "");
    Tree::new(1000).serve(&setting.mirror);
    setting.mirror.remove("/tree/.treeinfo");
    setting.finds(&[]).await;
    setting.mirror.remove(&format!("/tree/{KERNEL}"));
    setting.mirror.put("/tree/", "");
    setting.finds(&[(ERROR, "KS203", tree)]).await;

    let setting = Setting::new("").template(ROCKY, "");
    Tree::new(1000).serve(&setting.mirror);
    setting.mirror.remove(&format!("/tree/{KERNEL}"));
    let findings = setting.finds(&[(ERROR, "KS203", tree)]).await;
    assert!(findings[0].message.contains(KERNEL), "{}", findings[0]);
    assert_eq!(findings[0].file, "t.tdl");

    setting.mirror.put("/tree/.treeinfo", "[general\n");
    let findings = setting.finds(&[(ERROR, "KS203", tree)]).await;
    assert!(
        findings[0].message.contains("without its `]`"),
        "{}",
        findings[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_releases_and_architectures() {
    for (os, expected) in [
        (
            "<name>Rocky-8</name><version>8</version>",
            Some((ERROR, "KS205")),
        ),
        (
            "<name>Rocky-9</name><version>9.3</version>",
            Some((WARNING, "KS205")),
        ),
        ("<name>Rocky-9</name><version>9</version>", None),
        (
            "<name>Fedora</name><version>43</version>",
            Some((ERROR, "KS205")),
        ),
    ] {
        let setting = Setting::new("").template(os, "");
        serve_bare_tree(&setting.mirror);
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(severity, id)| (severity, id, "MIRROR/tree/"))
            .collect();
        setting.finds(&expected).await;
    }
    let mut setting = Setting::new(
        "url --url=MIRROR/tree\nrepo --name=a --baseurl=MIRROR/r\n%packages\na\n%end\n",
    );
    Repository::of(&["a"])
        .package("other-release", "noarch", "8.10", &["system-release"])
        .serve(&setting.mirror, "/r/");
    serve_tree(&setting.mirror, &[]);
    setting.finds(&[(ERROR, "KS205", "MIRROR/r")]).await;
    setting.version = Version::Rhel(8);
    setting
        .finds(&[
            (ERROR, "KS205", "MIRROR/tree"),
            (NOTE, "KS212", "MIRROR/tree"),
        ])
        .await;
    setting.version = Version::Rhel(9);
    setting.arch = Arch::Aarch64;
    let findings = setting
        .finds(&[
            (ERROR, "KS206", "MIRROR/tree"),
            (NOTE, "KS212", "MIRROR/tree"),
            (ERROR, "KS205", "MIRROR/r"),
            (ERROR, "KS206", "MIRROR/r"),
        ])
        .await;
    assert!(findings[0].message.contains("for x86_64, not for aarch64"));
    assert!(
        findings[3]
            .message
            .contains("are for x86_64, none for aarch64")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_for_good_are_told_and_others_are_not() {
    let setting = Setting::new(
        "url --url=MIRROR/tree\nrepo --name=a --baseurl=MIRROR/old\nrepo --name=b --baseurl=MIRROR/geo\n%packages\na\n%end\n",
    );
    let mirror = &setting.mirror;
    serve_tree(mirror, &["bash"]);
    Repository::of(&["a"]).serve(mirror, "/new/");
    for (old, status) in [("old", 301), ("geo", 302)] {
        for (path, _) in Repository::of(&["a"]).files() {
            let from = format!("/{old}/{path}");
            let to = mirror.url(&format!("/new/{path}")).to_string();
            mirror.put(&from, "");
            mirror.change(&from, |file| {
                file.always = Some(Fault::Status(status, vec![("Location", to)]));
            });
        }
    }
    let findings = setting.finds(&[(WARNING, "KS208", "MIRROR/old")]).await;
    let new = mirror.url("/new/");
    assert!(
        findings[0]
            .message
            .ends_with(&format!("has moved for good to {new}")),
        "{}",
        findings[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_to_https_are_followed_for_kickstarts_and_refused_for_templates() {
    let authority = Authority::new("tests");
    let secure = Mirror::start_tls(tls::server_config(
        authority.server("127.0.0.1", false),
        None,
    ));
    serve_tree(&secure, &["bash"]);
    let mut setting = Setting::new("url --url=MIRROR/tree\n%packages\nbash\n%end\n");
    let cacert = setting.cache.path().join("ca.pem");
    std::fs::write(&cacert, &authority.pem).unwrap();
    setting.options.credentials.cacert = Some(cacert);
    let mut paths: Vec<String> = secure.paths();
    paths.retain(|path| path.starts_with("/tree/"));
    for path in paths {
        let to = secure.url(&path).to_string();
        setting.mirror.put(&path, "");
        setting.mirror.change(&path, |file| {
            file.always = Some(Fault::Status(302, vec![("Location", to)]));
        });
    }
    setting.finds(&[]).await;
    let setting = setting.template(ROCKY, "");
    let findings = setting.check().await;
    assert!(
        findings
            .iter()
            .any(|f| f.file == "t.tdl" && f.severity == ERROR && f.id == Some("KS208")),
        "{}",
        shown(&findings)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_told_apart() {
    let authority = Authority::new("tests");
    let stranger = Authority::new("nobody");
    for (leaf, words) in [
        (
            authority.server("127.0.0.1", true),
            "has expired or is not valid yet",
        ),
        (authority.server("10.9.8.7", false), "is for another name"),
        (
            stranger.server("127.0.0.1", false),
            "signed by nobody this host trusts",
        ),
    ] {
        let mirror = Mirror::start_tls(tls::server_config(leaf, None));
        let mut setting = Setting::with(
            mirror,
            "url --url=MIRROR/tree\nrepo --name=a --baseurl=MIRROR/a --noverifyssl\n",
        );
        let cacert = setting.cache.path().join("ca.pem");
        std::fs::write(&cacert, &authority.pem).unwrap();
        setting.options.credentials.cacert = Some(cacert);
        let findings = setting.finds(&[(ERROR, "KS207", "MIRROR/tree")]).await;
        assert!(findings[0].message.contains(words), "{}", findings[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_answer_in_time_is_only_a_warning() {
    let mut setting = Setting::new(
        "url --url=MIRROR/silent\nrepo --name=a --baseurl=MIRROR/r\n%packages\nbash\n%end\n",
    );
    setting.mirror.put("/silent/.treeinfo", "");
    setting
        .mirror
        .change("/silent/.treeinfo", |file| file.always = Some(Fault::Hang));
    Repository::of(&["a"]).serve(&setting.mirror, "/r/");
    setting.limits.answer = Duration::from_millis(1500);
    let findings = setting
        .finds(&[
            (WARNING, "KS209", "MIRROR/silent"),
            (NOTE, "KS212", "MIRROR/silent"),
        ])
        .await;
    assert!(
        findings[0]
            .message
            .ends_with("/silent did not answer within 1.5 s"),
        "{}",
        findings[0]
    );
    // The other one was asked all the same.
    assert!(
        !setting
            .mirror
            .requests_for("/r/repodata/repomd.xml")
            .is_empty()
    );

    let mut setting = Setting::new("url --url=MIRROR/r\n%packages\na\n%end\n");
    let primary = Repository::of(&["a"]).serve(&setting.mirror, "/r/");
    setting
        .mirror
        .change(&primary, |file| file.always = Some(Fault::StallAt(5)));
    setting.limits.metadata = Duration::from_millis(1500);
    setting
        .finds(&[(WARNING, "KS209", "MIRROR/r"), (NOTE, "KS212", "MIRROR/r")])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_metadata_is_not_believed() {
    for (text, words) in [
        (Packing::Gzip.pack(b"<metadata/>"), "wrong checksum"),
        (b"<html>".to_vec(), "is a web page"),
    ] {
        let setting = Setting::new("url --url=MIRROR/r\n%packages\nnot-there\n%end\n");
        let primary = Repository::of(&["a"]).serve(&setting.mirror, "/r/");
        setting
            .mirror
            .change(&primary, |file| file.body = Arc::new(text));
        let findings = setting
            .finds(&[(ERROR, "KS204", "MIRROR/r"), (NOTE, "KS212", "MIRROR/r")])
            .await;
        assert!(findings[0].message.contains(words), "{}", findings[0]);
    }
    let setting = Setting::new("url --url=MIRROR/r\n%packages\nnot-there\n%end\n");
    Repository::of(&["a"]).serve(&setting.mirror, "/r/");
    setting.mirror.put("/r/repodata/repomd.xml", "<repomd>");
    let findings = setting
        .finds(&[(ERROR, "KS204", "MIRROR/r"), (NOTE, "KS212", "MIRROR/r")])
        .await;
    assert!(findings[0].message.contains("</repomd>"), "{}", findings[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_lead_nowhere() {
    let setting = Setting::new(
        "url --mirrorlist=MIRROR/sentence\nrepo --name=a --metalink=MIRROR/none\n\
         repo --name=b --mirrorlist=MIRROR/dead\nrepo --name=c --mirrorlist=MIRROR/gone\n",
    );
    let mirror = &setting.mirror;
    mirror.put("/sentence", "Invalid release/repo/arch combination\n");
    mirror.put("/none", "<metalink><files/></metalink>");
    mirror.put("/dead", format!("{}\n", mirror.url("/nothing/")));
    let findings = setting
        .finds(&[
            (ERROR, "KS213", "MIRROR/sentence"),
            (ERROR, "KS213", "MIRROR/none"),
            (ERROR, "KS213", "MIRROR/dead"),
            (ERROR, "KS202", "MIRROR/gone"),
        ])
        .await;
    // What the server said instead is not shown: it may be anything.
    let said = &findings[0].message;
    assert!(said.contains("it lists no address"), "{said}");
    assert!(!said.contains("Invalid"), "{said}");
    assert!(
        findings[2].message.contains("of 1 mirrors"),
        "{}",
        findings[2]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_addresses_are_not_shown() {
    let mirror = Mirror::start();
    let host = mirror.authority();
    let setting = Setting::with(
        mirror,
        format!(
            "url --url=http://bob:s3cret@{host}/os\nrepo --name=a --baseurl=http://s3cret@{host}/a\n\
             %include http://bob:s3cret@{host}/x?token=s3cret\n"
        ),
    )
    .template(
        ROCKY,
        &format!("<repositories><repository name='a'><url>http://bob:s3cret@{host}/r</url><persisted>no</persisted></repository></repositories>"),
    );
    let findings = setting.check().await;
    assert_eq!(findings.len(), 5, "{}", shown(&findings));
    let all = shown(&findings).replace("?token=s3cret", "");
    assert!(!all.contains("s3cret"), "{all}");
    let messages: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
    assert!(!messages.concat().contains("s3cret"), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_of_a_tree_are_repositories() {
    let setting = Setting::new(
        "url --url=MIRROR/9/BaseOS/x86_64/os/\n%packages\nbash\nvim\nnot-there\n%end\n",
    );
    let mirror = &setting.mirror;
    let info = "[header]\ntype = productmd.treeinfo\nversion = 1.2\n[release]\nname = Test\nversion = 9.4\n\
                [tree]\narch = x86_64\nvariants = AppStream,BaseOS\n\
                [variant-BaseOS]\nid = BaseOS\ntype = variant\nrepository = .\n\
                [variant-AppStream]\nid = AppStream\ntype = variant\nrepository = ../../../AppStream/x86_64/os/\n\
                [variant-Gone]\nid = Gone\ntype = variant\nrepository = ../gone\n";
    mirror.put("/9/BaseOS/x86_64/os/.treeinfo", info);
    Repository::of(&["bash"]).serve(mirror, "/9/BaseOS/x86_64/os/");
    Repository::of(&["vim"]).serve(mirror, "/9/AppStream/x86_64/os/");
    let findings = setting.finds(&[(ERROR, "KS210", "not-there")]).await;
    assert!(findings[0].message.contains("2 repositories (2 packages)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_in_directories_of_this_host() {
    let directory = tempfile::tempdir().unwrap();
    Tree::new(1000).write(directory.path());
    Repository::of(&["bash"]).write(directory.path());
    let mut setting = Setting::new("%packages\nbash\nbahs\n%end\n").template(ROCKY, "");
    let template = setting.template.as_mut().unwrap();
    let url = setting.mirror.url("/tree/").to_string();
    *template = template.replace(&url, &format!("file://{}", directory.path().display()));
    let findings = setting.check().await;
    assert!(
        findings
            .iter()
            .any(|found| found.id == Some("KS216") && found.message.contains("--file-root")),
        "{}",
        shown(&findings)
    );
    setting.options.file_roots = vec![directory.path().to_path_buf()];
    let findings = setting.finds(&[(ERROR, "KS210", "bahs")]).await;
    assert_eq!(findings[0].help.as_deref(), Some("did you mean `bash`?"));
    std::fs::remove_file(directory.path().join(KERNEL)).unwrap();
    let findings = setting.check().await;
    assert_eq!(findings[1].id, Some("KS203"), "{}", shown(&findings));
}

/// Makes a repository with the real tools; nothing where they are missing.
fn real_repository(directory: &Path) -> Option<()> {
    let has = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    if !has("rpmbuild") || !has("createrepo_c") {
        assert!(
            std::env::var_os("OZR_TEST_ALL").is_none(),
            "rpmbuild and createrepo_c are missing: run scripts/install-deps"
        );
        eprintln!("skipped: no rpmbuild or createrepo_c");
        return None;
    }
    let spec = directory.join("x.spec");
    std::fs::write(
        &spec,
        "Name: real-package\nVersion: 1\nRelease: 2\nSummary: x\nLicense: GPL\nBuildArch: noarch\n\
         Provides: another-name\n%description\nx\n%files\n",
    )
    .unwrap();
    let comps = directory.join("comps.xml");
    std::fs::write(
        &comps,
        "<?xml version=\"1.0\"?>\n<comps><group><id>real-group</id><name>A real group</name>\
         <description/><default>false</default><uservisible>true</uservisible><packagelist/>\
         </group></comps>\n",
    )
    .unwrap();
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    };
    let packages = directory.join("repository");
    std::fs::create_dir(&packages).unwrap();
    run(Command::new("rpmbuild")
        .args(["-bb", "--quiet", "--nodeps"])
        .arg("--define")
        .arg(format!("_topdir {}", directory.display()))
        .arg("--define")
        .arg(format!("_rpmdir {}", packages.display()))
        .arg(&spec));
    run(Command::new("createrepo_c")
        .args([
            "--quiet",
            "--no-database",
            "--general-compress-type=xz",
            "-g",
        ])
        .arg(&comps)
        .arg(&packages));
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_createrepo_c_writes_is_read() {
    let directory = tempfile::tempdir().unwrap();
    if real_repository(directory.path()).is_none() {
        return;
    }
    let setting = Setting::new(
        "url --url=MIRROR/r\n%packages\nreal-package\nreal-package-1-2.noarch\nanother-name\n\
         @real-group\n@A real group\nreel-package\n%end\n",
    );
    setting
        .mirror
        .put_directory("/r", &directory.path().join("repository"));
    let findings = setting.finds(&[(ERROR, "KS210", "reel-package")]).await;
    assert_eq!(
        findings[0].help.as_deref(),
        Some("did you mean `real-package`?")
    );
}

/// As many packages as EL's AppStream has; prints how long it took.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_repository_is_searched() {
    let mut repository = Repository::new().packed(Packing::Gzip, "sha256");
    for number in 0..20_000 {
        let name = format!("package-{number:05}-libs");
        let provides = [
            "lib.so.1()(64bit)",
            "config(x)",
            "perl(A::B)",
            "pkgconfig(y)",
        ];
        repository = repository.package(&name, "x86_64", "1.2.3", &provides);
    }
    let setting = Setting::new(
        "url --url=MIRROR/r\n%packages\npackage-00017-libs\npackage-1999?-libs\npackage-19999-lbis\n%end\n",
    );
    repository.serve(&setting.mirror, "/r/");
    for state in ["fetched", "cached"] {
        let start = Instant::now();
        let findings = setting
            .finds(&[(ERROR, "KS210", "package-19999-lbis")])
            .await;
        eprintln!("20,000 packages, {state}: {:?}", start.elapsed());
        let help = findings[0].help.as_deref().unwrap();
        assert!(help.contains("`package-19999-libs`"), "{help}");
    }
}

const VIEW: GuestView = GuestView {
    network: None,
    relay: Relay::Auto,
    verbatim: false,
};

/// What the server stands for in the kickstart, it cannot stand for elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_loopback_of_this_host_is_not_the_guests() {
    let kickstart = "repo --name=a --baseurl=MIRROR/r\n%post\ncurl MIRROR/dead\n%end\n";
    let mut setting = Setting::new(kickstart).template(ROCKY, "");
    serve_tree(&setting.mirror, &["a"]);
    Repository::of(&["a"]).serve(&setting.mirror, "/r/");
    setting.guest = Some(VIEW);
    let certain = [(ERROR, "KS215", "MIRROR/r")];
    let findings = setting.finds(&certain).await;
    assert!(findings[0].message.contains("loopback"), "{findings:?}");
    setting.alone = true;
    setting.finds(&[]).await;
    for guest in [
        GuestView {
            verbatim: true,
            ..VIEW
        },
        GuestView {
            relay: Relay::Never,
            ..VIEW
        },
    ] {
        setting.guest = Some(guest);
        setting.finds(&certain).await;
    }
    // A script before the installation may have started a server there.
    setting.kickstart.push_str("%pre\n:\n%end\n");
    setting.finds(&[(WARNING, "KS215", "MIRROR/r")]).await;
    // Without a template nothing is known but that.
    setting.template = None;
    setting.guest = Some(VIEW);
    setting.finds(&[(WARNING, "KS215", "MIRROR/r")]).await;
}

/// A host with a company's names, authority and network: the next test, in namespaces of its own.
#[test]
fn this_hosts_view_is_not_the_guests() {
    if !support::is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["online::a_company", "--exact", "--ignored", "--nocapture"])
        .current_dir(&directory)
        .env("SSL_CERT_FILE", directory.path().join("ca.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("1 passed"), "{said}{failed}");
}

/// Answers the names of a zone.
fn serve_names(at: &str, zone: &'static [&'static str]) {
    let socket = UdpSocket::bind((at, 53)).unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            let query = &query[..length];
            let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap();
            let mut name = String::new();
            let mut at = 12;
            while at < end {
                let label = usize::from(query[at]);
                name.push_str(&String::from_utf8_lossy(&query[at + 1..=at + label]));
                name.push('.');
                at += label + 1;
            }
            let known = zone.contains(&name.as_str());
            let answers = u8::from(known && query[end + 2] == 1);
            let code = if known { 0x80 } else { 0x83 };
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, code, 0, 1, 0, answers, 0, 0, 0, 0]);
            answer.extend(&query[12..end + 5]);
            if answers == 1 {
                answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 99, 0, 1]);
            }
            let _ = socket.send_to(&answer, client);
        }
    });
}

/// In namespaces of its own: started by the test above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "changes the network that it runs in"]
async fn a_company() {
    let names = "127.0.0.1 localhost\n10.99.0.1 mirror.inhouse\n";
    std::fs::write("hosts", names).unwrap();
    std::fs::write("resolv", "search corp.example\nnameserver 10.99.0.1\n").unwrap();
    for command in [
        "ip link set lo up",
        "ip address add 10.99.0.1/24 dev lo",
        "ip address add 10.0.2.50/24 dev lo",
        "mount --bind hosts /etc/hosts",
        "mount --bind resolv /etc/resolv.conf",
    ] {
        let mut words = command.split(' ');
        let status = Command::new(words.next().unwrap()).args(words).status();
        assert!(status.unwrap().success(), "{command}");
    }
    serve_names("10.99.0.1", &["install.corp.example."]);
    let authority = Authority::new("company");
    std::fs::write("ca.pem", &authority.pem).unwrap();
    let leaf = authority.server("10.99.0.1", false);
    let secure = Mirror::start_at("10.99.0.1", Some(tls::server_config(leaf, None)));
    let secure_url = secure.url("/r/");
    let plain = Mirror::start_at("0.0.0.0", None);
    for mirror in [&secure, &plain] {
        Repository::of(&["a"]).serve(mirror, "/r/");
    }
    serve_tree(&plain, &["a"]);
    let port = plain.url("").port().unwrap();
    let kickstart = format!(
        "repo --name=a --baseurl=http://mirror.inhouse:{port}/r/\n\
         repo --name=b --baseurl=http://install:{port}/r/\n\
         repo --name=c --baseurl=http://install.corp.example:{port}/r/\n\
         repo --name=d --baseurl={secure_url}\n\
         repo --name=e --noverifyssl --baseurl={secure_url}\n\
         repo --name=f --baseurl=http://10.0.2.50:{port}/r/\n\
         repo --name=g --baseurl=http://10.0.2.2:9/r/\n\
         repo --name=h --baseurl=http://10.0.3.2:{port}/r/\n\
         %post\ncurl -f http://install:{port}/r/repodata/repomd.xml\n%end\n"
    );
    let mut setting = Setting::with(plain, kickstart).template(ROCKY, "");
    let template = setting.template.take().unwrap();
    setting.template = Some(template.replace("0.0.0.0", "10.99.0.1"));
    let network = host::user_network();
    assert_eq!(network.to_string(), "10.0.3.0/24");
    setting.guest = Some(GuestView {
        network: Some(network),
        ..VIEW
    });
    let at = |host: &str| format!("http://{host}:{port}/r/");
    let (inhouse, short) = (at("mirror.inhouse"), at("install"));
    let script = format!("{short}repodata/repomd.xml");
    let moved = (ERROR, "KS201", "http://10.0.2.2:9/r/");
    let script = (WARNING, "KS215", script.as_str());
    let findings = setting
        .finds(&[
            (WARNING, "KS215", inhouse.as_str()),
            (WARNING, "KS215", short.as_str()),
            (WARNING, "KS215", secure_url.as_str()),
            moved,
            script,
        ])
        .await;
    let help = findings[3].help.as_deref().unwrap();
    assert!(help.contains("it is 10.0.3.2"), "{help}");
    // Where ozr's server can stand for them, nothing is left but what it cannot reach either.
    setting.alone = true;
    setting.finds(&[moved, script]).await;
}

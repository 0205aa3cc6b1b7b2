//! Installs from ISO images: the test tree as a DVD and as a boot.iso (`fixtures/iso/pack`), installed from by the
//! real thing; and images that are damaged, of something else, or far away, which no guest is started for.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::disk::Disk;
use crate::support::gnupg::Gnupg;
use crate::support::mirror::{Fault, noise, sha256};
use crate::support::repository::Repository;
use crate::support::site::{Outcome, Site, kickstart, run, start};
use crate::support::tree::tree;

/// What was written before a guest would have been started.
const STARTED: &str = "starting the guest";

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// A small installation disc, with noise in the kernel's place and this `.treeinfo`; its implanted checksum is right.
fn disc(site: &Site, name: &str, treeinfo: &str, more: &[(&str, &[u8])]) -> PathBuf {
    let root = site.path("disc");
    let _ = std::fs::remove_dir_all(&root);
    let mut files = vec![
        (".discinfo", &b"1.5\nRocky Linux 9.6\nx86_64\n"[..]),
        (".treeinfo", treeinfo.as_bytes()),
    ];
    let kernel = noise(1, 200_000);
    files.extend([
        ("images/pxeboot/vmlinuz", &kernel[..]),
        ("images/pxeboot/initrd.img", &kernel),
        ("images/install.img", &kernel),
    ]);
    files.extend_from_slice(more);
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let iso = site.path(name);
    pack(&iso, &root);
    succeeds(Command::new("implantisomd5").arg(&iso));
    iso
}

fn pack(iso: &Path, root: &Path) {
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-as", "mkisofs", "-quiet", "-R", "-J", "-V", "A Disc", "-o"]);
    succeeds(xorriso.arg(iso).arg(root));
}

const TREEINFO: &str = "[general]\nfamily = Rocky Linux\nversion = 9.6\narch = x86_64\n\
    [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n\
    [stage2]\nmainimage = images/install.img\n";

/// `ozr install` in the site's directory, with these options.
fn install(site: &Site, kickstart: &str, options: &[&str]) -> Command {
    site.write("test.ks", kickstart);
    let mut command = site.ozr();
    command
        .args([
            "install",
            "-k",
            "test.ks",
            "--output-dir",
            "out",
            "--cache-dir",
            "cache",
        ])
        .args([
            "--state-dir",
            "state",
            "--progress",
            "plain",
            "--vcpus",
            "1",
            "--memory",
            "2048",
        ])
        .args(options);
    command
}

/// It fails with these words, and no guest was started.
fn assert_refused(outcome: &Outcome, status: i32, words: &str) {
    assert_eq!(outcome.status, status, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains(words),
        "{words}\n{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains(STARTED), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

/// The kickstart of [`disc`], which has no packages: whatever comes so far was verified, and ends with this.
const NO_SOURCE: &str = "nothing says where packages come from";

#[test]
#[ignore = "long"]
fn a_dvd_says_its_release_and_gives_packages_of_all_its_variants() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(tree) = tree() else { return };
    let mut site = Site::bare("dvd");
    // Without a template the image is named after the disc.
    site.name = "some-9.0-dvd".to_owned();
    let iso = site.path("some-9.0-dvd.iso");
    let mut packing = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/iso/pack"));
    succeeds(
        packing
            .args([&tree, Path::new("dvd"), &iso])
            .arg("Rocky Linux"),
    );
    // A list beside it, of BSD's form and signed.
    let digest = sha256(&std::fs::read(&iso).unwrap());
    site.write(
        "CHECKSUM",
        &format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# some-9.0-dvd.iso: 1 bytes\n\
             SHA256 (some-9.0-dvd.iso) = {digest}\n-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n"
        ),
    );
    let text = kickstart("%packages\ncorp-agent\n%end\n");
    let options = ["--iso", "some-9.0-dvd.iso", "--disk", "4G", "--no-seal"];
    let outcome = run(install(&site, &text, &options));
    outcome.assert_done();
    assert!(
        outcome.stderr.contains("is Rocky Linux 9.0 for x86_64"),
        "{}",
        outcome.stderr
    );
    let disk = Disk::open(&site.output("qcow2"));
    // Of AppStream; the rest is of BaseOS.
    assert!(disk.exists("/etc/corp-agent.conf"));
    let manifest = std::fs::read_to_string(site.output("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let told = &manifest["tree"]["isos"][0];
    assert_eq!(told["sha256"], digest);
    assert_eq!(told["media_check"], true);
    assert_eq!(told["label"], "Standin 9.0 x86_64 dvd");
    assert!(
        told["listed_in"].as_str().unwrap().ends_with("/CHECKSUM"),
        "{told}"
    );
    assert_eq!(manifest["tree"]["kernel"]["verified"], true);
    let names: Vec<&str> = manifest["repositories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|repository| repository["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["AppStream", "anaconda"]);
    // What boots the image has no drive with a disc that may be gone.
    let xml = std::fs::read_to_string(site.output("xml")).unwrap();
    assert!(!xml.contains("cdrom"), "{xml}");
}

#[test]
#[ignore = "long"]
fn a_boot_iso_installs_from_the_templates_tree_with_uefi() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(tree) = tree() else { return };
    let mut site = Site::new("netinst").unwrap();
    let iso = site.path("boot.iso");
    let mut packing = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/iso/pack"));
    succeeds(packing.args([&tree, Path::new("boot"), &iso]));
    // A repository beside it.
    site.additions = format!(
        "<packages><package name=\"corp-agent\"/></packages><repositories><repository name=\"corp\"><url>{}</url>\
         <signed>no</signed><persisted>no</persisted></repository></repositories>",
        site.mirror.url("/custom/")
    );
    let mut command = site.install(&kickstart(""));
    command.args(["--iso", "boot.iso", "--firmware", "uefi"]);
    let outcome = run(command);
    outcome.assert_done();
    let disk = Disk::open(&site.output("qcow2"));
    assert!(!disk.list("/boot").is_empty());
    // The installer came from the disc, the packages from the mirror.
    assert!(
        site.mirror
            .requests_for("/os/images/install.img")
            .iter()
            .all(|request| request.method == "HEAD")
    );
    let packages = site.mirror.paths();
    let asked = packages
        .iter()
        .filter(|path| path.starts_with("/os/Packages/"));
    assert!(
        asked
            .clone()
            .any(|path| !site.mirror.requests_for(path).is_empty())
    );
}

/// What a kickstart and a template want is looked up on the disc, as in a tree; where packages come from elsewhere,
/// that says nothing.
#[test]
fn packages_are_looked_up_on_the_disc() {
    let site = Site::bare("lookup");
    let repository = Repository::of(&["bash", "vim"]).group("core", "Core");
    let files = repository.files();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, body)| (path.as_str(), &body[..]))
        .collect();
    disc(&site, "dvd.iso", TREEINFO, &files);
    let wanting =
        |names: &str, source: &str| kickstart(&format!("{source}\n%packages\n{names}\n%end\n"));
    let by = ["--iso", "dvd.iso"];
    let outcome = run(install(&site, &wanting("bash\nvimm\n@nosuch", ""), &by));
    assert_refused(
        &outcome,
        2,
        "no package is called `vimm` in the only repository (2 packages)",
    );
    for words in [
        "KS210",
        "did you mean `vim`?",
        "no group is called `nosuch`",
    ] {
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
    }
    let template = "<template><name>x</name><os><name>Rocky-9</name><version>6</version><arch>x86_64</arch>\
        <install type='iso'><iso>dvd.iso</iso></install></os><packages><package name='zsh'/></packages></template>";
    site.write("t.tdl", template);
    let check = |text: &str| {
        site.write("test.ks", text);
        let mut command = site.ozr();
        command.args(["check", "--online", "t.tdl", "test.ks", "--format", "json"]);
        run(command)
    };
    let outcome = check(&wanting("bash", "cdrom"));
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    assert!(
        outcome.stdout.contains("no package is called `zsh`"),
        "{}",
        outcome.stdout
    );
    assert!(!outcome.stdout.contains("KS212"), "{}", outcome.stdout);
    let outcome = check(&wanting("nosuch", "harddrive --partition=sda1 --dir=/x"));
    assert!(!outcome.stdout.contains("KS210"), "{}", outcome.stdout);
    // A disc that cannot be read hides what it has.
    std::fs::write(site.path("dvd.iso"), "x").unwrap();
    let outcome = check(&wanting("bash", ""));
    assert!(!outcome.stdout.contains("KS210"), "{}", outcome.stdout);
}

/// Lists that somebody has signed, around them or beside them.
fn signed_lists(site: &Site, digest: &str, refused: &dyn Fn(&[&str], &str)) {
    let gnupg = Gnupg::make(&site.path("g"));
    let exported = |name: &str, options: &[&str]| {
        std::fs::write(site.path(name), gnupg.run(options).stdout).unwrap();
    };
    exported("key.asc", &["--armor", "--export"]);
    exported("key.gpg", &["--export"]);
    let other = Gnupg::make(&site.path("o"));
    std::fs::write(
        site.path("other.asc"),
        other.run(&["--armor", "--export"]).stdout,
    )
    .unwrap();
    let list = site.write("list", &format!("{digest}  a.iso\n"));
    let file = list.display().to_string();
    let by = |key: &'static str| {
        [
            "--iso",
            "a.iso",
            "--checksum",
            "list",
            "--checksum-key",
            key,
        ]
    };
    refused(&by("key.asc"), "none lies beside it");
    gnupg.run(&["--armor", "--detach-sign", &file]);
    refused(&by("key.asc"), NO_SOURCE);
    refused(&by("key.gpg"), NO_SOURCE);
    refused(&by("other.asc"), "is not signed by a key of other.asc");
    refused(&by("nosuch.asc"), "nosuch.asc");
    site.write("list", &format!("{digest}  ./a.iso\n"));
    refused(&by("key.asc"), "is not signed by a key of key.asc");
    std::fs::remove_file(site.path("list.asc")).unwrap();
    // What stands before what is signed in clear text is nobody's.
    gnupg.run(&["--clearsign", &file]);
    let signed = std::fs::read_to_string(site.path("list.asc")).unwrap();
    std::fs::remove_file(site.path("list.asc")).unwrap();
    site.write("list", &signed);
    refused(&by("key.gpg"), NO_SOURCE);
    refused(&by("other.asc"), "is not signed by a key of other.asc");
    refused(
        &["--iso", "a.iso", "--checksum", "list"],
        "the signature of",
    );
    site.write("list", &signed.replace("./a.iso", "././a.iso"));
    refused(&by("key.gpg"), "is not signed by a key of key.gpg");
    let given = format!("sha256:{digest}");
    refused(
        &[
            "--iso",
            "a.iso",
            "--checksum",
            &given,
            "--checksum-key",
            "key.asc",
        ],
        "--checksum-key is of the signer of a list",
    );
    refused(
        &["--iso", "a.iso", "--checksum-key", "key.asc"],
        "no list of checksums that a key of key.asc could have signed lies beside",
    );
}

#[test]
fn what_is_cut_off_altered_or_another_is_told_before_a_guest_boots() {
    let site = Site::bare("bad");
    let iso = disc(&site, "a.iso", TREEINFO, &[]);
    let good = std::fs::read(&iso).unwrap();
    let digest = sha256(&good);
    let refused = |options: &[&str], words: &str| {
        let outcome = run(install(&site, &kickstart(""), options));
        let status = if words == NO_SOURCE {
            2
        } else {
            outcome.status
        };
        assert_refused(&outcome, status, words);
        assert_ne!(outcome.status, 0);
    };
    let by = ["--iso", "a.iso"];
    refused(&by, NO_SOURCE);

    std::fs::write(&iso, &good[..good.len() / 2]).unwrap();
    refused(&by, "ends too early: the image says that it has");
    let mut altered = good.clone();
    // In the middle of a file, which no list is needed for.
    altered[good.len() / 2] ^= 1;
    std::fs::write(&iso, &altered).unwrap();
    refused(
        &by,
        "the checksum that is implanted in the image is of another content",
    );
    std::fs::write(&iso, &good).unwrap();

    // Lists of all forms, and a digest.
    let wrong = sha256(b"another");
    let list = |digest: &str| {
        [
            format!("{digest}  a.iso\n{wrong}  b.iso\n"),
            format!("SHA256 (a.iso) = {digest}\n"),
            format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: X\n\n{digest} *a.iso\n-----BEGIN PGP SIGNATURE-----\n"
            ),
        ]
    };
    for text in list(&digest) {
        site.write("list", &text);
        refused(&["--iso", "a.iso", "--checksum", "list"], NO_SOURCE);
    }
    for text in list(&wrong) {
        site.write("list", &text);
        refused(
            &["--iso", "a.iso", "--checksum", "list"],
            "list says sha256:",
        );
    }
    let (right, wrong) = (format!("sha256:{digest}"), format!("sha256:{wrong}"));
    refused(&["--iso", "a.iso", "--checksum", &right], NO_SOURCE);
    refused(
        &["--iso", "a.iso", "--checksum", &wrong],
        "wrong checksum of",
    );
    signed_lists(&site, &digest, &refused);
    site.write("list", "nothing\n");
    refused(
        &["--iso", "a.iso", "--checksum", "list"],
        "has no checksum of a.iso",
    );
    refused(
        &["--iso", "a.iso", "--checksum", "sha256:12"],
        "as many hexadecimal digits",
    );
    // Beside it, of its own name.
    site.write(
        "a.iso.CHECKSUM",
        &format!("SHA256 (a.iso) = {}\n", &wrong[7..]),
    );
    refused(&by, "a.iso.CHECKSUM says sha256:");
    std::fs::remove_file(site.path("a.iso.CHECKSUM")).unwrap();

    // What it is not.
    site.write("b.iso", "no disc");
    refused(&["--iso", "b.iso"], "is not an ISO image");
    refused(&["--iso", "nothing.iso"], "nothing.iso");
    disc(
        &site,
        "c.iso",
        &TREEINFO.replace("Rocky Linux", "Other Linux"),
        &[],
    );
    refused(
        &["--iso", "c.iso"],
        "`Other Linux 9.6 x86_64`, which is no release that ozr knows",
    );
    disc(
        &site,
        "d.iso",
        &TREEINFO.replace("images/install.img", "../x"),
        &[],
    );
    refused(&["--iso", "d.iso"], "has a .treeinfo that is not usable");
    let live = site.path("live");
    std::fs::create_dir_all(live.join("LiveOS")).unwrap();
    std::fs::write(live.join("LiveOS/squashfs.img"), "x").unwrap();
    pack(&site.path("live.iso"), &live);
    refused(
        &["--iso", "live.iso"],
        "is a live system, without an installer that takes a kickstart",
    );
    // `cdrom` is right with packages on the disc only.
    let outcome = run(install(&site, &format!("cdrom\n{}", kickstart("")), &by));
    assert_refused(
        &outcome,
        2,
        "the kickstart's `cdrom` wants packages on a disc",
    );
    site.assert_nothing_runs(&outcome);
    // The kickstart may be named alone.
    site.write("test.ks", &kickstart(""));
    let mut command = site.ozr();
    command.args(["install", "--iso", "a.iso", "test.ks"]);
    command.args(["--output-dir", "out", "--cache-dir", "cache"]);
    command.args(["--state-dir", "state"]);
    assert_refused(&run(command), 2, NO_SOURCE);
}

#[test]
fn templates_name_images_and_lists() {
    let site = Site::bare("template");
    let iso = disc(
        &site,
        "sub dir.iso",
        TREEINFO,
        &[("filler", &noise(3, 2 << 20))],
    );
    let digest = sha256(&std::fs::read(&iso).unwrap());
    site.mirror.put("/sums", format!("{digest}  sub dir.iso\n"));
    site.mirror
        .put("/wrong", format!("{}  sub dir.iso\n", sha256(b"x")));
    site.mirror
        .put("/d/sub%20dir.iso", std::fs::read(&iso).unwrap());
    let refused = |install_element: &str, words: &str| {
        site.write(
            "t.tdl",
            &format!(
                "<template><name>t</name><os><name>Rocky-9</name><version>9.6</version><arch>x86_64</arch>\
                 <install type='iso'>{install_element}</install></os></template>"
            ),
        );
        let outcome = run(install(&site, &kickstart(""), &["t.tdl"]));
        assert_refused(&outcome, outcome.status, words);
    };
    let sums = site.mirror.url("/sums");
    let far = site.mirror.url("/d/sub%20dir.iso");
    for place in ["sub dir.iso", iso.to_str().unwrap(), far.as_str()] {
        refused(&format!("<iso>{place}</iso>"), NO_SOURCE);
        refused(
            &format!("<iso>{place}</iso><sha256sum>{sums}</sha256sum>"),
            NO_SOURCE,
        );
    }
    let wrong = site.mirror.url("/wrong");
    refused(
        &format!("<iso>sub dir.iso</iso><sha256sum>{wrong}</sha256sum>"),
        "/wrong says sha256:",
    );
    refused(
        &format!("<iso>sub dir.iso</iso><md5sum>{sums}</md5sum>"),
        "/sums has no md5 of sub dir.iso",
    );
    refused(
        "<iso>/etc/../etc/hostname.iso</iso>",
        "lies outside of what may be read",
    );
    refused(
        &format!("<iso>{}</iso>", site.mirror.url("/none.iso")),
        "there is no http://",
    );

    // `ozr check` asks, and does not fetch.
    site.mirror.put("/small.iso", "x");
    site.mirror.forget();
    let checked = |place: &str, words: &str| {
        site.write(
            "t.tdl",
            &format!(
                "<template><name>t</name><os><name>Rocky-9</name><version>9.6</version><arch>x86_64</arch>\
                 <install type='iso'><iso>{place}</iso></install></os></template>"
            ),
        );
        site.write("test.ks", &format!("cdrom\n{}", kickstart("")));
        let mut check = site.ozr();
        check.args(["check", "--online", "t.tdl", "test.ks"]);
        let outcome = run(check);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains(words), "{words}\n{said}");
        assert!(!said.contains("KS154"), "{said}");
        outcome.status
    };
    assert_eq!(checked(far.as_str(), ""), 0);
    assert_ne!(
        checked(
            site.mirror.url("/small.iso").as_str(),
            "is no ISO image: it has 1 bytes"
        ),
        0
    );
    assert_ne!(
        checked(site.mirror.url("/none.iso").as_str(), "none.iso"),
        0
    );
    // One of this host is looked at.
    assert_eq!(checked("sub dir.iso", ""), 0);
    assert_ne!(checked("none.iso", "none.iso cannot be read"), 0);
    site.write("no.iso", "no disc");
    assert_ne!(checked("no.iso", "no.iso is not an ISO image"), 0);
    let requests = site.mirror.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.method == "HEAD" || request.status == 404),
        "{requests:?}"
    );
}

/// Bytes that a command and those whom it waits for have read.
fn bytes_read(site: &Site, command: &Command) -> u64 {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "\"$@\" >/dev/null 2>said; cat /proc/$$/io", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(site.path("."))
        .env("HOME", site.path("home"))
        .env("XDG_CACHE_HOME", site.path("home/cache"));
    let output = shell.output().unwrap();
    let said = std::fs::read_to_string(site.path("said")).unwrap();
    assert!(said.contains(NO_SOURCE), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn an_image_is_read_once() {
    const LENGTH: usize = 64 << 20;
    let site = Site::bare("once");
    let iso = disc(&site, "a.iso", TREEINFO, &[("filler", &noise(3, LENGTH))]);
    let length = std::fs::metadata(&iso).unwrap().len();
    let command = install(&site, &kickstart(""), &["--iso", "a.iso"]);
    // What else a run reads is measured, too.
    let first = bytes_read(&site, &command);
    let second = bytes_read(&site, &command);
    assert!(second < length / 2, "{second} of {length}");
    let once = first - second;
    assert!(once.abs_diff(length) < length / 20, "{once} of {length}");
    // Another file of that name is read.
    std::fs::write(site.path("copy"), std::fs::read(&iso).unwrap()).unwrap();
    std::fs::rename(site.path("copy"), &iso).unwrap();
    let third = bytes_read(&site, &command);
    assert!(third > length, "{third} of {length}");
    // One that comes over the network is hashed while it comes.
    site.mirror.put("/a.iso", std::fs::read(&iso).unwrap());
    let far = site.mirror.url("/a.iso");
    let command = install(&site, &kickstart(""), &["--iso", far.as_str()]);
    let fetching = bytes_read(&site, &command);
    assert!(fetching < length + length / 2, "{fetching} of {length}");
    let again = bytes_read(&site, &command);
    assert!(again < length / 2, "{again} of {length}");
}

#[test]
fn a_download_goes_on_and_is_shared() {
    let site = Site::bare("far");
    let iso = disc(
        &site,
        "near.iso",
        TREEINFO,
        &[("filler", &noise(3, 8 << 20))],
    );
    let bytes = std::fs::read(&iso).unwrap();
    let digest = sha256(&bytes);
    site.mirror.put("/far.iso", bytes.clone());
    site.mirror
        .put("/CHECKSUM", format!("SHA256 (far.iso) = {digest}\n"));
    site.mirror.change("/far.iso", |file| {
        file.next = vec![Some(Fault::CutAt(5 << 20))]
    });
    let far = site.mirror.url("/far.iso");
    let outcome = run(install(&site, &kickstart(""), &["--iso", far.as_str()]));
    assert_refused(&outcome, 2, NO_SOURCE);
    let asked = site.mirror.requests_for("/far.iso");
    let gets: Vec<_> = asked
        .iter()
        .filter(|request| request.method == "GET")
        .collect();
    assert!(gets.len() >= 2, "{asked:?}");
    assert!(
        gets[1]
            .header("range")
            .is_some_and(|range| range.starts_with("bytes=")),
        "{asked:?}"
    );
    // With a checksum nothing is asked again, by whomever.
    site.mirror.forget();
    let outcome = run(install(
        &site,
        &kickstart(""),
        &["--iso", far.as_str(), "--name", "other"],
    ));
    assert_refused(&outcome, 2, NO_SOURCE);
    assert!(site.mirror.requests_for("/far.iso").is_empty());
    // One that is not what the list says leaves nothing.
    let mut altered = bytes;
    altered[6 << 20] ^= 1;
    site.mirror.put("/bad/far.iso", altered);
    site.mirror.put(
        "/bad/CHECKSUM",
        format!("SHA256 (far.iso) = {}\n", sha256(b"x")),
    );
    let bad = site.mirror.url("/bad/far.iso");
    let outcome = run(install(&site, &kickstart(""), &["--iso", bad.as_str()]));
    let words = "the checksum that is implanted in the image";
    assert_refused(&outcome, outcome.status, words);
    let parts = std::fs::read_dir(site.path("cache/v1/parts"))
        .unwrap()
        .count();
    assert_eq!(parts, 0);
}

#[test]
fn an_interruption_is_heard_while_an_image_is_read() {
    let site = Site::bare("stop");
    let iso = disc(&site, "a.iso", TREEINFO, &[]);
    // As large as a disc of Blu-ray, and longer to read than anybody waits.
    let file = std::fs::OpenOptions::new().write(true).open(iso).unwrap();
    file.set_len(120 << 30).unwrap();
    let mut running = start(install(&site, &kickstart(""), &["--iso", "a.iso"]));
    running.wait_for("verifying a.iso");
    let asked = Instant::now();
    running.signal("INT");
    let outcome = running.wait();
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(outcome.status, 130, "{}", outcome.stderr);
}

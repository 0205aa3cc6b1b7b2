//! Oz's commands by their names, as the scripts of its users call them.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support;
use crate::support::disk::Disk;
use crate::support::site::{Outcome, Site, bootable, kickstart, run};

const NAMES: [&str; 5] = [
    "oz-install",
    "oz-customize",
    "oz-generate-icicle",
    "oz-cleanup-cache",
    "oz-examine",
];

/// A user without any rights: `nobody`.
const ORDINARY: u32 = 65534;

/// Links with Oz's names, in a directory of the site.
fn links(site: &Site, program: &Path) -> PathBuf {
    let bin = site.path("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in NAMES.iter().chain(&["ozr"]) {
        std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
    }
    bin
}

/// A place with the links, a template, a kickstart, and Oz's configuration in the user's home.
fn place(name: &str) -> Site {
    let site = Site::bare(name);
    links(&site, Path::new(env!("CARGO_BIN_EXE_ozr")));
    site.write_template();
    site.write("my.ks", &bootable(""));
    std::fs::create_dir(site.path("home/.oz")).unwrap();
    site.write(
        "home/.oz/oz.cfg",
        "[paths]\noutput_dir = ~/images\ndata_dir = ~/data\n",
    );
    std::fs::create_dir(site.path("home/images")).unwrap();
    site
}

/// Runs a script with Oz's commands in its path.
fn shell(site: &Site, script: &str) -> Outcome {
    let of_ozr = site.ozr();
    let mut command = Command::new("sh");
    let path = format!(
        "{}:{}",
        site.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    for (name, value) in of_ozr.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["-c", script]).env("PATH", path);
    command.env("NAME", &site.name).current_dir(site.path("."));
    run(command)
}

/// How scripts in public repositories call `oz-install`: what each of them asks for is understood, down to
/// the file that it goes on with. A directory in that file's place ends each call before a guest is needed.
#[test]
fn scripts_go_on_as_they_are() {
    let site = place("idioms");
    let raw = "[libvirt]\nimage_type = raw\n[paths]\noutput_dir = ~/images\ndata_dir = ~/data\n";
    site.write("oz-rawcfg", raw);
    let qcow2 = "[paths]\noutput_dir = OUT\ndata_dir = ~/data\n[libvirt]\ncpus = 2\nmemory = 3072\nimage_type = qcow2\n[cache]\noriginal_media = no\n";
    let qcow2 = qcow2.replace("OUT", &site.out().display().to_string());
    site.write("oz.cfg", &qcow2);
    for (script, file) in [
        // The image is converted afterwards, by the name that it has in the output directory.
        (
            "oz-install -p -u -d3 -a my.ks template.tdl -t 12000",
            "home/images/NAME.dsk",
        ),
        (
            "oz-install -a my.ks -c oz.cfg -d 2 -f -p template.tdl",
            "out/NAME.qcow2",
        ),
        // The XML has a name of its own; its <source> names the image.
        (
            "oz-install -t 50000 -u -d3 -x my.xml -a my.ks template.tdl",
            "my.xml",
        ),
        (
            "rm -f home/images/$NAME.dsk; oz-install -a my.ks template.tdl -c oz-rawcfg  -d3 -t 7200",
            "home/images/NAME.dsk",
        ),
        (
            "oz-install -d4 -t6000 -u template.tdl -a my.ks",
            "home/images/NAME.dsk",
        ),
        (
            "DEBUG=-d3; oz-install -u ${DEBUG} template.tdl -a my.ks -x $NAME.xml",
            "NAME.xml",
        ),
        (
            "dir=\"`cat oz.cfg | grep output_dir | awk '{print $3}'`\"; test -d $dir/$NAME.qcow2 || exit 9; \
             oz-install -c oz.cfg -d3 -x my.xml -p -u template.tdl -a my.ks; if [ $? -eq 0 ]; then exit 8; fi; exit 2",
            "out/NAME.qcow2",
        ),
        (
            "oz-install -d3 -u template.tdl -x tmp.xml \\\n  -p -a my.ks -c oz.cfg -t 1800",
            "tmp.xml",
        ),
        (
            "oz-install -d3 -u template.tdl -a my.ks -x other.xml -s /$PWD/my.img -pgi list.xml",
            "list.xml",
        ),
        (
            "oz-install -ug template.tdl -a my.ks",
            "home/images/NAME.dsk.icicle.xml",
        ),
    ] {
        let file = site.path(&file.replace("NAME", &site.name));
        std::fs::create_dir(&file).unwrap();
        let outcome = shell(&site, script);
        outcome.assert_failed(2, &[&file.display().to_string(), "directory"]);
        assert_eq!(outcome.stdout, "", "{script}");
        std::fs::remove_dir(&file).unwrap();
    }
}

/// What Oz's users get wrong, with Oz, too.
#[test]
fn mistakes_are_answered() {
    let site = place("mistakes");
    site.write("vdi.cfg", "[libvirt]\nimage_type = vdi\n");
    site.write("empty.xml", "<domain><devices/></domain>");
    let adding = std::fs::read_to_string(site.path("template.tdl")).unwrap();
    let adding = adding.replace("<disk>", "<packages><package name='vim'/></packages><disk>");
    site.write("adding.tdl", &adding);
    for (script, says) in [
        (
            "oz-install -d3 -u my.ks template.tdl",
            "write `oz-install -u -a my.ks template.tdl`",
        ),
        (
            "oz-install template.tdl my.ks",
            "write `oz-install -u -a my.ks template.tdl`",
        ),
        (
            "oz-install -u template.tdl other.tdl",
            "other.tdl is a second one",
        ),
        ("oz-install -i list.xml template.tdl -a my.ks", "add -g"),
        (
            "oz-install -x template.tdl -a my.ks template.tdl",
            "are the same file",
        ),
        (
            "oz-install -c vdi.cfg -a my.ks template.tdl",
            "vdi.cfg:2:14",
        ),
        (
            "oz-install -c missing.cfg -a my.ks template.tdl",
            "missing.cfg",
        ),
        ("oz-install", "Usage: oz-install"),
        ("oz-install -q template.tdl", "Usage: oz-install"),
        (
            "oz-generate-icicle template.tdl",
            "Usage: oz-generate-icicle",
        ),
        ("oz-generate-icicle template.tdl my.ks", "my.ks"),
        ("oz-examine missing.qcow2", "missing.qcow2"),
        ("oz-customize template.tdl", "Usage: oz-customize"),
        ("oz-customize template.tdl my.ks", "adds nothing"),
        (
            "oz-customize adding.tdl my.ks",
            "does not begin as a disk does",
        ),
        ("oz-customize adding.tdl missing.xml", "missing.xml"),
        (
            "oz-customize adding.tdl empty.xml",
            "empty.xml: it names no disk",
        ),
    ] {
        let outcome = shell(&site, script);
        outcome.assert_failed(2, &[says]);
        assert_eq!(outcome.stdout, "", "{script}");
    }
    let help = shell(&site, "oz-install -h");
    assert_eq!(help.status, 0);
    assert!(
        help.stdout.contains("Usage: oz-install [OPTIONS] <TDL>"),
        "{}",
        help.stdout
    );
}

/// The kinds of Oz's own examples (its `examples/` and oz-examples(1)), which are of releases of their time: each is
/// told what of it cannot be, and where a release of today stands in its place, it goes on to the mirror.
#[test]
fn the_examples_of_oz_are_answered() {
    let site = place("examples");
    let (dead, there) = ("http://127.0.0.1:1", site.mirror.url("/os/").to_string());
    let url = |base: &str| format!("<install type='url'><url>{base}/os</url></install>");
    let iso = |address: &str, more: &str| {
        format!("<install type='iso'><iso>{address}</iso>{more}</install>")
    };
    let dvd = format!("{dead}/dvd.iso");
    // Not below the template's directory, which Oz does not ask for.
    let other = tempfile::tempdir().unwrap();
    let elsewhere = other.path().join("not-here.iso");
    std::fs::write(&elsewhere, "no image").unwrap();
    let elsewhere = format!("file://{}", elsewhere.display());
    let extras = "<extras><file source='ftp://h/f' destination='d/f'/></extras>";
    let directory = "<extras><directory source='ftp://h/d' destination='d'/></extras>";
    let ports = "<repositories><repository name='more'><url>http://127.0.0.1:1/$basearch</url><signed>yes</signed><persisted>no</persisted></repository></repositories>\
        <packages><package name='one'/></packages>";
    let remote = format!("<files><file name='/etc/x' type='url'>\n{there}x\n</file></files>");
    for (system, install, more, status, says) in [
        // As they stand.
        (
            "Fedora 12 i386",
            url(dead),
            "",
            2,
            "ozr does not install Fedora 12",
        ),
        (
            "Fedora 14 i386",
            iso("file:///no.iso", ""),
            "",
            2,
            "ozr does not install Fedora 14",
        ),
        (
            "Fedora 18 i386",
            iso(&dvd, extras),
            "",
            2,
            "<extras> is not used",
        ),
        (
            "Fedora 18 i386",
            iso(&dvd, directory),
            "",
            2,
            "ozr does not install Fedora 18",
        ),
        (
            "Fedora 18 i386",
            url(dead),
            "<disk><size>20</size></disk>",
            2,
            "Fedora 29 and later",
        ),
        (
            "RHEL-5 U6 x86_64",
            iso(&dvd, ""),
            "",
            2,
            "ozr does not install",
        ),
        (
            "OpenSUSE 11.3 i386",
            url(dead),
            "",
            2,
            "does not install `OpenSUSE`",
        ),
        (
            "Ubuntu 9.10 i386",
            iso(&dvd, ""),
            "",
            2,
            "does not install `Ubuntu`",
        ),
        (
            "Windows 2000 i386",
            iso(&dvd, ""),
            "",
            2,
            "does not install `Windows`",
        ),
        (
            "FreeBSD 10.0 x86_64",
            iso(&dvd, ""),
            "",
            2,
            "does not install `FreeBSD`",
        ),
        // With a release of today.
        ("Fedora 41 x86_64", url(dead), &remote, 4, "127.0.0.1"),
        (
            "Fedora 41 x86_64",
            iso(&elsewhere, ""),
            "",
            4,
            "is no ISO image: it has 8 bytes",
        ),
        (
            "Fedora 41 x86_64",
            iso(&dvd, extras),
            "",
            4,
            "<extras> is not used",
        ),
        ("RHEL-6 1 x86_64", iso(&dvd, ""), ports, 4, "dvd.iso"),
        (
            "RHEL-6 1 x86_64",
            iso(&dvd, ""),
            "<files><file name='/etc/x'>THIS=data</file></files>",
            4,
            "dvd.iso",
        ),
        (
            "RHEL-9 6 x86_64",
            iso(&dvd, ""),
            "<files><file name='/etc/x' type='base64'>VEhJUwo=</file></files>",
            4,
            "dvd.iso",
        ),
    ] {
        let mut words = system.split(' ');
        let mut word = || words.next().unwrap();
        let key = if system.starts_with("Windows") {
            "<key>k</key>"
        } else {
            ""
        };
        let template = format!(
            "<template><name>example</name><os><name>{}</name><version>{}</version><arch>{}</arch>\n\
             {install}<rootpw>secret</rootpw>{key}</os>\n<description>An example</description>\n{more}</template>",
            word(),
            word(),
            word()
        );
        site.write("example.tdl", &template);
        for call in ["oz-install -u", "oz-install -g", "oz-install"] {
            let outcome = shell(&site, &format!("{call} example.tdl"));
            assert_eq!(outcome.status, status, "{system}: {}", outcome.stderr);
            assert!(
                outcome.stderr.contains(says),
                "{system}: {}",
                outcome.stderr
            );
            assert_eq!(outcome.stdout, "", "{template}");
        }
    }
}

/// The mirror is asked only after all that; that it cannot be used is no success.
#[test]
fn a_failure_is_no_success() {
    let site = place("failure");
    let outcome = shell(&site, "oz-install -a my.ks template.tdl; test $? -eq 4");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

/// Builders write a name that Oz knows above the tree of a release that it does not.
#[test]
fn the_tree_decides_what_is_installed() {
    let mut site = place("tree");
    site.kernelparam = "console=tty0 inst.usefbx".to_owned();
    let template = std::fs::read_to_string(site.write_template()).unwrap();
    let tree = |family: &str, version: &str, arch: &str| {
        let text = format!(
            "[general]\nfamily = {family}\nversion = {version}\narch = {arch}\n\n[images-{arch}]\n\
             kernel = images/kernel.img\ninitrd = images/initrd.img\n"
        );
        site.mirror.put("/os/.treeinfo", text);
    };
    let write = |name: &str, version: &str, arch: &str| {
        let text = template
            .replace("Rocky-9", name)
            .replace("9.0", version)
            .replace("x86_64", arch);
        site.write("template.tdl", &text);
    };
    // EL 10 has no `ntpservers` any more, and CentOS Stream 9 has.
    let old = kickstart("").replace("--utc", "--utc --ntpservers=ntp.example.com");
    site.write("my.ks", &old);
    let check = "oz-install -a my.ks -x my.xml template.tdl";
    let decides = "though the template says";

    tree("AlmaLinux Kitten", "10", "s390x");
    write("CentOS-9", "1", "s390x");
    let outcome = shell(&site, check);
    outcome.assert_failed(
        2,
        &[
            "the tree is of AlmaLinux 10, ",
            decides,
            "CentOS-9, version 1",
            "--ntpservers",
        ],
    );
    let mut online = site.ozr();
    online.args(["check", "--online", "template.tdl", "my.ks"]);
    run(online).assert_failed(
        2,
        &["the tree is of AlmaLinux 10, ", decides, "--ntpservers"],
    );

    // Their name is not worth a warning where nothing depends on it.
    tree("Rocky Linux", "9.6", "x86_64");
    write("CentOS-9", "1", "x86_64");
    let outcome = shell(&site, check);
    assert!(
        outcome
            .stderr
            .contains("the tree is of Rocky Linux 9.6, and"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains(decides) && !outcome.stderr.contains("--ntpservers is"));

    site.write("my.ks", &bootable(""));
    tree("Rocky Linux", "10.0", "x86_64");
    write("Fedora", "40", "x86_64");
    let outcome = shell(&site, check);
    outcome.assert_failed(4, &["the tree is of Rocky Linux 10.0, ", decides]);

    // What is said of a name that is known nowhere is not of interest where the tree says more.
    tree("AlmaLinux", "9.6", "x86_64");
    write("MyLinux", "1", "x86_64");
    shell(&site, check).assert_failed(4, &["the tree is of AlmaLinux 9.6, ", decides]);
    // A tree that says nothing decides nothing.
    tree("MyLinux", "9.6", "x86_64");
    shell(&site, check).assert_failed(2, &["template.tdl:4:"]);
}

#[test]
fn the_cache_is_emptied_when_that_is_right() {
    let site = place("cleanup");
    let outcome = shell(&site, "oz-cleanup-cache -f");
    assert_eq!(outcome.status, 0);
    assert!(
        outcome.stderr.contains("there is no cache at"),
        "{}",
        outcome.stderr
    );
    // Something to remove.
    site.mirror.put("/os/.treeinfo", "[general]\n");
    let cache = site.path("home/data/ozr");
    let list = "oz-install -a my.ks template.tdl; find home/data/ozr -type f | wc -l";
    shell(&site, list);
    assert!(cache.is_dir());
    let outcome = shell(&site, "echo n | oz-cleanup-cache");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, ""));
    assert!(
        outcome.stderr.contains("Remove what is cached in"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("removed"), "{}", outcome.stderr);
    for script in ["echo y | oz-cleanup-cache", "oz-cleanup-cache -f"] {
        let outcome = shell(&site, script);
        assert_eq!(outcome.status, 0);
        assert!(
            outcome.stderr.contains("removed"),
            "{script}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn a_configuration_is_translated() {
    let site = place("translate");
    let translate = |file: &str| {
        let mut command = site.ozr();
        command.args(["config", "from-oz", file]);
        run(command)
    };
    site.write(
        "oz.cfg",
        "[libvirt]\ncpus = 2\nimage_type = qcow2\n\n[cache]\njeos = yes\n",
    );
    let outcome = translate("oz.cfg");
    outcome.assert_done();
    let toml = outcome.stdout;
    assert!(
        toml.starts_with("vcpus = 2\nformat = \"qcow2\"\n# [cache] jeos is not used: "),
        "{toml}"
    );
    // It is a configuration.
    let named = site.write("ozr.toml", &toml).display().to_string();
    let mut command = site.ozr();
    command.args(["cache", "list", "--cache-dir", "cache", "-c", &named]);
    run(command).assert_done();
    for (text, says) in [
        ("[libvirt]\ncpus = -1\n", "oz.cfg:2:8"),
        ("memory = 3\n", "not Oz's configuration"),
        ("[libvirt]\nnonsense", "oz.cfg:2:1"),
    ] {
        site.write("oz.cfg", text);
        translate("oz.cfg").assert_failed(2, &[says]);
    }
}

/// An install as AlmaLinux's builders call it, and then what Oz's users do with what it leaves.
#[test]
#[ignore = "long"]
fn an_install_and_what_comes_after_it() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("ozinstall") else {
        return;
    };
    site.additions = format!(
        "<description>A test</description>\n<files><file name='/usr/bin/dnf'>{DNF}</file></files>\n\
         <commands><command name='dnf'>chmod 755 /usr/bin/dnf</command></commands>"
    );
    site.write_template();
    site.write("my.ks", &bootable(""));
    let config = format!(
        "[paths]\noutput_dir = {}\ndata_dir = {}\n[libvirt]\ncpus = 1\nmemory = 2048\nimage_type = qcow2\n",
        site.out().display(),
        site.path("home/data").display()
    );
    site.write("oz.cfg", &config);
    site.as_user(ORDINARY);
    // A copy of the program that every user can run.
    run({
        let mut command = site.ozr();
        command.arg("--version");
        command
    })
    .assert_done();
    links(&site, &site.path("ozr"));
    let script = "oz-install -a ../my.ks -c ../oz.cfg -d 2 -f -p -u -g ../template.tdl";
    let script = format!(
        "cd home && exec setpriv --reuid {ORDINARY} --regid {ORDINARY} --clear-groups env XDG_STATE_HOME=$PWD/state {script}"
    );
    let outcome = shell(&site, &script);
    outcome.assert_done();
    let (list, xml) = outcome.stdout.split_once("</icicle>\n").unwrap();
    assert!(list.contains("<description>A test</description>"), "{list}");
    assert!(list.contains("<package name=\"bash-"), "{list}");
    let xml = xml
        .strip_prefix("Libvirt XML was written to ")
        .unwrap()
        .trim_end();
    assert!(xml.starts_with(&site.name) && xml.contains('_'), "{xml}");
    let xml = site.path("home").join(xml);
    // The image is where Oz would have put it, and the XML names it.
    let text = std::fs::read_to_string(&xml).unwrap();
    let image = site.output("qcow2");
    assert!(
        text.contains(&format!("<source file=\"{}\"/>", image.display())),
        "{text}"
    );
    let qemu = shell(
        &site,
        &format!("qemu-img info {} | grep 'file format'", image.display()),
    );
    assert_eq!(qemu.stdout, "file format: qcow2\n");
    // The list of the packages is the same from the image.
    let again = shell(
        &site,
        &format!(
            "oz-generate-icicle -c oz.cfg template.tdl {}",
            xml.display()
        ),
    );
    again.assert_done();
    assert_eq!(again.stdout, format!("{list}</icicle>\n"));
    // What the template's own command says of each is asked of the system, in a copy of the image.
    let before = std::fs::read(&image).unwrap();
    site.icicle = "rpm -qa --qf '%{ARCH}\\n'".to_owned();
    site.write_template();
    site.write("ours.toml", OURS);
    let told = shell(
        &site,
        &format!(
            "oz-generate-icicle -c ours.toml template.tdl {} -d 0",
            xml.display()
        ),
    );
    told.assert_done();
    let entries = told.stdout.matches("<package name=\"bash-").count();
    assert_eq!(entries, 1, "{}", told.stdout);
    let of_arch = told.stdout.matches("<extra>x86_64</extra>").count();
    let packages = told.stdout.matches("<package ").count();
    assert!(of_arch > packages / 2, "{}", told.stdout);
    assert_eq!(std::fs::read(&image).unwrap(), before);
    site.icicle.clear();
    site.write_template();
    let examined = shell(&site, &format!("oz-examine -c oz.cfg {}", xml.display()));
    examined.assert_done();
    assert!(examined.stdout.contains("x86_64"), "{}", examined.stdout);
    customise(&mut site, &image, &xml);
}

/// What guests of the test have.
const OURS: &str = "cache-dir = \"home/data\"\nstate-dir = \"state\"\nmemory = 2048\nvcpus = 1\n";

/// What stands in for dnf in the stand-in's images: the newest idea of it is `rpm -i`.
const DNF: &str = r#"#!/bin/sh
set -e
[ "$1 $2" = "-y install" ]
shift 2
for name in "$@"; do
    for url in $(sed -n 's/^baseurl=//p' /etc/yum.repos.d/*.repo); do
        list=$(curl -fsS "$url/repodata/names")
        rpm -i --nodeps "$url/Packages/$(echo "$list" | grep "^$name-[0-9]")"
    done
done
"#;

/// Oz's command changes the image in its place; what fails changes nothing.
fn customise(site: &mut Site, image: &Path, xml: &Path) {
    let tree = support::tree::tree().unwrap();
    let packages = std::fs::read_dir(tree.join("os/Packages")).unwrap();
    let names = packages.map(|entry| entry.unwrap().file_name().into_string().unwrap() + "\n");
    site.mirror
        .put("/os/repodata/names", names.collect::<String>());
    let url = site.mirror.url("/os/").to_string();
    site.additions = format!(
        "<packages><package name='tree'/></packages>
        <repositories><repository name='ours'><url>{url}</url><signed>no</signed><persisted>no</persisted></repository></repositories>
        <files><file name='/etc/motd'>it's %end</file></files>
        <precommands><command name='before'>test ! -e /usr/bin/tree; echo yes > /etc/before</command></precommands>
        <commands><command name='after'>echo \"$(cat /etc/motd)\" said tree $(command -v tree); sleep 999 &amp;</command></commands>"
    );
    site.write_template();
    let outcome = shell(
        site,
        &format!("oz-customize -c ours.toml template.tdl {}", xml.display()),
    );
    outcome.assert_done();
    assert_eq!(outcome.stdout, "");
    let disk = Disk::open(image);
    assert_eq!(disk.text("/etc/before"), "yes\n");
    assert!(disk.exists("/usr/bin/tree"));
    assert_eq!(disk.text("/etc/motd"), "it's %end");
    assert!(!disk.exists("/etc/yum.repos.d/ours.repo"));
    // Nothing of ours stays, and the image is sealed.
    let root = disk.list("/");
    assert!(
        !root.iter().any(|name| name.starts_with(".ozr")),
        "{root:?}"
    );
    assert_eq!(disk.text("/etc/machine-id"), "");
    let log = std::fs::read_to_string(site.output("console.log")).unwrap();
    assert!(log.contains("it's %end said tree /usr/bin/tree\n"), "{log}");
    let manifest = std::fs::read_to_string(site.output("manifest.json")).unwrap();
    assert!(manifest.contains("\"name\": \"tree\""), "{manifest}");

    site.additions =
        "<commands><command name='bad'>echo so it goes; exit 3</command></commands>".to_owned();
    site.write_template();
    let before = std::fs::read(image).unwrap();
    let script = format!(
        "ozr customize -c ours.toml template.tdl {} --output new.raw",
        image.display()
    );
    shell(site, &script).assert_failed(
        1,
        &["command \"bad\" failed with exit status 3", "so it goes"],
    );
    assert_eq!(std::fs::read(image).unwrap(), before);
    assert!(!site.path("new.raw").exists());
    assert!(site.path("new.failed/console.log").exists());
}

//! Whole installs through the real thing: `ozr`, libvirt, QEMU, a mirror, and an installer that
//! does an installer's work. What should be in an image is looked for in the image.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support;
use crate::support::crafted;
use crate::support::daemon;
use crate::support::disk::Disk;
use crate::support::gnupg::Gnupg;
use crate::support::guest::Guest;
use crate::support::is_root;
use crate::support::site::{Outcome, Site, bootable, kickstart, run, start};

/// A user without any rights: `nobody`.
const ORDINARY: u32 = 65534;

fn manifest(site: &Site) -> serde_json::Value {
    let text = std::fs::read_to_string(site.output("manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn assert_sums(site: &Site) {
    let sums = format!("{}.CHECKSUM", site.name);
    let checked = Command::new("sha256sum")
        .args(["-c", &sums])
        .current_dir(site.out())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

/// The image is there, is the only thing on stdout, and nothing else is left.
fn assert_finished(site: &Site, outcome: &Outcome, format: &str) {
    outcome.assert_done();
    let image = site.output(format);
    assert_eq!(outcome.stdout, format!("{}\n", image.display()));
    let map = ["raw.bmap"].into_iter().filter(|_| format == "raw");
    let formats: Vec<&str> = map.chain([format]).collect();
    site.assert_built(outcome, &formats);
    assert_sums(site);
}

/// The case that ozr was asked for: a kickstart of an admin's own, unchanged, with its own
/// sources, a custom package, and a `%post` that asks a file server; and a template that adds to
/// all of it.
#[test]
fn a_kickstart_with_sources_and_post_and_a_template_that_adds_to_it() {
    let Some(mut site) = Site::new("rocky") else {
        return;
    };
    site.serve_packed_kernel();
    site.mirror
        .put("/files/app.conf", "listen = 8080\n# ünïcode and a tab\t\n");
    site.mirror.put(
        "/files/setup.sh",
        "#!/bin/sh\nset -e\necho \"set up by $0\" > /etc/setup-was-here\n",
    );
    let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    site.mirror.put("/files/blob", binary.clone());
    site.additions = format!(
        r#"<packages><package name="tree"/></packages>
        <repositories>
          <repository name="extra stuff">
            <url>{url}/custom/</url><signed>no</signed><persisted>no</persisted>
          </repository>
          <repository name="kept"><url>{url}/os/</url><signed>yes</signed></repository>
        </repositories>
        <files>
          <file name="/etc/motd" type="raw">Welcome, "quotes" &amp; $dollars
%end is not the end</file>
          <file name="/opt/some where/blob" type="url">{blob}</file>
          <file name="/etc/encoded" type="base64">aGVsbG8g
            d29ybGQK</file>
        </files>
        <precommands><command name="first">echo first >> /root/order</command></precommands>
        <commands>
          <command name="third" position="2">cat /etc/motd > /root/motd-was; echo third >> /root/order
echo 'Kernel panic - not syncing: says a command, and test-only'</command>
          <command name="second" position="1">#!/bin/bash
%end
echo second >> /root/order</command>
        </commands>"#,
        url = site.guest_url(""),
        blob = site.mirror.url("/files/blob"),
    )
    // A line of a script that would end a kickstart's section, were it pasted; the shell says
    // that there is no such job, and goes on.
    .replace("#!/bin/bash\n%end\n", "#!/bin/bash\n: &lt;&lt;X\n%end\nX\n");
    let files = site.guest_url("/files");
    let text = format!(
        "install_source_is_below=1\n{}",
        bootable(&format!(
            "%packages\ncorp-agent\n-nano\n%end\n\
             %post --erroronfail --log=/root/post.log\nset -ex\n\
             curl -sSf -o /etc/app.conf {files}/app.conf\n\
             curl -sSf -o /usr/local/sbin/setup.sh {files}/setup.sh\n\
             chmod 755 /usr/local/sbin/setup.sh\n/usr/local/sbin/setup.sh\n\
             systemctl enable corp-agent.service\nuseradd -m -s /bin/bash deploy\n%end\n"
        ))
    )
    .replace(
        "install_source_is_below=1\n",
        &format!(
            "url --url={}\nrepo --name=updates --baseurl={}\nrepo --name=corp --baseurl={}\n",
            site.guest_url("/os/"),
            site.guest_url("/os/"),
            // The guest does not get to this host's loopback: ozr's server stands for it.
            site.mirror.url("/custom/")
        ),
    );
    let outcome = run(site.install(&text));
    assert_finished(&site, &outcome, "qcow2");

    // What the kickstart says.
    let disk = Disk::open(&site.output("qcow2"));
    assert_eq!(
        disk.text("/etc/app.conf"),
        "listen = 8080\n# ünïcode and a tab\t\n"
    );
    assert_eq!(
        disk.text("/etc/setup-was-here"),
        "set up by /usr/local/sbin/setup.sh\n"
    );
    assert!(disk.stat("/usr/local/sbin/setup.sh").contains("0755"));
    assert!(disk.text("/etc/passwd").contains("\ndeploy:"));
    assert!(disk.exists("/home/deploy"));
    assert!(disk.exists("/etc/systemd/system/multi-user.target.wants/corp-agent.service"));
    // What the template adds.
    assert_eq!(
        disk.text("/etc/motd"),
        "Welcome, \"quotes\" & $dollars\n%end is not the end"
    );
    assert!(
        disk.stat("/etc/motd").contains("0644"),
        "{}",
        disk.stat("/etc/motd")
    );
    assert_eq!(disk.read("/opt/some where/blob").unwrap(), binary);
    assert_eq!(disk.text("/etc/encoded"), "hello world\n");
    assert_eq!(disk.text("/root/order"), "first\nsecond\nthird\n");
    assert_eq!(disk.text("/root/motd-was"), disk.text("/etc/motd"));
    let repositories = disk.list("/etc/yum.repos.d");
    assert!(
        repositories.iter().any(|name| name.contains("kept")),
        "{repositories:?}"
    );
    assert!(
        !repositories.iter().any(|name| name.contains("extra")),
        "{repositories:?}"
    );
    let kept = repositories
        .iter()
        .find(|name| name.contains("kept"))
        .unwrap();
    let kept = disk.text(&format!("/etc/yum.repos.d/{kept}"));
    assert!(
        kept.contains(&site.guest_url("/os/")) && kept.contains("gpgcheck=1"),
        "{kept}"
    );
    // Nothing of ours is left: not in the kept kickstarts, not beside them.
    for copy in ["/root/original-ks.cfg", "/root/anaconda-ks.cfg"] {
        let text = disk.text(copy);
        assert!(text.contains("useradd -m"), "{copy}: {text}");
        assert!(!text.contains("ozr"), "{copy}: {text}");
    }
    assert_eq!(disk.text("/root/original-ks.cfg"), text);
    assert!(!disk.list("/").iter().any(|name| name.contains("ozr")));
    // What a command printed is kept, whatever it is.
    let console = std::fs::read_to_string(site.output("console.log")).unwrap();
    let printed = "\nozr| Kernel panic - not syncing: says a command, and ";
    assert!(console.contains(printed), "{console}");
    // What was built of what.
    let manifest = manifest(&site);
    assert_eq!(manifest["release"]["name"], "Rocky-9");
    assert_eq!(manifest["tree"]["kernel"]["verified"], true);
    assert_eq!(manifest["image"]["virtual_size"], 4_u64 << 30);
    let phases: Vec<&str> = manifest["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["name"].as_str().unwrap())
        .collect();
    assert!(
        phases.contains(&"packages") && phases.contains(&"post-scripts"),
        "{phases:?}"
    );
    // No password in what anybody may read.
    for file in ["manifest.json", "xml", "served.ks", "console.log"] {
        let text = std::fs::read_to_string(site.output(file)).unwrap();
        assert!(!text.contains("test-only"), "{file}");
    }

    // And once more, in the system that boots from it.
    let mut guest = Guest::boot(&site.output("qcow2"), false);
    guest.log_in("root", "test-only");
    // The packages are those that RPM itself finds there.
    let mut packages: Vec<String> = manifest["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let text = |field: &str| package[field].as_str().unwrap().to_owned();
            let (name, arch) = (text("name"), text("arch"));
            format!("{name}-{}-{}.{arch}\n", text("version"), text("release"))
        })
        .collect();
    packages.sort();
    assert_eq!(
        guest.run("rpm -qa --qf '%{NVRA}\\n' | LC_ALL=C sort | sha256sum | cut -c 1-64"),
        ozr::hex::sha256(packages.concat())
    );
    assert_eq!(
        guest.run("rpm -q corp-agent tree >/dev/null && echo installed"),
        "installed"
    );
    assert_eq!(guest.run("rpm -q nano >/dev/null || echo absent"), "absent");
    assert_eq!(
        guest.run("systemctl is-enabled corp-agent.service"),
        "enabled"
    );
    assert_eq!(
        guest.run("cat /run/corp-agent.started >/dev/null && echo started"),
        "started"
    );
    assert_eq!(guest.run("id -un deploy"), "deploy");
    assert_eq!(guest.run("cat /etc/encoded"), "hello world");
    assert_eq!(
        guest.run("sha256sum '/opt/some where/blob' | cut -c1-64"),
        support::mirror::sha256(&binary)
    );
    assert_eq!(guest.run("hostname"), "test.example.com");
}

/// Kickstart and contents are in the initrd. And the console's log is read by people: it is text.
#[test]
#[ignore = "long"]
fn the_kickstart_in_the_initrd() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("initrd") else {
        return;
    };
    site.additions = r#"<files><file name="/etc/embedded" type="base64">AAECAwQF/w==</file></files>
        <commands><command name="c">echo ran > /root/ran</command></commands>"#
        .to_string();
    // Only the installer itself comes through our server: the tree is on our loopback.
    let text = kickstart(&format!("url --url={}\n", site.guest_url("/os/")));
    let mut command = site.install(&text);
    command.args(["--deliver", "initrd"]);
    let outcome = run(command);
    assert_finished(&site, &outcome, "qcow2");
    let disk = Disk::open(&site.output("qcow2"));
    assert_eq!(disk.read("/etc/embedded").unwrap(), [0, 1, 2, 3, 4, 5, 255]);
    assert_eq!(disk.text("/root/ran"), "ran\n");
    let console = std::fs::read_to_string(site.output("console.log")).unwrap();
    assert!(console.contains("Installing boot loader"), "{console}");
    assert!(!console.contains('\u{1b}'), "escape sequences in the log");
}

#[test]
#[ignore = "long"]
fn a_uefi_guest_boots_its_image() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("uefi") else {
        return;
    };
    site.serve_packed_kernel();
    // An ending that would start the installer again, were the guest let.
    let mut command = site.install(&bootable("").replace("poweroff", "reboot"));
    command.args(["--firmware", "uefi", "--root-password", "env:OZR_TEST_ROOT"]);
    command.env("OZR_TEST_ROOT", "upon the 'kickstart's");
    let outcome = run(command);
    assert_finished(&site, &outcome, "qcow2");
    let served = std::fs::read_to_string(site.output("served.ks")).unwrap();
    for text in [&served, &outcome.stderr] {
        assert!(
            !text.contains("upon the") && !text.contains("$6$"),
            "{text}"
        );
    }
    assert!(
        outcome
            .stderr
            .contains("`rootpw` in line 6 of the kickstart is overridden")
    );
    assert_eq!(manifest(&site)["host"]["firmware"], "uefi");
    let mut guest = Guest::boot(&site.output("qcow2"), true);
    guest.log_in("root", "upon the 'kickstart's");
    assert_eq!(guest.run("test -d /sys/firmware/efi && echo uefi"), "uefi");
    assert_eq!(guest.run("grep -r upon /root /var/log; echo $?"), "1");
}

/// The kickstart that is built in, with the template's root password, which opens the system.
#[test]
#[ignore = "long"]
fn the_built_in_kickstart_takes_the_templates_password() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("builtin") else {
        return;
    };
    let refused = run(site.install_builtin());
    refused.assert_failed(2, &["--root-password", "<rootpw>"]);
    site.rootpw = Some("tem plate'$pw".to_string());
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA it's \"me\" #1";
    let mut command = site.install_builtin();
    command.arg("--ssh-key").arg(site.write("key.pub", key));
    let outcome = run(command);
    assert_finished(&site, &outcome, "qcow2");
    let served = std::fs::read_to_string(site.output("served.ks")).unwrap();
    assert!(
        !served.contains("tem plate") && !served.contains("$6$"),
        "{served}"
    );
    let mut guest = Guest::boot(&site.output("qcow2"), false);
    guest.log_in("root", "tem plate'$pw");
    assert_eq!(guest.run("grep ^root: /etc/shadow | cut -c1-8"), "root:$6$");
    assert_eq!(guest.run("cat /root/.ssh/authorized_keys"), key);
}

/// Two at once on one cache: each file is fetched once, both images are right, in the formats that were asked for, and hold
/// nothing of our server; the lock file of one repeats it without a mirror.
#[test]
#[ignore = "long"]
fn two_builds_at_once_share_the_cache() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("pair") else {
        return;
    };
    let install = |name: &str, arguments: &[&str]| {
        let mut command = site.install(&kickstart(""));
        command
            .args(["--name", name, "--package-cache", "auto"])
            .args(arguments);
        start(command)
    };
    let one = install("one", &["--compress", "zstd"]);
    let formats = "raw,azure,ova,rootfs,liveimg,wsl,oci";
    let two = install("two", &["--format", formats, "--seal"]);
    let (one, two) = (one.wait(), two.wait());
    one.assert_done();
    two.assert_done();
    for file in ["vmlinuz", "initrd.img"] {
        let fetched = site
            .mirror
            .requests_for(&format!("/os/images/pxeboot/{file}"));
        let whole = fetched
            .iter()
            .filter(|request| request.method == "GET")
            .count();
        assert_eq!(whole, 1, "{file}: {fetched:?}");
    }
    // Whatever the two guests took crossed the wire once.
    let mut taken: Vec<(String, String)> = site
        .mirror
        .requests()
        .into_iter()
        .filter(|request| request.method == "GET" && request.path.contains("/Packages/"))
        .map(|request| {
            (
                request.path,
                request.headers.get("range").cloned().unwrap_or_default(),
            )
        })
        .collect();
    let count = taken.len();
    taken.sort();
    taken.dedup();
    assert!(count > 5 && taken.len() == count, "{count}: {taken:?}");
    // Nothing tells of our server, not even where logs were that are gone (`two.raw` is as the sealed disk).
    let found = Command::new("grep")
        .args(["-aobE", ".{0,200}http://10[.]0[.]2[.]2:.{0,100}"])
        .arg(site.out().join("two.raw"))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&found.stdout);
    assert!(found.is_empty(), "{found}");
    let info = |path: &str| {
        let output = Command::new("qemu-img")
            .args(["info", "--output=json"])
            .arg(site.out().join(path))
            .output()
            .unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let qcow2 = info("one.qcow2");
    assert_eq!(qcow2["format-specific"]["data"]["compression-type"], "zstd");
    assert_eq!(qcow2["backing-filename"], serde_json::Value::Null);
    let raw = info("two.raw");
    assert_eq!(raw["format"], "raw");
    assert_eq!(raw["virtual-size"], 4_u64 << 30);
    assert!(
        raw["actual-size"].as_u64().unwrap() < 1 << 30,
        "it is sparse: {raw}"
    );
    let endings = [
        "raw",
        "vhd",
        "ova",
        "rootfs.tar.gz",
        "liveimg.tar.gz",
        "wsl",
        "oci.tar",
    ];
    let images = endings.map(|ending| format!("{}/two.{ending}\n", site.out().display()));
    assert_eq!(two.stdout, images.concat());
    let release = Command::new("tar")
        .args(["-xOf", "two.rootfs.tar.gz", "./etc/os-release"])
        .current_dir(site.out())
        .output()
        .unwrap();
    let disk = Disk::open(&site.out().join("two.raw"));
    assert_eq!(disk.read("/etc/os-release"), Some(release.stdout));
    let compared = Command::new("qemu-img")
        .args(["compare", "-f", "raw", "-F", "vpc", "two.raw", "two.vhd"])
        .current_dir(site.out())
        .status();
    assert!(compared.unwrap().success());
    let checked = Command::new("sha256sum")
        .args(["-c", "--quiet", "one.CHECKSUM", "two.CHECKSUM"])
        .current_dir(site.out())
        .status();
    assert!(checked.unwrap().success());
    assert!(Disk::open(&site.out().join("two.raw")).exists("/etc/os-release"));

    // The very set once more, of which no mirror is asked.
    site.mirror.forget();
    let lock = site.out().join("one.lock");
    let again = install("again", &["--offline", "--locked", lock.to_str().unwrap()]);
    again.wait().assert_done();
    assert!(
        site.mirror.requests().is_empty(),
        "{:?}",
        site.mirror.requests()
    );
    let packages = |name: &str| {
        let manifest = site.out().join(format!("{name}.manifest.json"));
        let text = std::fs::read(manifest).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let packages = manifest["packages"].as_array().unwrap().iter();
        let headers = packages.map(|package| package["header_sha256"].to_string());
        headers.collect::<Vec<String>>()
    };
    assert!(packages("one").len() > 5);
    assert_eq!(packages("again"), packages("one"));

    // A third build of a name that is there asks the mirror for nothing.
    let again = run({
        let mut command = site.install(&kickstart(""));
        command.args(["--name", "one"]);
        command
    });
    again.assert_failed(2, &["one.qcow2 exists already", "--force"]);
    assert_eq!(site.mirror.requests().len(), 0);
}

/// Served untouched: what the author wrote decides, and no mark proves the end.
#[test]
#[ignore = "long"]
fn a_verbatim_kickstart_as_an_ordinary_user() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("user") else {
        return;
    };
    if !is_root() {
        return;
    }
    site.as_user(ORDINARY);
    let text = kickstart("%post --erroronfail\necho verbatim > /root/verbatim\n%end\n");
    let mut command = site.install(&text);
    command.args(["--verbatim"]);
    let outcome = run(command);
    assert_finished(&site, &outcome, "qcow2");
    let disk = Disk::open(&site.output("qcow2"));
    assert_eq!(disk.text("/root/verbatim"), "verbatim\n");
    assert_eq!(disk.text("/root/original-ks.cfg"), text);
}

/// An ordinary user's own daemon, which starts by itself. Root has none.
#[test]
fn on_the_session_daemon() {
    let Some(mut site) = crafted::site("session", crafted::INSTALL) else {
        return;
    };
    site.serve_packed_kernel();
    if rustix::process::geteuid().is_root() {
        site.as_user(ORDINARY);
    }
    daemon::open_kvm();
    let mut command = site.install(&kickstart(""));
    command.args(["--connect", "qemu:///session", "--firmware", "uefi"]);
    let outcome = run(command);
    assert_finished(&site, &outcome, "qcow2");
    for entry in walk(&site.path("home")) {
        let is_nvram = entry.extension().is_some_and(|ending| ending == "fd");
        assert!(!is_nvram, "{entry:?} is left");
    }
    stop_session_daemon(&site);
}

/// It ends by itself after two minutes without a connection; the next test shall not find it.
fn stop_session_daemon(site: &Site) {
    let home = site.path("home").display().to_string();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if ["libvirtd", "virtqemud", "virtlogd"].contains(&name.trim())
            && String::from_utf8_lossy(&environment).contains(&home)
        {
            let _ = Command::new("kill").arg(entry.file_name()).status();
        }
    }
}

/// The system's daemon runs QEMU as a user of its own, which must reach this build's files and
/// nobody else's; and the domain that ozr writes down boots the image.
#[test]
#[ignore = "long"]
fn on_the_system_daemon_and_the_xml_boots() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("system") else {
        return;
    };
    site.serve_packed_kernel();
    let _turn = daemon::turn();
    let Some(_daemon) = daemon::start() else {
        return;
    };
    // The kickstart in the initrd makes a copy of it that is private; UEFI, a file of variables.
    let mut command = site.install(&bootable(""));
    command.args(["--connect", "qemu:///system"]);
    command.args(["--deliver", "initrd", "--firmware", "uefi"]);
    let outcome = run(command);
    assert_finished(&site, &outcome, "qcow2");
    assert_nothing_on_daemon(&site);
    assert_all_belong_to(&site, 0);

    daemon::virsh(&["define", &site.output("xml").display().to_string()]);
    let domain = site.name.clone();
    let log = site.path("boot.log");
    daemon::boot_defined(&domain, &log, "login:");
    daemon::virsh(&["destroy", &domain]);
    daemon::virsh(&["undefine", "--nvram", &domain]);
}

/// A user whom the daemon lets in owns what is built, too.
#[test]
fn on_the_system_daemon_as_an_ordinary_user() {
    let Some(mut site) = crafted::site("member", crafted::INSTALL) else {
        return;
    };
    let _turn = daemon::turn();
    let Some(_daemon) = daemon::start() else {
        return;
    };
    let Some(group) = daemon::group_for(ORDINARY) else {
        eprintln!("skipped: this process cannot become a user whom qemu:///system lets in");
        return;
    };
    site.as_user(ORDINARY);
    site.in_group(group);
    let mut command = site.install(&kickstart(""));
    command.args(["--connect", "qemu:///system"]);
    let outcome = run(command);
    assert_finished(&site, &outcome, "qcow2");
    assert_nothing_on_daemon(&site);
    assert_all_belong_to(&site, ORDINARY);
}

#[test]
fn on_the_system_daemon_a_closed_directory_is_named() {
    let Some(site) = Site::new("closed") else {
        return;
    };
    let _turn = daemon::turn();
    let Some(_daemon) = daemon::start() else {
        return;
    };
    for closed in [site.out(), site.path("cache")] {
        let mode = |mode| {
            std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(0o700);
        let mut command = site.install(&kickstart(""));
        command.args(["--connect", "qemu:///system"]);
        let outcome = run(command);
        let named = format!("chmod o+x {}", closed.display());
        outcome.assert_failed(3, &[&named, "--output-dir", "--cache-dir"]);
        // What libvirt said of it is kept.
        site.assert_clean(&outcome, &["failed"]);
        assert_nothing_on_daemon(&site);
        mode(0o755);
    }
}

/// A guest without a daemon is put on a network that the daemon knows.
#[test]
fn on_the_system_daemon_networks_are_found() {
    let Some(site) = Site::new("network") else {
        return;
    };
    let _turn = daemon::turn();
    let Some(_daemon) = daemon::start() else {
        return;
    };
    let mut command = site.install(&kickstart(""));
    command.args(["--network", "ozr-no-such"]);
    let outcome = run(command);
    outcome.assert_failed(3, &["libvirt has no network `ozr-no-such`"]);
    site.assert_clean(&outcome, &[]);
}

#[test]
fn on_the_system_daemon_an_interrupted_build_leaves_nothing() {
    let Some(site) = Site::new("stopped") else {
        return;
    };
    site.serve_packed_kernel();
    let _turn = daemon::turn();
    let Some(_daemon) = daemon::start() else {
        return;
    };
    let mut command = site.install(&kickstart(""));
    command.args(["--connect", "qemu:///system", "--firmware", "uefi"]);
    let mut running = start(command);
    running.wait_for("Linux version");
    running.signal("INT");
    let outcome = running.wait();
    outcome.assert_failed(130, &[]);
    site.assert_clean(&outcome, &["failed"]);
    assert_nothing_on_daemon(&site);
}

/// The daemon knows nothing of the site's guest, and neither do its directories.
fn assert_nothing_on_daemon(site: &Site) {
    let listed = daemon::virsh(&["list", "--all", "--name"]);
    assert!(!listed.contains(&site.name), "{listed}");
    for entry in walk(std::path::Path::new("/var/lib/libvirt/qemu")) {
        assert!(
            !entry.display().to_string().contains(&site.name),
            "{entry:?}"
        );
    }
}

/// Images and caches belong to whoever ran ozr; images are that user's alone.
fn assert_all_belong_to(site: &Site, uid: u32) {
    use std::os::unix::fs::MetadataExt;
    for entry in walk(&site.path("cache"))
        .into_iter()
        .chain(walk(&site.out()))
    {
        assert_eq!(std::fs::metadata(&entry).unwrap().uid(), uid, "{entry:?}");
    }
    let image = std::fs::metadata(site.output("qcow2")).unwrap();
    assert_eq!(image.mode() & 0o777, 0o600);
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The old kickstart of the product's original case: refused for RHEL 9, fixed by `ozr check
/// --fix`, and installed.
#[test]
fn the_original_kickstart_is_refused_fixed_and_installed() {
    let Some(site) = Site::new("original") else {
        return;
    };
    let old = include_str!("../fixtures/original/rocky-9.ks")
        .replace("http://mirror.example.com/os/", &site.guest_url("/os/"));
    let outcome = run(site.install(&old));
    outcome.assert_failed(2, &["`install` was removed", "delete the line"]);
    site.assert_clean(&outcome, &[]);

    let fixed = Command::new(env!("CARGO_BIN_EXE_ozr"))
        .args(["check", "--release", "RHEL9", "--fix"])
        .arg(site.write("old.ks", &old))
        .output()
        .unwrap();
    assert_eq!(fixed.status.code(), Some(0), "{fixed:?}");
    let text = String::from_utf8(fixed.stdout).unwrap();
    assert!(
        !text.contains("\ninstall\n") && text.contains("\npoweroff\n"),
        "{text}"
    );
    let outcome = run(site.install(&text));
    assert_finished(&site, &outcome, "qcow2");
    let disk = Disk::open(&site.output("qcow2"));
    assert_eq!(
        disk.text("/etc/image-note"),
        "built from the old kickstart\n"
    );
}

/// Nothing runs, nothing is left, and what is printed has no secrets.
#[test]
fn a_dry_run_says_what_the_guest_would_be_given() {
    let Some(mut site) = Site::new("dry") else {
        return;
    };
    site.additions = "<packages><package name=\"tree\"/></packages>".to_owned();
    let mut command = site.install(&kickstart("# of mine\n"));
    command.args(["--dry-run", "--report"]);
    command.arg(format!("junit={}", site.path("junit.xml").display()));
    let outcome = run(command);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let said = &outcome.stdout;
    let image = site.output("qcow2");
    for part in [
        "# The installer\n",
        "fetched into the cache\n",
        "# Repositories\n",
        &format!("# Images that would be made\n{}\n", image.display()),
        "\n# of mine\n",
        "\ntree\n",
        "<domain type=",
        "<kernel>",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("test-only"), "{said}");
    assert!(
        !outcome.stderr.contains("starting the guest"),
        "{}",
        outcome.stderr
    );
    assert!(!site.path("junit.xml").exists());
    site.assert_clean(&outcome, &[]);
    // Another finds all of it in the cache.
    let mut command = site.install(&kickstart(""));
    command.arg("--dry-run");
    let again = run(command);
    assert!(
        again.stdout.contains(", from the cache\n"),
        "{}",
        again.stdout
    );
    // Two kickstarts are one, and variables are filled in; secrets are shown to nobody.
    let more = site.write(
        "more.ks",
        "%post\necho ${greeting} ${shells}\necho ${word}\n%end\n",
    );
    let secrets = site.write(
        "set.toml",
        "[variables]\ngreeting = {}\nword = { secret = [\"printf\", \"s3cret-word\"] }\n",
    );
    let mut command = site.install(&kickstart(""));
    command.arg("--dry-run").arg("--config").arg(&secrets);
    command
        .arg("-k")
        .arg(&more)
        .args(["--set", "greeting=hello"]);
    let filled = run(command);
    assert!(
        filled.stdout.contains("\necho hello ${shells}\necho …\n"),
        "{} {}",
        filled.stdout,
        filled.stderr
    );
    assert!(!filled.stdout.contains("s3cret") && !filled.stderr.contains("s3cret"));

    // A finding is in the file that was written.
    let more = site.write("more.ks", "\nnonsense ${word}\n");
    let mut command = site.install(&kickstart(""));
    command
        .arg("--dry-run")
        .arg("--config")
        .arg(&secrets)
        .arg("-k")
        .arg(&more);
    let wrong = run(command);
    assert!(wrong.stderr.contains("more.ks:2:1"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("s3cret"), "{}", wrong.stderr);

    let mut command = site.install("nonsense\n");
    command.arg("--dry-run");
    let refused = run(command);
    assert_eq!(
        (refused.status, &*refused.stdout),
        (2, ""),
        "{}",
        refused.stderr
    );
}

/// A repository of which a key is given is verified before a guest is there; the guest never asks for it itself.
#[test]
fn what_must_be_signed_and_is_not_starts_no_guest() {
    let Some(site) = Site::new("signed") else {
        return;
    };
    let gnupg = Gnupg::make(&site.path("g"));
    let key = site.path("key.asc");
    std::fs::write(&key, gnupg.run(&["--armor", "--export"]).stdout).unwrap();
    // As the guest sees it; its repomd.xml is the tree's.
    let custom = site.guest_url("/custom/");
    let dry = |address: &str, line: &str| {
        let mut command = site.install(&kickstart(line));
        let key = format!("{address}={}", key.display());
        command.args(["--dry-run", "--repository-key", &key]);
        run(command)
    };
    let line = format!("repo --name=custom --baseurl={custom}\n");
    dry(&custom, &line).assert_failed(4, &["/custom/", "is not signed by a key of"]);
    let repomd = site.path("repomd.xml");
    let files = site.mirror.files().into_iter();
    let mut text = files.filter(|(path, _)| path == "/custom/repodata/repomd.xml");
    std::fs::write(&repomd, &**text.next().unwrap().1.body).unwrap();
    gnupg.run(&["--armor", "--detach-sign", repomd.to_str().unwrap()]);
    let signature = std::fs::read(site.path("repomd.xml.asc")).unwrap();
    site.mirror
        .put("/custom/repodata/repomd.xml.asc", signature);
    let good = dry(&custom, &line);
    assert_eq!(good.status, 0, "{}", good.stderr);
    let direct = line.replace("repo ", "repo --install ");
    dry(&custom, &direct).assert_failed(2, &["/custom/", "the guest asks for it itself"]);
    let nothing = dry(&site.guest_url("/cust"), &line);
    assert_eq!(nothing.status, 0, "{}", nothing.stderr);
    let said = "no repository of this build lies at";
    assert!(nothing.stderr.contains(said), "{}", nothing.stderr);
}

//! `ozr build`: a family of builds, what is said of them, and that none is left behind.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use ozr::error::Kind;
use serde_json::Value;

use crate::support::crafted;
use crate::support::disk::Disk;
use crate::support::site::{Outcome, Site, kickstart, run, start};

/// The family of the examples.
const NIGHTLY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nightly");

fn ozr(site: &Site, arguments: &[&str]) -> Outcome {
    let mut command = site.ozr();
    command.args(arguments);
    command.env("NIGHTLY_ROOT_PASSWORD", "a password");
    run(command)
}

/// A project of three builds: two that are good, and one whose tree is nowhere.
fn project(site: &Site, more: &str) {
    site.write_template();
    let template = std::fs::read_to_string(site.path("template.tdl")).unwrap();
    let template = template.replace("/os/<", "/${tree}/<");
    site.write("template.tdl", &template);
    site.write(
        "base.ks",
        &kickstart("%post --erroronfail\nset -e\necho '${role} ${word}' > /etc/role\nfor role in x; do :; done\n%end\n"),
    );
    site.write(
        "web.ks",
        "%post --erroronfail\nset -e\nx=1; echo \"${x} ${role}\" >> /etc/role\n%end\n",
    );
    site.write("word", "s3cret-word\n");
    site.write(
        "ozr.toml",
        &format!(
            "output-dir = \"out\"\ncache-dir = \"cache\"\nstate-dir = \"state\"\nmemory = {}\nvcpus = 1\n\
             no-seal = true\n{more}\n\
             [variables]\nword = {{ secret = \"file:word\" }}\n\
             [defaults]\ntemplate = \"template.tdl\"\nkickstart = [\"base.ks\", \"web.ks\"]\n\
             variables = {{ tree = \"os\" }}\n\
             [build.\"image-${{role}}\"]\nmatrix = {{ role = [\"web\", \"db\"] }}\n\
             [build.broken]\nvariables = {{ role = \"none\", tree = \"nowhere\" }}\n",
            site.memory
        ),
    );
}

#[test]
fn the_example_is_twelve_builds_that_are_right() {
    let site = Site::bare("nightly");
    let file = format!("{NIGHTLY}/ozr.toml");
    let listed = ozr(&site, &["build", &file, "--list", "--format", "json"]);
    assert_eq!(listed.status, 0, "{}", listed.stderr);
    let builds: Vec<Value> = listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(builds.len(), 12);
    assert_eq!(builds[0]["name"], "rocky-8-web-bios");
    assert_eq!(builds[11]["name"], "rocky-10-db-uefi");
    assert_eq!(builds[11]["variables"]["release"], "10");
    let image = builds[0]["image"].as_str().unwrap();
    assert_eq!(
        Path::new(image),
        Path::new(NIGHTLY).join("images/rocky-8-web-bios.qcow2")
    );

    // A name of outputs that stands outside of the builds' tables is filled, too: what is there is found there.
    let text = std::fs::read_to_string(NIGHTLY.to_owned() + "/ozr.toml").unwrap();
    let dir = site.path("of-a-Etc/UTC");
    let outside = text.replace("output-dir = \"images\"", "output-dir = \"of-a-${zone}\"");
    assert_ne!(text, outside);
    let outside = site.write("ozr.toml", &outside).display().to_string();
    let listed = ozr(&site, &["build", &outside, "--list"]);
    let image = dir.join("rocky-8-web-bios.qcow2").display().to_string();
    assert!(listed.stdout.contains(&image), "{listed:?}");

    let dry = ozr(&site, &["build", &file, "--dry-run"]);
    assert_eq!((dry.status, &*dry.stderr), (0, ""));
    assert_eq!(
        dry.stdout.matches("there is no image yet").count(),
        12,
        "{}",
        dry.stdout
    );

    let shown = ozr(&site, &["build", &file, "--show", "--only", "rocky-9-*"]);
    for part in [
        "# rocky-9-web-bios: kickstart\n",
        "<name>Rocky-9</name>",
        "systemctl enable \"${service}\"",
        "# rocky-9-web-uefi: template: as rocky-9-web-bios\n",
        "+echo \"Rocky Linux 9, uefi\" > \"${root}/release.txt\"\n",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let part = ozr(&site, &["build", &file, "--list", "--part", "2/5"]);
    let names: Vec<&str> = part
        .stdout
        .lines()
        .skip(1)
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        names,
        ["rocky-8-web-uefi", "rocky-9-db-bios", "rocky-10-db-uefi"]
    );
    let near = ozr(&site, &["build", &file, "--only", "rocky-9-web-bois"]);
    near.assert_failed(2, &["did you mean `rocky-9-web-bios`"]);
}

/// What the examples of a fleet say of exit statuses and of the family's size.
#[test]
fn the_fleet_knows_the_family_and_the_statuses() {
    let job = include_str!("../examples/fleet/kubernetes/job.yaml");
    let of = |kinds: &[Kind]| {
        let statuses = kinds.iter().map(|kind| kind.exit_status().to_string());
        format!("values: [{}]", statuses.collect::<Vec<_>>().join(", "))
    };
    for part in [
        "completions: 12 ",
        "))/12\" --jobs 1",
        &of(&[Kind::Build, Kind::Input, Kind::Hook]),
        &of(&[Kind::Host, Kind::Mirror, Kind::Interrupted]),
    ] {
        assert!(job.contains(part), "{part}");
    }
    let again = format!(
        "{} | {})\n",
        Kind::Host.exit_status(),
        Kind::Mirror.exit_status()
    );
    let slurm = include_str!("../examples/fleet/slurm/nightly.sbatch");
    assert!(
        slurm.contains(&again) && slurm.contains("--array=1-12%3"),
        "{slurm}"
    );
    let gitlab = include_str!("../examples/fleet/gitlab-ci.yml");
    assert!(gitlab.contains("exit_codes: [3, 4] "), "{gitlab}");
    // Every variable there is an option's.
    let manual = format!("{}{gitlab}", job);
    let manual = manual + include_str!("../examples/fleet/github-build.yml");
    let manual = manual + include_str!("../examples/fleet/systemd/ozr-nightly.service");
    let names = manual.split("OZR_").skip(1);
    let names = names.map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        rest[..end.unwrap_or(rest.len())]
            .to_ascii_lowercase()
            .replace('_', "-")
    });
    let site = Site::bare("fleet");
    let help = ozr(&site, &["install", "--help"]).stdout;
    for name in names.filter(|name| name != "repository") {
        assert!(help.contains(&format!("--{name}")), "{name}");
    }
}

#[test]
fn where_kvm_is_demanded_and_missing_nothing_is_begun() {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    if cpus.contains(" vmx") || cpus.contains(" svm") {
        return;
    }
    let site = Site::bare("kvm");
    project(&site, "require-kvm = true");
    let refused = ozr(&site, &["build"]);
    refused.assert_failed(
        3,
        &[
            "KVM is demanded, and cannot run this guest",
            "--require-kvm",
        ],
    );
    let one = ozr(&site, &["install", "--build", "image-web"]);
    one.assert_failed(3, &["KVM is demanded"]);
    assert!(site.mirror.requests().is_empty());
    let both = ozr(
        &site,
        &["install", "--build", "image-web", "--accel", "tcg"],
    );
    both.assert_failed(2, &["leave out one of them"]);
}

#[test]
fn what_is_wrong_is_found_before_anything_is_built() {
    let site = Site::bare("wrong");
    project(&site, "");
    site.write(
        "web.ks",
        "timezone Etc/UTC --frobnicate\n%post\n: ${role} ${word}\n%end\n",
    );
    let found = ozr(&site, &["build"]);
    assert_eq!((found.status, &*found.stdout), (2, ""));
    // Once, in the file that has it, for all builds.
    assert_eq!(
        found.stderr.matches("web.ks:1:").count(),
        1,
        "{}",
        found.stderr
    );
    assert!(
        found.stderr.contains("that is in all builds"),
        "{}",
        found.stderr
    );
    assert!(!found.stderr.contains("s3cret"), "{}", found.stderr);
    assert_eq!(std::fs::read_dir(site.out()).unwrap().count(), 0);

    // Elsewhere the tables of a family are nobody's business.
    site.write("a.ks", &kickstart(""));
    let checked = ozr(&site, &["check", "--release", "RHEL9", "a.ks"]);
    assert_eq!(checked.status, 0, "{}", checked.stderr);
    site.write("ozr.toml", "[build.x]\nmemmory = 1\n");
    let typo = ozr(&site, &["build", "--list"]);
    typo.assert_failed(2, &["ozr.toml:2:1", "did you mean `memory`"]);
    site.write("ozr.toml", "");
    ozr(&site, &["build"]).assert_failed(2, &["names no builds"]);
    site.write(
        "ozr.toml",
        "root-password = \"prompt\"\n[build.x]\ntemplate = \"template.tdl\"\n",
    );
    let asks = ozr(&site, &["build", "--dry-run"]);
    asks.assert_failed(
        2,
        &["`root-password` would be asked for", "install --build x"],
    );
}

#[test]
#[ignore = "long"]
fn one_that_fails_leaves_the_others_alone() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("family") else {
        return;
    };
    project(
        &site,
        "on-success = [\"sh\", \"hook.sh\"]\non-failure = [[\"./none\"], [\"sh\", \"hook.sh\"]]\n\
         hook-timeout = \"5m\"",
    );
    // What a hook reads, what stands in its environment, and one that fails.
    site.write(
        "hook.sh",
        "cat >\"hook-$OZR_NAME.json\"; echo \"$OZR_VERDICT $OZR_EXIT_STATUS $OZR_IMAGE\"\n\
         test \"$OZR_NAME\" != image-db || { echo 'the bucket is full' >&2; exit 7; }\n",
    );
    let reports = ["--report", "junit=ozr.xml", "--report", "markdown=ozr.md"];
    let built = ozr(&site, &[&["build", "--jobs", "2"], &reports[..]].concat());
    assert_eq!(built.status, 1, "{}", built.stderr);
    let image = |name: &str| site.out().join(format!("{name}.qcow2"));
    let paths = format!(
        "{}\n{}\n",
        image("image-web").display(),
        image("image-db").display()
    );
    assert_eq!(built.stdout, paths, "{}", built.stderr);
    let rows: Vec<&str> = built.stderr.lines().rev().take(4).collect();
    assert!(rows[3].starts_with("NAME "), "{}", built.stderr);
    assert!(
        rows[2].starts_with("image-web ") && rows[2].contains(" done "),
        "{}",
        built.stderr
    );
    assert!(
        rows[1].starts_with("image-db ") && rows[1].contains(" hook-failed "),
        "{}",
        built.stderr
    );
    assert!(
        rows[0].starts_with("broken ") && rows[0].contains("unusable-mirror"),
        "{}",
        built.stderr
    );
    let junit = std::fs::read_to_string(site.path("ozr.xml")).unwrap();
    assert!(
        junit.contains("tests=\"3\" failures=\"0\" errors=\"2\""),
        "{junit}"
    );
    let markdown = std::fs::read_to_string(site.path("ozr.md")).unwrap();
    assert!(markdown.contains("1 of 3 images are built"), "{markdown}");

    // Hooks heard of each end, and hurt no image.
    for part in [
        "image-db: on-success: `sh` failed with status 7",
        "the bucket is full",
        "image-db.hooks.log",
        "broken: on-failure: `./none` cannot be started",
    ] {
        assert!(built.stderr.contains(part), "{part}: {}", built.stderr);
    }
    let heard = |name: &str| -> Value {
        let text = std::fs::read_to_string(site.path(&format!("hook-{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (web, broken) = (heard("image-web"), heard("broken"));
    assert_eq!(web["verdict"], "done");
    assert_eq!(web["image"], image("image-web").to_str().unwrap());
    assert!(web["manifest"]["packages"].is_array(), "{web}");
    assert_eq!(
        (&broken["exit_status"], &broken["image"]),
        (&Value::from(4), &Value::Null)
    );
    let log = std::fs::read_to_string(site.out().join("image-web.hooks.log")).unwrap();
    assert_eq!(log, format!("done 0 {}\n", image("image-web").display()));
    let log = std::fs::read_to_string(site.out().join("broken.hooks.log")).unwrap();
    assert_eq!(log, "unusable-mirror 4 \n");

    // What was filled in is in the image, and the secret nowhere else.
    let manifest = std::fs::read_to_string(site.out().join("image-db.manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["kickstart"]["file"], "base.ks + web.ks");
    for entry in std::fs::read_dir(site.out()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.extension().is_none_or(|ending| ending != "qcow2") {
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("s3cret"), "{}", path.display());
        }
    }
    for text in [&built.stderr, &junit, &markdown] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    let disk = Disk::open(&image("image-db"));
    assert_eq!(disk.text("/etc/role"), "db s3cret-word\n1 db\n");

    // Its own image is replaced; what is another's is not.
    let would = |more: &[&str]| {
        let dry = ozr(
            &site,
            &[&["build", "--only", "image-web", "--dry-run"], more].concat(),
        );
        dry.stdout.lines().nth(1).unwrap().to_owned()
    };
    let kept = would(&[]);
    assert!(
        kept.contains(" kept ")
            && kept.contains("nothing else than the image that was finished on"),
        "{kept}"
    );
    let told = would(&["--rebuild"]);
    assert!(
        told.contains(" built ") && told.contains("replaces the image"),
        "{told}"
    );
    let text = std::fs::read_to_string(site.path("web.ks")).unwrap();
    site.write("web.ks", &format!("{text}# another\n"));
    let changed = would(&[]);
    assert!(
        changed.contains(" built ") && changed.contains("kickstart"),
        "{changed}"
    );
    site.write("web.ks", &text);
    let again = ozr(&site, &["build", "--only", "image-web"]);
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert!(again.stderr.contains("unchanged"), "{}", again.stderr);
    std::fs::remove_file(site.out().join("image-db.manifest.json")).unwrap();
    let other = ozr(&site, &["build", "--only", "image-db"]);
    assert_eq!(other.status, 2, "{}", other.stderr);
    assert!(other.stderr.contains("wrong-input"), "{}", other.stderr);
}

#[test]
fn nothing_runs_on_when_it_is_stopped_or_killed() {
    let Some(site) = crafted::site("stopped", crafted::INSTALL) else {
        return;
    };
    project(&site, "");
    let begin = || {
        let mut command = site.ozr();
        command.args(["build", "--jobs", "2", "--only", "image-*"]);
        let mut build = start(command);
        for name in ["image-web", "image-db"] {
            build.wait_for(&format!("{name}: booting the installer's kernel"));
        }
        build
    };
    let build = begin();
    build.signal("TERM");
    let stopped = build.wait();
    assert_eq!(
        (stopped.status, &*stopped.stdout),
        (130, ""),
        "{}",
        stopped.stderr
    );
    assert!(
        stopped.stderr.contains("SIGTERM: stopping 2 builds"),
        "{}",
        stopped.stderr
    );
    for name in ["image-web", "image-db "] {
        let row = format!("{name}  interrupted ");
        assert!(stopped.stderr.contains(&row), "{}", stopped.stderr);
    }
    site.assert_nothing_runs(&stopped);

    // Whoever runs them may be killed: they hear of it, and end in order.
    let build = begin();
    build.signal("KILL");
    let killed = build.wait();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let left = || {
        let builds = std::fs::read_dir(site.path("state/builds"));
        !site.qemus().is_empty() || builds.is_ok_and(|mut builds| builds.next().is_some())
    };
    while left() {
        assert!(std::time::Instant::now() < end, "builds run on");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    site.assert_nothing_runs(&killed);
    // What explains the end is all that there is.
    for entry in std::fs::read_dir(site.out()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".failed"), "{name}");
    }
}

/// A night on which nothing can be built: no guest starts, and of all builds one reads what the mirror says.
#[test]
fn builds_of_a_family_share_a_mirrors_answer() {
    let Some(site) = Site::new("shared") else {
        return;
    };
    project(&site, "");
    let base = kickstart("").replace("\nbash\n", "\nbash\nno-such-package\n");
    site.write("base.ks", &base);
    let read = |arguments: &[&str], status| {
        site.mirror.forget();
        ozr(&site, arguments).assert_failed(status, &["no-such-package"]);
        ["/os/.treeinfo", "/os/repodata/repomd.xml"].map(|path| {
            let requests = site.mirror.requests_for(path);
            requests.iter().filter(|one| one.method == "GET").count()
        })
    };
    let family = ["build", "--only", "image-*", "--jobs"];
    assert_eq!(read(&[&family[..], &["2"]].concat(), 1), [1, 1]);
    // The next night asks anew, and so does who builds one alone.
    assert_eq!(read(&[&family[..], &["1"]].concat(), 1), [1, 1]);
    let alone = read(&["install", "--build", "image-web"], 2);
    assert!(alone.iter().all(|requests| *requests > 0), "{alone:?}");
}

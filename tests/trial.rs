//! `ozr try`: what the installer says of a kickstart, from a saved state as from a boot. What becomes of states is
//! looked at with an installer that does nothing but wait: it boots in a few seconds.

use std::fs::File;
use std::os::unix::fs::{FileExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use ozr::install::warm::{LOADER, store::States};

use crate::support::mirror::{INITRD, KERNEL, STAGE2};
use crate::support::site::{Outcome, Site, bootable, kickstart, run, start};
use crate::support::{crafted, kill};

/// An installer that waits as ozr's loader does, takes what it is handed, and rejects it.
const WAITS: &str = r#"
start_installer
exec 3<>/dev/virtio-ports/org.ozr.handover.0
echo '{"ready": 1}' >&3
while ! read -r order <&3; do sleep 1; done
time=${order#*'"time":'}
date -s "@${time%%[.,]*}" >/dev/null
printf '{"taken": 1, "time": %s, "uuid": "%s"}\n' "$(date +%s)" "$(cat /proc/sys/kernel/random/uuid)" >&3
say 'An error occurred during reading the kickstart file:' \
    'The following problem occurred on line 1 of the kickstart file:' '' 'Unknown command: nonsense' '' \
    'The installer will now terminate.'
stay
"#;

/// `ozr COMMAND` of the site's template with these kickstarts.
fn ozr(site: &Site, cache: &Path, command: &str, options: &[&str], kickstarts: &[&str]) -> Command {
    site.write_template();
    let mut ozr = site.ozr();
    ozr.args([command, "template.tdl"]).args(kickstarts);
    ozr.arg("--cache-dir").arg(cache);
    ozr.arg("--output-dir").arg(site.out());
    ozr.args(["--state-dir", "state", "--progress", "plain"]);
    for (option, usual) in [("--memory", "1400"), ("--vcpus", "1")] {
        if !options.contains(&option) {
            ozr.args([option, usual]);
        }
    }
    ozr.args(options);
    ozr
}

/// The file that holds the state.
fn state(cache: &Path) -> PathBuf {
    let all = std::fs::read_dir(cache.join("installers")).expect("states");
    let mut states = all
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "state"));
    let state = states.next().expect("there is a state");
    assert_eq!(states.next(), None, "there is one");
    state
}

fn verdict(site: &Site, name: &str) -> serde_json::Value {
    let file = site.out().join(format!("{name}.try.failed/verdict.json"));
    let json = std::fs::read(file).expect("a verdict");
    serde_json::from_slice(&json).expect("JSON")
}

fn says(outcome: &Outcome, words: &str) {
    assert!(outcome.stderr.contains(words), "{words}\n{outcome:?}");
}

/// Waits for a line, and interrupts: what comes after it is of no interest.
fn until(command: Command, line: &str) -> Outcome {
    let mut running = start(command);
    running.wait_for(line);
    running.signal("INT");
    running.wait()
}

/// Good and bad kickstarts, one after the other from one state; and some of them from a boot.
#[test]
#[ignore = "long"]
fn kickstarts_are_judged_as_an_install_judges_them() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("try") else { return };
    let site = &site;
    let cache = site.path("cache");
    // What the kernel and what Python draws, of which the salts of passwords are made.
    let draws = "%pre --erroronfail\n\
        echo \"drawn: $(cat /proc/sys/kernel/random/uuid) $(od -An -N8 -tx8 /dev/urandom) \
        $(python3 -c 'import random; print(random.SystemRandom().getrandbits(64))')\"\n\
        echo looked in vain\nfalse\n%end\n";
    let all = [
        ("good", kickstart("%pre\ntrue\n%end\n")),
        (
            "syntax",
            kickstart("").replace("keyboard us", "keyboard us --nonsense"),
        ),
        ("script", kickstart(draws)),
        ("again", kickstart(draws)),
        (
            "package",
            bootable("").replace("@core", "@core\nno-such-package"),
        ),
        (
            "layout",
            kickstart("").replace("--size=2048", "--size=900000"),
        ),
        (
            "source",
            kickstart("").replace(
                "lang en",
                "repo --name=gone --baseurl=http://10.0.2.2:9/x/\nlang en",
            ),
        ),
    ];
    let files: Vec<String> = all.iter().map(|(name, _)| format!("{name}.ks")).collect();
    for ((_, text), file) in all.iter().zip(&files) {
        site.write(file, text);
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let outcome = run(ozr(site, &cache, "try", &["--no-check", "-v"], &files));
    assert_eq!(outcome.status, 1, "{outcome:?}");
    says(&outcome, "6 of 7 kickstarts failed");
    let count = |words: &str| outcome.stderr.matches(words).count();
    assert_eq!(count("making a saved installer"), 1);
    assert_eq!(count("] loading the saved installer"), 7);
    assert!(!outcome.stderr.contains("is not used"), "{outcome:?}");
    let done: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(done.len(), 1, "{outcome:?}");
    assert!(done[0].starts_with("good.ks\tready\t"), "{outcome:?}");
    // No two guests of a state draw the same.
    let uuids: Vec<&str> = outcome
        .stderr
        .lines()
        .filter_map(|line| line.split_once("the guest is reseeded: "))
        .map(|(_, uuid)| uuid)
        .collect();
    assert_eq!(uuids.len(), 7, "{outcome:?}");
    let different: std::collections::BTreeSet<&&str> = uuids.iter().collect();
    assert_eq!(different.len(), 7, "{uuids:?}");
    let drawn = ["script", "again"].map(|name| {
        let log = verdict(site, name)["script"]["log"].take();
        let drawn = log[0]
            .as_str()
            .and_then(|line| line.strip_prefix("drawn: "));
        let drawn: Vec<String> = drawn
            .unwrap_or_else(|| panic!("{log}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(drawn.len(), 3, "{log}");
        drawn
    });
    for (one, other) in drawn[0].iter().zip(&drawn[1]) {
        assert_ne!(one, other, "{drawn:?}");
    }
    for (name, cause, words) in [
        ("syntax", "kickstart-rejected", "--nonsense"),
        ("script", "script-failed", "looked in vain"),
        ("package", "software-missing", "no-such-package"),
        ("layout", "storage-failed", "not enough free space"),
        ("source", "source-unavailable", "10.0.2.2:9"),
    ] {
        let verdict = verdict(site, name);
        assert_eq!(verdict["cause"], cause, "{verdict:#}");
        let sentence = verdict["sentence"].as_str().unwrap();
        assert!(sentence.contains(words), "{sentence}");
        assert_eq!(verdict["phase"], "preparing", "{verdict:#}");
    }
    // The author's own line.
    let line = &verdict(site, "script")["script"]["line"];
    let header = kickstart("").lines().count() as u64 + 1;
    assert_eq!(line, header, "the section begins there");

    // Nothing is left of all that but what explains the failures.
    site.assert_nothing_runs(&outcome);
    let mut left: Vec<String> = std::fs::read_dir(site.out())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let failed = ["again", "layout", "package", "script", "source", "syntax"];
    assert_eq!(left, failed.map(|name| format!("{name}.try.failed")));

    // A boot says the same, word for word.
    let names = ["script", "package", "layout"];
    let told = || {
        names.map(|name| {
            let verdict = verdict(site, name);
            (verdict["cause"].clone(), verdict["sentence"].clone())
        })
    };
    let warm = told();
    let cold = run(ozr(
        site,
        &cache,
        "try",
        &["--no-check", "--cold"],
        &["script.ks", "package.ks", "layout.ks"],
    ));
    cold.assert_failed(1, &[]);
    assert_eq!(
        cold.stderr
            .matches("] booting the installer's kernel")
            .count(),
        3
    );
    assert_eq!(told(), warm);

    // Nothing that is secret is in the state: no password, no address that cannot be guessed.
    let bytes = std::fs::read(state(&cache)).unwrap();
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(has("org.ozr.handover.0"), "it is the guest's memory");
    assert!(!has("test-only"), "a password is in it");
}

/// What is saved is listed, another guest's state is not loaded, and what was tampered with is removed: each time
/// with a word. Nothing is left of those that were killed.
#[test]
#[ignore = "long"]
fn only_the_state_of_the_same_guest_is_loaded() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = crafted::site("states", WAITS) else {
        return;
    };
    let cache = site.path("cache");
    site.write("test.ks", &kickstart(""));
    let trying = |site: &Site, options: &[&str]| {
        let options = [&["--no-check"], options].concat();
        ozr(site, &cache, "try", &options, &["test.ks"])
    };
    let is_swept = || {
        let all = std::fs::read_dir(cache.join("installers")).unwrap();
        all.flatten().all(|entry| {
            entry
                .path()
                .extension()
                .is_none_or(|ending| ending != "part")
        })
    };

    // Killed while it is saved.
    let mut killed = start(ozr(&site, &cache, "warm", &[], &[]));
    killed.wait_for("saving the installer");
    kill("KILL", killed.pid());
    let killed = killed.wait();
    site.gc(&["--cache-dir", cache.to_str().unwrap()])
        .assert_done();
    assert!(is_swept());
    site.assert_nothing_runs(&killed);
    run(ozr(&site, &cache, "warm", &[], &[])).assert_done();
    // It is there now.
    let again = run(ozr(&site, &cache, "warm", &[], &[]));
    again.assert_done();
    says(&again, "it is there already");
    let list = || {
        let mut list = site.ozr();
        list.args(["cache", "list", "--cache-dir"]).arg(&cache);
        run(list).stdout
    };
    assert!(
        list().contains("saved installer of Rocky Linux 9"),
        "{}",
        list()
    );

    // Somebody else has it; then it is loaded, which somebody kills.
    let key = state(&cache)
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let states = States::open(&cache).unwrap();
    let lock = runtime.block_on(states.lock(&key, || ())).unwrap();
    let mut killed = start(trying(&site, &[]));
    killed.wait_for("waiting for the saved installer: another ozr makes or loads it");
    drop(lock);
    killed.wait_for("loading the saved installer");
    kill("KILL", killed.pid());
    let killed = killed.wait();
    site.gc(&[]).assert_done();
    site.assert_nothing_runs(&killed);

    // A file that comes, and is judged; one that changes is judged again.
    let watching = ozr(
        &site,
        &cache,
        "try",
        &["--no-check", "--watch"],
        &["late.ks"],
    );
    let mut watching = start(watching);
    watching.wait_for("late.ks: No such file");
    watching.wait_for("waiting for a change");
    site.write("late.ks", &kickstart(""));
    watching.wait_for("loading the saved installer");
    watching.wait_for("late.ks: installer reported: ");
    watching.wait_for("Unknown command: nonsense");
    // Too late for a saved one.
    let late = kickstart("").replace("lang en", "updates\nlang en");
    site.write("late.ks", &late);
    watching.wait_for("the installer is booted: late.ks:2: `updates`");
    watching.signal("INT");
    let watched = watching.wait();
    assert_eq!(watched.status, 130, "{watched:?}");
    site.assert_nothing_runs(&watched);

    // Of another kind, and the part that is another.
    for (options, part) in [
        (&["--memory", "1500"][..], "memory"),
        (&["--vcpus", "2"], "CPUs"),
        (&["--mac-address", "52:54:00:00:00:01"], "MAC address"),
        (&["--disk-bus", "scsi"], "devices"),
        (&["--firmware", "uefi"], "firmware"),
    ] {
        let outcome = until(trying(&site, options), "making a saved installer");
        let words = format!("the saved installer is of another kind: {part}\n");
        says(&outcome, &words);
    }
    site.kernelparam = "quiet".to_owned();
    let outcome = until(trying(&site, &[]), "making a saved installer");
    says(&outcome, "is of another kind: command line\n");
    site.kernelparam = String::new();
    site.mirror.put("/os/images/updates.img", "another");
    let outcome = until(trying(&site, &[]), "making a saved installer");
    says(&outcome, "is of another kind: updates\n");
    site.mirror.remove("/os/images/updates.img");

    // Other files of the tree.
    for (name, part) in [(KERNEL, "kernel"), (INITRD, "initrd")] {
        let genuine = served(&site, &format!("/os/{name}"));
        let other = [&genuine[..], &[0; 4]].concat();
        site.mirror.exchange("/os", name, other);
        let outcome = until(trying(&site, &[]), "making a saved installer");
        says(&outcome, &format!("is of another kind: {part}\n"));
        site.mirror.exchange("/os", name, genuine);
    }
    let info = String::from_utf8(served(&site, "/os/.treeinfo")).unwrap();
    let (before, digest) = info.split_once(&format!("{STAGE2} = sha256:")).unwrap();
    let other = format!(
        "{before}{STAGE2} = sha256:{}{}",
        "0".repeat(64),
        &digest[64..]
    );
    site.mirror.put("/os/.treeinfo", other);
    let outcome = until(trying(&site, &[]), "making a saved installer");
    says(&outcome, "is of another kind: second stage\n");
    site.mirror.put("/os/.treeinfo", info);

    // What is another after an update of ozr or QEMU, on another machine, at another mirror: the same state with such
    // a record, by the key that it had.
    let file = state(&cache);
    let record = file.with_extension("json");
    let (other_file, other_record) = (
        file.with_file_name(format!("{}.state", "0".repeat(64))),
        file.with_file_name(format!("{}.json", "0".repeat(64))),
    );
    let genuine = std::fs::read(&record).unwrap();
    std::fs::rename(&file, &other_file).unwrap();
    std::fs::rename(&record, &other_record).unwrap();
    for part in ["ozr", "loader", "QEMU", "accelerator", "host", "tree"] {
        let mut other: serde_json::Value = serde_json::from_slice(&genuine).unwrap();
        other["key"] = "0".repeat(64).into();
        assert!(other["parts"][part].is_string(), "{part}: {other:#}");
        other["parts"][part] = "another".into();
        std::fs::write(&other_record, other.to_string()).unwrap();
        let outcome = until(trying(&site, &[]), "making a saved installer");
        match part {
            // One of another tree is none of this one's.
            "tree" => assert!(!outcome.stderr.contains("another kind"), "{outcome:?}"),
            part => says(&outcome, &format!("is of another kind: {part}\n")),
        }
    }
    std::fs::rename(&other_file, &file).unwrap();
    std::fs::rename(&other_record, &record).unwrap();
    std::fs::write(&record, &genuine).unwrap();

    // Truncated, a link, another user's, and one byte in the middle altered.
    let kept = site.path("kept.state");
    std::fs::copy(&file, &kept).unwrap();
    type Change<'a> = &'a dyn Fn();
    let open = || File::options().write(true).open(&file).unwrap();
    let length = std::fs::metadata(&file).unwrap().len();
    let changes: [(&str, Change<'_>); 4] = [
        ("instead of", &|| open().set_len(length / 2).unwrap()),
        ("it is no file", &|| {
            std::fs::remove_file(&file).unwrap();
            symlink(&kept, &file).unwrap();
        }),
        ("belongs to another user", &|| {
            chown(&file, Some(65534), None).unwrap();
        }),
        ("its contents were changed", &|| {
            let mut byte = [0];
            let opened = File::open(&file).unwrap();
            opened.read_exact_at(&mut byte, length / 2).unwrap();
            open().write_all_at(&[byte[0] ^ 1], length / 2).unwrap();
        }),
    ];
    for (words, change) in changes {
        if words.contains("another user") && !rustix::process::geteuid().is_root() {
            continue;
        }
        std::fs::copy(&kept, &file).unwrap();
        std::fs::write(&record, &genuine).unwrap();
        change();
        let outcome = until(trying(&site, &[]), "starting the guest");
        says(&outcome, "the saved installer is not used: ");
        says(&outcome, words);
        says(&outcome, "; it was removed, and the installer is booted");
        assert!(file.symlink_metadata().is_err() && !record.exists());
        assert_eq!(std::fs::metadata(&kept).unwrap().len(), length);
        site.assert_nothing_runs(&outcome);
    }
    let listed = run({
        let mut list = site.ozr();
        list.args(["cache", "list", "--cache-dir"]).arg(&cache);
        list
    });
    assert!(!listed.stdout.contains("saved installer"), "{listed:?}");
    assert!(is_swept());
}

/// What the site's mirror serves at a path.
fn served(site: &Site, path: &str) -> Vec<u8> {
    let mut files = site.mirror.files().into_iter();
    let (_, file) = files.find(|(name, _)| name == path).expect("it is served");
    file.body.to_vec()
}

/// The loader's program, on this host, between a port and an installer that are none: what it does in which order,
/// and that it draws the screen anew for whoever watches the console.
#[test]
fn the_loader_takes_an_order() {
    let folder = tempfile::tempdir().unwrap();
    let (_, program) = LOADER.split_once("<<'PYTHON'\n").unwrap();
    let (program, _) = program.split_once("\nPYTHON\n").unwrap();
    std::fs::write(folder.path().join("loader.py"), program).unwrap();
    std::fs::write(folder.path().join("driver.py"), DRIVER).unwrap();
    let ran = Command::new("python3")
        .arg("driver.py")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&ran.stderr).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert!(ran.status.success(), "{said}{wrong}");
    assert_eq!(
        lines,
        [
            "said ready 1",
            "clock 1234.5",
            "ioctl 0x40085203 64 bytes",
            "ioctl 0x5207",
            "tmux refresh-client",
            "said taken 1",
            "scripts of text",
        ],
        "{wrong}"
    );
}

/// Runs the loader's program with a terminal for its port; the clock, the kernel's generator and tmux are told of,
/// and left alone.
const DRIVER: &str = r#"
import base64, fcntl, json, os, pty, subprocess, sys, threading, time, tty, types

def tell(*words):
    os.write(1, (" ".join(words) + "\n").encode())

kickstart = types.ModuleType("pyanaconda.kickstart")
kickstart.preScriptPass = lambda path: tell("scripts of", open(path).read())
sys.modules["pyanaconda"] = types.ModuleType("pyanaconda")
sys.modules["pyanaconda.kickstart"] = kickstart
time.clock_settime = lambda clock, seconds: tell("clock", str(seconds))
def ioctl(file, request, given=None):
    tell("ioctl", hex(request), *([] if given is None else [str(len(given) - 8), "bytes"]))
fcntl.ioctl = ioctl
subprocess.call = lambda command, **more: tell(*command) if command[0] == "tmux" else 0
os.environ["TMUX"] = "/tmp/tmux"

host, port = pty.openpty()
tty.setraw(host)
tty.setraw(port)

def ozr():
    with os.fdopen(host, "r+b", buffering=0) as end:
        said = json.loads(end.readline())
        tell("said", "ready", str(said["ready"]))
        order = {"time": 1234.5, "entropy": base64.b64encode(bytes(64)).decode(),
                 "kickstart": base64.b64encode(b"text").decode(), "disks": ["null"]}
        end.write((json.dumps(order) + "\n").encode())
        said = json.loads(end.readline())
        assert len(said["uuid"]) == 36, said
        tell("said", "taken", str(said["taken"]))
        heard.set()

heard = threading.Event()
threading.Thread(target=ozr, daemon=True).start()
open("printk", "w").write("7 4 1 7\n")
text = open("loader.py").read()
text = text.replace("/dev/virtio-ports/org.ozr.handover.0", os.ttyname(port))
text = text.replace("/run/install/ks.cfg", "ks.cfg").replace("/proc/sys/kernel/printk", "printk")
# The scripts come when the host has heard that they do.
text = text.replace("if not run_scripts():", "heard.wait()\nif not run_scripts():")
text = text.replace('"/dev/console"', '"/dev/null"').replace("os.dup2(console, 1)", "pass")
exec(compile(text, "loader.py", "exec"), {"__name__": "__main__", "heard": heard})
"#;

/// What means nothing for a try is refused, before anything is asked.
#[test]
fn options_of_images_are_refused() {
    let site = Site::bare("tryimages");
    site.write("test.ks", &kickstart(""));
    site.write_template();
    for (options, words) in [
        (&["--format", "raw"][..], "--format is for images"),
        (&["--sign", "gpg"], "--sign is for images"),
        (
            &["--watch", "--report", "junit=x"],
            "a report is of one try",
        ),
        (&["--watch", "-"], "--watch looks at files"),
    ] {
        let mut command = site.ozr();
        command
            .args(["try", "template.tdl", "test.ks"])
            .args(options);
        run(command).assert_failed(2, &[words]);
    }
    let mut command = site.ozr();
    command.args(["try", "template.tdl"]);
    run(command).assert_failed(2, &["name a kickstart with -k"]);
}

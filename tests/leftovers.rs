//! Every way in which a build can die, or lose what it stands on: the right verdict where ozr lives
//! on; an empty house after the next `ozr gc` or `ozr install` where it does not; and what was there
//! before is as it was.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::support::daemon;
use crate::support::mirror::Fault;
use crate::support::site::{Outcome, Running, Site, kickstart, run, start};
use crate::support::{is_root, kill};
use clap::Parser;
use ozr::commands::install;
use ozr::error::kind_of;
use ozr::options::config;
use ozr::ui::event::{Event, Reporter, Sink};
use ozr::ui::printer;

/// What ozr says when the guest's kernel has begun to speak.
const BOOTS: &str = "] booting the installer's kernel\n";

/// A good image of an earlier build.
const PRECIOUS: &[u8] = b"precious";

const SYSTEM: [&str; 2] = ["--connect", "qemu:///system"];

/// `ozr install` over a good image that is there already.
fn install_over(site: &Site) -> Command {
    fs::write(site.output("qcow2"), PRECIOUS).unwrap();
    let mut command = site.install(&kickstart(""));
    command.arg("--force");
    command
}

/// Who may leave what a dead build leaves: root's runtime directories are in one place, and any
/// `ozr gc` removes what is dead there.
static DEATHS: Mutex<()> = Mutex::new(());

/// A turn at dying alone.
fn alone() -> MutexGuard<'static, ()> {
    DEATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `ozr gc` removed what a process left, and nothing is left of it; the image of before is there.
fn assert_collected(site: &Site, dead: &Outcome) {
    assert_eq!(dead.status, 128 + 9, "{}", dead.stderr);
    let outcome = site.gc(&[]);
    outcome.assert_done();
    let whose = format!("removed build `{}` of process {}", site.name, dead.pid);
    assert_eq!(about(&outcome, &site.name).len(), 1, "{outcome:?}");
    assert!(
        about(&outcome, &site.name)[0].starts_with(&whose),
        "{outcome:?}"
    );
    assert_empty(site, dead, &["qcow2"]);
    let again = site.gc(&[]);
    again.assert_done();
    assert!(about(&again, &site.name).is_empty(), "{again:?}");
}

/// The lines of stdout about one build: other programs' tests may run on this host.
fn about<'a>(outcome: &'a Outcome, name: &str) -> Vec<&'a str> {
    let lines = outcome.stdout.lines();
    lines.filter(|line| line.contains(name)).collect()
}

/// Nothing is left of a build but these files; a good image of before is untouched.
fn assert_empty(site: &Site, outcome: &Outcome, kept: &[&str]) {
    site.assert_clean(outcome, kept);
    let helpers = processes(|program, line| {
        program.contains("qemu-img") && line.contains(&site.out().display().to_string())
    });
    assert!(helpers.is_empty(), "{helpers:?} run");
    if kept.contains(&"qcow2") {
        assert_eq!(fs::read(site.output("qcow2")).unwrap(), PRECIOUS);
    }
}

/// The build lived to judge its own end: this cause and status, and nothing left but what explains
/// it and the good image of before.
fn assert_judged(site: &Site, outcome: &Outcome, status: i32, cause: &str, says: &[&str]) {
    outcome.assert_failed(status, says);
    let file = site.output("failed").join("verdict.json");
    let verdict: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(verdict["cause"], cause, "{verdict:#}");
    assert_empty(site, outcome, &["qcow2", "failed"]);
}

/// The processes whose program and command line fit.
fn processes(fits: impl Fn(&str, &str) -> bool) -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let program = line.split('\0').next()?;
            fits(program, &line).then_some(pid)
        })
        .collect()
}

/// The runtime directory of a process of root's.
fn runtime_dirs(pid: u32) -> Vec<PathBuf> {
    let prefix = format!("{pid}-");
    fs::read_dir("/run/ozr")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

/// Everything below a directory, with times of change and sizes.
fn listing(dir: &Path) -> Vec<String> {
    let output = Command::new("find")
        .arg(dir)
        .args(["-printf", "%p %s %T@ %C@\n"])
        .output()
        .unwrap();
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// A build that is killed when it has said `at`.
fn killed_at(command: Command, at: &str) -> Outcome {
    let mut running = start(command);
    running.wait_for(at);
    running.signal("KILL");
    running.wait()
}

// Somebody stops it.

fn interrupted(name: &str, at: &str, signal: &str) {
    let Some(site) = Site::new(name) else {
        return;
    };
    let mut running: Running = start(install_over(&site));
    running.wait_for(at);
    assert_eq!(site.qemus().len(), 1);
    running.signal(signal);
    let by = format!("interrupted by SIG{signal} while ");
    assert_judged(&site, &running.wait(), 130, "interrupted", &[&by]);
}

#[test]
fn ctrl_c_while_packages_are_installed() {
    interrupted("int", "] installing packages\n", "INT");
}

#[test]
fn sigterm_while_the_kernel_starts() {
    interrupted("term", BOOTS, "TERM");
}

#[test]
fn sighup_while_the_installer_starts() {
    interrupted("hup", "] starting the installer\n", "HUP");
}

/// The second one may come when the first has done its work.
#[test]
fn ctrl_c_twice() {
    let Some(site) = Site::new("twice") else {
        return;
    };
    let mut running = start(install_over(&site));
    running.wait_for(BOOTS);
    running.signal("INT");
    running.wait_for("SIGINT: stopping");
    running.signal("INT");
    let outcome = running.wait();
    outcome.assert_failed(130, &["error: interrupted "]);
    let judged = site.output("failed").exists();
    assert!(judged || outcome.stderr.contains("interrupted twice"));
    let kept: &[&str] = if judged {
        &["qcow2", "failed"]
    } else {
        &["qcow2"]
    };
    assert_empty(&site, &outcome, kept);
}

/// A signal ends a wait for a lock or a daemon of others at once, as it would a build.
fn deaf_to_nobody(mut running: Running, waits: &str) {
    running.wait_for(waits);
    let sent = Instant::now();
    running.signal("TERM");
    let outcome = running.wait();
    outcome.assert_failed(130, &["interrupted by SIGTERM"]);
    let took = outcome.ended - sent;
    assert!(
        took < Duration::from_secs(1),
        "{took:?}: {}",
        outcome.stderr
    );
}

#[test]
fn ctrl_c_while_another_learns_what_qemu_can_do() {
    let Some(site) = Site::new("learning") else {
        return;
    };
    let lock = site.path("cache").join("qemu-capabilities/lock");
    fs::create_dir(lock.parent().unwrap()).unwrap();
    let file = fs::File::create(&lock).unwrap();
    file.lock().unwrap();
    deaf_to_nobody(start(install_over(&site)), "starting the guest: ");
    assert_eq!(fs::read(site.output("qcow2")).unwrap(), PRECIOUS);
    assert!(site.qemus().is_empty());
}

/// The daemon of a dead build accepts connections and answers none of them.
#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn ctrl_c_while_a_dead_builds_daemon_hangs() {
    let site = Site::bare("deaf");
    let _listener = UnixListener::bind(site.path("sock")).unwrap();
    let uri = format!("qemu+unix:///system?socket={}", site.path("sock").display());
    let id = "0123456789abcdef";
    for work_dir in [format!(".{}.ozr", site.name), ".other.ozr".to_owned()] {
        let entry = serde_json::json!({
            "id": id, "pid": 1, "name": "other", "connection": uri, "domain": "ozr-other",
            "started": {"secs_since_epoch": 0, "nanos_since_epoch": 0},
            "runtime_dir": "/run/ozr/1-012345", "work_dir": site.out().join(work_dir),
            "image": site.out().join("other.qcow2"),
        });
        let builds = site.path("state/builds");
        fs::create_dir_all(&builds).unwrap();
        fs::write(builds.join(format!("1-{id}.json")), entry.to_string()).unwrap();
        deaf_to_nobody(start(install_over(&site)), "removing what process 1 left");
    }
}

// What is not ozr's.

/// A place that others can write in, and what they put where a build would work.
#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn what_others_put_at_the_work_directory_is_refused_and_left() {
    let site = Site::bare("theirs");
    let work = site.out().join(format!(".{}.ozr", site.name));
    let precious = site.path("precious");
    fs::create_dir(&precious).unwrap();
    let refused = |dir: &Path, why: &str| {
        for file in ["lock.json", "disk.qcow2"] {
            fs::write(dir.join(file), PRECIOUS).unwrap();
        }
        let before = listing(dir);
        let outcome = run(site.install_into(&["--output-dir", "out"]));
        outcome.assert_failed(3, &[&work.display().to_string(), why, "rm -r"]);
        assert_eq!(listing(dir), before);
    };
    std::os::unix::fs::symlink(&precious, &work).unwrap();
    refused(&precious, "it is no directory");
    fs::remove_file(&work).unwrap();
    fs::create_dir(&work).unwrap();
    refused(&work, "no ozr has made it");
    let mark = r#"{"id":"0123456789abcdef","pid":1}"#;
    fs::write(work.join("lock.json"), mark).unwrap();
    let outcome = run(site.install_into(&["--output-dir", "out"]));
    outcome.assert_failed(3, &["an earlier ozr left it", "rm -r"]);
    assert_eq!(fs::read_to_string(work.join("lock.json")).unwrap(), mark);
    if !is_root() {
        return;
    }
    for (ours, theirs) in [(Some(65_534), 0), (None, 65_534)] {
        let mut site = Site::bare("shared");
        if let Some(user) = ours {
            site.as_user(user);
        }
        fs::set_permissions(site.out(), fs::Permissions::from_mode(0o1777)).unwrap();
        let work = site.out().join(format!(".{}.ozr", site.name));
        fs::create_dir(&work).unwrap();
        fs::write(work.join("disk.qcow2"), PRECIOUS).unwrap();
        std::os::unix::fs::chown(&work, Some(theirs), Some(theirs)).unwrap();
        let before = listing(&work);
        let outcome = run(site.install_into(&["--output-dir", "out"]));
        let why = format!("it belongs to another user ({theirs})");
        outcome.assert_failed(3, &[&work.display().to_string(), &why]);
        assert_eq!(listing(&work), before);
    }
}

/// The usual line of a crontab: another process holds a lock on the output directory.
#[test]
fn a_lock_on_the_output_directory_is_nobodys_business() {
    let Some(site) = Site::new("cron") else {
        return;
    };
    let install = site.install(&kickstart(""));
    let mut command = Command::new("flock");
    command.arg("-n").arg(site.out()).arg(install.get_program());
    command.args(install.get_args()).stdin(Stdio::null());
    command.env("HOME", site.path("home")).env("OZR_LOG", "off");
    let outcome = run(command);
    outcome.assert_done();
    assert!(site.output("qcow2").exists());
}

// ozr itself fails.

/// Where a test says what its own program is to do.
const WORDS: &str = "OZR_TEST_WORDS";
const PANIC_IN: &str = "OZR_TEST_PANIC_IN";

/// What panics when the guest's kernel speaks, and prints all else.
struct Panics {
    in_another_thread: bool,
    printer: printer::Printer,
}

impl Sink for Panics {
    fn take(&self, event: Event) {
        let kernel = matches!(&event, Event::Console(line) if line.contains("Linux version"));
        self.printer.take(event);
        if kernel && self.in_another_thread {
            let panics = std::thread::spawn(|| panic!("the password is test-only"));
            assert!(panics.join().is_err());
        } else if kernel {
            panic!("the password is test-only");
        }
    }
}

/// `ozr install` with a sink that panics.
#[derive(clap::Parser)]
struct Ozr {
    #[command(flatten)]
    args: install::Args,
}

/// The program of the tests below: `main` with that sink.
#[test]
#[ignore = "is run by other tests"]
fn ozr_whose_sink_panics() {
    let words = std::env::var(WORDS).unwrap();
    let words: Vec<String> = serde_json::from_str(&words).unwrap();
    ozr::host::prepare_environment();
    ozr::panics::install(printer::print_defect);
    let reporter = Reporter::new(Arc::new(Panics {
        in_another_thread: std::env::var(PANIC_IN).unwrap() == "another thread",
        printer: printer::Printer::new(printer::Verbosity::Console, printer::Color::Never),
    }));
    let install = move || {
        let args = Ozr::parse_from(words).args;
        let inputs = install::Inputs::read(args, config::load(None));
        inputs.install(&reporter).map(drop)
    };
    // With the stack that a program's first thread has; unoptimised, the two MiB of a test's are too few.
    let thread = std::thread::Builder::new().stack_size(8 << 20);
    let result = thread.spawn(install).unwrap().join();
    std::process::exit(match result {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            printer::print_error(&error, printer::Color::Never);
            let kind = kind_of(&error).filter(|_| !ozr::panics::seen());
            kind.map_or(1, |kind| kind.exit_status()).into()
        }
        Err(_) => 1,
    });
}

fn panicking(site: &Site, place: &str) -> Outcome {
    let install = install_over(site);
    // The words after those that `ozr` itself takes.
    let words: Vec<&str> = install
        .get_args()
        .skip_while(|word| *word != "install")
        .map(|word| word.to_str().unwrap())
        .filter(|word| *word != "-vv")
        .collect();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--ignored",
            "--exact",
            "leftovers::ozr_whose_sink_panics",
            "--nocapture",
        ])
        .env(WORDS, serde_json::to_string(&words).unwrap())
        .env(PANIC_IN, place)
        .current_dir(site.path("out"));
    for (name, value) in install.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let outcome = run(command);
    let defect = "error: ozr has met a defect of its own (panic at ";
    assert!(outcome.stderr.contains(defect), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("test-only"), "{}", outcome.stderr);
    outcome
}

#[test]
fn a_panic_of_the_build() {
    let Some(site) = Site::new("panic") else {
        return;
    };
    let outcome = panicking(&site, "the build");
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert_empty(&site, &outcome, &["qcow2"]);
}

#[test]
fn a_panic_of_another_thread() {
    let Some(site) = Site::new("thread") else {
        return;
    };
    let outcome = panicking(&site, "another thread");
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    let says = "interrupted by a defect of ozr while ";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    assert_empty(&site, &outcome, &["qcow2", "failed"]);
}

// Nobody can clean up after `kill -9` but the next ozr.

#[test]
fn ozr_is_killed_while_it_fetches() {
    let _alone = alone();
    let Some(site) = Site::new("fetch") else {
        return;
    };
    site.mirror.change("/os/images/pxeboot/vmlinuz", |file| {
        file.always = Some(Fault::StallAt(100_000));
    });
    let mut running = start(install_over(&site));
    running.wait_for("] getting the installer");
    site.mirror.wait_for_stall();
    running.signal("KILL");
    assert_collected(&site, &running.wait());
}

/// Saying what would be removed removes nothing; removing it does not touch what lives beside it.
#[test]
fn ozr_is_killed_while_its_guest_runs() {
    let _alone = alone();
    let Some(site) = Site::new("guest") else {
        return;
    };
    let dead = killed_at(install_over(&site), BOOTS);
    let qemu = site.qemus();
    assert_eq!(qemu.len(), 1, "QEMU has outlived ozr");

    let before = [listing(&site.out()), listing(&site.path("state"))];
    let said = site.gc(&["--dry-run"]);
    said.assert_done();
    let said = about(&said, &site.name).join("\n");
    let work = site.out().join(format!(".{}.ozr", site.name));
    let mut things = vec![
        format!("build `{}` of process {}", site.name, dead.pid),
        format!("process {}", qemu[0]),
        work.display().to_string(),
    ];
    things.extend(
        runtime_dirs(dead.pid)
            .iter()
            .map(|dir| dir.display().to_string()),
    );
    assert_eq!(things.len(), 4, "{things:?}");
    for thing in things {
        assert!(said.contains(&thing), "{thing}: {said}");
    }
    assert!(said.starts_with("would remove "), "{said}");
    // QEMU writes into its files; of what is there nothing has gone.
    let after = [listing(&site.out()), listing(&site.path("state"))];
    let names = |listing: &[String]| -> Vec<String> {
        listing
            .iter()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&before[0]), names(&after[0]));
    assert_eq!(before[1], after[1]);
    assert_eq!(site.qemus(), qemu);

    // One lives beside it.
    let mut command = site.install(&kickstart(""));
    command.args(["--name", "living"]);
    site.mirror.change("/os/images/pxeboot/initrd.img", |file| {
        file.always = Some(Fault::StallAt(100_000));
    });
    command.arg("--refetch");
    // It removes what is dead before it begins, so the register has to be out of its sight.
    let state = site.path("state");
    fs::rename(&state, site.path("state-of-the-dead")).unwrap();
    let mut living = start(command);
    living.wait_for("] getting the installer");
    site.mirror.wait_for_stall();
    let builds = site.path("state-of-the-dead").join("builds");
    for entry in fs::read_dir(builds).unwrap().flatten() {
        fs::rename(entry.path(), state.join("builds").join(entry.file_name())).unwrap();
    }
    let outcome = site.gc(&[]);
    outcome.assert_done();
    assert_eq!(about(&outcome, &site.name).len(), 1, "{outcome:?}");
    assert!(about(&outcome, "living").is_empty(), "{outcome:?}");
    assert!(site.qemus().is_empty());
    assert_eq!(runtime_dirs(living.pid()).len(), 1);
    assert!(site.out().join(".living.ozr").exists());
    living.signal("INT");
    let living = living.wait();
    living.assert_failed(130, &["interrupted by SIGINT"]);
    assert_empty(&site, &living, &["qcow2"]);
    assert_empty(&site, &dead, &["qcow2"]);
}

/// Without the register, the runtime directory says what it is and whose.
#[test]
fn ozr_is_killed_and_its_register_is_lost() {
    let _alone = alone();
    let Some(site) = Site::new("wiped") else {
        return;
    };
    let dead = killed_at(install_over(&site), BOOTS);
    fs::remove_dir_all(site.path("state").join("builds")).unwrap();
    assert_collected(&site, &dead);
}

#[test]
fn ozr_is_killed_and_started_again() {
    let _alone = alone();
    let Some(site) = Site::new("again") else {
        return;
    };
    let first = killed_at(install_over(&site), "] loading the installer\n");
    assert_eq!(first.status, 128 + 9);
    assert_eq!(site.qemus().len(), 1, "QEMU has outlived ozr");

    let mut second = start(install_over(&site));
    second.wait_for(BOOTS);
    assert_eq!(site.qemus().len(), 1, "the first QEMU is gone");
    second.signal("INT");
    let second = second.wait();
    second.assert_failed(130, &[&format!("what process {} left", first.pid)]);
    assert_empty(&site, &second, &["qcow2", "failed"]);
    assert_empty(&site, &first, &["qcow2", "failed"]);
}

/// qemu-img goes on without ozr.
#[test]
fn ozr_is_killed_while_the_image_is_finished() {
    let _alone = alone();
    let Some(site) = Site::new("finish") else {
        return;
    };
    let mut command = install_over(&site);
    command.args(["--compress", "zstd"]);
    let dead = killed_at(command, "] finishing the image\n");
    assert_collected(&site, &dead);
}

#[test]
fn qemu_is_killed() {
    let Some(site) = Site::new("killed") else {
        return;
    };
    let mut running = start(install_over(&site));
    running.wait_for("] starting the installer\n");
    for pid in site.qemus() {
        kill("KILL", pid);
    }
    assert_judged(
        &site,
        &running.wait(),
        1,
        "guest-killed",
        &["QEMU was killed by signal 9", "while", "dmesg"],
    );
}

/// As after a power cut: no process lives, no lock is held, `/run` is empty; what is on disk is
/// there.
#[test]
fn the_host_restarts() {
    let _alone = alone();
    let Some(site) = Site::new("reboot") else {
        return;
    };
    if !is_root() {
        return;
    }
    let dead = killed_at(install_over(&site), BOOTS);
    for pid in site.qemus() {
        kill("KILL", pid);
    }
    for dir in runtime_dirs(dead.pid) {
        fs::remove_dir_all(dir).unwrap();
    }
    assert_collected(&site, &dead);
}

/// What the user wanted to keep stays until it is asked for.
#[test]
fn what_was_kept_stays() {
    let _alone = alone();
    let Some(site) = Site::new("kept") else {
        return;
    };
    let mut command = install_over(&site);
    command.arg("--keep");
    let mut running = start(command);
    running.wait_for(BOOTS);
    running.signal("INT");
    let kept = running.wait();
    kept.assert_failed(130, &["was left running"]);
    let qemus = site.qemus();
    assert_eq!(qemus.len(), 1);

    let told = site.gc(&[]);
    told.assert_done();
    assert!(about(&told, &site.name).is_empty(), "{told:?}");
    let reach = format!("console ozr-{}", site.name);
    for words in [
        "note: kept: ",
        "virsh -c 'qemu:///embed?root=",
        &reach,
        "gc --kept",
    ] {
        assert!(told.stderr.contains(words), "{words}: {}", told.stderr);
    }
    // Nor does the loss of the register make it anybody's.
    fs::rename(site.path("state"), site.path("lost")).unwrap();
    site.gc(&[]).assert_done();
    fs::rename(site.path("lost"), site.path("state")).unwrap();
    assert_eq!(site.qemus(), qemus);

    site.gc(&["--kept"]).assert_done();
    assert_empty(&site, &kept, &["qcow2", "failed"]);
}

// The disk.

/// A file system of its own, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(arguments: &[&str], on: &Path) -> Mounted {
        fs::create_dir_all(on).unwrap();
        let status = Command::new("mount").args(arguments).arg(on).status();
        assert!(status.unwrap().success());
        Mounted(on.to_path_buf())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn the_disk_fills_up() {
    let Some(site) = Site::new("full") else {
        return;
    };
    if !is_root() {
        return;
    }
    let _small = Mounted::new(
        &["-t", "tmpfs", "-o", "size=1200m", "ozr-test"],
        &site.out(),
    );
    let mut running = start(install_over(&site));
    running.wait_for(BOOTS);
    // Room for what explains it, and none for an install.
    let filler = site.out().join("filler");
    let output = Command::new("fallocate")
        .args(["-l", "1185m"])
        .arg(&filler)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let outcome = running.wait();
    fs::remove_file(filler).unwrap();
    let says = [
        "the file system of the output directory is full",
        "make room",
    ];
    assert_judged(&site, &outcome, 3, "disk-full", &says);
}

/// Nothing can be said of what is on a file system that is not there now.
#[test]
fn the_disk_is_not_mounted() {
    let _alone = alone();
    let Some(site) = Site::new("unmounted") else {
        return;
    };
    if !is_root() {
        return;
    }
    let disk = site.path("disk");
    fs::create_dir(&disk).unwrap();
    let bind = ["--bind", disk.to_str().unwrap()];
    let mounted = Mounted::new(&bind, &site.out());
    site.mirror.change("/os/images/pxeboot/vmlinuz", |file| {
        file.always = Some(Fault::StallAt(100_000));
    });
    let mut running = start(install_over(&site));
    running.wait_for("] getting the installer");
    site.mirror.wait_for_stall();
    running.signal("KILL");
    let dead = running.wait();
    drop(mounted);

    let mount = format!("not mounted on {}", site.out().display());
    let outcome = site.gc(&[]);
    outcome.assert_failed(3, &[&mount, "run `ozr gc` again"]);
    assert!(disk.join(format!(".{}.ozr", site.name)).exists());

    let _mounted = Mounted::new(&bind, &site.out());
    assert_collected(&site, &dead);
}

// The system's libvirt.

/// A build whose guest boots there.
fn boots_on_the_daemon(site: &Site) -> Running {
    let mut command = install_over(site);
    command.args(SYSTEM);
    let mut running = start(command);
    running.wait_for(BOOTS);
    running
}

fn guests() -> String {
    daemon::virsh(&["list", "--all", "--name"])
}

/// The daemon has a guest that nobody marked, and one of a build that lives; what a dead build left
/// is found by its mark alone.
#[test]
fn ozr_and_the_daemon_are_killed_and_the_register_is_lost() {
    let _alone = alone();
    let (Some(site), Some(neighbour)) = (Site::new("both"), Site::new("living")) else {
        return;
    };
    let _turn = daemon::turn_alone();
    let Some(daemon) = daemon::start_ours() else {
        return;
    };
    let theirs = format!("theirs-{}", site.name);
    let xml = format!(
        "<domain type='qemu'><name>{theirs}</name><memory unit='MiB'>16</memory>\
         <os><type>hvm</type></os><features><acpi/></features></domain>"
    );
    let xml = site.write("theirs.xml", &xml);
    let dead = boots_on_the_daemon(&site);
    // It must not see its daemon die, for it would end the guest by the next one.
    dead.signal("STOP");
    daemon.kill();
    dead.signal("KILL");
    let dead = dead.wait();
    daemon.restart();
    daemon::virsh(&["create", "--paused", xml.to_str().unwrap()]);
    let mut living = start({
        let mut command = neighbour.install(&kickstart(""));
        command.args(SYSTEM);
        command
    });
    living.wait_for(BOOTS);
    assert!(
        guests().contains(&format!("ozr-{}-", site.name)),
        "{}",
        guests()
    );

    let state = site.path("state");
    fs::rename(&state, site.path("lost")).unwrap();
    let runtime = runtime_dirs(dead.pid);
    assert_eq!(runtime.len(), 1);
    fs::rename(&runtime[0], site.path("lost-runtime")).unwrap();
    let outcome = site.gc(&SYSTEM);
    outcome.assert_done();
    let removed = about(&outcome, &site.name);
    let of = format!(" on qemu:///system of process {}", dead.pid);
    assert!(removed[0].starts_with("removed guest ozr-"), "{outcome:?}");
    assert!(removed[0].ends_with(&of), "{outcome:?}");
    assert!(about(&outcome, "living").is_empty(), "{outcome:?}");
    let after = guests();
    assert!(
        after.contains(&theirs) && after.contains("ozr-living"),
        "{after}"
    );
    assert!(!after.contains(&format!("ozr-{}-", site.name)), "{after}");

    fs::rename(site.path("lost-runtime"), &runtime[0]).unwrap();
    fs::rename(site.path("lost"), &state).unwrap();
    site.gc(&[]).assert_done();
    assert_eq!(neighbour.qemus().len(), 1);
    living.signal("INT");
    let living = living.wait();
    living.assert_failed(130, &["interrupted by SIGINT"]);
    assert_empty(&neighbour, &living, &["failed"]);
    assert_empty(&site, &dead, &["qcow2"]);
    assert!(guests().contains(&theirs));
    daemon::virsh(&["destroy", &theirs]);
    assert_no_guest(&site);
}

/// QEMU outlives its daemon; ozr cannot end it, and the next one does, unasked.
#[test]
fn the_daemon_is_killed() {
    let _alone = alone();
    let Some(site) = Site::new("lost") else {
        return;
    };
    let _turn = daemon::turn_alone();
    let Some(daemon) = daemon::start_ours() else {
        return;
    };
    let running = boots_on_the_daemon(&site);
    daemon.kill();
    let outcome = running.wait();
    outcome.assert_failed(
        3,
        &[
            "the connection to libvirt was lost (the libvirt daemon ended)",
            "the next build does it, or `ozr gc`",
        ],
    );
    let verdict = fs::read_to_string(site.output("failed").join("verdict.json")).unwrap();
    assert!(verdict.contains("hypervisor-failed"), "{verdict}");
    assert_eq!(site.qemus().len(), 1);
    let refused = site.gc(&[]);
    refused.assert_failed(
        3,
        &[&site.name, "start the libvirt daemon", "run `ozr gc` again"],
    );
    assert_eq!(site.qemus().len(), 1);
    daemon.restart();

    let next = boots_on_the_daemon(&site);
    assert_eq!(site.qemus().len(), 1, "the first QEMU is gone");
    next.signal("INT");
    let next = next.wait();
    next.assert_failed(130, &[&format!("what process {} left", outcome.pid)]);
    assert_empty(&site, &outcome, &["qcow2", "failed"]);
    assert_empty(&site, &next, &["qcow2", "failed"]);
    assert_no_guest(&site);
}

/// The daemon comes back at once, as service managers have it: ozr itself ends the guest by it, or
/// where that is too slow the next one does.
#[test]
fn the_daemon_restarts() {
    let _alone = alone();
    let Some(site) = Site::new("restart") else {
        return;
    };
    let _turn = daemon::turn_alone();
    let Some(daemon) = daemon::start_ours() else {
        return;
    };
    let running = boots_on_the_daemon(&site);
    daemon.kill();
    daemon.restart();
    let outcome = running.wait();
    eprintln!("{}", outcome.stderr.lines().last().unwrap_or_default());
    if outcome.stderr.contains("the next build does it") {
        site.gc(&[]).assert_done();
    }
    let says = ["the connection to libvirt was lost"];
    assert_judged(&site, &outcome, 3, "hypervisor-failed", &says);
    assert_no_guest(&site);
}

/// A daemon that answers no more is noticed, and is nobody else's trouble.
#[test]
fn a_daemon_that_hangs() {
    let _alone = alone();
    let Some(site) = Site::new("hangs") else {
        return;
    };
    let _turn = daemon::turn_alone();
    let Some(daemon) = daemon::start_ours() else {
        return;
    };
    let running = boots_on_the_daemon(&site);
    daemon.signal("STOP");
    let outcome = running.wait();
    outcome.assert_failed(
        3,
        &[
            "the connection to libvirt was lost (the libvirt daemon answers no more)",
            "the next build does it, or `ozr gc`",
        ],
    );
    let refused = site.gc(&[]);
    refused.assert_failed(
        3,
        &["no answer for 30 s", "restart it", "run `ozr gc` again"],
    );

    let mut other = site.install(&kickstart(""));
    other.args(["--name", "other"]);
    let mut other = start(other);
    other.wait_for(BOOTS);
    other.signal("INT");
    let other = other.wait();
    other.assert_failed(
        130,
        &["warning: what earlier builds left could not be removed within"],
    );
    fs::remove_dir_all(site.out().join("other.failed")).unwrap();

    daemon.signal("CONT");
    site.gc(&[]).assert_done();
    assert_judged(&site, &outcome, 3, "hypervisor-failed", &[]);
    assert_no_guest(&site);
}

/// The daemon knows nothing of the site's guest, and neither do its directories.
fn assert_no_guest(site: &Site) {
    assert!(!guests().contains(&site.name), "{}", guests());
    let left = listing(Path::new("/var/lib/libvirt/qemu"));
    assert!(
        !left.iter().any(|line| line.contains(&site.name)),
        "{left:?}"
    );
}

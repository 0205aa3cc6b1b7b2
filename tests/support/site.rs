//! A place to run the real `ozr` in: a mirror with our install tree, an output directory, a cache,
//! and checks that nothing is left behind.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::mirror::{File, KERNEL, Mirror};
use super::tree::tree;

/// Longest run of any `ozr` in the tests: an install in software emulation beside another one.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Memory of the tests' guests in MiB: what the stand-in's installer needs.
const MEMORY: u32 = 2048;

/// What every good build leaves beside its image, as endings of its name.
const BESIDE_IMAGE: [&str; 6] = [
    "CHECKSUM",
    "manifest.json",
    "provenance.json",
    "console.log",
    "served.ks",
    "xml",
];

/// Numbers the sites of a test process, for names of guests that meet on one libvirt.
static SITES: AtomicU32 = AtomicU32::new(0);

/// One test's place.
pub struct Site {
    dir: tempfile::TempDir,
    /// The mirror and file server.
    pub mirror: Mirror,
    /// The name of the guest and of the image.
    pub name: String,
    user: Option<u32>,
    group: Option<u32>,
    /// What stands between the template's `<os>` and `</template>`.
    pub additions: String,
    /// The template's kernelparam.
    pub kernelparam: String,
    /// The command of the template's `<icicle>`.
    pub icicle: String,
    /// The template's rootpw.
    pub rootpw: Option<String>,
    /// The guest's memory in MiB.
    pub memory: u32,
}

/// How a run of `ozr` ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status, or 128 and the signal's number.
    pub status: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// Its process number.
    pub pid: u32,
    /// When it ended.
    pub ended: Instant,
}

/// A running `ozr`.
pub struct Running {
    command: Command,
    child: Child,
    stdout: std::thread::JoinHandle<String>,
    stderr: std::sync::Arc<std::sync::Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
}

/// A kickstart as an admin has it, for the stand-in tree; `more` is put at its end. It installs a small system
/// without a kernel, in two thirds of the time: what boots its image wants [`bootable`].
pub fn kickstart(more: &str) -> String {
    let packages = "--nocore\nbash\ncoreutils\nsed\nutil-linux\nstandin-release\n-kernel";
    installing("--location=none", packages, more)
}

/// As [`kickstart`], but the image boots.
pub fn bootable(more: &str) -> String {
    installing("--timeout=0 --append=mitigations=off", "\n@core", more)
}

fn installing(boot_loader: &str, packages: &str, more: &str) -> String {
    format!(
        "text\nlang en_US.UTF-8\nkeyboard us\ntimezone Etc/UTC --utc\n\
         network --bootproto=dhcp --device=link --activate --hostname=test.example.com\n\
         rootpw --plaintext test-only\nfirstboot --disable\nzerombr\n\
         clearpart --all --initlabel\nreqpart\npart / --fstype=ext4 --size=2048 --grow\n\
         bootloader {boot_loader}\npoweroff\n\
         %packages {packages}\n%end\n{more}"
    )
}

impl Site {
    /// A place without a mirror's content, for what needs no install tree.
    pub fn bare(name: &str) -> Site {
        let number = SITES.fetch_add(1, Ordering::SeqCst);
        let dir = tempfile::Builder::new()
            .prefix("ozr-test-")
            .tempdir_in("/var/tmp")
            .unwrap();
        // Ordinary users and QEMU's own user pass through.
        set_mode(dir.path(), 0o755);
        for sub in ["out", "cache", "home", "state"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        Site {
            dir,
            mirror: Mirror::start(),
            name: format!("{name}-{}-{number}", std::process::id()),
            user: None,
            group: None,
            additions: String::new(),
            kernelparam: String::new(),
            icicle: String::new(),
            rootpw: None,
            memory: MEMORY,
        }
    }

    /// A place whose mirror serves the install tree at `/os/` and the second repository at
    /// `/custom/`; none where there is no tree.
    ///
    /// The kernel is served unpacked, which QEMU starts as well: unpacking it would take software
    /// emulation three seconds in each guest.
    pub fn new(name: &str) -> Option<Site> {
        /// Read once in a test process: 300 MB.
        static FILES: OnceLock<Vec<(String, File)>> = OnceLock::new();
        let tree = tree()?;
        let site = Site::bare(name);
        let mut files = FILES.get();
        if files.is_none() {
            site.mirror.put_directory("/custom", &tree.join("custom"));
            site.mirror.put_directory("/os", &tree.join("os"));
            let kernel = std::fs::read(tree.join("vmlinux")).unwrap();
            site.mirror.exchange("/os", KERNEL, kernel);
            files = Some(FILES.get_or_init(|| site.mirror.files()));
        }
        site.mirror.put_all(files.unwrap().iter().cloned());
        Some(site)
    }

    /// Serves the kernel as the tree has it, which UEFI and GRUB need.
    pub fn serve_packed_kernel(&self) {
        let kernel = std::fs::read(tree().unwrap().join("os").join(KERNEL)).unwrap();
        self.mirror.exchange("/os", KERNEL, kernel);
    }

    /// Runs `ozr` as an ordinary user from now on.
    pub fn as_user(&mut self, uid: u32) {
        self.user = Some(uid);
        for sub in ["out", "cache", "home", "state"] {
            std::os::unix::fs::chown(self.path(sub), Some(uid), Some(uid)).unwrap();
        }
    }

    /// Adds the ordinary user to a group.
    pub fn in_group(&mut self, gid: u32) {
        self.group = Some(gid);
    }

    /// A path in the site's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The output directory.
    pub fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// A file of the output, `NAME.ENDING`.
    pub fn output(&self, ending: &str) -> PathBuf {
        self.out().join(format!("{}.{ending}", self.name))
    }

    /// The mirror's URL of a path, as a guest with user networking reaches it.
    pub fn guest_url(&self, path: &str) -> String {
        format!(
            "http://10.0.2.2:{}{path}",
            self.mirror.url("/").port().unwrap()
        )
    }

    /// Writes a file into the site's directory.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes the template: the stand-in tree on this site's mirror, and the additions.
    pub fn write_template(&self) -> PathBuf {
        let mut os = String::new();
        if !self.kernelparam.is_empty() {
            os.push_str(&format!("<kernelparam>{}</kernelparam>", self.kernelparam));
        }
        if !self.icicle.is_empty() {
            os.push_str(&format!(
                "<icicle><extra_command>{}</extra_command></icicle>",
                self.icicle
            ));
        }
        if let Some(rootpw) = &self.rootpw {
            os.push_str(&format!("<rootpw>{rootpw}</rootpw>"));
        }
        self.write(
            "template.tdl",
            &format!(
                "<template>\n<name>{}</name>\n<os>\n<name>Rocky-9</name>\n<version>9.0</version>\n\
                 <arch>x86_64</arch>\n<install type='url'><url>{}</url></install>\n{os}\n</os>\n\
                 {}\n<disk><size>4G</size></disk>\n</template>\n",
                self.name,
                self.mirror.url("/os/"),
                self.additions
            ),
        )
    }

    /// `ozr` with this site's environment.
    pub fn ozr(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_ozr");
        let mut command = match self.user {
            None => Command::new(program),
            Some(uid) => {
                let mut command = Command::new("setpriv");
                let uid = uid.to_string();
                command.args(["--reuid", &uid, "--regid", &uid]);
                match self.group {
                    Some(group) => command.args(["--groups", &group.to_string()]),
                    None => command.arg("--clear-groups"),
                };
                command.arg(self.program_for_all(program));
                command
            }
        };
        command
            .env_remove("LIBVIRT_DEFAULT_URI")
            .env_remove("XDG_RUNTIME_DIR")
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("home").join("cache"))
            .env("OZR_LOG", "off")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// A copy of the program where every user can run it: the build's directory may be closed.
    fn program_for_all(&self, program: &str) -> PathBuf {
        let copy = self.path("ozr");
        if !copy.exists() {
            std::fs::copy(program, &copy).unwrap();
            set_mode(&copy, 0o755);
        }
        copy
    }

    /// `ozr install` of the site's template with a kickstart of this text.
    pub fn install(&self, kickstart: &str) -> Command {
        let kickstart = self.write("test.ks", kickstart);
        let mut command = self.install_builtin();
        command.arg("-k").arg(kickstart);
        command
    }

    /// `ozr install` in the site's directory, without a check and an output directory.
    pub fn install_into(&self, options: &[&str]) -> Command {
        self.write_template();
        self.write("test.ks", &kickstart(""));
        let mut command = self.ozr();
        command
            .args(["install", "template.tdl", "-k", "test.ks", "--no-check"])
            .args([
                "--cache-dir",
                "cache",
                "--state-dir",
                "state",
                "--progress",
                "plain",
                "--no-seal",
            ])
            .args(options);
        command
    }

    /// The same where the check before it would refuse the kickstart.
    pub fn install_unchecked(&self, kickstart: &str) -> Command {
        let mut command = self.install(kickstart);
        command.arg("--no-check");
        command
    }

    /// `ozr gc` for the site's builds.
    pub fn gc(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.ozr();
        command
            .args(["gc", "--state-dir"])
            .arg(self.path("state"))
            .args(arguments);
        run(command)
    }

    /// `ozr install` of the site's template with the kickstart that is built in. The image is not
    /// sealed, which would take seconds in each test and take out what some look at.
    pub fn install_builtin(&self) -> Command {
        let template = self.write_template();
        let mut command = self.ozr();
        command
            .arg("install")
            .arg(template)
            .arg("--output-dir")
            .arg(self.out())
            .arg("--cache-dir")
            .arg(self.path("cache"))
            .arg("--state-dir")
            .arg(self.path("state"))
            // One CPU: with several, software emulation loses interrupts between them at times, and
            // the guest's kernel waits for ever.
            .args([
                "--memory",
                &self.memory.to_string(),
                "--vcpus",
                "1",
                "-vv",
                "--no-seal",
            ])
            .arg(format!(
                "--progress=json={}",
                self.path("home/events").display()
            ));
        command
    }

    /// What `ozr install` has told for programs, of all builds so far (`docs/progress.md`).
    pub fn events(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path("home/events")).unwrap();
        let parse = |line| serde_json::from_str(line).unwrap();
        text.lines().map(parse).collect()
    }

    /// Nothing is left of a build but what a good one leaves beside its image, and `more`: the image's formats.
    pub fn assert_built(&self, outcome: &Outcome, more: &[&str]) {
        self.assert_clean(outcome, &[&BESIDE_IMAGE[..], more].concat());
    }

    /// Nothing is left of a build but what is in `kept`: no process, no socket, no file.
    pub fn assert_clean(&self, outcome: &Outcome, kept: &[&str]) {
        self.assert_nothing_runs(outcome);
        let mut left: Vec<String> = std::fs::read_dir(self.out())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        // A build through the cache has its lock file.
        let has_lock = kept.contains(&"manifest.json");
        left.retain(|name| !has_lock || *name != format!("{}.lock", self.name));
        left.sort();
        let mut kept: Vec<String> = kept
            .iter()
            .map(|ending| format!("{}.{ending}", self.name))
            .collect();
        kept.sort();
        assert_eq!(left, kept, "{}", outcome.stderr);
    }

    /// No guest of the site runs, and nothing tells of the build that has ended.
    pub fn assert_nothing_runs(&self, outcome: &Outcome) {
        let qemus = self.qemus();
        assert!(qemus.is_empty(), "QEMU still runs: {qemus:?}\n{outcome:?}");
        for parent in [
            "/run/ozr".to_string(),
            format!("/tmp/ozr-{}", self.user.unwrap_or(0)),
        ] {
            let prefix = format!("{}-", outcome.pid);
            for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                assert!(!name.starts_with(&prefix), "{:?} is left", entry.path());
            }
        }
        if let Ok(builds) = std::fs::read_dir(self.path("state").join("builds")) {
            let left: Vec<_> = builds.map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "{left:?} are left\n{}", outcome.stderr);
        }
        if let Ok(guests) = std::fs::read_dir(self.path("state").join("guests")) {
            let left: Vec<_> = guests
                .map(|entry| entry.unwrap().file_name())
                .filter(|name| name != ".counting")
                .collect();
            assert!(left.is_empty(), "{left:?} are left\n{}", outcome.stderr);
        }
    }

    /// The QEMU processes of this site's guests.
    pub fn qemus(&self) -> Vec<u32> {
        let ours = self.out().display().to_string();
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).into_owned();
                let program = line.split('\0').next()?;
                (program.contains("qemu-system") && line.contains(&ours)).then_some(pid)
            })
            .collect()
    }
}

/// Gives a file or directory these permissions.
pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Starts a command.
pub fn start(mut command: Command) -> Running {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let shared = std::sync::Arc::clone(&seen);
    Running {
        command,
        child,
        stdout: std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        }),
        stderr: seen,
        reader: std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = stderr.read(&mut buffer) {
                if length == 0 {
                    break;
                }
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                shared.lock().unwrap().push_str(&text);
            }
        }),
    }
}

/// What ozr says when QEMU has called abort(3).
const QEMU_ABORTED: &str = "QEMU was killed by signal 6";

/// Runs a command to its end.
///
/// Software emulation of QEMU 10.0 aborts about once in two hundred boots, while the guest's
/// kernel starts. That is no finding about ozr, which names it: the command is run once more.
pub fn run(command: Command) -> Outcome {
    let (outcome, command) = start(command).end();
    if !outcome.stderr.contains(QEMU_ABORTED) {
        return outcome;
    }
    eprintln!("once more: {}", outcome.stderr);
    start(command).wait()
}

impl Running {
    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until stderr shows `text`; panics if the program ends before. If it ends because
    /// QEMU aborts, it is run once more, as by [`run`].
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.stderr.lock().unwrap().contains(text) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() && self.stderr.lock().unwrap().contains(QEMU_ABORTED) {
                eprintln!("once more: {}", self.stderr.lock().unwrap());
                let command = std::mem::replace(&mut self.command, Command::new("true"));
                *self = start(command);
                continue;
            }
            let late = Instant::now() > deadline;
            assert!(
                ended.is_none() && !late,
                "`{text}` did not come ({ended:?}):\n{}",
                self.stderr.lock().unwrap()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.pid().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for the end.
    pub fn wait(self) -> Outcome {
        self.end().0
    }

    fn end(mut self) -> (Outcome, Command) {
        use std::os::unix::process::ExitStatusExt;

        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("ozr did not end:\n{}", self.stderr.lock().unwrap());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        };
        let ended = Instant::now();
        let pid = self.pid();
        let stdout = self.stdout.join().unwrap();
        self.reader.join().unwrap();
        let stderr = self.stderr.lock().unwrap().clone();
        let outcome = Outcome {
            status: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout,
            stderr,
            pid,
            ended,
        };
        (outcome, self.command)
    }
}

impl Outcome {
    /// The run succeeded.
    pub fn assert_done(&self) -> &Self {
        assert_eq!(self.status, 0, "{}", self.end());
        self
    }

    /// The end of what it said: a log of the tests that is cut shows its beginning, and the reason stands behind the
    /// guest's console.
    fn end(&self) -> String {
        const SHOWN: usize = 60;
        let lines: Vec<&str> = self.stderr.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// The run failed with this status, and says all of these.
    pub fn assert_failed(&self, status: i32, says: &[&str]) -> &Self {
        assert_eq!(self.status, status, "{}", self.end());
        assert_eq!(self.stdout, "", "a failed run prints no result");
        for text in says {
            assert!(
                self.stderr.contains(text),
                "`{text}` is not in:\n{}",
                self.stderr
            );
        }
        self
    }
}

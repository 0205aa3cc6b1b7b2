//! Kickstarts against the installer's own parser, and what `ozr` adds to them run for real.
//!
//! Needs `python3` (or the program in `OZR_TEST_PYTHON`) with `pykickstart`; the parts that run
//! scripts need `unshare` and `curl`. What is missing is said and skipped, except where `OZR_TEST_ALL` asks for all tests.

// Helpers of tests panic and print as tests do; clippy.toml knows only the functions marked
// #[test].
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ozr::hex;
use ozr::kickstart::additions::{Additions, Body, FileAddition, Replaced, Repository, Script};
use ozr::kickstart::builtin;
use ozr::kickstart::compose::compose;
use ozr::kickstart::scan::scan;
use ozr::secrets::Secret;
use serde::Deserialize;

const MARK: &str = "ozr-done-0123456789abcdef0123456789abcdef";

/// Parses a kickstart as anaconda does and tells what it understood. Warnings are errors.
const PARSE: &str = r#"
import json, sys, warnings
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion
warnings.simplefilter("error")
handler = makeVersion(sys.argv[1])
KickstartParser(handler).readKickstart(sys.argv[2])
print(json.dumps({
    "packages": sorted(handler.packages.packageList),
    "groups": sorted(g.name for g in handler.packages.groupList),
    "repos": [[r.name, r.baseurl] for r in handler.repo.repoList],
    "scripts": [dict(text=s.script, chroot=s.inChroot, fatal=s.errorOnFail, interp=s.interp)
                for s in handler.scripts],
    "written": str(handler),
}))
"#;

#[derive(Debug, Deserialize)]
struct Parsed {
    packages: Vec<String>,
    groups: Vec<String>,
    repos: Vec<(String, String)>,
    scripts: Vec<ParsedScript>,
    /// What anaconda writes to /root/anaconda-ks.cfg.
    written: String,
}

#[derive(Debug, Deserialize)]
struct ParsedScript {
    text: String,
    chroot: bool,
    fatal: bool,
    interp: String,
}

fn python() -> Option<String> {
    let python = std::env::var("OZR_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import pykickstart"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    found.then_some(python).or_else(|| skip("pykickstart"))
}

/// Says what is missing; where all tests are asked for, nothing may be.
fn skip<T>(what: &str) -> Option<T> {
    let all = std::env::var_os("OZR_TEST_ALL").is_some();
    assert!(
        !all,
        "{what} is missing, and OZR_TEST_ALL asks for all tests"
    );
    eprintln!("skipped: no {what}");
    None
}

fn parse(python: &str, version: &str, text: &str) -> Result<Parsed, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let output = Command::new(python)
        .args(["-c", PARSE, version])
        .arg(file.path())
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

/// pykickstart's name for the release of a built-in kickstart.
/// The releases that a built-in kickstart is for, in pykickstart's words.
fn versions_of(name: &str) -> Vec<String> {
    match name.rsplit_once('-') {
        None => ["F29", "F33", "F36", "F40", "F42", "F46"]
            .map(String::from)
            .to_vec(),
        Some(("fedora", number)) => vec![format!("F{number}")],
        Some((_, number)) => vec![format!("RHEL{number}")],
    }
}

#[test]
fn built_in_kickstarts_pass_pykickstart() {
    let Some(python) = python() else { return };
    for builtin in builtin::all() {
        let text = builtin.render("secret").unwrap();
        for version in versions_of(builtin.name) {
            let parsed = parse(&python, &version, &text)
                .unwrap_or_else(|error| panic!("{} for {version}: {error}", builtin.name));
            assert!(
                parsed.groups.contains(&"core".to_string()),
                "{}",
                builtin.name
            );
            for script in &parsed.scripts {
                check_syntax(&script.text);
            }
        }
    }
}

fn check_syntax(script: &str) {
    for shell in ["sh", "bash"] {
        let mut child = Command::new(shell)
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(script.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{shell} -n: {output:?}");
    }
}

/// A kickstart without a line end at its end, with things of its author's own everywhere.
const AUTHOR: &str = "# mine\ntext\r\nlang en_US.UTF-8\nrepo --name=mine --baseurl='http://m/a&b|c/mine/'\n\
rootpw --plaintext \"it's\"\npoweroff\n\n%packages\n@core\n-vim\n%end\n\n%packages\nzsh\n%end\n\
%post --log=/root/post.log\necho '%endless' >/etc/author\n%end\n\n%post --nochroot\n:\n%end";

const NASTY_PATH: &str = "/srv/a b/it's \"$(id)\" `x` \\n %end ünï 💡";

fn noise(length: usize) -> Vec<u8> {
    // A linear congruential generator: every byte value, and nothing a compressor or a shell
    // could take a liking to.
    let mut state = 12345_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

/// Everything that has ever broken a kickstart, in one template.
fn nasty_additions() -> Additions {
    let body = |content: &[u8]| Body::Embedded(content.to_vec());
    let script = |name: &str, content: &str| Script {
        name: name.into(),
        body: body(content.as_bytes()),
    };
    let file = |path: &str, content: &[u8]| FileAddition {
        path: path.into(),
        body: body(content),
    };
    let repository = |name: &str, persisted, signed| Repository {
        name: name.into(),
        base_url: format!("http://relay/{}/", name.len()),
        image_url: format!("https://mirror/{}/$releasever/", name.len()),
        signed,
        persisted,
        sslverify: signed,
    };
    Additions {
        repositories: vec![
            repository("it's my \"repo\" %end ü", true, true),
            repository("distro", false, false),
        ],
        packages: vec!["vim-enhanced".into(), "@development".into(), "php-*".into()],
        replaced: vec![Replaced {
            address: "http://10.0.2.2:9/t0ken/repo/kickstart/".into(),
            author: "http://m/a&b|c/".into(),
        }],
        filled: Vec::new(),
        precommands: vec![
            script(
                "first",
                "cat /etc/yum.repos.d/distro.repo >/seen\necho first >>/order\n",
            ),
            // No line end, bash's own syntax, and lines that would end a kickstart section.
            script(
                "a \"quoted\" $(name)",
                "cat <<X >/dev/null\n%end\n%include /nowhere\n%packages\nX\nwords=(first second); echo \"${words[1]}\" >>/order",
            ),
        ],
        files: vec![
            file("/etc/motd", b"welcome\n"),
            file(
                NASTY_PATH,
                b"%end\n%post\n%include x\n--ozr-end--\nno line end",
            ),
            file("/srv/noise", &noise(1 << 20)),
            file("/srv/empty", b""),
            file("/etc/existing", b"new content\n"),
            file("/etc/link", b"through the link\n"),
            file("/var/run/deep/er/file", b"x"),
        ],
        commands: vec![
            script(
                "environment",
                "#!/bin/sh\necho third >>/order\n\
                 echo \"$HOME $USER $PATH $(pwd) $(umask)\" >/environment\ncat\n",
            ),
            Script {
                name: "a program".into(),
                body: Body::Embedded(fs::read("/usr/bin/true").unwrap()),
            },
            script("last", "ls -A /srv >/listed; echo fourth >>/order\n"),
        ],
        root_password: Some(Secret::new("$6$rounds=5000$salt$hash")),
        mark: MARK.into(),
    }
}

fn composed(additions: &Additions) -> String {
    let outline = scan(AUTHOR, "author.ks").unwrap();
    let Replaced { address, author } = &additions.replaced[0];
    let given = AUTHOR.replace(author, address);
    compose(&given, &outline, additions).unwrap().text
}

#[test]
fn composed_kickstarts_pass_pykickstart_everywhere() {
    let Some(python) = python() else { return };
    let text = composed(&nasty_additions());
    for version in ["RHEL6", "RHEL7", "RHEL8", "RHEL9", "RHEL10", "F43"] {
        let parsed = parse(&python, version, &text).unwrap_or_else(|e| panic!("{version}: {e}"));
        assert_eq!(parsed.packages, ["php-*", "vim-enhanced", "zsh"]);
        assert_eq!(parsed.groups, ["core", "development"]);
        assert_eq!(parsed.repos[1].0, "ozr-it_s_my__repo___end__", "{version}");
        assert_eq!(parsed.repos[1].1, "http://relay/22/");
        let root = parsed
            .written
            .lines()
            .filter(|line| line.starts_with("rootpw"));
        let root: Vec<&str> = root.collect();
        assert_eq!(
            root,
            ["rootpw --iscrypted $6$rounds=5000$salt$hash"],
            "{version}"
        );
        let scripts = &parsed.scripts;
        assert_eq!(scripts.len(), 5, "{version}");
        assert_eq!(scripts[0].text, "echo '%endless' >/etc/author\n");
        let ours: Vec<(bool, bool)> = scripts[2..].iter().map(|s| (s.chroot, s.fatal)).collect();
        assert_eq!(ours, [(false, true), (true, true), (false, true)]);
        for script in &scripts[2..] {
            assert_eq!(script.interp, "/bin/sh");
            check_syntax(&script.text);
        }
    }
}

/// An installer and its target, as far as `%post` scripts see them.
struct Machine {
    folder: tempfile::TempDir,
    /// Directories that the installer finds programs in.
    path: String,
}

impl Machine {
    fn new() -> Option<Self> {
        let machine = Machine {
            folder: tempfile::tempdir().unwrap(),
            path: std::env::var("PATH").unwrap(),
        };
        let target = machine.target();
        for folder in [
            "dev",
            "etc/yum.repos.d",
            "root",
            "srv",
            "tmp",
            "usr",
            "var/log",
            "run",
        ] {
            fs::create_dir_all(target.join(folder)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64", "lib32"] {
            match fs::read_link(Path::new("/").join(name)) {
                Ok(link) => symlink(link, target.join(name)).unwrap(),
                Err(_) if Path::new("/").join(name).is_dir() => return skip("merged /usr"),
                Err(_) => {}
            }
        }
        symlink("/run", target.join("var/run")).unwrap();
        fs::write(target.join("dev/null"), "").unwrap();
        fs::write(target.join("dev/console"), "").unwrap();
        fs::write(machine.console_path(), "").unwrap();
        let output = machine.in_target("true", &[]);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            return skip("unshare with a user and a mount namespace");
        }
        Some(machine)
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    fn console_path(&self) -> PathBuf {
        self.folder.path().join("console")
    }

    /// The kickstart as the installer was given it.
    fn kickstart_path(&self) -> PathBuf {
        self.folder.path().join("ks.cfg")
    }

    /// What both consoles show.
    fn console(&self) -> String {
        let target = fs::read_to_string(self.target().join("dev/console")).unwrap();
        fs::read_to_string(self.console_path()).unwrap() + &target
    }

    fn read(&self, path: &str) -> Vec<u8> {
        let path = self.target().join(path.trim_start_matches('/'));
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.read(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        let path = self.target().join(path.trim_start_matches('/'));
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn write(&self, path: &str, content: &[u8], mode: u32) {
        let path = self.target().join(path.trim_start_matches('/'));
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn in_target(&self, program: &str, arguments: &[&str]) -> Output {
        let setup = r#"
            root=$1; shift
            mount --bind /usr "$root/usr" && mount --bind /dev/null "$root/dev/null" || exit 99
            exec chroot "$root" "$@"
        "#;
        Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", setup, "sh"])
            .arg(self.target())
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("unshare is part of util-linux")
    }

    /// Runs a script as anaconda's `run_script` does.
    fn run(&self, script: &ParsedScript) -> Output {
        if script.chroot {
            self.write("/tmp/ks-script-abc", script.text.as_bytes(), 0o700);
            return self.in_target(&script.interp, &["/tmp/ks-script-abc"]);
        }
        let text = script
            .text
            .replace("/dev/console", self.console_path().to_str().unwrap())
            .replace(
                "/run/install/ks.cfg",
                self.kickstart_path().to_str().unwrap(),
            )
            .replace("/tmp/ks.cfg", "/nonexistent/ks.cfg")
            .replace("sleep 2", "sleep 0");
        let path = self.folder.path().join("ks-script-nochroot");
        fs::write(&path, text).unwrap();
        Command::new(&script.interp)
            .arg(&path)
            .env("ANA_INSTALL_PATH", self.target())
            .env("PATH", &self.path)
            .env("http_proxy", "http://127.0.0.1:9/")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Installs: the copies are written, then the `%post` scripts run until one fails.
    fn install(&self, python: &str, kickstart: &str) -> Result<(), Output> {
        let parsed = parse(python, "RHEL9", kickstart).unwrap();
        fs::write(self.kickstart_path(), kickstart).unwrap();
        self.write("/root/anaconda-ks.cfg", parsed.written.as_bytes(), 0o600);
        for script in &parsed.scripts {
            let output = self.run(script);
            if script.fatal && !output.status.success() {
                return Err(output);
            }
        }
        Ok(())
    }
}

/// Puts every content on a server; the paths stay what they are without it.
fn by_url(mut additions: Additions, server: &Server) -> Additions {
    let convert = |body: &mut Body, number: usize| {
        if let Body::Embedded(content) = body {
            let path = format!("/t0ken/{number}");
            let content = std::mem::take(content);
            *body = Body::Url {
                url: format!("{}{path}", server.url),
                sha256: hex::sha256(&content),
                size: content.len() as u64,
            };
            server.contents.lock().unwrap().insert(path, content);
        }
    };
    let scripts = additions
        .precommands
        .iter_mut()
        .chain(&mut additions.commands);
    let files = additions.files.iter_mut().map(|file| &mut file.body);
    let bodies = scripts.map(|script| &mut script.body).chain(files);
    for (number, body) in bodies.enumerate() {
        convert(body, number);
    }
    additions
}

type Contents = std::sync::Arc<std::sync::Mutex<HashMap<String, Vec<u8>>>>;

/// Serves contents until the test ends.
struct Server {
    url: String,
    contents: Contents,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let contents = Contents::default();
        let served = contents.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut request = String::new();
                stream.read_line(&mut request).unwrap();
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap() > 2 {
                    line.clear();
                }
                let path = request.split(' ').nth(1).unwrap_or_default();
                let content = served.lock().unwrap().get(path).cloned();
                let status = if content.is_some() {
                    "200 OK"
                } else {
                    "404 Not Found"
                };
                let content = content.unwrap_or_default();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    content.len()
                );
                let stream = stream.get_mut();
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&content);
                let _ = stream.read(&mut [0; 1]);
            }
        });
        Server { url, contents }
    }
}

/// Lets a machine install the nasty kickstart and looks at every effect.
fn installs_everything(python: &str, machine: &Machine, additions: &Additions) {
    machine.write("/etc/existing", b"old", 0o640);
    machine.write("/etc/behind-the-link", b"old", 0o600);
    symlink("/etc/behind-the-link", machine.target().join("etc/link")).unwrap();
    machine.write(
        "/etc/yum.repos.d/distro.repo",
        b"the distribution's own\n",
        0o644,
    );
    let given = &additions.replaced[0].address;
    let installed = format!("[mine]\nbaseurl={given}mine/\n");
    machine.write("/etc/yum.repos.d/mine.repo", installed.as_bytes(), 0o644);
    let kickstart = composed(additions);
    assert!(kickstart.contains(given));
    if let Err(output) = machine.install(python, &kickstart) {
        panic!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    // Order, and that every kind of script ran as root's shell would have run it.
    assert_eq!(machine.text("/order"), "first\nsecond\nthird\nfourth\n");
    assert!(machine.text("/seen").contains("baseurl=http://relay/6/"));
    assert_eq!(
        machine.text("/environment"),
        "/root root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /root 0022\n"
    );

    // Files: bytes, modes, and what was there before.
    let expected = nasty_additions();
    for file in &expected.files {
        let Body::Embedded(content) = &file.body else {
            unreachable!()
        };
        // An absolute link must be followed inside of the target.
        let path = match file.path.as_str() {
            "/etc/link" => "/etc/behind-the-link",
            "/var/run/deep/er/file" => "/run/deep/er/file",
            path => path,
        };
        assert!(machine.read(path) == *content, "{path} differs");
        let mode = match path {
            "/etc/existing" => 0o640,
            "/etc/behind-the-link" => 0o600,
            _ => 0o644,
        };
        assert_eq!(machine.mode(path), mode, "{path}");
    }
    assert!(machine.target().join("etc/link").is_symlink());
    assert_eq!(machine.mode("/srv/a b"), 0o755);
    assert_eq!(machine.mode("/run/deep/er"), 0o755);

    // Repositories: one stays, with the address for the image; one was only borrowed.
    assert_eq!(
        machine.text("/etc/yum.repos.d/it_s_my__repo___end__.repo"),
        "[it_s_my__repo___end__]\nname=it's my \"repo\" %end ü\nbaseurl=https://mirror/22/$releasever/\nenabled=1\ngpgcheck=1\nsslverify=1\n"
    );
    assert_eq!(
        machine.text("/etc/yum.repos.d/distro.repo"),
        "the distribution's own\n"
    );

    assert_eq!(
        machine.text("/etc/yum.repos.d/mine.repo"),
        "[mine]\nbaseurl=http://m/a&b|c/mine/\n"
    );

    // Nothing of ours is left behind, everything of the author's is.
    assert_eq!(
        fs::read_to_string(machine.kickstart_path()).unwrap(),
        AUTHOR
    );
    let kept = machine.text("/root/anaconda-ks.cfg");
    for trace in ["ozr", "decode body", "t0ken", "relay"] {
        assert!(!kept.contains(trace), "{trace} in:\n{kept}");
    }
    assert!(
        kept.contains("echo '%endless' >/etc/author\n%end") && kept.contains("--name=\"mine\"")
    );
    assert!(kept.contains("%post --nochroot\n:\n%end"), "{kept}");
    assert_eq!(machine.mode("/root/anaconda-ks.cfg"), 0o600);
    for folder in ["", "tmp", "var", "etc", "srv"] {
        for entry in fs::read_dir(machine.target().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let ours = name.contains("ozr") || name.contains("ks-script");
            assert!(!ours, "{folder}/{name} is left");
        }
    }

    assert_eq!(machine.console(), format!("\n{MARK}\n"));
}

#[test]
fn embedded_additions_take_effect() {
    let (Some(python), Some(machine)) = (python(), Machine::new()) else {
        return;
    };
    installs_everything(&python, &machine, &nasty_additions());
}

#[test]
fn served_additions_take_effect() {
    let (Some(python), Some(machine)) = (python(), Machine::new()) else {
        return;
    };
    let server = Server::start();
    installs_everything(&python, &machine, &by_url(nasty_additions(), &server));
}

#[test]
fn an_installer_without_curl_and_base64_is_served_by_its_python() {
    let (Some(python), Some(mut machine)) = (python(), Machine::new()) else {
        return;
    };
    let bin = machine.folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for tool in [
        "sh", "wc", "head", "tail", "cat", "mkdir", "rm", "sed", "sleep", "sync",
    ] {
        let found = std::env::split_paths(&machine.path)
            .map(|folder| folder.join(tool))
            .find(|path| path.exists())
            .unwrap();
        symlink(found, bin.join(tool)).unwrap();
    }
    // The program itself: `python3` may be a script that needs more than this.
    let output = Command::new(&python)
        .args([
            "-c",
            "import os, sys; print(os.path.realpath(sys.executable))",
        ])
        .output()
        .unwrap();
    let program = String::from_utf8(output.stdout).unwrap();
    symlink(program.trim(), bin.join("python3")).unwrap();
    machine.path = bin.to_str().unwrap().to_string();
    let server = Server::start();
    let mut additions = nasty_additions();
    // Half by URL, half embedded.
    let files = std::mem::take(&mut additions.files);
    additions = by_url(additions, &server);
    additions.files = files;
    installs_everything(&python, &machine, &additions);
}

/// Installs with one change and expects it to fail with a sentence on the console, and no mark.
fn fails(change: impl FnOnce(&mut Additions, &Server), sentence: &str) -> Option<Machine> {
    let (python, machine) = (python()?, Machine::new()?);
    let server = Server::start();
    let mut additions = by_url(nasty_additions(), &server);
    change(&mut additions, &server);
    machine
        .install(&python, &composed(&additions))
        .expect_err("the installation must fail");
    let console = machine.console();
    assert!(
        console.contains(&format!("\nozr: {sentence}\n")),
        "{console}"
    );
    assert!(!console.contains(MARK), "{console}");
    assert!(!console.contains("t0ken"), "{console}");
    for entry in fs::read_dir(machine.target()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with(".ozr"), "{name} is left");
    }
    Some(machine)
}

#[test]
fn a_failing_command_stops_everything_and_is_named() {
    let change = |additions: &mut Additions, _: &Server| {
        additions.commands[0] = Script {
            name: "set up \"x\"".into(),
            body: Body::Embedded(b"echo some output; echo and errors >&2; exit 3".to_vec()),
        };
    };
    let Some(machine) = fails(change, "command \"set up \"x\"\" failed with exit status 3") else {
        return;
    };
    assert!(machine.console().contains("some output\nand errors\n"));
    // Nothing after it ran.
    assert!(!machine.target().join("listed").exists());
}

#[test]
fn contents_that_do_not_arrive_whole_are_refused() {
    fails(
        |_, server| drop(server.contents.lock().unwrap().remove("/t0ken/0")),
        "cannot fetch the content of precommand \"first\" from the build host",
    );
    fails(
        |_, server| {
            let mut contents = server.contents.lock().unwrap();
            contents.get_mut("/t0ken/5").unwrap()[0] ^= 1;
        },
        "the content of file /etc/motd arrived with the wrong sha256",
    );
    fails(
        |_, server| {
            let mut contents = server.contents.lock().unwrap();
            contents.get_mut("/t0ken/5").unwrap().pop();
        },
        "the content of file /etc/motd arrived with 7 bytes instead of 8",
    );
}

#[test]
fn files_that_cannot_be_written_are_named() {
    fails(
        |additions, _| additions.files[0].path = "/srv".into(),
        "cannot write /srv: it is a directory",
    );
    fails(
        |additions, _| additions.files[0].path = "/dev/null/x".into(),
        "cannot create the directory of /dev/null/x",
    );
}

/// The table of the language is what its script makes of the pykickstart that it names.
#[test]
fn the_table_is_that_of_pykickstart() {
    let Some(python) = python() else {
        return;
    };
    let table = include_str!("../src/language/table.toml");
    let made = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kickstart-table"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let made = String::from_utf8(made.stdout).unwrap();
    let source = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("# Source: "));
        line.unwrap().to_string()
    };
    if source(&made) != source(table) {
        eprintln!(
            "skipped: the table is of another pykickstart ({})",
            source(table)
        );
        return;
    }
    assert!(made == table, "run scripts/kickstart-table");
}

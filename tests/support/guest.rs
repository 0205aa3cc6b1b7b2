//! Boots a finished image in a throw-away guest and talks to it on its serial console.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest wait for anything that the guest should say: software emulation on a machine that runs
/// two of these at once.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long a shell that is there may take to answer, and how often it is asked.
const ANSWER: Duration = Duration::from_secs(5);
const ASKED: u32 = 24;

/// A running guest, killed when dropped.
pub struct Guest {
    qemu: Child,
    stdin: ChildStdin,
    bytes: Receiver<Vec<u8>>,
    seen: String,
    commands: u32,
    _dir: tempfile::TempDir,
}

impl Guest {
    /// Boots `image`, with UEFI if asked; the image itself is not changed.
    pub fn boot(image: &Path, uefi: bool) -> Guest {
        let drive = format!("if=virtio,file={}", image.display());
        let net = [
            "-netdev",
            "user,id=net",
            "-device",
            "virtio-net-pci,netdev=net",
        ];
        let mut arguments = vec!["-snapshot", "-drive", &drive];
        arguments.extend(net);
        Guest::start(uefi, &arguments)
    }

    /// Switches a machine on that has what these arguments of QEMU say.
    pub fn start(uefi: bool, arguments: &[&str]) -> Guest {
        let firmware = uefi.then_some(("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"));
        Guest::start_by(firmware, arguments)
    }

    /// The same, and UEFI starts only what Microsoft's keys vouch for.
    pub fn start_secured(arguments: &[&str]) -> Guest {
        let secured = ["-machine", "smm=on", "-global"];
        let arguments = [
            arguments,
            &secured,
            &["driver=cfi.pflash01,property=secure,value=on"],
        ];
        let firmware = ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd");
        Guest::start_by(Some(firmware), &arguments.concat())
    }

    /// A machine with a BIOS, or with a firmware of Debian's `ovmf`: its code and its variables.
    fn start_by(firmware: Option<(&str, &str)>, arguments: &[&str]) -> Guest {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args([
                "-machine",
                "q35",
                "-accel",
                "tcg",
                "-cpu",
                "max,-erms,-fsrm,-la57",
            ])
            .args(["-m", "1024", "-smp", "1", "-display", "none"])
            .args(["-monitor", "none", "-serial", "stdio"])
            .args(arguments);
        if let Some((code, variables)) = firmware {
            let vars = dir.path().join("vars.fd");
            std::fs::copy(format!("/usr/share/OVMF/{variables}"), &vars).unwrap();
            command
                .arg("-drive")
                .arg(format!(
                    "if=pflash,unit=0,readonly=on,format=raw,file=/usr/share/OVMF/{code}"
                ))
                .arg("-drive")
                .arg(format!(
                    "if=pflash,unit=1,format=raw,file={}",
                    vars.display()
                ));
        }
        let mut qemu = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = qemu.stdin.take().unwrap();
        let mut stdout = qemu.stdout.take().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = stdout.read(&mut buffer) {
                if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Guest {
            qemu,
            stdin,
            bytes,
            seen: String::new(),
            commands: 0,
            _dir: dir,
        }
    }

    /// Waits until the console shows `text` after what was consumed before; returns what came
    /// before it.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_at_most(PATIENCE, text)
            .unwrap_or_else(|| panic!("`{text}` did not come; the console says:\n{}", self.seen))
    }

    fn wait_at_most(&mut self, patience: Duration, text: &str) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.seen.find(text) {
                let before = self.seen[..at].to_string();
                self.seen.drain(..at + text.len());
                return Some(before);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "the guest ended before `{text}`; the console says:\n{}",
                        self.seen
                    )
                }
            }
        }
    }

    /// Waits until the machine is switched off; returns what the console has shown until then.
    pub fn watch_to_the_end(mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.seen),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the guest does not end; the console says:\n{}", self.seen)
                }
            }
        }
    }

    /// Logs in at the serial console.
    pub fn log_in(&mut self, user: &str, password: &str) {
        self.wait_for("login:");
        self.type_line(user);
        self.wait_for("assword:");
        self.type_line(password);
        // A prompt may look like anything; an answer does not. `login` throws away what is typed
        // before the shell reads, so we ask until somebody answers.
        for _ in 0..ASKED {
            self.type_line("echo logged''-in");
            if self.wait_at_most(ANSWER, "logged-in").is_some() {
                return;
            }
        }
        panic!("no shell answers; the console says:\n{}", self.seen);
    }

    /// Waits until the console asks for something, and types the answer.
    pub fn answer(&mut self, question: &str, answer: &str) {
        self.wait_for(question);
        self.type_line(answer);
    }

    fn type_line(&mut self, line: &str) {
        self.stdin
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
        self.stdin.flush().unwrap();
    }

    /// Runs a command in the shell that is logged in; its output, trimmed.
    pub fn run(&mut self, command: &str) -> String {
        self.commands += 1;
        let number = self.commands;
        // The quotes keep the echo of the typed line from looking like the answer.
        self.type_line(&format!(
            "echo begin''-{number}-; {command}; echo end''-{number}-"
        ));
        self.wait_for(&format!("begin-{number}-"));
        let output = self.wait_for(&format!("end-{number}-"));
        output.replace('\r', "").trim().to_string()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

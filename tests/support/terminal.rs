//! A terminal for the real `ozr`: a pseudo-terminal, and what a person would see on it.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Longest run: an install in software emulation beside others.
const PATIENCE: Duration = Duration::from_secs(600);

/// A program on a terminal.
pub struct Terminal {
    child: Child,
    master: OwnedFd,
    seen: Arc<Mutex<Seen>>,
    reader: std::thread::JoinHandle<()>,
}

/// What was on the screen.
struct Seen {
    parser: vt100::Parser,
    /// The screen after each piece of output, as text, without repetitions.
    screens: Vec<String>,
    /// All bytes.
    bytes: Vec<u8>,
}

/// How it ended.
pub struct Shown {
    /// The exit status, or 128 and the signal's number.
    pub status: i32,
    /// The process number it had.
    pub pid: u32,
    /// The screen after each piece of output.
    pub screens: Vec<String>,
    /// All that was written.
    pub text: String,
    /// Whether the terminal shows what is typed, as it did before.
    pub echoes: bool,
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn positive(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

impl Terminal {
    /// Runs a command with its output on a terminal of this size.
    pub fn run(command: Command, rows: u16, columns: u16) -> Terminal {
        Terminal::start(command, rows, columns, false)
    }

    /// Runs a command at a terminal that somebody can type at.
    pub fn run_with_keyboard(command: &Command) -> Terminal {
        let mut at_terminal = Command::new("setsid");
        at_terminal.args(["--ctty", "--wait"]);
        at_terminal
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => at_terminal.env(name, value),
                None => at_terminal.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            at_terminal.current_dir(dir);
        }
        Terminal::start(at_terminal, 24, 200, true)
    }

    /// Types a text.
    pub fn type_in(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).unwrap();
    }

    /// Whether the terminal shows what is typed.
    pub fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.master).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    fn start(mut command: Command, rows: u16, columns: u16, is_typed_at: bool) -> Terminal {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        tcsetwinsize(master.as_fd(), size(rows, columns)).unwrap();
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(&name)
                .unwrap()
        };
        command.stdout(open()).stderr(open());
        match is_typed_at {
            true => command.stdin(open()),
            false => command.stdin(Stdio::null()),
        };
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        let child = command.spawn().unwrap();
        // Its copies of our side of the terminal must go, or there is no end of it.
        drop(command);
        let seen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(positive(rows), positive(columns), 0),
            screens: Vec::new(),
            bytes: Vec::new(),
        }));
        let shared = Arc::clone(&seen);
        let mut output = File::from(master.try_clone().unwrap());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux answers EIO when the other side is closed.
            while let Ok(length) = output.read(&mut buffer) {
                if length == 0 {
                    break;
                }
                shared.lock().unwrap().take(&buffer[..length]);
            }
        });
        Terminal {
            child,
            master,
            seen,
            reader,
        }
    }

    /// Makes the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let mut seen = self.seen.lock().unwrap();
        tcsetwinsize(self.master.as_fd(), size(rows, columns)).unwrap();
        seen.parser
            .screen_mut()
            .set_size(positive(rows), positive(columns));
    }

    /// Waits until the screen shows `text`, or the program ends.
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self
            .seen
            .lock()
            .unwrap()
            .screens
            .iter()
            .any(|s| s.contains(text))
        {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            assert!(Instant::now() < deadline, "`{text}` did not come");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Shown {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("ozr did not end");
            }
            std::thread::park_timeout(Duration::from_millis(20));
        };
        let (pid, echoes) = (self.child.id(), self.echoes());
        self.reader.join().unwrap();
        let seen = self.seen.lock().unwrap();
        Shown {
            status: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            pid,
            screens: seen.screens.clone(),
            echoes,
            text: String::from_utf8_lossy(&seen.bytes).into_owned(),
        }
    }
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.parser.process(bytes);
        let screen = self.parser.screen().contents();
        if self.screens.last() != Some(&screen) {
            self.screens.push(screen);
        }
    }
}

impl Shown {
    /// What is on the screen at the end.
    pub fn last(&self) -> &str {
        self.screens.last().map_or("", String::as_str)
    }
}

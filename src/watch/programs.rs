//! The programs that the installer runs, scripts of the kickstart among them, by what the log port
//! says: the command, what it printed, how it ended (anaconda: core/util.py, EL 7 and later).

use std::collections::{HashMap, VecDeque};

use super::line;
use super::logport::Record;

/// How many lines of a program's output are kept, its last ones.
const MAX_OUTPUT: usize = 20;

/// A line of output that is longer is cut.
const MAX_LINE: usize = 1000;

/// How many that failed are kept. Of the many that an install runs some fail by design.
const MAX_FAILED: usize = 16;

/// Where scripts of the kickstart are put to be run (core/kickstart/scripts.py).
const SCRIPT: &str = "/tmp/ks-script-";

/// A program that the installer ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Its command line.
    pub command: String,
    /// The end of what it printed, a line each.
    pub output: VecDeque<String>,
    /// Its exit status, as the log has it.
    pub status: String,
}

impl Program {
    fn printed(&mut self, text: &str) {
        for text in text.lines() {
            let text = line::without_meter(text);
            let text = text.trim_end();
            if text.is_empty() {
                continue;
            }
            if self.output.len() == MAX_OUTPUT {
                self.output.pop_front();
            }
            self.output.push_back(text.chars().take(MAX_LINE).collect());
        }
    }

    /// Its name, and what it said at last.
    pub fn last_words(&self) -> String {
        let words = last_words(self.output.iter());
        let words = words.map_or_else(|| format!("exit status {}", self.status), str::to_owned);
        let name = self.command.split(' ').next().unwrap_or_default();
        match words.starts_with(name) {
            true => words,
            false => format!("{name}: {words}"),
        }
    }
}

/// The line of an output that tells the most: the last that speaks of an error, else the last one.
pub fn last_words<'a>(
    mut output: impl DoubleEndedIterator<Item = &'a String> + Clone,
) -> Option<&'a str> {
    let tells = |line: &&String| {
        let line = line.to_ascii_lowercase();
        ["error", "fail", "cannot", "not found"]
            .iter()
            .any(|word| line.contains(word))
    };
    let telling = output.clone().rev().find(tells);
    telling.or(output.next_back()).map(String::as_str)
}

/// Follows the programs of an install.
#[derive(Debug, Default)]
pub struct Programs {
    /// What runs in each of anaconda's processes, by its name.
    running: HashMap<String, Program>,
    failed: VecDeque<Program>,
}

impl Programs {
    /// Takes a record of the log port.
    pub fn take(&mut self, record: &Record) {
        /// anaconda has a dozen modules.
        const MAX_RUNNING: usize = 32;
        let said = record.said();
        if said.by != "program" {
            return;
        }
        let by = &record.program;
        if let Some(command) = said.text.strip_prefix("Running") {
            // `Running... CMD`, `Running in chroot '/mnt/sysroot'... CMD`.
            let (_, command) = command.split_once("... ").unwrap_or_default();
            let program = Program {
                command: command.chars().take(MAX_LINE).collect(),
                ..Program::default()
            };
            if self.running.len() < MAX_RUNNING || self.running.contains_key(by) {
                self.running.insert(by.clone(), program);
            }
            return;
        }
        let Some(status) = said.text.strip_prefix("Return code: ") else {
            if let Some(program) = self.running.get_mut(by) {
                program.printed(said.text);
            }
            return;
        };
        let Some(mut program) = self.running.remove(by) else {
            return;
        };
        program.status = status.chars().take(MAX_LINE).collect();
        if program.status != "0" {
            if self.failed.len() == MAX_FAILED {
                self.failed.pop_front();
            }
            self.failed.push_back(program);
        }
    }

    /// The script of the kickstart that failed last.
    pub fn failed_script(&self) -> Option<&Program> {
        let mut latest = self.failed.iter().rev();
        latest.find(|program| program.command.contains(SCRIPT))
    }

    /// The program of the boot loader that failed first: anaconda goes on with others, of which
    /// some fail in good installs, too (`grub2-set-default`).
    pub fn failed_boot_loader(&self) -> Option<&Program> {
        const OF_BOOT_LOADERS: [&str; 8] = [
            "grub2-install",
            "grub-install",
            "grub2-mkconfig",
            "efibootmgr",
            "kernel-install",
            "bootctl",
            "extlinux",
            "zipl",
        ];
        self.failed.iter().find(|program| {
            let name = program.command.split(' ').next().unwrap_or_default();
            OF_BOOT_LOADERS.iter().any(|known| name.ends_with(known))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(log: &str) -> Programs {
        let mut programs = Programs::default();
        for line in log.lines().map(str::trim).filter(|line| !line.is_empty()) {
            programs.take(&Record::parse(&format!("10:00:00,000 {line}")).expect(line));
        }
        programs
    }

    #[test]
    fn a_script_that_failed_has_its_output_and_status() {
        let programs = followed(
            "INFO anaconda:program: Running... /bin/sh /tmp/ks-script-a
             INFO anaconda:program: fine
             DEBUG anaconda:program: Return code: 0
             INFO anaconda:program: Running in chroot '/mnt/sysroot'... /bin/sh /tmp/ks-script-b
             WARNING org.fedoraproject.Anaconda.Modules.Storage:INFO:program:Running... lvm x
             WARNING org.fedoraproject.Anaconda.Modules.Storage:DEBUG:program:Return code: 5
             INFO anaconda:program: fetching#012curl: (22) error 404
             INFO anaconda:program: bye
             DEBUG anaconda:program: Return code: 3
             INFO anaconda:program: Running... chvt 1
             DEBUG anaconda:program: Return code: 1",
        );
        let script = programs.failed_script().unwrap();
        assert_eq!(script.command, "/bin/sh /tmp/ks-script-b");
        assert_eq!(script.status, "3");
        assert_eq!(script.output, ["fetching", "curl: (22) error 404", "bye"]);
        assert_eq!(
            last_words(script.output.iter()),
            Some("curl: (22) error 404")
        );
        assert_eq!(programs.failed_boot_loader(), None);
    }

    #[test]
    fn the_boot_loaders_programs_are_known() {
        let module = "WARNING org.fedoraproject.Anaconda.Modules.Storage";
        let programs = followed(&format!(
            "{module}:INFO:program:Running in chroot '/mnt/sysroot'... grub2-install --no-floppy /dev/vda
             {module}:INFO:program:Installing for i386-pc platform.
             {module}:INFO:program:grub2-install: error: will not proceed with blocklists.
             {module}:DEBUG:program:Return code: 1
             {module}:INFO:program:Running in chroot '/mnt/sysroot'... grub2-set-default -6.1
             {module}:INFO:program:Usage: grub2-set-default [OPTION] MENU_ENTRY
             {module}:DEBUG:program:Return code: 1",
        ));
        let words = programs.failed_boot_loader().unwrap().last_words();
        assert_eq!(
            words,
            "grub2-install: error: will not proceed with blocklists."
        );
    }

    #[test]
    fn a_flood_is_bounded() {
        let record =
            |text: &str| Record::parse(&format!("10:00:00,000 INFO program:{text}")).unwrap();
        let mut programs = Programs::default();
        for run in 0..2 * MAX_FAILED {
            programs.take(&record(&format!("Running... zipl {run}")));
            for line in 0..MAX_OUTPUT + 2 {
                programs.take(&record(&format!("{line} {}", "x".repeat(2 * MAX_LINE))));
            }
            programs.take(&record("Return code: 1"));
        }
        assert_eq!(programs.failed.len(), MAX_FAILED);
        let program = programs.failed_boot_loader().unwrap();
        assert_eq!(program.command, format!("zipl {MAX_FAILED}"));
        assert_eq!(program.output.len(), MAX_OUTPUT);
        assert!(program.output.iter().all(|line| line.len() <= MAX_LINE));
    }
}

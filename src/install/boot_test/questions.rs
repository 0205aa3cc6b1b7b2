//! What a guest is asked of declared checks: lines for its shell, and the lines that answer them. Pure.
//!
//! However a question reaches the guest, it is the same line; its answer is a status and what was said. On a
//! console the answer stands behind a mark that nobody else knows.

use crate::options::declared::{Check, What};

/// How long a unit that is being started, or a port that nobody listens on yet, is waited for, in seconds.
pub const WAIT: u32 = 60;

/// How many bytes of what a command said are told.
const MOST_SAID: usize = 200;

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of the question's line.
    pub status: u8,
    /// What it said: the end of it.
    pub said: String,
}

/// The line that answers whether something is true, for a POSIX shell; none for what is not asked inside.
pub fn line(what: &What) -> Option<String> {
    Some(match what {
        What::Unit(unit) => {
            let unit = quoted(unit);
            let state = format!("$(systemctl is-active -- {unit} 2>&1)");
            format!(
                "s={state}; n=0; while [ \"$s\" = activating ] && [ $n -lt {WAIT} ]; do sleep 1; n=$((n+1)); \
                 s={state}; done; echo \"$s\"; [ \"$s\" = active ]"
            )
        }
        What::Command(command, _) => format!("sh -c {} 2>&1", quoted(command)),
        What::Port(port) => {
            // Linux, Documentation/networking/proc_net_tcp.rst: local address, remote address, 0A for a
            // socket that listens.
            let listens = format!("^ *[0-9]*: [0-9A-F]*:{port:04X} [0-9A-F]*:0000 0A ");
            let alone = "^ *[0-9]*: (0100007F|0*1000000):";
            format!(
                "n=0; until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -E '{listens}' | \
                 grep -qvE '{alone}'; do [ $n -lt {WAIT} ] || {{ echo nobody listens there; exit 1; }}; \
                 sleep 1; n=$((n+1)); done; echo somebody listens there"
            )
        }
        What::File(..) => return None,
    })
}

/// A line that asks question `number`, and writes the answer behind the mark to `into`.
pub fn marked(line: &str, mark: &str, number: usize, into: &str) -> String {
    format!(
        "o=$({line}); printf 'ozr%s:%s\\n' {mark}:{number}:$? \"$(printf %s \"$o\" | tr -c ' -~' ' ' | \
         tail -c {MOST_SAID})\" {into}"
    )
}

/// The script that asks all questions and writes the answers to every console. cloud-init runs it as vendor-data,
/// which is before the scripts of the user's (`cloud_final_modules` of its `cloud.cfg`), whose work may be what is
/// asked for: so it asks when cloud-init is done.
pub fn script(checks: &[Check], mark: &str) -> String {
    let mut script =
        "#!/bin/sh\nsay() { for c in $(cat /sys/class/tty/console/active); do cat \"$t\" \
                      >\"/dev/$c\"; done; }\nask() {\nt=$(mktemp)\n"
            .to_owned();
    for (number, check) in checks.iter().enumerate() {
        if let Some(line) = line(&check.what) {
            script.push_str(&marked(&line, mark, number, ">\"$t\""));
            script.push_str("; say\n");
        }
    }
    // What is left behind lives on: the service kills its main process alone.
    script
        + "rm -f \"$t\"\n}\nif command -v cloud-init >/dev/null; then\n\
           (cloud-init status --wait; ask) </dev/null >/dev/null 2>&1 &\nelse\nask\nfi\n"
}

/// The answer that a line of the console holds, and the number of its question.
pub fn answer(line: &str, mark: &str) -> Option<(usize, Answer)> {
    let (_, rest) = line.split_once(&format!("ozr{mark}:"))?;
    let mut parts = rest.splitn(3, ':');
    let number = parts.next()?.parse().ok()?;
    let status = parts.next()?.parse().ok()?;
    let said = parts.next()?.trim().to_owned();
    Some((number, Answer { status, said }))
}

/// What an answer means for a check: whether it is passed, and what was found.
pub fn judge(what: &What, answer: &Answer) -> (bool, String) {
    let said = |nothing: &str| match answer.said.as_str() {
        "" => nothing.to_owned(),
        said => said.to_owned(),
    };
    match what {
        What::Command(_, wanted) => {
            let found = format!("status {}: {}", answer.status, said("it said nothing"));
            (answer.status == *wanted, found)
        }
        _ => (answer.status == 0, said("nothing was said")),
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;

    /// What the shells of this host answer.
    fn ask(what: &What) -> (bool, String) {
        let line = line(what).unwrap().replace(&format!("-lt {WAIT}"), "-lt 0");
        let script = marked(&line, "MARK", 7, "");
        let mut answers = ["sh", "bash"].into_iter().map(|shell| {
            let output = Command::new(shell).args(["-c", &script]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let (number, found) = answer(text.trim_end(), "MARK").unwrap();
            assert_eq!(number, 7);
            found
        });
        let first = answers.next().unwrap();
        assert!(answers.all(|other| other == first));
        judge(what, &first)
    }

    #[test]
    fn shells_answer() {
        let command = |text: &str, status| What::Command(text.to_owned(), status);
        for (what, passed, found) in [
            (command("true", 0), true, "status 0: it said nothing"),
            (
                command("echo it\\'s \"a  b\"; echo c", 0),
                true,
                "status 0: it's a  b c",
            ),
            (command("printf 'o:z'; exit 3", 3), true, "status 3: o:z"),
            (command("exit 3", 0), false, "status 3: it said nothing"),
            (command("no-such-command-here", 127), true, "not found"),
        ] {
            let (is, says) = ask(&what);
            assert!(
                is == passed && says.contains(found),
                "{what:?}: {is} {says}"
            );
        }
        let open = TcpListener::bind("0.0.0.0:0").unwrap();
        let alone = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |listener: &TcpListener| What::Port(listener.local_addr().unwrap().port());
        assert_eq!(
            ask(&port(&open)),
            (true, "somebody listens there".to_owned())
        );
        assert_eq!(
            ask(&port(&alone)),
            (false, "nobody listens there".to_owned())
        );
    }

    /// The user's scripts of a seed run after the vendor's.
    #[test]
    fn the_script_asks_when_cloud_init_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let check = Check {
            name: "done".to_owned(),
            what: What::Command(format!("test -e {}", at("done").display()), 0),
        };
        let script = script(&[check], "MARK")
            .replace("cat /sys/class/tty/console/active", "echo console")
            .replace("/dev/$c", &at("$c").display().to_string());
        let asked = |path: &str| {
            let mut sh = Command::new("/bin/sh");
            sh.args(["-c", &script]).env("PATH", path);
            assert!(sh.status().unwrap().success());
            let begun = std::time::Instant::now();
            loop {
                let said = std::fs::read_to_string(at("console")).unwrap_or_default();
                if let Some((0, found)) = said.lines().find_map(|line| answer(line, "MARK")) {
                    std::fs::remove_file(at("console")).unwrap();
                    return found.status;
                }
                assert!(begun.elapsed().as_secs() < 60, "nothing was asked");
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        };
        let usual = std::env::var("PATH").unwrap();
        // A host that has it would wait for its own.
        if crate::process::find("cloud-init").is_none() {
            assert_eq!(asked(&usual), 1);
        }
        let program = at("cloud-init");
        let text = format!(
            "#!/bin/sh\n[ \"$*\" = 'status --wait' ] && sleep 0.1 && touch {}\n",
            at("done").display()
        );
        std::fs::write(&program, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        assert_eq!(asked(&format!("{}:{usual}", dir.path().display())), 0);
    }

    /// What a terminal echoes of a question is no answer to it.
    #[test]
    fn a_question_is_no_answer() {
        let asked = marked(&line(&What::Port(22)).unwrap(), "MARK", 1, "");
        assert_eq!(answer(&asked, "MARK"), None);
        assert_eq!(answer("ozrMARK:1:256:x", "MARK"), None);
        assert_eq!(answer("ozrOTHER:1:0:x", "MARK"), None);
        let (number, found) = answer("[ 3.1] ozrMARK:1:0:a:b ", "MARK").unwrap();
        assert_eq!((number, found.said.as_str()), (1, "a:b"));
    }

    #[test]
    fn the_longest_question_fits_into_a_line() {
        let command = What::Command("'".repeat(800), 0);
        assert!(marked(&line(&command).unwrap(), &"m".repeat(32), 255, "").len() < 4095);
    }
}

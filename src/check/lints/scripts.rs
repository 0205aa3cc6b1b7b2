//! Scripts, of kickstarts and the commands of templates: whether a failure is seen.

use super::commands::{MAX_FINDINGS, Place, Script};
use super::{Lint, Linter, is_shell};
use crate::diagnostic::Severity::{Note, Warning};
use crate::diagnostic::{Diagnostic, Edit};
use crate::kickstart::outline::SectionKind;
use crate::language::Version;
use crate::language::reading::SectionEntry;
use crate::tdl::{Payload, Template};

/// KS177, KS180, KS181, KS184, and those of [`commands`](super::commands).
pub(super) const LINTS: &[Lint] = &[post_unseen, pre_for_ever, carriage_returns, commands];

fn is_checked(entry: &SectionEntry) -> bool {
    let arguments = entry.arguments.as_ref();
    arguments.is_none_or(|arguments| arguments.has("--erroronfail"))
}

fn script_of<'a>(linter: &Linter<'a>, entry: &SectionEntry) -> Script<'a> {
    Script::new(linter.body(entry), entry.section.body.start)
}

fn post_unseen(linter: &mut Linter<'_>) {
    for entry in linter.sections(SectionKind::Post) {
        if is_checked(entry) {
            continue;
        }
        if linter.body(entry).trim().is_empty() {
            let message = "this script is empty, so the installer leaves it out";
            linter.at(entry, Note, "KS180", message, "delete the section");
            continue;
        }
        let message = "if this script fails, nobody is told and the image counts as good";
        let help = match is_shell(entry) && !script_of(linter, entry).ends_at_failures {
            true => "write `%post --erroronfail`, and `set -e` as the first line of the script",
            false => "write `%post --erroronfail`",
        };
        linter.at(entry, Warning, "KS180", message, help);
    }
}

fn pre_for_ever(linter: &mut Linter<'_>) {
    for entry in linter.sections(SectionKind::Pre) {
        let arguments = entry.arguments.as_ref();
        if let Some(span) = arguments.and_then(|arguments| arguments.span("--erroronfail")) {
            let message = "if this script fails, the installer stops with the machine switched on";
            let help = "let the script end with `poweroff -f` where it cannot go on";
            linter.at((entry.text, &span), Warning, "KS181", message, help);
        }
    }
}

/// Carriage returns matter to shells; other interpreters take them for white space.
fn carriage_returns(linter: &mut Linter<'_>) {
    for entry in linter.shell_scripts() {
        let span = entry.section.body.clone();
        let text = linter.body(entry);
        let Some(first) = text.lines().next().filter(|_| text.contains("\r\n")) else {
            continue;
        };
        let line = span.start..span.start + first.len();
        let message = "the script's lines end with a carriage return, which the shell takes for part of the last word";
        let help = "save the file with LF line ends";
        let finding = linter.at((entry.text, &line), Warning, "KS184", message, help);
        finding.fix.push(Edit {
            span,
            text: text.replace("\r\n", "\n"),
        });
    }
}

fn commands(linter: &mut Linter<'_>) {
    for entry in linter.shell_scripts() {
        let script = script_of(linter, entry);
        let arguments = entry.arguments.as_ref();
        let nochroot = arguments.is_none_or(|arguments| arguments.has("--nochroot"));
        let place = match entry.section.kind {
            SectionKind::Post if nochroot => Place::Outside,
            SectionKind::Post => Place::Installed,
            _ => Place::Installer,
        };
        let mut outermost = script
            .commands
            .iter()
            .filter(|command| command.within.is_none());
        if place != Place::Installer
            && is_checked(entry)
            && !script.ends_at_failures
            && outermost.nth(1).is_some()
        {
            let message =
                "nothing ends this script at its first failure: only its last command counts";
            let help = "write `set -e` as the first line of the script";
            linter.at(entry, Note, "KS177", message, help);
        }
        for (count, (command, lint)) in script.judge(place, linter.setting.version).enumerate() {
            if count == MAX_FINDINGS {
                let message =
                    format!("after {MAX_FINDINGS} findings no more of this script are shown");
                let help = "correct those, and check again";
                linter.at(entry, Warning, lint.id, message, help);
                break;
            }
            let span = &command.span;
            linter.at(
                (entry.text, span),
                Warning,
                lint.id,
                lint.message,
                lint.help,
            );
        }
    }
}

/// What is wrong with the commands of a template, which run as a script in the installed system
/// whose failure ends the installation.
pub fn of_template(template: &Template, name: &str, version: Version) -> Vec<Diagnostic> {
    let scripts = template.precommands.iter().chain(&template.commands);
    let mut findings = Vec::new();
    for script in scripts {
        let Payload::Inline(bytes) = &script.script else {
            continue;
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            continue;
        };
        // A script with an interpreter of its own is no shell's, unless it says so.
        let first = text.lines().next().unwrap_or_default().trim();
        if first.starts_with("#!") && !first.split([' ', '/']).any(|word| word.ends_with("sh")) {
            continue;
        }
        let judged = Script::new(text, 0);
        for (count, (command, lint)) in judged.judge(Place::Installed, version).enumerate() {
            // Not the words: they may hold a password.
            let line = text[..command.span.start].matches('\n').count() + 1;
            let name_of = &script.name;
            let (message, help) = match count {
                MAX_FINDINGS => (
                    format!("command `{name_of}`: after {MAX_FINDINGS} findings no more are shown"),
                    "correct those, and check again",
                ),
                _ => (
                    format!("command `{name_of}`, line {line}: {}", lint.message),
                    lint.help,
                ),
            };
            let finding = Diagnostic::of_file(Warning, name, message);
            findings.push(finding.id(lint.id).help(help));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, findings, found};
    use super::*;
    use crate::check::Setting;
    use crate::diagnostic::{Severity, apply_fixes};
    use crate::language::Version::Rhel;
    use crate::tdl;

    #[test]
    fn failures_are_seen() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Warning, "%post".to_string())];
        assert_eq!(
            found("%post --nochroot\nx\n%end\n", &setting, "KS180"),
            expected
        );
        assert_eq!(
            found("%post --erroronfail\nx\n%end\n", &setting, "KS180"),
            []
        );
        assert_eq!(found("%post --err\nx\n%end\n", &setting, "KS180"), []);
        assert_eq!(
            alone("%post\n\n%end\n", Rhel(9), "KS180"),
            Some(Severity::Note)
        );
        let expected = [(Severity::Warning, "--erroronfail".to_string())];
        assert_eq!(
            found("%pre --erroronfail\nx\n%end\n", &setting, "KS181"),
            expected
        );
        assert_eq!(found("%pre\nx\n%end\n", &setting, "KS181"), []);
    }

    #[test]
    fn scripts_do_not_talk() {
        let setting = Setting::alone(Rhel(9));
        for line in [
            "chvt 3",
            "exec < /dev/tty3 > /dev/tty3",
            "read -p 'Name? ' name",
        ] {
            let text = format!("%pre\n  {line}\n%end\n");
            let expected = [(Severity::Warning, line.to_string())];
            assert_eq!(found(&text, &setting, "KS182"), expected, "{line}");
        }
        for text in [
            "%post\n# chvt 3\n%end\n",
            "%post\nwhile read -r a; do :; done < /x\n%end\n",
            "%post\nread a < /x\n%end\n",
            "%post\ncat > x <<EOF\nread name\nEOF\n%end\n",
            "%post --interpreter=/usr/bin/python3\nread = 1\n%end\n",
            "%packages\nread\n%end\n",
        ] {
            assert_eq!(alone(text, Rhel(9), "KS182"), None, "{text}");
        }
    }

    #[test]
    fn scripts_leave_nothing_running() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Warning, "nohup daemon".to_string())];
        assert_eq!(
            found("%post\nnohup daemon &\n%end\n", &setting, "KS183"),
            expected
        );
        for text in [
            "%post\ndaemon >/dev/null 2>&1 &\n%end\n",
            "%post\na &&\nb\n%end\n",
            "%post\na &\nwait\n%end\n",
            "%post\ncat <<X\na &\nX\n%end\n",
        ] {
            assert_eq!(found(text, &setting, "KS183"), [], "{text}");
        }
    }

    #[test]
    fn many_findings_of_a_script_are_cut_and_it_is_said() {
        let text = format!("%post\n{}%end\n", "read x\n".repeat(MAX_FINDINGS + 50));
        let found = findings(&text, &Setting::alone(Rhel(9)), "KS182");
        assert_eq!(found.len(), MAX_FINDINGS + 1);
        let told = |finding: &&Diagnostic| finding.message.contains("after 100 findings");
        let last: Vec<usize> = found.iter().filter(told).map(|found| found.line).collect();
        assert_eq!(last, [1]);
        let told = "commands are cut, too";
        let text = format!(
            "<template><name>a</name><os><name>RHEL-9</name><version>4</version><arch>x86_64</arch>\
             <install type='url'><url>http://m/</url></install></os><commands><command name='{told}'>{}\
             </command></commands></template>",
            "read x\n".repeat(MAX_FINDINGS + 50)
        );
        let template = tdl::parse(&text, "t.tdl").unwrap();
        let found = of_template(&template, "t.tdl", Rhel(9));
        assert_eq!(found.len(), MAX_FINDINGS + 1);
        assert!(found[MAX_FINDINGS].message.contains("no more are shown"));
    }

    #[test]
    fn failures_end_a_script() {
        let setting = Setting::alone(Rhel(9));
        let note = [(Severity::Note, "%post".to_string())];
        let post = |lines: &str| format!("%post --erroronfail\n{lines}\n%end\n");
        assert_eq!(found(&post("a\nb"), &setting, "KS177"), note);
        for lines in [
            "set -e\na\nb",
            "a",
            "set -euo pipefail\na\nb",
            "trap 'exit 1' ERR\na\nb",
        ] {
            assert_eq!(found(&post(lines), &setting, "KS177"), [], "{lines}");
        }
    }

    #[test]
    fn carriage_returns_are_taken_out() {
        let text = "text\r\n%post\r\nset -e\r\ncd /etc\r\n%end\r\n%post --interpreter=/usr/bin/python3\r\nx\r\n%end\r\n";
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Warning, "set -e".to_string())];
        assert_eq!(found(text, &setting, "KS184"), expected);
        let findings = findings(text, &setting, "KS184");
        let fixed = text.replace("set -e\r\ncd /etc\r\n", "set -e\ncd /etc\n");
        assert_eq!(apply_fixes(text, &findings), (fixed, 1));
    }

    #[test]
    fn downloads_that_fail_are_seen() {
        for (lines, bad) in [
            ("curl -o /etc/x http://h/x\nb", true),
            ("set -e\ncurl -o /etc/x http://h/x\nb", true),
            ("curl -f -o /etc/x http://h/x\nb", true),
            ("set -e\ncurl -sfo /etc/x http://h/x\nb", false),
            ("set -e\ncurl --fail http://h/x >/etc/x\nb", false),
            ("set -e\nwget http://h/x\nb", false),
            ("wget http://h/x\nb", true),
            ("wget http://h/x", false),
            ("wget http://h/x || exit 1\nb", false),
            ("if ! curl -fO http://h/x; then exit 1; fi\nb", false),
            ("set -e\ncurl -sf http://h/x | bash\nb", true),
            ("set -eo pipefail\ncurl -sf http://h/x | bash\nb", false),
            ("set -e\ncurl -fO http://h/x && tar -xf x\nb", true),
            ("curl -fO http://h/x && tar -xf x || exit 1\nb", false),
            ("curl -s http://h/done\nb", false),
            ("set -e\nx=$(curl -s http://h/x)\nb", true),
            ("# curl -O http://h/x\ncat >a <<E\ncurl -O x\nE\nb", false),
        ] {
            let text = format!("%post --erroronfail\n{lines}\n%end\n");
            let expected = bad.then_some(Severity::Warning);
            assert_eq!(alone(&text, Rhel(9), "KS185"), expected, "{lines}");
        }
        let in_pre = "%pre\ncurl -O http://h/x\nb\n%end\n";
        assert_eq!(alone(in_pre, Rhel(9), "KS185"), None);
    }

    #[test]
    fn mistakes_that_are_made_often() {
        for (id, line, bad) in [
            ("KS186", "systemctl start sshd", true),
            ("KS186", "systemctl --no-block restart sshd.service", true),
            ("KS186", "service sshd start", true),
            ("KS186", "/etc/init.d/sshd restart", true),
            ("KS186", "systemctl enable sshd", false),
            ("KS179", "systemctl enable --now sshd cron.service", true),
            ("KS179", "systemctl enable sshd crond", false),
            ("KS179", "systemctl disable cron", false),
            (
                "KS179",
                "systemctl enable sshd || systemctl enable ssh",
                false,
            ),
            (
                "KS179",
                "cat x >/etc/systemd/system/cron.service; systemctl enable cron",
                false,
            ),
            ("KS187", "reboot", true),
            ("KS187", "/sbin/shutdown -h now", true),
            ("KS187", "systemctl reboot", true),
            ("KS187", "init 6", true),
            ("KS187", "echo reboot", false),
            ("KS175", "rm -f \"/etc/udev/rules.d/70*\"", true),
            ("KS175", "rm -rf '/tmp/*'", true),
            ("KS175", "rm -rf \"$dir\"/*", false),
            ("KS175", "find / -name '*.rpmsave'", false),
            ("KS189", "dracut -f", true),
            (
                "KS189",
                "dracut --force --add-drivers 'virtio_blk nvme'",
                true,
            ),
            (
                "KS189",
                "dracut -f /boot/initramfs-$(uname -r).img $(uname -r)",
                true,
            ),
            ("KS189", "dracut -f --regenerate-all", false),
            ("KS189", "dracut -f --kver $kver", false),
            ("KS189", "dracut -f /boot/initramfs-$kver.img $kver", false),
            ("KS176", "kver=$(rpm -q kernel --qf '%{version}')", true),
            ("KS176", "kver=`rpm -q kernel`", true),
            ("KS176", "kver=$(rpm -q kernel | sed 's/kernel-//')", true),
            (
                "KS176",
                "kver=$(rpm -q kernel | cut -d- -f2- | tail -1)",
                false,
            ),
            ("KS176", "kver=$(rpm -q kernel | sed '$!d')", false),
            (
                "KS176",
                "kver=\"$(rpm -q kernel | sort -V | tail -n 1)\"",
                false,
            ),
            (
                "KS176",
                "for k in $(rpm -q kernel); do echo $k; done",
                false,
            ),
            ("KS176", "rpm -q kernel", false),
            ("KS178", "rm -rf /var/log/anaconda", true),
            ("KS178", "rm -f /root/original-ks.cfg /tmp/x", true),
            ("KS178", "rm -rf /var/log/dnf.log", false),
        ] {
            let expected = bad.then_some(Severity::Warning);
            let text = format!("%post --erroronfail\nset -e\n{line}\n%end\n");
            assert_eq!(alone(&text, Rhel(9), id), expected, "{id} {line}");
            let os = "<os><name>Rocky-9</name><version>4</version><arch>x86_64</arch>\
                      <install type='url'><url>http://h/</url></install></os>";
            let command = line.replace('&', "&amp;").replace('<', "&lt;");
            let text = format!(
                "<template><name>t</name>{os}<commands><command name='c'>{command}</command></commands></template>"
            );
            let template = tdl::parse(&text, "t.tdl").unwrap();
            let found = of_template(&template, "t.tdl", Rhel(9));
            assert_eq!(
                found.iter().any(|finding| finding.id == Some(id)),
                bad,
                "{id} {line}"
            );
        }
        let text = "%pre\nread x </dev/tty1\npoweroff -f\n%end\n";
        assert_eq!(alone(text, Rhel(9), "KS187"), None);
        let text = "%post --nochroot\nsystemctl restart sshd\n%end\n";
        assert_eq!(alone(text, Rhel(9), "KS186"), None);
    }
}

//! Completions, as the shells themselves make them of what a person has typed.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::site::{Site, run};

/// Lines, and what is offered at the end of each.
const LINES: [(&str, &str); 12] = [
    ("ozr inst", "install"),
    ("ozr install --firmware ", "bios uefi"),
    ("ozr template rocky-1", "rocky-10"),
    ("ozr kickstart fedora-4", "fedora-43 fedora-44"),
    ("ozr new web --release fedora-44", "fedora-44"),
    ("ozr check --release RHEL1", "RHEL10 RHEL11"),
    (
        "ozr explain KS14",
        "KS140 KS141 KS142 KS143 KS144 KS145 KS146",
    ),
    ("ozr explain stal", "stalled"),
    ("ozr attach ", "db-9 web-9"),
    ("ozr screenshot we", "web-9"),
    ("ozr -v attach ", "db-9 web-9"),
    ("ozr attach --from", "--from-start"),
];

/// What `ozr list` says of two builds that run and one that is dead.
const LISTED: &str = "#!/bin/sh\n[ \"$*\" = 'list --format json' ] && cat <<'END'\n\
    {\"state\":\"running\",\"id\":\"ab12\",\"name\":\"web-9\",\"pid\":7,\"domain\":\"ozr-x\"}\n\
    {\"state\":\"running\",\"id\":\"ab14\",\"name\":\"db-9\",\"pid\":9,\"domain\":\"ozr-z\"}\n\
    {\"state\":\"dead\",\"id\":\"ab13\",\"name\":\"web-8\",\"pid\":8,\"domain\":\"ozr-y\"}\nEND\n";

/// Prints what bash offers: `$1` has the script, `$2` is the line.
const BASH: &str = r#"
    source "$1/ozr"
    COMP_WORDS=($2); [[ $2 == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _ozr_and_builds ozr "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\n' "${COMPREPLY[@]}"
"#;

const FISH: &str = "source $argv[1]/ozr.fish; complete -C $argv[2] | string split -f 1 \\t";

/// The same for zsh, which completes at a terminal only: in it `compadd` also writes down what it adds.
const ZSH: &str = r#"
    zmodload zsh/zpty
    mkfifo $1/offered
    print -r -- '
        exec 3> $1/offered
        fpath=($1 $fpath)
        autoload -U compinit
        compinit -u -D
        compadd() {
            local -a hits
            # Those fill arrays, and add nothing.
            [[ " ${(j: :)argv[1,(i)-(|-)]}" == *\ -[OAD]* ]] || {
                builtin compadd -A hits "$@"
                print -rlu3 -- $hits
            }
            builtin compadd "$@"
        }
        comppostfuncs=(finished)
        finished() { print -u3 end }' > $1/setup
    zpty shell zsh -f -i
    zpty -w shell "source ${(q)1}/setup ${(q)1}"
    zpty -w -n shell "$2"$'\t'
    while read -r line && [[ $line != end ]]; do print -r -- $line; done < $1/offered
    rm $1/offered
"#;

/// Holds what a shell offers against [`LINES`]; `script` has the name by which the shell finds it.
fn offers(shell: &str, script: &str, arguments: &[&str]) {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        assert!(
            std::env::var_os("OZR_TEST_ALL").is_none(),
            "there is no {shell}"
        );
        eprintln!("skipped: there is no {shell} here");
        return;
    }
    let site = Site::bare(&format!("completions-{shell}"));
    let mut command = site.ozr();
    command.args(["completions", shell]);
    let outcome = run(command);
    outcome.assert_done();
    let file = site.write(script, &outcome.stdout);
    let parsed = Command::new(shell).arg("-n").arg(&file).output().unwrap();
    assert!(parsed.status.success(), "{parsed:?}");
    fs::create_dir(site.path("bin")).unwrap();
    let stub = site.write("bin/ozr", LISTED);
    fs::set_permissions(stub, Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", site.path("bin").display());
    for (line, offered) in LINES {
        // A shell that waits for what does not come is no longer waited for.
        let output = Command::new("timeout")
            .args(["60", shell])
            .args(arguments)
            .arg(file.parent().unwrap())
            .arg(line)
            .env("PATH", &path)
            .env("HOME", site.path("."))
            .env("TERM", "xterm")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let mut words: Vec<&str> = said.split_whitespace().collect();
        words.sort_unstable();
        assert_eq!(words.join(" "), offered, "{line}: {output:?}");
    }
}

#[test]
fn of_bash() {
    offers("bash", "ozr", &["-c", BASH, "bash"]);
}

#[test]
fn of_zsh() {
    offers("zsh", "_ozr", &["-f", "-c", ZSH, "zsh"]);
}

#[test]
fn of_fish() {
    offers("fish", "ozr.fish", &["--no-config", "-c", FISH]);
}

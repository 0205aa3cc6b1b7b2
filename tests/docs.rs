//! The documents: their links lead somewhere, and their command lines are understood.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use ozr::cli::Cli;
use ozr::kickstart::builtin;

/// The documents that users read, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs")).unwrap();
    let mut all: Vec<PathBuf> = pages
        .map(|page| page.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    all.extend(["README.md", "CONTRIBUTING.md", "fixtures/README.md"].map(|name| root.join(name)));
    all.into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// What a code host calls a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for (page, text) in documents() {
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains(':') {
                continue;
            }
            seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter_map(|line| line.strip_prefix('#'));
                let found =
                    headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(found, "{}: {link}", page.display());
            }
        }
    }
    assert!(seen > 40, "only {seen} links were found");
}

/// The command lines of ozr that the documents show: the page, and the words.
fn command_lines() -> Vec<(PathBuf, Vec<String>)> {
    let mut all = Vec::new();
    for (page, text) in documents() {
        for line in text.lines() {
            let Some(command) = line.strip_prefix("    ") else {
                continue;
            };
            let command = command.strip_prefix("$ ").unwrap_or(command);
            let command = command.strip_prefix("sudo ").unwrap_or(command);
            // A remark, or what another program gets, is not for ozr.
            let command = command.split([';', '|', '&', '#', '>']).next().unwrap();
            if !command.starts_with("ozr ") || command.contains('…') {
                continue;
            }
            let words = command.split_whitespace();
            let words = words.map(|word| word.trim_matches('\'').to_owned());
            all.push((page.clone(), words.collect()));
        }
    }
    all
}

#[test]
fn command_lines_are_understood() {
    let all = command_lines();
    for (page, words) in &all {
        let parsed = Cli::command().try_get_matches_from(words);
        if let Err(error) = parsed {
            panic!("{}: {words:?}\n{error}", page.display());
        }
    }
    let seen = all.len();
    assert!(seen > 20, "only {seen} command lines were found");
}

/// What only prints or makes a beginning is done as it stands.
#[test]
fn command_lines_that_harm_nothing_work() {
    const HARMLESS: [&str; 8] = [
        "explain",
        "releases",
        "diff-releases",
        "template",
        "kickstart",
        "new",
        "man",
        "completions",
    ];
    let mut seen = 0;
    for (page, words) in command_lines() {
        if !HARMLESS.contains(&words[1].as_str()) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let kickstart = builtin::find(&["rocky-9"]).unwrap().to_start_from();
        fs::write(folder.path().join("web.ks"), kickstart).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ozr"))
            .args(&words[1..])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}: {words:?}: {said}",
            page.display()
        );
        assert!(!output.stdout.is_empty(), "{}: {words:?}", page.display());
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} command lines were run");
}

#[test]
fn commands_within_sentences_exist() {
    let program = Cli::command();
    let mut seen = 0;
    for (page, text) in documents() {
        for span in text.split('`').skip(1).step_by(2) {
            let Some(rest) = span.strip_prefix("ozr ") else {
                continue;
            };
            let name = rest.split([' ', '\n', ':']).next().unwrap();
            let known = program.find_subcommand(name).is_some();
            let placeholder = name.chars().all(|c| c.is_uppercase());
            assert!(
                known || placeholder || name == "help" || name.starts_with('-'),
                "{}: {span}",
                page.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen} commands were found");
}

/// The paths that a text names in backticks, `{a,b}` spelt out.
fn paths_named(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let mut all = Vec::new();
    for path in spans.filter(|span| span.starts_with("src/")) {
        let path = path.split(':').next().unwrap();
        match path.split_once('{') {
            None => all.push(path.to_owned()),
            Some((before, rest)) => {
                let (names, after) = rest.split_once('}').unwrap();
                all.extend(
                    names
                        .split(',')
                        .map(|name| format!("{before}{name}{after}")),
                );
            }
        }
    }
    all
}

/// The sources below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let entries = entries.map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    let all = entries.flat_map(of);
    all.filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// What is anaconda's own is known to the modules alone that CONTRIBUTING.md names for whoever adds another installer.
#[test]
fn only_the_modules_of_the_table_know_the_installer() {
    const ITS_OWN: [&str; 5] = [
        "kickstart::",
        "language::",
        "Generation::",
        ".generation()",
        ".outline()",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let section = text.split("## Adding an installer").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let named = paths_named(&rows.collect::<Vec<_>>().join("\n"));
    for path in &named {
        assert!(root.join(path).exists(), "the table names {path}");
    }
    let mut knowing = 0;
    for file in sources(&root.join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        // Tests may know everything.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        let mut found = ITS_OWN
            .iter()
            .filter(|own| code.clone().any(|line| line.contains(**own)));
        let Some(own) = found.next() else { continue };
        knowing += 1;
        let path = file.strip_prefix(root).unwrap();
        let within = ["src/kickstart", "src/language"].map(str::to_owned);
        assert!(
            named
                .iter()
                .chain(&within)
                .any(|place| path.starts_with(place)),
            "{} names `{own}`, and CONTRIBUTING.md, \"Adding an installer\", does not name it",
            path.display()
        );
    }
    assert!(knowing > 40, "only {knowing} modules were found");
}

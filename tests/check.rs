//! `ozr check` and what belongs to it, as people, editors and CI meet them: the real program, what
//! it writes where, and its statuses. What is found is the matter of the tests in `src/language`
//! and `src/check`; here it is how it reads.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::site::{Outcome, Site, kickstart, run};
use serde_json::Value;

/// A kickstart that RHEL 8 takes with a warning and RHEL 9 refuses, with an option that no release
/// has, and a script that is not closed.
const BROKEN: &str = "install\ntext\ntimezone Etc/UTC --frobnicate\n%post\necho\n";

fn ozr(site: &Site, arguments: &[&str]) -> Outcome {
    let mut command = site.ozr();
    command.args(arguments);
    run(command)
}

/// `ozr check --format json`, and its findings.
fn findings(site: &Site, arguments: &[&str]) -> (i32, Vec<Value>) {
    let outcome = ozr(site, &[&["check", "--format", "json"], arguments].concat());
    assert_eq!(outcome.stderr, "");
    let lines = outcome.stdout.lines();
    let findings = lines.map(|line| serde_json::from_str(line).unwrap());
    (outcome.status, findings.collect())
}

/// File, line and rule of what the language says.
fn places(findings: &[Value]) -> Vec<(String, u64, String)> {
    findings
        .iter()
        .filter(|finding| {
            finding["id"]
                .as_str()
                .is_some_and(|id| id.starts_with("KS0"))
        })
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap().to_string();
            (text("file"), finding["line"].as_u64().unwrap(), text("id"))
        })
        .collect()
}

fn place(file: &str, line: u64, id: &str) -> (String, u64, String) {
    (file.to_string(), line, id.to_string())
}

#[test]
fn people_read_findings_like_a_compilers() {
    let site = Site::bare("human");
    site.write("a.ks", BROKEN);
    let outcome = ozr(&site, &["check", "--release", "RHEL9", "a.ks"]);
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
    for shown in [
        "error[KS002]: ",
        "\n --> a.ks:1:1\n  |\n1 | install\n  | ^^^^^^^\n  = help: ",
        "error[KS003]: ",
        "\n --> a.ks:3:18\n  |\n3 | timezone Etc/UTC --frobnicate\n  |                  ^^^^^^^^^^^^\n",
        "error[KS009]: ",
        "\n --> a.ks:4:1\n",
    ] {
        assert!(
            outcome.stderr.contains(shown),
            "{shown}\n{}",
            outcome.stderr
        );
    }
    let last = outcome.stderr.lines().last().unwrap();
    assert!(
        last.contains(" errors") && last.contains("in 1 file"),
        "{last}"
    );
    // Every finding has its rule's explanation.
    for line in outcome.stderr.lines() {
        let Some((_, rest)) = line.split_once('[').filter(|_| line.contains("]: ")) else {
            continue;
        };
        let id = rest.split(']').next().unwrap();
        let explained = ozr(&site, &["explain", id]);
        explained.assert_done();
        assert!(explained.stdout.starts_with(&format!("{id}: ")), "{id}");
    }
}

#[test]
fn quiet_leaves_errors_only() {
    let site = Site::bare("quiet");
    site.write("a.ks", BROKEN);
    let outcome = ozr(&site, &["check", "-q", "--release", "RHEL8", "a.ks"]);
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.stderr.contains("error[KS003]"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("warning["), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("in 1 file"), "{}", outcome.stderr);
}

#[test]
fn colours_are_for_terminals() {
    let site = Site::bare("colours");
    site.write("a.ks", BROKEN);
    let coloured = |more: &[&str], environment: &[(&str, &str)]| {
        let mut command = site.ozr();
        command
            .args(["check", "--release", "RHEL9", "a.ks"])
            .args(more)
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .env("TERM", "xterm")
            .envs(environment.iter().copied());
        let outcome = run(command);
        assert_eq!(outcome.status, 2);
        assert!(outcome.stderr.contains("a.ks:1:1"), "{}", outcome.stderr);
        outcome.stderr.contains("\u{1b}[")
    };
    assert!(!coloured(&[], &[]));
    assert!(coloured(&["--color", "always"], &[]));
    assert!(coloured(&["--color=always"], &[("NO_COLOR", "1")]));
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));

    // On a terminal, which script(1) makes.
    let on_terminal = |more: &str, no_color: bool| {
        let mut command = Command::new("script");
        let line = format!(
            "{} check --release RHEL9 a.ks {more}",
            env!("CARGO_BIN_EXE_ozr")
        );
        command
            .args(["-qec", &line, "/dev/null"])
            .current_dir(site.path(""))
            .env("HOME", site.path("home"))
            .env("XDG_CONFIG_HOME", site.path("home"))
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env_remove("CI")
            .stdin(Stdio::null());
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let output = command.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("a.ks:1:1"), "{text}");
        Some(text.contains("\u{1b}["))
    };
    let Some(plainly) = on_terminal("", false) else {
        eprintln!("skipped: there is no script(1) here");
        return;
    };
    assert!(plainly);
    assert_eq!(on_terminal("", true), Some(false));
    assert_eq!(on_terminal("--color never", false), Some(false));
}

#[test]
fn json_is_as_its_schema_says() {
    let site = Site::bare("json");
    site.write("a.ks", BROKEN);
    site.write("b.ks", "text\n%include part.inc\n");
    site.write("part.inc", "\nfrobnicate\n");
    site.write("bom.ks", "\u{feff}text\n");
    let schema = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check-json.schema.json"),
    )
    .unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let (status, found) = findings(
        &site,
        &["--release", "RHEL9", "a.ks", "b.ks", "bom.ks", "absent.ks"],
    );
    assert_eq!(status, 2);
    for finding in &found {
        assert_object(finding, &schema);
    }
    let by = |id: &str, checked: &str| {
        let is_it = |f: &&Value| f["id"] == id && f["checked"] == checked;
        found.iter().find(is_it).unwrap()
    };
    let unknown = by("KS003", "a.ks");
    let numbers = ["line", "column", "end_line", "end_column"].map(|key| unknown[key].as_u64());
    assert_eq!(numbers, [3, 18, 3, 30].map(Some));
    assert_eq!(unknown["severity"], "error");
    let included = by("KS001", "b.ks");
    assert_eq!(
        (&included["file"], &included["line"]),
        (&"part.inc".into(), &2.into())
    );
    assert_eq!(included["notes"].as_array().unwrap().len(), 1);
    let fix = &by("KS009", "bom.ks")["fix"][0];
    assert_eq!(
        (&fix["start_byte"], &fix["end_byte"]),
        (&0.into(), &3.into())
    );
    assert_eq!((&fix["column"], &fix["end_column"]), (&1.into(), &2.into()));
    assert!(
        found
            .iter()
            .any(|f| f["file"] == "absent.ks" && f["id"].is_null())
    );
}

/// Checks an object against the part of JSON Schema that ours uses.
fn assert_object(object: &Value, schema: &Value) {
    let properties = schema["properties"].as_object().unwrap();
    let fields = object.as_object().unwrap();
    for required in schema["required"].as_array().unwrap() {
        assert!(
            fields.contains_key(required.as_str().unwrap()),
            "{required}: {object}"
        );
    }
    for (name, value) in fields {
        let wanted = properties
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the schema"));
        if let Some(allowed) = wanted["enum"].as_array() {
            assert!(allowed.contains(value), "{name}: {value}");
            continue;
        }
        let kind = match value {
            Value::Null => "null",
            Value::String(_) => "string",
            Value::Number(_) => "integer",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Bool(_) => "boolean",
        };
        let kinds = match &wanted["type"] {
            Value::Array(kinds) => kinds.clone(),
            one => vec![one.clone()],
        };
        assert!(kinds.contains(&kind.into()), "{name}: {value}");
        if let Some(least) = wanted["minimum"].as_i64() {
            assert!(value.as_i64().unwrap() >= least, "{name}: {value}");
        }
        for element in value.as_array().into_iter().flatten() {
            if wanted["items"]["type"] == "object" {
                assert_object(element, &wanted["items"]);
            } else {
                assert!(element.is_string(), "{name}: {element}");
            }
        }
    }
}

/// The structure that SARIF 2.1.0 and GitHub's code scanning ask for. The whole schema is not in
/// the repository; the output was validated against it by hand.
#[test]
fn sarif_has_what_code_hosts_ask_for() {
    let site = Site::bare("sarif");
    std::fs::create_dir(site.path("ks")).unwrap();
    site.write("ks/a b.ks", BROKEN);
    site.write("bom.ks", "\u{feff}text\n");
    let template = site
        .write("t.tdl", "<template><nmae/></template>")
        .display()
        .to_string();
    let outcome = ozr(
        &site,
        &[
            "check",
            "--release",
            "RHEL9",
            "--format",
            "sarif",
            "ks",
            "bom.ks",
            &template,
        ],
    );
    assert_eq!((outcome.status, outcome.stderr.as_str()), (2, ""));
    let log: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().contains("sarif"), "{log}");
    let runs = log["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    let driver = &runs[0]["tool"]["driver"];
    assert_eq!(
        (&driver["name"], &driver["version"]),
        (&"ozr".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(!rule[text]["text"].as_str().unwrap().is_empty(), "{rule}");
        }
    }
    let results = runs[0]["results"].as_array().unwrap();
    let mut uris = Vec::new();
    for result in results {
        let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[rule]["id"], result["ruleId"]);
        let level = result["level"].as_str().unwrap();
        assert!(["error", "warning", "note"].contains(&level), "{result}");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        uris.push(place["artifactLocation"]["uri"].as_str().unwrap());
        if let Some(region) = place["region"].as_object() {
            let number = |key: &str| region[key].as_u64().unwrap();
            assert!(number("startLine") >= 1 && number("startColumn") >= 1);
            let (start, end) = (
                (number("startLine"), number("startColumn")),
                (number("endLine"), number("endColumn")),
            );
            assert!(start <= end, "{result}");
        }
    }
    // Relative to the working directory, which is the top of a checkout, also for absolute paths.
    for uri in ["ks/a%20b.ks", "bom.ks", "t.tdl"] {
        assert!(uris.contains(&uri), "{uris:?}");
    }
    let of_mark = |result: &&Value| {
        let place = &result["locations"][0]["physicalLocation"];
        place["artifactLocation"]["uri"] == "bom.ks" && place["region"]["startLine"] == 1
    };
    let fixed = results
        .iter()
        .filter(of_mark)
        .find(|result| result["ruleId"] == "KS009")
        .unwrap();
    let change = &fixed["fixes"][0]["artifactChanges"][0];
    assert_eq!(change["artifactLocation"]["uri"], "bom.ks");
    assert_eq!(change["replacements"][0]["deletedRegion"]["endColumn"], 2);
}

#[test]
fn ksvalidators_layout_is_ksvalidators() {
    let site = Site::bare("ksvalidator");
    site.write("a.ks", "text\nfrobnicate\nlang en_US\npart / --size=x\n");
    site.write("b.ks", "part / --size=1 --active\n%post\n");
    let ours = ozr(
        &site,
        &[
            "check",
            "--release",
            "RHEL8",
            "--allow",
            &lints(&site),
            "--format",
            "ksvalidator",
            "a.ks",
            "b.ks",
        ],
    );
    assert_eq!(ours.status, 2);
    let python = std::env::var_os("OZR_TEST_PYTHON").map(PathBuf::from);
    let program = python.map(|python| python.with_file_name("ksvalidator"));
    let Some(program) = program.filter(|program| program.exists()) else {
        assert!(
            std::env::var_os("OZR_TEST_ALL").is_none(),
            "ksvalidator is missing, and OZR_TEST_ALL asks for all tests"
        );
        eprintln!("skipped: there is no ksvalidator here");
        return;
    };
    let theirs = run({
        let mut command = Command::new(program);
        command
            .args(["-v", "RHEL8", "a.ks", "b.ks"])
            .current_dir(site.path(""));
        command
    });
    // The sentences are ours; everything around them is the same, on the same stream.
    let frame = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| {
            let fixed = line.starts_with("Checking ") || line.starts_with("The following problem");
            match line.split_once(": ") {
                _ if fixed || line.is_empty() => line.to_string(),
                Some((deprecated, _)) if deprecated.starts_with("Ignoring") => {
                    deprecated.to_string()
                }
                _ => "MESSAGE".to_string(),
            }
        });
        lines.collect()
    };
    assert_eq!(frame(&ours.stdout), frame(&theirs.stdout));
    assert_eq!(frame(&ours.stderr), frame(&theirs.stderr));
}

/// The rules of lints, which ksvalidator does not have, separated by commas.
fn lints(site: &Site) -> String {
    let listed = ozr(site, &["explain"]).stdout;
    let ids = listed.lines().filter_map(|line| line.split(' ').next());
    let mut ids: Vec<&str> = ids
        .filter(|id| id.starts_with("KS") && !id.starts_with("KS0"))
        .collect();
    // Something must stand there while there are none.
    ids.push("KS012");
    ids.join(",")
}

#[test]
fn the_release_is_named_or_found() {
    let site = Site::bare("release");
    let template = site.write_template().display().to_string();
    // Refused for RHEL 9, deprecated for RHEL 8, fine for RHEL 7.
    site.write("plain.ks", "install\n");
    site.write("seven.ks", "#version=RHEL7\ninstall\n");
    site.write("odd.ks", "#version=RHEL5\ninstall\n");
    let config = site
        .write("own.toml", "[check]\nrelease = \"CentOS-8\"\n")
        .display()
        .to_string();
    let of = |arguments: &[&str]| {
        let (status, found) = findings(&site, arguments);
        let ids: Vec<String> = places(&found).into_iter().map(|(_, _, id)| id).collect();
        (status, ids.join(" "))
    };
    let refused = || (2, "KS002".to_string());
    assert_eq!(of(&["--release", "Rocky-9", "plain.ks"]), refused());
    assert_eq!(of(&["--release", "9.4", "seven.ks"]), refused());
    assert_eq!(of(&[&template, "plain.ks"]), refused());
    assert_eq!(of(&[&template, "seven.ks"]), refused());
    assert_eq!(
        of(&["--release", "RHEL8", &template, "plain.ks"]).1,
        "KS010"
    );
    assert_eq!(of(&["seven.ks"]).1, "");
    assert_eq!(of(&["--config", &config, "seven.ks"]).1, "");
    assert_eq!(of(&["--config", &config, "plain.ks"]).1, "KS010");
    assert_eq!(
        of(&["--config", &config, "--release", "RHEL9", "plain.ks"]),
        refused()
    );
    for file in ["plain.ks", "odd.ks"] {
        let outcome = ozr(&site, &["check", file]);
        outcome.assert_failed(2, &["--release", "#version=RHEL9", "`release` in [check]"]);
    }
    assert!(
        ozr(&site, &["check", "odd.ks"])
            .stderr
            .contains("odd.ks:1:10")
    );
}

#[test]
fn folders_templates_and_standard_input_are_checked() {
    let site = Site::bare("folders");
    for folder in ["tree/parts", "tree/.git", "tree/.hidden"] {
        std::fs::create_dir_all(site.path(folder)).unwrap();
    }
    site.write("tree/b.ks", "nosuch1\n%include parts/disk.ks\n");
    // Part of b.ks: no kickstart of its own.
    site.write("tree/parts/disk.ks", "nosuch2\n");
    site.write("tree/a.cfg", "lang en_US\ntimezone Etc/UTC\nnosuch3\n");
    site.write("tree/setup.cfg", "[metadata]\nlang = x\n");
    site.write("tree/t.tdl", "\n<template>\n<nmae/></template>");
    site.write("tree/.git/x.ks", "nosuch4\n");
    site.write("tree/.hidden/x.ks", "nosuch5\n");
    site.write("tree/.x.ks", "nosuch6\n");
    site.write("tree/notes.txt", "nosuch7\n");
    let (status, found) = findings(&site, &["--release", "RHEL9", "tree"]);
    assert_eq!(status, 2);
    assert_eq!(
        places(&found),
        [
            place("tree/a.cfg", 3, "KS001"),
            place("tree/b.ks", 1, "KS001"),
            place("tree/parts/disk.ks", 1, "KS001"),
        ]
    );
    assert!(
        found
            .iter()
            .any(|f| f["file"] == "tree/t.tdl" && f["line"] == 3)
    );

    for (text, says) in [
        ("nosuch\n", "<stdin>:1:1"),
        ("<template><x/></template>", "<stdin>:1:"),
    ] {
        let mut command = site.ozr();
        let mut child = command
            .args(["check", "--release", "RHEL9", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn one_files_trouble_does_not_hide_the_nexts() {
    let site = Site::bare("several");
    let good = site.write_template().display().to_string();
    let one = ozr(&site, &["check", &good]);
    one.assert_done();
    assert_eq!(
        (one.stdout.as_str(), one.stderr.as_str()),
        ("", "no errors in 1 file\n")
    );
    let quiet = ozr(&site, &["check", "-q", &good]);
    assert_eq!((quiet.status, quiet.stderr.as_str()), (0, ""));

    site.write("bad.tdl", "<template>\n<nmae>x</nmae>\n</template>");
    std::fs::write(site.path("latin1.ks"), b"text\n# caf\xe9\n").unwrap();
    let all = ozr(
        &site,
        &[
            "check",
            "bad.tdl",
            "missing.ks",
            "latin1.ks",
            &good,
            "--release",
            "RHEL9",
        ],
    );
    all.assert_failed(
        2,
        &[
            "bad.tdl:2:",
            "did you mean",
            "missing.ks",
            "No such file",
            "latin1.ks:2:6",
            "in 3 of 4 files",
        ],
    );
    assert_eq!(site.mirror.requests().len(), 0, "nothing is fetched");
}

#[test]
fn includes_are_followed_only_near_the_kickstart() {
    let site = Site::bare("near");
    std::fs::create_dir(site.path("ks")).unwrap();
    site.write("secret", "s3cret-of-this-host\n");
    site.write("ks/part", "frobnicate\n");
    let secret = site.path("secret").display().to_string();
    site.write(
        "ks/a.ks",
        &format!(
            "%include part\n%include ../secret\n%include {secret}\n%include /proc/self/environ\n"
        ),
    );
    let mut command = site.ozr();
    command
        .args(["check", "--release", "RHEL9", "a.ks"])
        .env("PASSWORD", "s3cret-of-this-host")
        .current_dir(site.path("ks"));
    let outcome = run(command);
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.stderr.contains("--> part:1:1"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("= note: included at a.ks:1"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("s3cret"), "{}", outcome.stderr);
}

#[test]
fn warnings_count_when_it_is_strict_and_rules_can_be_silenced() {
    let site = Site::bare("strict");
    let text = kickstart("");
    let good = site
        .write("good.ks", &format!("install\n{text}"))
        .display()
        .to_string();
    let (status, found) = findings(&site, &["--release", "RHEL8", &good]);
    assert_eq!(status, 0, "{found:?}");
    assert_eq!(places(&found), [place(&good, 1, "KS010")]);
    let warnings: Vec<&str> = found.iter().map(|f| f["id"].as_str().unwrap()).collect();
    let strict = ozr(&site, &["check", "--strict", "--release", "RHEL8", &good]);
    strict.assert_failed(2, &["warning[KS010]"]);

    let all = warnings.join(",");
    let allowed = ozr(
        &site,
        &[
            "check",
            "--strict",
            "--allow",
            &all,
            "--release",
            "RHEL8",
            &good,
        ],
    );
    allowed.assert_done();
    assert_eq!(allowed.stderr, "no errors in 1 file\n");
    let config = format!("[check]\nstrict = true\nrelease = \"RHEL8\"\nallow = {warnings:?}\n");
    let config = site.write("own.toml", &config).display().to_string();
    ozr(&site, &["check", "--config", &config, &good]).assert_done();
    let strict = "[check]\nstrict = true\nrelease = \"RHEL8\"\n";
    let strict = site.write("strict.toml", strict).display().to_string();
    assert_eq!(ozr(&site, &["check", "--config", &strict, &good]).status, 2);
    // It stands for every rule that an author may silence.
    let wrong = site
        .write("wrong.toml", "[check]\nallow = [\"KS01O\"]\n")
        .display()
        .to_string();
    ozr(&site, &["check", "--config", &wrong, &good]).assert_failed(2, &["no rule `KS01O`"]);
}

#[test]
fn what_is_certain_is_fixed() {
    let site = Site::bare("fix");
    // Without the byte order mark, and with everything else as it was.
    let rest = "text\r\n#  odd\t \r\nlang en_US";
    let file = site.write("a.ks", &format!("\u{feff}{rest}"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("a.ks", site.path("link.ks")).unwrap();
    let silent = lints(&site);
    let options = ["check", "--release", "RHEL9", "--allow", &silent, "--fix"];
    let out = ozr(&site, &[&options[..], &["link.ks"]].concat());
    out.assert_done();
    assert_eq!(out.stdout, rest);
    assert_eq!(out.stderr, "1 finding fixed; no errors in 1 file\n");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with('\u{feff}')
    );

    let out = ozr(&site, &[&options[..], &["--in-place", "link.ks"]].concat());
    out.assert_done();
    assert_eq!(
        (
            out.stdout.as_str(),
            std::fs::read_to_string(&file).unwrap().as_str()
        ),
        ("", rest)
    );
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert!(
        site.path("link.ks")
            .symlink_metadata()
            .unwrap()
            .is_symlink()
    );
    let left = std::fs::read_dir(site.path("")).unwrap().flatten();
    let aside = left.filter(|e| e.file_name().to_string_lossy().starts_with(".ozr-"));
    assert_eq!(aside.count(), 0);
    // Nothing is left to fix.
    let out = ozr(&site, &[&options[..], &["a.ks"]].concat());
    assert_eq!(
        (out.stdout.as_str(), out.stderr.as_str()),
        (rest, "no errors in 1 file\n")
    );

    site.write("b.ks", "text\n");
    for (arguments, says) in [
        (vec!["a.ks", "b.ks"], "name one"),
        (vec!["a.ks", "--format", "json"], "--in-place"),
        (vec!["--in-place", "-"], "standard input"),
    ] {
        ozr(&site, &[&options[..], &arguments].concat()).assert_failed(2, &[says]);
    }
}

#[test]
fn rules_are_listed_and_explained() {
    let site = Site::bare("explain");
    let list = ozr(&site, &["explain"]);
    list.assert_done();
    assert!(
        list.stdout.contains("KS002  command that was removed\n"),
        "{}",
        list.stdout
    );
    let one = ozr(&site, &["explain", "ks002"]);
    one.assert_done();
    assert!(
        one.stdout
            .starts_with("KS002: command that was removed\n\n"),
        "{}",
        one.stdout
    );
    assert!(one.stdout.lines().count() > 5);
    ozr(&site, &["explain", "KS0022"]).assert_failed(2, &["no rule or cause `KS0022`", "KS002"]);
    let cause = ozr(&site, &["explain", "transaction-failed"]);
    cause.assert_done();
    assert!(
        cause.stdout.starts_with("transaction-failed: "),
        "{}",
        cause.stdout
    );
}

#[test]
fn releases_and_what_differs() {
    let site = Site::bare("releases");
    let table = ozr(&site, &["releases"]);
    table.assert_done();
    let row = |name: &str| {
        let line = table
            .stdout
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        line.unwrap().to_string()
    };
    assert!(row("RELEASE").contains("COMMANDS"));
    assert!(row("RHEL9").contains("Rocky Linux 9") && row("RHEL9").contains(" 34 "));
    assert!(row("F43").contains("Fedora 43"));
    let json = ozr(&site, &["releases", "--format", "json"]).stdout;
    let rows: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len() + 1, table.stdout.lines().count());
    assert!(
        rows.iter()
            .any(|row| row["release"] == "RHEL10" && row["anaconda"] == 40)
    );

    let diff = ozr(&site, &["diff-releases", "CentOS-7", "Rocky-9"]);
    diff.assert_done();
    let lines: Vec<Vec<&str>> = diff
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    for expected in [
        vec!["removed", "install"],
        vec!["added", "timesource"],
        vec!["removed", "bootloader", "--upgrade"],
    ] {
        assert!(lines.contains(&expected), "{expected:?}\n{}", diff.stdout);
    }
    assert_eq!(
        ozr(&site, &["diff-releases", "RHEL9", "Rocky-9"]).stdout,
        ""
    );
    let json = ozr(
        &site,
        &["diff-releases", "RHEL7", "RHEL9", "--format", "json"],
    )
    .stdout;
    assert_eq!(json.lines().count(), lines.len());

    // What the file uses, and nothing else.
    site.write("a.ks", "text\ninstall\nbootloader --upgrade\nfrobnicate\n");
    let own = ozr(&site, &["diff-releases", "RHEL7", "RHEL9", "-k", "a.ks"]);
    own.assert_done();
    for shown in [
        "a.ks:2:1",
        "KS002",
        "a.ks:3:12",
        "KS003",
        "RHEL9 has 2 errors",
    ] {
        assert!(own.stdout.contains(shown), "{shown}\n{}", own.stdout);
    }
    assert!(!own.stdout.contains("frobnicate"), "{}", own.stdout);
}

#[test]
fn included_urls_are_read_with_online_only_and_never_fixed() {
    let site = Site::bare("urls");
    site.mirror.put("/part.ks", "bogus\ninstall\n");
    let url = site.mirror.url("/part.ks").to_string();
    site.write("a.ks", &format!("text\n%include {url}\n"));
    let (_, offline) = findings(&site, &["--release", "RHEL9", "a.ks"]);
    assert_eq!(places(&offline), []);
    assert!(site.mirror.requests().is_empty());

    let (status, online) = findings(&site, &["--release", "RHEL9", "--online", "a.ks"]);
    assert_eq!(status, 2);
    let expected = [place(&url, 1, "KS001"), place(&url, 2, "KS002")];
    assert_eq!(places(&online), expected);
    let chain = online
        .iter()
        .find(|finding| finding["id"] == "KS001")
        .map(|finding| finding["notes"].to_string());
    assert!(
        chain.is_some_and(|chain| chain.contains("a.ks:2")),
        "{online:?}"
    );

    let before = std::fs::read_to_string(site.path("a.ks")).unwrap();
    let fixed = ozr(
        &site,
        &[
            "check",
            "--release",
            "RHEL9",
            "--online",
            "--fix",
            "--in-place",
            "a.ks",
        ],
    );
    assert_eq!(fixed.status, 2, "{}", fixed.stderr);
    let after = std::fs::read_to_string(site.path("a.ks")).unwrap();
    assert_eq!(after.replace("poweroff\n", ""), before);
}

#[test]
fn the_host_is_looked_at_when_asked() {
    let site = Site::bare("host");
    site.write("a.ks", &kickstart(""));
    let ids = |arguments: &[&str]| {
        let (_, found) = findings(&site, arguments);
        let ids = found.iter().filter_map(|finding| finding["id"].as_str());
        let mut ids: Vec<String> = ids.map(str::to_string).collect();
        ids.retain(|id| id.starts_with("KS3"));
        ids
    };
    assert_eq!(ids(&["--release", "RHEL9", "a.ks"]), [""; 0]);
    // A network that nobody has.
    let config = site.write("ozr.toml", "network = \"no-such-network\"\n");
    let config = config.display().to_string();
    let found = ids(&["--release", "RHEL9", "--host", "--config", &config, "a.ks"]);
    assert!(
        found.iter().any(|id| id == "KS304" || id == "KS301"),
        "{found:?}"
    );
}

#[test]
fn files_have_their_releases_by_pattern() {
    let site = Site::bare("patterns");
    std::fs::create_dir(site.path("el7")).unwrap();
    site.write("el7/a.ks", "install\n");
    site.write("b.ks", "#version=RHEL8\ninstall\n");
    let config = site.write(
        "ozr.toml",
        "[check]\nrelease = \"RHEL9\"\nreleases = [{ files = \"el7/*.ks\", release = \"CentOS-7\" }]\n",
    );
    let config = config.display().to_string();
    let (_, found) = findings(&site, &["--config", &config, "el7/a.ks", "b.ks"]);
    assert_eq!(places(&found), [place("b.ks", 2, "KS010")]);
    let (_, found) = findings(
        &site,
        &["--release", "F43", "--config", &config, "el7/a.ks"],
    );
    assert_eq!(places(&found), [place("el7/a.ks", 1, "KS002")]);
}

/// A mistake about which file goes where is named, with what to write instead.
#[test]
fn files_in_the_wrong_place_are_told() {
    let site = Site::bare("wrong-place");
    let write = |name: &str, text: &str| site.write(name, text).display().to_string();
    let kickstart = write("web.ks", &kickstart(""));
    let template = |name: &str, os: &str, more: &str| {
        let text = format!(
            "<template><name>t</name><os><name>{os}</name><version>4</version><arch>x86_64</arch>\
             <install type='url'><url>http://mirror.example.com/os/</url></install></os>{more}</template>"
        );
        write(name, &text)
    };
    let good = template("good.tdl", "Rocky-9", "");
    let oz = write(
        "oz.cfg",
        "[paths]\noutput_dir = /srv\n\n[libvirt]\ncpus = x\n",
    );
    for (arguments, says) in [
        (
            vec!["install", &good, "-k", &good],
            "is a template, and -k takes the kickstart",
        ),
        (
            vec!["install", &kickstart],
            "is a kickstart, and a template comes first",
        ),
        (vec!["-c", &oz, "check", &good], "oz.cfg:5:8"),
        (
            vec!["check", &template("a.tdl", "RHEL8", "")],
            "write `RHEL-8`",
        ),
        (
            vec!["check", &template("b.tdl", "EuroLinux-9", "")],
            "write `RHEL-9`",
        ),
        (
            vec![
                "check",
                &template(
                    "c.tdl",
                    "Rocky-9",
                    "<commands><command name='c'>cat <<E >x\nE</command></commands>",
                ),
            ],
            "&lt;",
        ),
        (
            vec![
                "check",
                &template(
                    "d.tdl",
                    "Rocky-9",
                    "<commands><command name='c'>wc <x</command></commands>",
                ),
            ],
            "&lt;",
        ),
    ] {
        ozr(&site, &arguments).assert_failed(2, &[says]);
    }
    // One mistake, one error: nothing more is said of the kickstart beside a wrong template.
    let i386 = good.replace("good", "i386");
    std::fs::write(
        &i386,
        std::fs::read_to_string(&good)
            .unwrap()
            .replace("x86_64", "i386"),
    )
    .unwrap();
    let outcome = ozr(&site, &["check", &i386, &kickstart]);
    outcome.assert_failed(2, &["does not exist for i386"]);
    assert_eq!(
        outcome.stderr.matches("error").count(),
        2,
        "{}",
        outcome.stderr
    );
    let jinja = write(
        "jinja.ks",
        "{% if x %}\ntext\n{% endif %}\nrootpw {{ pw }}\n",
    );
    let outcome = ozr(&site, &["check", &jinja]);
    outcome.assert_failed(
        2,
        &["error[KS014]: this is a Jinja template", "render it first"],
    );
    assert_eq!(
        outcome.stderr.matches("error").count(),
        2,
        "{}",
        outcome.stderr
    );
}

/// The kickstart of a team's images: a shell writes its own variables as ozr writes those that are declared.
const TEAMS: &str = "text\ntimezone ${zone} --utc\nrootpw --lock\nautopart\nrepo --name=x --baseurl=http://192.0.2.1/${token}/ --frobnicate\n%packages\n@core\n%end\n%post\nfor zone in a; do echo ${zone:-x} ${other}; done\n%end\n";

#[test]
fn variables_are_filled_before_anything_is_read() {
    let site = Site::bare("variables");
    site.write("a.ks", TEAMS);
    site.write("token", "s3cret&token\n");
    site.write(
        "ozr.toml",
        "[variables]\nzone = { one-of = [\"UTC\", \"Etc/UTC\"] }\ntoken = { secret = \"file:token\" }\n",
    );
    let check = |more: &[&str]| {
        ozr(
            &site,
            &[&["check", "--release", "RHEL9", "a.ks"], more].concat(),
        )
    };

    let unset = check(&[]);
    assert_eq!(unset.status, 2);
    assert!(unset.stderr.contains("a.ks:2:10"), "{}", unset.stderr);
    assert!(
        unset.stderr.contains("--set zone=VALUE"),
        "{}",
        unset.stderr
    );

    let wrong = check(&["--set", "zone=Mars"]);
    assert!(
        wrong.stderr.contains("must be one of UTC, Etc/UTC"),
        "{}",
        wrong.stderr
    );
    let misspelt = check(&["--set", "zon=UTC"]);
    assert!(
        misspelt.stderr.contains("did you mean `zone`"),
        "{}",
        misspelt.stderr
    );

    // The secret is in the line that has an error, and not in what is said of it.
    let found = check(&["--set", "zone=UTC"]);
    assert_eq!(found.status, 2);
    assert!(found.stderr.contains("--frobnicate"), "{}", found.stderr);
    assert!(found.stderr.contains("a.ks:5:"), "{}", found.stderr);
    assert!(!found.stderr.contains("s3cret"), "{}", found.stderr);
    assert!(!found.stderr.contains("a.ks:2:"), "{}", found.stderr);

    let json = ozr(
        &site,
        &[
            "check",
            "--release",
            "RHEL9",
            "a.ks",
            "--set",
            "zone=UTC",
            "--format",
            "json",
        ],
    );
    assert!(
        json.stdout.contains("frobnicate") && !json.stdout.contains("s3cret"),
        "{}",
        json.stdout
    );

    // What is filled in is not written back.
    let fix = check(&["--set", "zone=UTC", "--fix", "--in-place"]);
    assert!(
        fix.stderr.contains("the values of variables"),
        "{}",
        fix.stderr
    );
    assert_eq!(std::fs::read_to_string(site.path("a.ks")).unwrap(), TEAMS);

    // Without a declaration what is set is declared, and what is of no use is said.
    site.write("ozr.toml", "");
    let free = check(&["--set", "zone=UTC", "--set", "tokn=x"]);
    assert!(
        free.stderr.contains("--set tokn: no `${tokn}` stands"),
        "{}",
        free.stderr
    );
}

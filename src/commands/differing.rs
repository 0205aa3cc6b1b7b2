//! What `ozr diff` found, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::diff::{Build, Changed, Difference, Names, Packages, Step};
use crate::image::disk::human;
use crate::packages::changelog::Entry;
use crate::printable;

/// Most lines of a package's changelog that are shown; the JSON has all.
const MOST_LINES: usize = 12;

/// What is said of a thing that is not there.
const NOTHING: &str = "none";

/// A part of the text: its title, and its lines.
struct Part {
    title: String,
    lines: Vec<Line>,
}

struct Line {
    text: String,
    /// What belongs to it.
    below: Vec<String>,
}

impl From<String> for Line {
    fn from(text: String) -> Line {
        Line {
            text,
            below: Vec::new(),
        }
    }
}

/// The text.
pub fn text(difference: &Difference) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(text, "{}", title(difference));
    for part in parts(difference) {
        let _ = writeln!(text, "\n{}", printable::line(&part.title));
        for line in part.lines {
            let _ = writeln!(text, "  {}", printable::line(&line.text));
            for below in line.below {
                let _ = writeln!(text, "      {}", printable::line(&below));
            }
        }
    }
    text
}

/// The same in Markdown.
pub fn markdown(difference: &Difference) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "## {}", escaped(&title(difference)));
    for part in parts(difference) {
        let _ = writeln!(text, "\n### {}\n", escaped(&part.title));
        for line in part.lines {
            let _ = writeln!(text, "- {}", escaped(&line.text));
            for below in line.below {
                let _ = writeln!(text, "  - {}", escaped(&below));
            }
        }
    }
    text
}

/// Text of others that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable::line(text).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn title(difference: &Difference) -> String {
    let name = |build: &Build| match &build.finished {
        Some(finished) => format!("{} ({finished})", build.name),
        None => build.name.clone(),
    };
    let (old, new) = (name(&difference.old), name(&difference.new));
    let is_same = match difference.is_empty() {
        true => ": made of the same",
        false => "",
    };
    printable::line(&format!("{old} → {new}{is_same}")).into_owned()
}

fn parts(difference: &Difference) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |title: &str, lines: Vec<Line>| {
        if !lines.is_empty() {
            let title = title.to_owned();
            parts.push(Part { title, lines });
        }
    };
    add("Changed", difference.changed.iter().map(changed).collect());
    if let Some(packages) = &difference.packages {
        add(&count(packages), of_packages(packages));
        if !packages.cves.is_empty() {
            add(
                "CVE ids in their changelogs",
                vec![packages.cves.join(" ").into()],
            );
        }
    }
    for (title, found) in [
        ("Kernel arguments", &difference.kernel_arguments),
        ("Enabled units", &difference.services),
        ("Accounts", &difference.users),
        ("Files of configuration", &difference.configuration),
    ] {
        add(title, names(found));
    }
    add(
        "Repositories",
        difference.repositories.iter().map(changed).collect(),
    );
    let sizes = difference.sizes.iter().map(|size| {
        let (old, new) = (human(size.old), human(size.new));
        let by = size.new.abs_diff(size.old);
        let sign = if size.new < size.old { "-" } else { "+" };
        format!("{}: {old} → {new} ({sign}{})", size.what, human(by)).into()
    });
    add("Sizes", sizes.collect());
    let phases = difference.phases.iter();
    let phases = phases
        .map(|phase| format!("{}: {:.1} s → {:.1} s", phase.what, phase.old, phase.new).into());
    add("Phases of the install", phases.collect());
    let not_compared = difference.not_compared.iter().cloned();
    add("Not compared", not_compared.map(Line::from).collect());
    parts
}

fn changed(changed: &Changed) -> Line {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| NOTHING.to_owned());
    format!(
        "{}: {} → {}",
        changed.what,
        value(&changed.old),
        value(&changed.new)
    )
    .into()
}

fn names(names: &Names) -> Vec<Line> {
    let all = [
        ("+", &names.added),
        ("-", &names.removed),
        ("~", &names.changed),
    ];
    let lines = all.into_iter().flat_map(|(sign, names)| {
        let names = names.iter();
        names.map(move |name| format!("{sign} {name}").into())
    });
    lines.collect()
}

fn count(packages: &Packages) -> String {
    let parts = [
        (packages.added.len(), "added"),
        (packages.removed.len(), "removed"),
        (packages.upgraded.len(), "up"),
        (packages.downgraded.len(), "down"),
        (packages.rebuilt.len(), "rebuilt"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let (old, new) = (packages.old, packages.new);
    format!("Packages: {} ({old} → {new})", parts.join(", "))
}

fn of_packages(packages: &Packages) -> Vec<Line> {
    let mut lines = Vec::new();
    let added = packages.added.iter().map(|name| format!("+ {name}").into());
    lines.extend(added);
    let removed = packages
        .removed
        .iter()
        .map(|name| format!("- {name}").into());
    lines.extend(removed);
    for (sign, steps) in [
        ("up", &packages.upgraded),
        ("down", &packages.downgraded),
        ("rebuilt", &packages.rebuilt),
    ] {
        lines.extend(grouped(steps).into_iter().map(|steps| step(sign, &steps)));
    }
    lines
}

/// Steps that are one update: packages of one source and the same versions.
fn grouped(steps: &[Step]) -> Vec<Vec<&Step>> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&Step>> = BTreeMap::new();
    for step in steps {
        let source = step.source_rpm.as_deref().unwrap_or(&step.name);
        let key = (source, step.old.as_str(), step.new.as_str());
        groups.entry(key).or_default().push(step);
    }
    groups.into_values().collect()
}

fn step(sign: &str, steps: &[&Step]) -> Line {
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let (names, first) = (names.join(", "), steps[0]);
    let mut below = Vec::new();
    if !first.cves.is_empty() {
        below.push(first.cves.join(" "));
    }
    let mut lines: Vec<String> = first.changelog.iter().flat_map(entry).collect();
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    below.extend(lines);
    if more > 0 {
        below.push(format!("and {more} more lines: --format json has all"));
    }
    Line {
        text: format!("{sign} {names}: {} → {}", first.old, first.new),
        below,
    }
}

fn entry(entry: &Entry) -> Vec<String> {
    let lines = entry.text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.trim_end().to_owned()).collect()
}

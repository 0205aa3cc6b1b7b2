//! Snapshots of thin logical volumes: `snapshot`.

use super::{Call, Rule};
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "snapshot" => Some(&[time, once, origin]),
        _ => None,
    }
}

/// What a snapshot's name is noted as.
pub const KIND: &str = "snapshot";

/// `--when` says when it is made, in any case.
fn time(call: &Call<'_>) -> Option<Problem> {
    if call.version.is_python_2() {
        return None;
    }
    let mut times = call.arguments.values("--when");
    let known = ["post-install", "pre-install"];
    let wrong = times.find(|time| !known.contains(&time.to_lowercase().as_str()))?;
    let problem = Problem::error(id::BAD_VALUE, format!("`{wrong}` is no time of a snapshot"));
    let help = "write `post-install` or `pre-install`";
    Some(problem.at(call.arguments.span("--when")).help(help))
}

/// Each has its own name: unlike elsewhere, a second of the same name is refused.
fn once(call: &Call<'_>) -> Option<Problem> {
    let name = call.arguments.value("--name")?;
    if !call.declared.has(KIND, name) {
        return None;
    }
    let problem = Problem::error(
        id::DUPLICATE,
        format!("the snapshot `{name}` is declared twice"),
    );
    Some(
        problem
            .at(call.arguments.span("--name"))
            .help("name it differently"),
    )
}

/// What it is taken of is a volume in a group.
fn origin(call: &Call<'_>) -> Option<Problem> {
    let origin = call.arguments.positionals().next()?;
    let mut parts = origin.text.split('/');
    let filled = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
    if filled(parts.next()) && filled(parts.next()) && parts.next().is_none() {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!(
            "`{}` does not name a volume to take a snapshot of",
            origin.text
        ),
    );
    Some(
        problem
            .at(Some(origin.span.clone()))
            .help("write `GROUP/VOLUME`"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn snapshots() {
        hold(&[
            (
                "snapshot a/b --name=c --when=post-install",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "snapshot a/b --name=c --when=Pre-Install",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "snapshot a/b --name=c --when=now",
                "A RHEL7, R RHEL6 RHEL8+ F29+",
            ),
            ("snapshot a --name=c --when=pre-install", "R all"),
            ("snapshot a/ --name=c --when=pre-install", "R all"),
            ("snapshot /b --name=c --when=pre-install", "R all"),
            ("snapshot a/b/c --name=c --when=pre-install", "R all"),
            (
                "snapshot a/b --name=c --when=pre-install\nsnapshot a/d --name=c --when=pre-install",
                "R all",
            ),
            (
                "snapshot a/b --name=c --when=pre-install\nsnapshot a/b --name=d --when=pre-install",
                "A RHEL7+ F29+, R RHEL6",
            ),
        ]);
    }
}

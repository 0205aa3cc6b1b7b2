//! `ozr explain`

use crate::check::rules;
use crate::error::{Kind, failed};
use crate::image::seal;
use crate::input;
use crate::ui::printer;
use crate::watch::cause::Cause;

/// `ozr explain [ID]`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule of a finding, such as KS101, or the cause of a failed build, such as
    /// transaction-failed, or `seal` for what is taken out of images; without it all rules and causes
    /// are listed
    #[arg(value_name = "ID")]
    id: Option<String>,
}

/// Prints the explanation of a rule or a cause, or the list of all.
///
/// # Errors
/// Input: there is no such rule or cause.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let text = match &args.id {
        None => list(),
        Some(id) if id.trim() == "seal" => seal(),
        Some(id) => match (rules::find(id), cause(id)) {
            (Some(rule), _) => explained(rule.id, rule.title, rule.explanation),
            (None, Some(cause)) => explained(cause.name(), cause.title(), cause.explanation()),
            (None, None) => return Err(neither(id)),
        },
    };
    printer::print_text(&text);
    Ok(())
}

fn cause(name: &str) -> Option<Cause> {
    let same = |cause: &Cause| cause.name().eq_ignore_ascii_case(name.trim());
    Cause::ALL.iter().copied().find(same)
}

fn list() -> String {
    let rules = rules::all().map(|rule| format!("{}  {}\n", rule.id, rule.title));
    let causes = Cause::ALL
        .iter()
        .map(|cause| format!("{:<22}  {}\n", cause.name(), cause.title()));
    rules.chain(causes).collect()
}

/// What is taken out of images, and which files that are.
fn seal() -> String {
    let items = seal::items().iter();
    items
        .map(|item| {
            let files = item.files().map(|file| format!("    {file}\n"));
            format!(
                "{}: {}\n{}",
                item.name,
                item.what,
                files.collect::<String>()
            )
        })
        .collect()
}

fn explained(id: &str, title: &str, explanation: &str) -> String {
    format!("{id}: {title}\n\n{}\n", wrapped(explanation.trim_end()))
}

/// Widest line of an explanation, in characters.
const WIDTH: usize = 100;

/// Paragraphs with lines that fit a terminal; those whose lines are indented are examples and stay
/// as they are.
fn wrapped(text: &str) -> String {
    let filled = |paragraph: &str| {
        let mut lines = vec![String::new()];
        for word in paragraph.split_whitespace() {
            let mut line = lines.pop().unwrap_or_default();
            if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            let blank = if line.is_empty() { "" } else { " " };
            lines.push(line + blank + word);
        }
        lines.join("\n")
    };
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| match paragraph.starts_with(' ') {
            true => paragraph.to_string(),
            false => filled(paragraph),
        });
    paragraphs.collect::<Vec<String>>().join("\n\n")
}

/// The error that names rules which are written like `id`.
pub fn unknown(id: &str) -> anyhow::Error {
    no_such("rule", id, &rules::similar(id))
}

fn neither(id: &str) -> anyhow::Error {
    let mut similar = rules::similar(id);
    similar.extend(input::nearest(
        id.trim(),
        &Cause::ALL
            .iter()
            .map(|cause| cause.name())
            .collect::<Vec<_>>(),
    ));
    no_such("rule or cause", id, &similar)
}

fn no_such(what: &str, id: &str, similar: &[&str]) -> anyhow::Error {
    let shown: String = id.chars().take(30).collect();
    let help = if similar.is_empty() {
        "`ozr explain` lists them".to_string()
    } else {
        format!("similar are {}", similar.join(", "))
    };
    failed!(Kind::Input, "there is no {what} `{shown}`; {help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_fit_a_terminal() {
        let rules = rules::all().map(|r| explained(r.id, r.title, r.explanation));
        let causes = Cause::ALL
            .iter()
            .map(|c| explained(c.name(), c.title(), c.explanation()));
        for text in rules.chain(causes) {
            for line in text.lines().skip(1) {
                let fits = line.chars().count() <= WIDTH;
                assert!(fits || !line.trim().contains(' '), "{text}");
            }
        }
        assert_eq!(wrapped("a b\n\n    as it is"), "a b\n\n    as it is");
    }
}

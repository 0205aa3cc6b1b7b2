//! `ozr explain`

use crate::check::catalogue::{self, Rule};
use crate::error::{Kind, failure};
use crate::ui::printer;

/// `ozr explain [ID]`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule, such as KS101; without it all rules are listed
    #[arg(value_name = "ID")]
    id: Option<String>,
}

/// Prints the explanation of a rule, or the list of all rules.
///
/// # Errors
/// Input: there is no such rule.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let text = match &args.id {
        None => list(),
        Some(id) => explained(catalogue::find(id).ok_or_else(|| unknown(id))?),
    };
    printer::print_text(&text);
    Ok(())
}

fn list() -> String {
    catalogue::all()
        .map(|rule| format!("{}  {}\n", rule.id, rule.title))
        .collect()
}

fn explained(rule: &Rule) -> String {
    let Rule {
        id,
        title,
        explanation,
    } = rule;
    format!("{id}: {title}\n\n{}\n", wrapped(explanation.trim_end()))
}

/// Widest line of an explanation, in characters.
const WIDTH: usize = 80;

/// Paragraphs with lines that fit a terminal; indented lines are examples and stay as they are.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with(' ') {
            lines.push(line.to_string());
            continue;
        }
        let mut filled = String::new();
        for word in line.split_whitespace() {
            if !filled.is_empty() && filled.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::take(&mut filled));
            }
            if !filled.is_empty() {
                filled.push(' ');
            }
            filled.push_str(word);
        }
        lines.push(filled);
    }
    lines.join("\n")
}

/// The error that names rules which are written like `id`.
pub fn unknown(id: &str) -> anyhow::Error {
    let similar = catalogue::similar(id);
    let shown: String = id.chars().take(20).collect();
    let message = if similar.is_empty() {
        format!("there is no rule `{shown}`; `ozr explain` lists them")
    } else {
        format!(
            "there is no rule `{shown}`; similar are {}",
            similar.join(", ")
        )
    };
    failure(Kind::Input, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_fit_a_terminal() {
        for rule in catalogue::all() {
            let text = explained(rule);
            for line in text.lines().skip(1) {
                let fits = line.chars().count() <= WIDTH;
                assert!(fits || !line.trim().contains(' '), "{}: {line}", rule.id);
            }
        }
        assert_eq!(wrapped("a b\n\n    as it is"), "a b\n\n    as it is");
    }
}

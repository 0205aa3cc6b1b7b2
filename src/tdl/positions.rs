//! The order of commands: that of the document, or that of their attribute `position`.

use super::findings::Findings;
use super::xml::Element;

const HELP: &str = "either no command has a position, or the positions of all are 1, 2, 3, ... \
                    without gap or repetition";

/// The indexes of `commands` in the order in which they run.
pub fn order(commands: &[&Element], findings: &mut Findings<'_>) -> Vec<usize> {
    let in_document = (0..commands.len()).collect();
    if commands.iter().all(|c| c.attribute("position").is_none()) {
        return in_document;
    }
    let mut slots: Vec<Option<usize>> = vec![None; commands.len()];
    for (index, command) in commands.iter().enumerate() {
        let Some(attribute) = command.attribute("position") else {
            findings.error(
                &command.tag,
                "this command has no position, others do",
                HELP,
            );
            continue;
        };
        let digits = attribute.value.trim();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            findings.error(&attribute.span, "the position is not a number", HELP);
            continue;
        }
        // A number too large for usize is past the end too.
        let slot = digits
            .parse::<usize>()
            .ok()
            .and_then(|position| position.checked_sub(1))
            .and_then(|position| slots.get_mut(position));
        match slot {
            None => findings.error(
                &attribute.span,
                format!("the position is not between 1 and {}", commands.len()),
                HELP,
            ),
            Some(Some(_)) => {
                findings.error(&attribute.span, "another command has this position", HELP);
            }
            Some(free) => *free = Some(index),
        }
    }
    // With an error above the order does not matter any more.
    slots.into_iter().flatten().collect()
}

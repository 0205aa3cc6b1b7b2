//! Certain fixes, applied to a text.

use crate::diagnostic::{Diagnostic, Edit};

/// A text with the edits of findings about it made, and how many findings were fixed.
///
/// Everything else stays as it is, byte for byte. Of findings whose edits overlap the first one
/// counts: the other is found again in what comes out, if it is still there. The findings must be
/// those of this text, not of one that includes it or that it includes.
pub fn apply(text: &str, findings: &[Diagnostic]) -> (String, usize) {
    let mut edits: Vec<&Edit> = Vec::new();
    let mut fixed = 0;
    for finding in findings.iter().filter(|finding| !finding.fix.is_empty()) {
        // The same line may be removed for two reasons.
        if finding.fix.iter().all(|edit| edits.contains(&edit)) {
            fixed += 1;
            continue;
        }
        let clashes = |edit: &Edit| {
            let beyond = text.get(edit.span.clone()).is_none();
            beyond || edits.iter().any(|other| overlap(edit, other))
        };
        if !finding.fix.iter().any(clashes) {
            edits.extend(&finding.fix);
            fixed += 1;
        }
    }
    // Insertions at one place stay in their order.
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut made = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in edits {
        made.push_str(&text[at..edit.span.start]);
        made.push_str(&edit.text);
        at = edit.span.end;
    }
    made.push_str(&text[at..]);
    (made, fixed)
}

fn overlap(one: &Edit, other: &Edit) -> bool {
    one.span.start < other.span.end && other.span.start < one.span.end
        || (one.span.start > other.span.start && one.span.end < other.span.end)
        || (other.span.start > one.span.start && other.span.end < one.span.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    fn finding(text: &str) -> Diagnostic {
        Diagnostic::error(Source { name: "t", text }, 0..0, "m")
    }

    #[test]
    fn nothing_else_is_touched() {
        for (text, span, with, expected) in [
            ("a\r\nb\r\nc", 3..6, "", "a\r\nc"),
            ("\u{feff}text\n", 0..3, "", "text\n"),
            ("ä ö ü", 3..5, "x", "ä x ü"),
            ("a", 1..1, "\nb", "a\nb"),
            ("a\t \n\n", 0..1, "b", "b\t \n\n"),
        ] {
            let findings = [finding(text).fix(span, with), finding(text)];
            assert_eq!(apply(text, &findings), (expected.to_string(), 1));
        }
        let text = "a\r\n\0\u{b}b";
        assert_eq!(apply(text, &[finding(text)]), (text.to_string(), 0));
    }

    #[test]
    fn edits_that_overlap_are_not_mixed() {
        let text = "abcdef";
        let findings = [
            finding(text).fix(1..3, "X"),
            finding(text).fix(2..4, "Y"),
            finding(text).fix(3..4, "Z").fix(6..6, "!"),
            finding(text).fix(1..3, "X"),
            finding(text).fix(9..10, "far"),
        ];
        assert_eq!(apply(text, &findings), ("aXZef!".to_string(), 3));
    }

    #[test]
    fn insertions_at_one_place_keep_their_order() {
        let text = "ab";
        let findings = [finding(text).fix(1..1, "1"), finding(text).fix(1..1, "2")];
        assert_eq!(apply(text, &findings), ("a12b".to_string(), 2));
        let findings = [finding(text).fix(1..2, ""), finding(text).fix(1..1, "2")];
        assert_eq!(apply(text, &findings), ("a2".to_string(), 2));
    }
}

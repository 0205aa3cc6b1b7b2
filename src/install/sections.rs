//! The script sections of the kickstart as it is served, so that a verdict can name the one that
//! failed.

use crate::kickstart::outline::{Item, SectionKind};
use crate::kickstart::scan::{BYTE_ORDER_MARK, scan_all};
use crate::watch::verdict::Section;

/// The sections of `served` that the installer runs. What ozr adds stands behind `author`'s text,
/// so that the author's lines keep their numbers.
pub fn scripts(served: &str, author: &str) -> Vec<Section> {
    let author = author.strip_prefix(BYTE_ORDER_MARK).unwrap_or(author);
    let (outline, _) = scan_all(served, "served");
    let sections = outline.items.iter().filter_map(|item| match item {
        Item::Section(section) => Some(section),
        _ => None,
    });
    sections
        .filter(|section| {
            matches!(
                section.kind,
                SectionKind::Pre | SectionKind::PreInstall | SectionKind::Post
            )
        })
        .map(|section| {
            let text = served.get(section.span.clone()).unwrap_or_default();
            Section {
                header: text.lines().next().unwrap_or_default().trim().to_string(),
                line: section.line as u64,
                added: section.span.start >= author.len(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_named_by_header_and_line() {
        let author = "text\n%packages\na\n%end\n%post --erroronfail  # mine\nfalse\n%end\n";
        let served = format!("{author}# added\n%post --nochroot\ntrue\n%end\n");
        let sections = scripts(&served, &format!("{BYTE_ORDER_MARK}{author}"));
        let shown: Vec<(&str, u64, bool)> = sections
            .iter()
            .map(|section| (section.header.as_str(), section.line, section.added))
            .collect();
        let mine = ("%post --erroronfail  # mine", 5, false);
        assert_eq!(shown, [mine, ("%post --nochroot", 9, true)]);
    }
}

//! `${NAME}` in a text: where it stands, and what comes into its place.

use std::ops::Range;

/// How a value is written into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// As it is.
    Plain,
    /// So that an XML parser reads it as it is.
    Xml,
}

/// Whether a text is the name of a variable: a letter or `_`, then letters, digits, `_` and `-`.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// A `${NAME}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name.
    pub name: &'a str,
    /// The bytes of all of it, with a second `$` before it.
    pub span: Range<usize>,
    /// Whether it is written `$${NAME}`, and means the text `${NAME}`.
    pub escaped: bool,
}

/// Every `${NAME}` of a text, in order. What a shell writes in the same way is among them.
pub fn places(text: &str) -> impl Iterator<Item = Place<'_>> {
    text.match_indices("${").filter_map(|(at, _)| {
        let (name, _) = text[at + 2..].split_once('}')?;
        let escaped = text[..at].ends_with('$');
        is_name(name).then(|| Place {
            name,
            span: at - usize::from(escaped)..at + "${}".len() + name.len(),
            escaped,
        })
    })
}

/// The text with what `value` gives in the place of each `${NAME}`; what it gives nothing for stays as it is.
///
/// # Errors
/// Those of `value`.
pub fn fill<E>(
    text: &str,
    writing: Writing,
    mut value: impl FnMut(&Place<'_>) -> Result<Option<String>, E>,
) -> Result<String, E> {
    let mut filled = String::with_capacity(text.len());
    let mut done = 0;
    for place in places(text) {
        let Some(value) = value(&place)? else {
            continue;
        };
        filled.push_str(&text[done..place.span.start]);
        done = place.span.end;
        match (place.escaped, writing) {
            (true, _) => filled.push_str(&text[place.span.start + 1..place.span.end]),
            (false, Writing::Plain) => filled.push_str(&value),
            // Within a CDATA section only its end means anything.
            (false, Writing::Xml) if is_in_cdata(&text[..place.span.start]) => {
                filled.push_str(&value.replace("]]>", "]]]]><![CDATA[>"));
            }
            (false, Writing::Xml) => filled.push_str(&quick_xml::escape::escape(&*value)),
        }
    }
    filled.push_str(&text[done..]);
    Ok(filled)
}

fn is_in_cdata(before: &str) -> bool {
    let begun = before.rfind("<![CDATA[");
    begun.is_some_and(|begun| !before[begun..].contains("]]>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, writing: Writing) -> String {
        let value = |place: &Place<'_>| -> Result<Option<String>, ()> {
            Ok(match place.name {
                "a" => Some("1 & <2>".to_owned()),
                "b-c" => Some("x]]>y".to_owned()),
                _ => None,
            })
        };
        fill(text, writing, value).unwrap()
    }

    #[test]
    fn only_what_is_known_is_filled() {
        for (text, expected) in [
            ("${a}", "1 & <2>"),
            ("-${a}${b-c}-", "-1 & <2>x]]>y-"),
            (
                "${x} $a ${a ${a:-1} ${#a} $(a)",
                "${x} $a ${a ${a:-1} ${#a} $(a)",
            ),
            ("${a ${a}", "${a 1 & <2>"),
            ("$${a} $${x} $$", "${a} $${x} $$"),
            ("ä${a}ä", "ä1 & <2>ä"),
            ("", ""),
        ] {
            assert_eq!(filled(text, Writing::Plain), expected, "{text}");
        }
    }

    #[test]
    fn in_xml_a_value_is_text() {
        for (text, expected) in [
            (
                "<a b='${a}'>${a}</a>",
                "<a b='1 &amp; &lt;2&gt;'>1 &amp; &lt;2&gt;</a>",
            ),
            (
                "<![CDATA[${a}]]>${a}",
                "<![CDATA[1 & <2>]]>1 &amp; &lt;2&gt;",
            ),
            ("<![CDATA[${b-c}]]>", "<![CDATA[x]]]]><![CDATA[>y]]>"),
        ] {
            assert_eq!(filled(text, Writing::Xml), expected, "{text}");
        }
    }
}

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
        && text.chars().all(is_part_of_name)
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
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
        let behind = &text[at + 2..];
        // Only as far as a name goes: a text may have thousands of `${` that nothing closes.
        let length = behind.find(|c: char| !is_part_of_name(c))?;
        let name = behind[length..]
            .starts_with('}')
            .then(|| &behind[..length])?;
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
    let mut in_cdata = false;
    for place in places(text) {
        let Some(value) = value(&place)? else {
            continue;
        };
        let between = &text[done..place.span.start];
        in_cdata = is_in_cdata(between, in_cdata);
        filled.push_str(between);
        done = place.span.end;
        match (place.escaped, writing) {
            (true, _) => filled.push_str(&text[place.span.start + 1..place.span.end]),
            (false, Writing::Plain) => filled.push_str(&value),
            // Within a CDATA section only its end means anything.
            (false, Writing::Xml) if in_cdata => {
                filled.push_str(&value.replace("]]>", "]]]]><![CDATA[>"));
            }
            (false, Writing::Xml) => filled.push_str(&quick_xml::escape::escape(&*value)),
        }
    }
    filled.push_str(&text[done..]);
    Ok(filled)
}

/// The text that filled gives this one, by whom the names are known that are.
pub fn escape(text: &str, is_known: impl Fn(&str) -> bool) -> String {
    let mut escaped = text.to_owned();
    let places: Vec<Place<'_>> = places(text).collect();
    for place in places.iter().rev().filter(|place| is_known(place.name)) {
        escaped.insert(place.span.start, '$');
    }
    escaped
}

/// Whether a CDATA section is open behind a piece of text before which it was so or not.
fn is_in_cdata(piece: &str, before: bool) -> bool {
    match (piece.rfind("<![CDATA["), piece.rfind("]]>")) {
        (Some(begun), Some(ended)) => begun > ended,
        (begun, None) => before || begun.is_some(),
        (None, Some(_)) => false,
    }
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
    fn what_is_escaped_is_filled_to_what_it_was() {
        for text in [
            "${a}",
            "x$${a}y${b-c}",
            "$$$${a}",
            "${x} $${x}",
            "$",
            "ä${a}${a}",
        ] {
            let escaped = escape(text, |name| name != "x");
            assert_eq!(filled(&escaped, Writing::Plain), text, "{escaped}");
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

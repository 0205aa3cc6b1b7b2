//! Secrets of a template, hidden in what findings quote.
//!
//! A finding shows its line, and the line may hold a root password or a URL with one, also in a
//! file that is not even XML. So findings are made from a copy in which those characters are
//! replaced by others *of the same length*, and every place stays where it was.

use std::ops::Range;

use crate::secrets::recognise;

/// Elements whose whole text is secret.
const SECRET_ELEMENTS: [&str; 2] = ["rootpw", "key"];

/// `text` with its secrets replaced: the contents of `<rootpw>` and `<key>`, and what is
/// [recognised](recognise) anywhere, in addresses and commands. Lengths and line breaks stay.
pub fn mask(text: &str) -> String {
    let mut secret: Vec<Range<usize>> = Vec::new();
    for element in SECRET_ELEMENTS {
        element_texts(text, element, &mut secret);
    }
    secret.extend(recognise::places(text));
    recognise::merge(&mut secret);
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for place in secret {
        masked.push_str(&text[done..place.start]);
        done = place.end;
        masked.extend(text[place].chars().map(hidden));
    }
    masked.push_str(&text[done..]);
    masked
}

/// A character that says nothing, of the same length in UTF-8.
fn hidden(c: char) -> char {
    match (c, c.len_utf8()) {
        ('\n' | '\r', _) => c,
        (_, 1) => '*',
        (_, 2) => '¤',
        (_, 3) => '•',
        _ => '🞄',
    }
}

/// From behind each `<element ...>` to its end tag; to the end of the text where it has none.
fn element_texts(text: &str, element: &str, found: &mut Vec<Range<usize>>) {
    let open = format!("<{element}");
    let close = format!("</{element}");
    let mut from = 0;
    while let Some(at) = text[from..].find(&open) {
        let after = from + at + open.len();
        if !text[after..].starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace()) {
            from = after;
            continue;
        }
        let Some(tag_end) = text[after..].find('>') else {
            // A tag that is never closed; what it would hold may follow it.
            found.push(after..text.len());
            return;
        };
        let start = after + tag_end + 1;
        if text[after..start].ends_with("/>") {
            from = start;
            continue;
        }
        let end = text[start..]
            .find(&close)
            .map_or(text.len(), |at| start + at);
        found.push(start..end);
        from = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_disappear_and_places_stay() {
        for (text, expected) in [
            ("<rootpw>pä\n€</rootpw>x", "<rootpw>*¤\n•</rootpw>x"),
            ("<rootpw a='1'>s3cret", "<rootpw a='1'>******"),
            ("<rootpw s3cret", "<rootpw*******"),
            ("<rootpw/><name>a</name>", "<rootpw/><name>a</name>"),
            ("<keys>a</keys><key>b</key>", "<keys>a</keys><key>*</key>"),
            ("ftp://u:p@ss@h/p:q@r", "ftp://******@h/p:q@r"),
            ("http://h:80/", "http://h:80/"),
            (
                "<url>http://h/?token=ab</url>",
                "<url>http://h/?token=**</url>",
            ),
            ("curl -u ann:pä h", "curl -u *****¤ h"),
            ("https://t0ken@h:80/", "https://*****@h:80/"),
            (
                "<rootpw>http://u:p@h</rootpw>",
                "<rootpw>************</rootpw>",
            ),
        ] {
            let masked = mask(text);
            assert_eq!(masked, expected);
            assert_eq!(masked.len(), text.len());
        }
    }
}

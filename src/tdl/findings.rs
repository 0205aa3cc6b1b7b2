//! Collects what is wrong, and checks elements against the forms that the language allows.

use std::cell::OnceCell;
use std::ops::Range;

use super::xml::Element;
use crate::diagnostic::{Diagnostic, Source};
use crate::secrets;
use crate::{input, printable};

/// Most errors that are reported at once: the rest follows from them, or is more of the same.
const MAX_ERRORS: usize = 50;

/// Longest message, in characters: names that it repeats may be megabytes long.
const MAX_MESSAGE: usize = 300;

/// Errors and warnings so far.
#[derive(Debug)]
pub struct Findings<'a> {
    name: &'a str,
    text: &'a str,
    /// The text without its secrets, for findings to quote; made for the first of them.
    masked: OnceCell<String>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// What may stand in an element.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// Attributes.
    pub attributes: &'a [&'a str],
    /// Children that may stand once.
    pub once: &'a [&'a str],
    /// Children that may stand any number of times.
    pub many: &'a [&'a str],
    /// Whether text may stand.
    pub text: bool,
}

impl<'a> Form<'a> {
    /// Nothing at all.
    pub const EMPTY: Self = Form {
        attributes: &[],
        once: &[],
        many: &[],
        text: false,
    };

    /// Text and nothing else.
    pub const TEXT: Self = Form {
        text: true,
        ..Form::EMPTY
    };

    /// Children that may stand once, and nothing else.
    pub fn once(once: &'a [&'a str]) -> Self {
        Form {
            once,
            ..Form::EMPTY
        }
    }

    /// Children that may stand any number of times, and nothing else.
    pub fn many(many: &'a [&'a str]) -> Self {
        Form {
            many,
            ..Form::EMPTY
        }
    }

    /// These attributes, too.
    pub fn with(self, attributes: &'a [&'a str]) -> Self {
        Form { attributes, ..self }
    }
}

impl<'a> Findings<'a> {
    /// Nothing found yet in the text of the template `name`.
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self {
            name,
            text,
            masked: OnceCell::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn source(&self) -> Source<'_> {
        Source {
            name: self.name,
            text: self.masked.get_or_init(|| mask(self.text)),
        }
    }

    /// Whether there is no error.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Errors, or warnings where there is no error, in the order of their places.
    pub fn finish(mut self) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        for findings in [&mut self.errors, &mut self.warnings] {
            findings.sort_by_key(|finding| (finding.line, finding.column));
        }
        if self.errors.is_empty() {
            Ok(self.warnings)
        } else {
            Err(self.errors)
        }
    }

    /// Adds an error.
    pub fn error(&mut self, span: &Range<usize>, message: impl Into<String>, help: &str) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(self.finding(span, message, help));
        }
    }

    /// Adds a warning.
    pub fn warn(&mut self, span: &Range<usize>, message: impl Into<String>, help: &str) {
        if self.warnings.len() < MAX_ERRORS {
            let warning = Diagnostic::warning(self.source(), span.clone(), message);
            self.warnings.push(warning.help(help));
        }
    }

    /// Whether there is no problem; else it is added as an error.
    pub fn accept(&mut self, span: &Range<usize>, problem: Option<&str>, help: &str) -> bool {
        if let Some(problem) = problem {
            self.error(span, problem, help);
        }
        problem.is_none()
    }

    /// An error that is not added.
    pub fn finding(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: &str,
    ) -> Diagnostic {
        let message = printable::short(&message.into(), MAX_MESSAGE);
        Diagnostic::error(self.source(), span.clone(), message).help(help)
    }

    /// Checks names and numbers of everything in `element`.
    pub fn check(&mut self, element: &Element, form: Form<'_>) {
        for attribute in &element.attributes {
            if !form.attributes.contains(&attribute.name.as_str()) {
                let message = format!(
                    "unknown attribute `{}` in <{}>",
                    attribute.name, element.name
                );
                let help = allowed(&attribute.name, "attributes", form.attributes, &[]);
                self.error(&attribute.span, message, &help);
            }
        }
        for (index, child) in element.children.iter().enumerate() {
            // Nothing more would be shown, and the search for a second one takes its time.
            if self.errors.len() == MAX_ERRORS {
                return;
            }
            let name = child.name.as_str();
            if form.once.contains(&name) {
                if element.children[..index].iter().any(|c| c.name == name) {
                    let message = format!("a second <{name}> in <{}>", element.name);
                    self.error(&child.tag, message, "it may stand only once");
                }
            } else if !form.many.contains(&name) {
                let message = format!("unknown element <{name}> in <{}>", element.name);
                let help = if name.ends_with(":include") {
                    "templates include no other files: merge them first".to_string()
                } else {
                    allowed(name, "elements", form.once, form.many)
                };
                self.error(&child.tag, message, &help);
            }
        }
        if !form.text && !element.text.trim().is_empty() {
            let start = element.text.len() - element.text.trim_start().len();
            let end = element.text.trim_end().len();
            // White space and text of several pieces do not stand in one place.
            let span = if element.children.is_empty() {
                element.place_in_text(start..end)
            } else {
                element.tag.clone()
            };
            let message = format!("text stands in <{}>, which holds none", element.name);
            self.error(
                &span,
                message,
                &allowed("", "elements", form.once, form.many),
            );
        }
    }

    /// The attribute of that name without the white space around it; an error if there is none.
    pub fn required_attribute<'e>(
        &mut self,
        element: &'e Element,
        name: &str,
    ) -> Option<(&'e str, Range<usize>)> {
        let found = element
            .attribute(name)
            .map(|attribute| (attribute.value.trim(), attribute.span.clone()));
        if found.is_none() {
            let message = format!("<{}> has no attribute `{name}`", element.name);
            let help = format!("write <{} {name}=\"...\">", element.name);
            self.error(&element.tag, message, &help);
        }
        found
    }

    /// The child of that name; an error if there is none.
    pub fn required_child<'e>(&mut self, element: &'e Element, name: &str) -> Option<&'e Element> {
        let found = child(element, name);
        if found.is_none() {
            let message = format!("<{}> has no <{name}>", element.name);
            self.error(&element.tag, message, &format!("add <{name}>...</{name}>"));
        }
        found
    }

    /// The text of a child that holds nothing else, without the white space around it.
    pub fn text<'e>(
        &mut self,
        element: &'e Element,
        name: &str,
    ) -> Option<(&'e str, Range<usize>)> {
        let child = child(element, name)?;
        self.check(child, Form::TEXT);
        Some(child.trimmed_text())
    }

    /// As [`Findings::text`]; an error if the child is missing or empty.
    pub fn required_text<'e>(
        &mut self,
        element: &'e Element,
        name: &str,
    ) -> Option<(&'e str, Range<usize>)> {
        self.required_child(element, name)?;
        let (text, span) = self.text(element, name)?;
        if text.is_empty() {
            self.error(
                &span,
                format!("<{name}> is empty"),
                &format!("add <{name}>...</{name}>"),
            );
            return None;
        }
        Some((text, span))
    }
}

/// The first child of that name.
pub fn child<'e>(element: &'e Element, name: &str) -> Option<&'e Element> {
    element.children.iter().find(|child| child.name == name)
}

fn allowed(found: &str, kind: &str, once: &[&str], many: &[&str]) -> String {
    let all: Vec<&str> = once.iter().chain(many).copied().collect();
    if all.is_empty() {
        return format!("no {kind} are allowed here");
    }
    let list = all.join(", ");
    match input::nearest(found, &all) {
        Some(near) => format!("did you mean `{near}`? Allowed {kind}: {list}"),
        None => format!("allowed {kind}: {list}"),
    }
}

/// Elements whose whole text is secret.
const SECRET_ELEMENTS: [&str; 2] = ["rootpw", "key"];

/// `text` with its secrets replaced by other characters *of the same length*, so that every place
/// stays where it was: a finding shows its line, which may hold a root password or an address with
/// one, also in a file that is not even XML. Secret are the contents of `<rootpw>` and `<key>`, and what is
/// [recognised](secrets::places) anywhere, in addresses and commands. Line breaks stay.
pub fn mask(text: &str) -> String {
    let mut secret: Vec<Range<usize>> = Vec::new();
    for element in SECRET_ELEMENTS {
        element_texts(text, element, &mut secret);
    }
    secret.extend(secrets::places(text));
    secrets::merge(&mut secret);
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

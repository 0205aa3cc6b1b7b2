//! XML to a small tree in which everything knows its place.
//!
//! quick-xml splits the text into events; this file checks what it leaves to its users (one root,
//! legal characters, legal attribute text), builds [`Element`]s and refuses everything that a
//! template has no use for and an attacker has: document types, entities, endless nesting.

use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::attributes::AttrError;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// Deepest nesting: the deepest legal element is the fifth level
/// (`template/os/install/extras/file`); the rest is room for a good message.
const MAX_DEPTH: usize = 16;
/// Most elements in a template. A thousand files with all they need are far below it; without a
/// limit a few MiB of `<a/>` would become gigabytes of tree.
const MAX_ELEMENTS: usize = 100_000;
/// Most attributes of one element: no legal one has more than three, and the search for
/// duplicates takes quadratic time.
const MAX_ATTRIBUTES: usize = 16;

const NO_BRACKET: &str = "write &lt; where the character itself is meant (and &amp; for &), or put the \
                          text between <![CDATA[ and ]]>";

const WELL_FORMED: &str = "a template is well-formed XML 1.0";

const NO_DOCTYPE: &str = "a document type (DOCTYPE) is not allowed";

const ONE_ELEMENT: &str = "a template is one <template> element";

const NO_ENTITIES: &str =
    "only &lt; &gt; &amp; &apos; &quot; and character references such as &#233; are allowed";

/// One element with everything in it.
#[derive(Debug)]
pub struct Element {
    /// Name as written, with its prefix if it has one.
    pub name: String,
    /// The start tag.
    pub tag: Range<usize>,
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
    /// Child elements in order.
    pub children: Vec<Element>,
    /// All character data directly in the element, references resolved.
    pub text: String,
    /// The place of the first and last character data; the start tag where there is none.
    pub text_span: Range<usize>,
}

/// One attribute.
#[derive(Debug)]
pub struct Attribute {
    /// Name as written.
    pub name: String,
    /// Value, references resolved.
    pub value: String,
    /// From the name to the closing quote.
    pub span: Range<usize>,
}

/// Why the text is not XML that we take.
#[derive(Debug)]
pub struct XmlError {
    /// Where.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What is allowed.
    pub help: &'static str,
}

impl XmlError {
    fn new(span: Range<usize>, message: impl Into<String>, help: &'static str) -> Self {
        let message = message.into();
        Self {
            span,
            message,
            help,
        }
    }
}

impl Element {
    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }

    /// The place of `range`, which counts bytes in [`Element::text`]. Exact where the text stands
    /// in the source as it is; the whole text where it holds references or CDATA.
    pub fn place_in_text(&self, range: Range<usize>) -> Range<usize> {
        if self.text_span.len() == self.text.len() {
            self.text_span.start + range.start..self.text_span.start + range.end
        } else {
            self.text_span.clone()
        }
    }

    /// The text without the white space around it, with its place.
    pub fn trimmed_text(&self) -> (&str, Range<usize>) {
        let trimmed = self.text.trim();
        if trimmed.is_empty() {
            return ("", self.tag.clone());
        }
        let start = self.text.len() - self.text.trim_start().len();
        (trimmed, self.place_in_text(start..start + trimmed.len()))
    }

    fn new(text: &str, start: &BytesStart<'_>, tag: Range<usize>) -> Result<Self, XmlError> {
        let name = start.name().0.to_string();
        let mut attributes = Vec::new();
        // Positions in attribute errors count from the start of the name, behind the `<`.
        let base = tag.start + 1;
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| attribute_error(&error, base, &tag))?;
            if attributes.len() == MAX_ATTRIBUTES {
                let message = format!("<{name}> has more than {MAX_ATTRIBUTES} attributes");
                let help = "no element of a template has more than three";
                return Err(XmlError::new(tag, message, help));
            }
            let raw_start = offset_in(text, attribute.key.0).unwrap_or(tag.start);
            // The closing quote stands behind the value.
            let raw_end = offset_in(text, &attribute.value)
                .map_or(tag.end, |at| at + attribute.value.len() + 1);
            let span = raw_start..raw_end.clamp(raw_start, text.len());
            if !text[..raw_start].ends_with(|c: char| c.is_ascii_whitespace()) {
                let message = "white space is missing in front of the attribute";
                return Err(XmlError::new(span, message, WELL_FORMED));
            }
            if attribute.value.contains('<') {
                let message = "`<` stands in an attribute value";
                return Err(XmlError::new(span, message, "write &lt; in its place"));
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| {
                    let message = "unknown entity in an attribute value";
                    XmlError::new(span.clone(), message, NO_ENTITIES)
                })?
                .into_owned();
            if let Some(bad) = value.chars().find(|&c| !is_xml_char(c)) {
                return Err(XmlError::new(span, not_allowed(bad), WELL_FORMED));
            }
            attributes.push(Attribute {
                name: attribute.key.0.to_string(),
                value,
                span,
            });
        }
        Ok(Self {
            name,
            text_span: tag.clone(),
            tag,
            attributes,
            children: Vec::new(),
            text: String::new(),
        })
    }

    fn push_text(&mut self, text: &str, span: Range<usize>) {
        if self.text.is_empty() {
            self.text_span = span;
        } else {
            self.text_span.end = span.end;
        }
        self.text.push_str(text);
    }
}

/// Reads the whole text into the tree of its root element.
pub fn read(text: &str) -> Result<Element, XmlError> {
    if let Some((at, bad)) = text.char_indices().find(|&(_, c)| !is_xml_char(c)) {
        let help = "put binary contents into a file with type='base64'";
        return Err(XmlError::new(
            at..at + bad.len_utf8(),
            not_allowed(bad),
            help,
        ));
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    let mut elements = 0;

    loop {
        let before = position(reader.buffer_position());
        if !open.is_empty() && is_stray_bracket(&text[before.min(text.len())..]) {
            let message = "`<` stands in the text, and begins no element";
            return Err(XmlError::new(before..before + 1, message, NO_BRACKET));
        }
        let event = reader.read_event().map_err(|error| {
            syntax_error(&error, text, position(reader.error_position()), open.last())
        })?;
        let span = before..position(reader.buffer_position());
        match event {
            Event::Start(_) | Event::Empty(_) if open.is_empty() && root.is_some() => {
                let message = "a second root element follows the first";
                return Err(XmlError::new(span, message, ONE_ELEMENT));
            }
            Event::Start(ref start) | Event::Empty(ref start) => {
                elements += 1;
                if elements > MAX_ELEMENTS {
                    let message = format!("the template has more than {MAX_ELEMENTS} elements");
                    let help = "put files and packages into an RPM or an archive of their own";
                    return Err(XmlError::new(span, message, help));
                }
                if open.len() == MAX_DEPTH {
                    let message = format!("elements are nested more than {MAX_DEPTH} deep");
                    let help = "no element of a template is deeper than five";
                    return Err(XmlError::new(span, message, help));
                }
                let element = Element::new(text, start, span)?;
                if matches!(event, Event::Start(_)) {
                    open.push(element);
                } else {
                    close(element, &mut open, &mut root);
                }
            }
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    close(element, &mut open, &mut root);
                }
            }
            Event::Text(content) => {
                if let Some(at) = content.find("]]>") {
                    let at = span.start + at;
                    let message = "`]]>` stands in the text";
                    return Err(XmlError::new(
                        at..at + 3,
                        message,
                        "write ]]&gt; in its place",
                    ));
                }
                add_text(&mut open, &content.xml10_content(), span)?;
            }
            Event::CData(content) => add_cdata(&mut open, &content.xml10_content(), span)?,
            Event::GeneralRef(reference) => {
                let resolved = resolve(&reference, &span)?;
                let mut buffer = [0; 4];
                add_cdata(&mut open, resolved.encode_utf8(&mut buffer), span)?;
            }
            Event::DocType(_) => {
                let help = "remove it: templates have no entities of their own";
                return Err(XmlError::new(span, NO_DOCTYPE, help));
            }
            Event::Decl(_) if span.start > 0 => {
                let message = "the XML header stands behind the beginning of the file";
                let help = "nothing, not even white space, may stand before <?xml ...?>";
                return Err(XmlError::new(span, message, help));
            }
            Event::Decl(header) if !is_header(&header) => {
                let help = "write <?xml version=\"1.0\" encoding=\"UTF-8\"?>";
                return Err(XmlError::new(span, "the XML header is malformed", help));
            }
            Event::PI(instruction) if !is_name(instruction.target()) => {
                let message = "`<?` is not followed by a name";
                return Err(XmlError::new(span, message, WELL_FORMED));
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if let Some(element) = open.pop() {
        let message = format!("<{}> is never closed", element.name);
        return Err(XmlError::new(element.tag, message, WELL_FORMED));
    }
    root.ok_or_else(|| XmlError::new(0..0, "the file holds no element", ONE_ELEMENT))
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

/// Text of an element; white space of the usual kind may stand outside the root, too.
fn add_text(open: &mut [Element], text: &str, span: Range<usize>) -> Result<(), XmlError> {
    let blank = || text.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    match open.is_empty() && blank() {
        true => Ok(()),
        false => add_cdata(open, text, span),
    }
}

/// As [`add_text`]; white space too may not be written like that outside the root element.
fn add_cdata(open: &mut [Element], text: &str, span: Range<usize>) -> Result<(), XmlError> {
    let Some(element) = open.last_mut() else {
        let message = "text stands outside the root element";
        return Err(XmlError::new(span, message, ONE_ELEMENT));
    };
    element.push_text(text, span);
    Ok(())
}

fn resolve(reference: &BytesRef<'_>, span: &Range<usize>) -> Result<char, XmlError> {
    let message = match (
        resolve_predefined_entity(reference),
        reference.resolve_char_ref(),
    ) {
        (Some(text), _) => return Ok(text.chars().next().unwrap_or_default()),
        (None, Ok(Some(character))) if is_xml_char(character) => return Ok(character),
        (None, Ok(None)) => "unknown entity",
        _ => "the character reference names no character that XML allows",
    };
    Err(XmlError::new(span.clone(), message, NO_ENTITIES))
}

fn not_allowed(bad: char) -> String {
    format!("character U+{:04X} is not allowed in XML", bad as u32)
}

/// `Char` of XML 1.0, section 2.2.
fn is_xml_char(c: char) -> bool {
    !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// Whether a text is a name as in XML 1.0, section 2.3 (with Unicode's letters and digits in place
/// of its table).
fn is_name(text: &str) -> bool {
    let is_start = |c: char| c.is_alphabetic() || matches!(c, '_' | ':');
    text.starts_with(is_start)
        && text
            .chars()
            .all(|c| is_start(c) || c.is_numeric() || matches!(c, '-' | '.'))
}

/// Whether a text begins with a `<` that no markup can begin with: `<<EOF`, `< file`, `<(ls)`.
fn is_stray_bracket(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('<')
        && chars.next().is_none_or(|next| {
            !(next.is_alphabetic() || matches!(next, '_' | ':' | '/' | '!' | '?'))
        })
}

/// Whether the text between `<?` and `?>` is an XML header (XML 1.0, section 2.8).
fn is_header(text: &str) -> bool {
    let parts = BytesStart::from_content(text, "xml".len());
    let Ok(parts) = parts.attributes().collect::<Result<Vec<_>, _>>() else {
        return false;
    };
    let names: Vec<&str> = parts.iter().map(|part| part.key.0).collect();
    let is_apart = |name: &str| {
        let before = offset_in(text, name).map_or("", |at| &text[..at]);
        before.ends_with(|c: char| c.is_ascii_whitespace())
    };
    let is_good = |name: &str, value: &str| match name {
        "version" => value
            .strip_prefix("1.")
            .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit())),
        "standalone" => matches!(value, "yes" | "no"),
        _ => value.starts_with(|c: char| c.is_ascii_alphabetic()),
    };
    matches!(
        names[..],
        ["version"]
            | ["version", "encoding"]
            | ["version", "standalone"]
            | ["version", "encoding", "standalone"]
    ) && parts
        .iter()
        .all(|part| is_apart(part.key.0) && is_good(part.key.0, &part.value))
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Where `part`, a slice of `text`, begins in it.
fn offset_in(text: &str, part: &str) -> Option<usize> {
    let offset = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    (offset + part.len() <= text.len()).then_some(offset)
}

fn syntax_error(error: &Error, text: &str, at: usize, open: Option<&Element>) -> XmlError {
    // From the place of the error to the end of its line, at most.
    let rest = text.get(at..).unwrap_or_default();
    let span = at..at + rest.find(['\n', '>']).map_or(rest.len(), |end| end + 1);
    let unclosed = |what: &str| format!("{what} is never closed by ");
    let (message, help) = match error {
        Error::Syntax(syntax) => match syntax {
            SyntaxError::InvalidBangMarkup => (
                "`<!` begins neither a comment nor CDATA".to_string(),
                WELL_FORMED,
            ),
            SyntaxError::UnclosedPI | SyntaxError::UnclosedXmlDecl => {
                (unclosed("a `<?`") + "`?>`", WELL_FORMED)
            }
            SyntaxError::UnclosedComment => (unclosed("a comment") + "`-->`", WELL_FORMED),
            SyntaxError::UnclosedDoctype => (NO_DOCTYPE.to_string(), WELL_FORMED),
            SyntaxError::UnclosedCData => (unclosed("a CDATA section") + "`]]>`", WELL_FORMED),
            SyntaxError::UnclosedTag => (unclosed("a tag") + "`>`", NO_BRACKET),
            SyntaxError::UnclosedSingleQuotedAttributeValue
            | SyntaxError::UnclosedDoubleQuotedAttributeValue => {
                (unclosed("an attribute value") + "its quote", WELL_FORMED)
            }
        },
        Error::IllFormed(ill) => match ill {
            IllFormedError::MismatchedEndTag { expected, found } => (
                format!("</{found}> stands where </{expected}> is expected"),
                NO_BRACKET,
            ),
            IllFormedError::UnmatchedEndTag(name) => {
                (format!("</{name}> closes nothing"), WELL_FORMED)
            }
            IllFormedError::MissingEndTag(name) => {
                let span = open.map_or(span, |element| element.tag.clone());
                let message = format!("<{name}> is never closed");
                return XmlError::new(span, message, WELL_FORMED);
            }
            IllFormedError::DoubleHyphenInComment => (
                "`--` stands inside a comment".to_string(),
                "XML allows it only at the comment's end",
            ),
            IllFormedError::UnclosedReference => (
                "`&` begins a reference that no `;` closes".to_string(),
                "write &amp; for the character itself",
            ),
            IllFormedError::MissingDeclVersion(_) | IllFormedError::UnknownVersion => (
                "the XML header names no version that we know".to_string(),
                "write <?xml version=\"1.0\"?>",
            ),
            IllFormedError::MissingDoctypeName => (NO_DOCTYPE.to_string(), WELL_FORMED),
        },
        other => (format!("this is not XML: {other}"), WELL_FORMED),
    };
    XmlError::new(span, message, help)
}

fn attribute_error(error: &AttrError, base: usize, tag: &Range<usize>) -> XmlError {
    let (at, message) = match *error {
        AttrError::ExpectedEq(at) => (
            at,
            "`=` and a quoted value must follow the attribute's name",
        ),
        AttrError::ExpectedValue(at) | AttrError::UnquotedValue(at) => {
            (at, "the attribute's value must stand in quotes")
        }
        AttrError::ExpectedQuote(at, _) => (at, "an attribute value is never closed by its quote"),
        AttrError::Duplicated(at, _) => (at, "the element has this attribute already"),
    };
    let at = base + at;
    let help =
        "write name='value'; where a `<` before it is meant as text, write &lt; in its place";
    XmlError::new(at..tag.end.max(at), message, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let error = read(text).expect_err(text);
        assert!(
            error.span.start <= error.span.end && error.span.start <= text.len(),
            "{text}: {:?}",
            error.span
        );
        error.message
    }

    #[test]
    fn text_comes_from_all_its_forms() {
        let root = read("<?xml version='1.0' encoding='x'?><!-- c --><a b=' &#49;&quot; ' c=\"é\">x&lt;<![CDATA[<&]]>&#x41;<!-- no --><b/>\r\ny</a>\n<?pi?>").unwrap();
        assert_eq!(root.text, "x<<&A\ny");
        assert_eq!(root.attribute("b").unwrap().value, " 1\" ");
        assert_eq!(root.attribute("c").unwrap().value, "é");
        assert_eq!(root.children[0].name, "b");
    }

    #[test]
    fn places_are_exact() {
        let text = "<a>\n <b c='1'>  word </b></a>";
        let root = read(text).unwrap();
        let b = &root.children[0];
        assert_eq!(&text[b.tag.clone()], "<b c='1'>");
        assert_eq!(&text[b.attributes[0].span.clone()], "c='1'");
        let (word, span) = b.trimmed_text();
        assert_eq!((word, &text[span]), ("word", "word"));
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        for (text, part) in [
            ("", "no element"),
            ("   ", "no element"),
            ("plain", "outside the root"),
            ("<a>", "never closed"),
            ("<a><b></a>", "expected"),
            ("</a>", "closes nothing"),
            ("<a/><b/>", "second root"),
            ("<a/>text", "outside the root"),
            ("&#32;<a/>", "outside the root"),
            ("<a b></a>", "quoted value"),
            ("<a b=c></a>", "quotes"),
            ("<a b='1' b='2'/>", "already"),
            ("<a b='1'c='2'/>", "white space"),
            ("<a b='<'/>", "attribute value"),
            ("<a b='&x;'/>", "entity"),
            ("<a b='&#1;'/>", "U+0001"),
            ("<a>&x;</a>", "unknown entity"),
            ("<a>&#0;</a>", "character reference"),
            ("<a>&#xD800;</a>", "character reference"),
            ("<a>&#x110000;</a>", "character reference"),
            ("<a>R&D</a>", "reference"),
            ("<a>]]></a>", "]]>"),
            ("<a>\u{1}</a>", "U+0001"),
            ("<a><!-- -- --></a>", "--"),
            ("<a><!-- ", "comment"),
            ("<a><![CDATA[ ", "CDATA"),
            ("<a", "tag"),
            ("<!DOCTYPE a><a/>", "DOCTYPE"),
            (
                "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
                "DOCTYPE",
            ),
            (" <?xml version='1.0'?><a/>", "behind the beginning"),
            ("<?xml version='1.0'encoding='x'?><a/>", "header"),
            ("<?xml version='1.0' encodng='x'?><a/>", "header"),
            ("<?xml version='2.0'?><a/>", "header"),
            ("<?xml encoding='x'?><a/>", "header"),
            ("<?xml version='1.0' standalone='maybe'?><a/>", "header"),
            ("<? a?><a/>", "name"),
            ("<a><?1?></a>", "name"),
        ] {
            let message = refusal(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn depth_and_number_are_limited() {
        assert!(refusal(&"<a>".repeat(100_000)).contains("nested"));
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        assert!(refusal(&many).contains("more than"));
        let wide: String = (0..50).map(|n| format!(" a{n}='1'")).collect();
        assert!(refusal(&format!("<a{wide}/>")).contains("attributes"));
    }
}

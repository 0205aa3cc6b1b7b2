//! What the readers of repository metadata share. quick-xml expands no entities of a document
//! type, so a text cannot grow by them.

use std::io::{self, BufRead, Read};

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// Longest name that is taken, in bytes: file systems end at 255.
const MAX_NAME: usize = 512;

/// Longest value of an attribute that is taken, in bytes: an address.
const MAX_VALUE: usize = 4096;

/// Longest tag or text, in bytes; the longest descriptions of packages have 20 KB.
const MAX_EVENT: usize = 256 << 10;

/// Deepest nesting; lists of packages have 5 levels.
const MAX_DEPTH: usize = 32;

/// A stream of which a tag or a text is only so long.
struct Bounded<R> {
    inner: R,
    taken: usize,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken > MAX_EVENT {
            let kib = MAX_EVENT >> 10;
            return Err(io::Error::other(format!(
                "a tag or text is longer than {kib} KiB"
            )));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.taken += count;
        self.inner.consume(count);
    }
}

/// What is met in a document.
pub(crate) enum Step<'a> {
    /// An element begins.
    Begin(&'a BytesStart<'a>),
    /// An element ends, behind this text: up to [`MAX_NAME`] bytes, without blanks around it.
    End(&'a str),
}

/// Reads a document, and hands on each step with its path: `metalink/files/file`.
///
/// # Errors
/// The root has another name, the text is not well-formed or not complete, what it holds is too
/// large, or `take` wants no more.
pub(crate) fn read(
    input: impl BufRead,
    root: &str,
    mut take: impl FnMut(&str, Step<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = Reader::from_reader(Bounded {
        inner: input,
        taken: 0,
    });
    reader.config_mut().expand_empty_elements = true;
    let mut buffer = Vec::new();
    let mut path = String::new();
    let mut starts = Vec::new();
    let mut text = String::new();
    loop {
        buffer.clear();
        reader.get_mut().taken = 0;
        let event = reader.read_event_into(&mut buffer);
        let event = event.map_err(|error| match error {
            quick_xml::Error::Io(error) => error.to_string(),
            error => format!("it is not well-formed XML: {error}"),
        })?;
        match event {
            Event::Start(_) if starts.len() == MAX_DEPTH => {
                return Err(format!("it is nested more than {MAX_DEPTH} deep"));
            }
            Event::Start(tag) => {
                starts.push(path.len());
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(tag.local_name().as_ref());
                if starts.len() == 1 && path != root {
                    return Err(format!("it is no {root}"));
                }
                text.clear();
                take(&path, Step::Begin(&tag))?;
            }
            Event::End(_) => {
                take(&path, Step::End(text.trim()))?;
                path.truncate(starts.pop().unwrap_or_default());
                if path.is_empty() {
                    return Ok(());
                }
            }
            // quick-xml does not mind a text that ends too early.
            Event::Eof => return Err(format!("it does not end with </{root}>")),
            other => gather(&mut text, &other),
        }
    }
}

/// The attribute of that name, references resolved.
pub(crate) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    // Looking for an attribute that is there twice takes quadratic time.
    let mut all = tag.attributes();
    let found = all.with_checks(false).flatten().find(|a| a.key.0 == name)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    (value.len() <= MAX_VALUE).then(|| value.into_owned())
}

/// Adds the character data of an event to `text`, up to [`MAX_NAME`] bytes.
fn gather(text: &mut String, event: &Event<'_>) {
    match event {
        Event::Text(data) => text.push_str(data),
        Event::CData(data) => text.push_str(data),
        Event::GeneralRef(reference) => {
            if let Ok(Some(c)) = reference.resolve_char_ref() {
                text.push(c);
            } else if let Some(known) = resolve_predefined_entity(reference) {
                text.push_str(known);
            }
        }
        _ => {}
    }
    if text.len() > MAX_NAME {
        let end = (0..=MAX_NAME).rfind(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
    }
}

//! What the readers of repository metadata share. quick-xml expands no entities of a document
//! type, so a text cannot grow by them.

use std::io::{self, BufRead, Read};

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// Longest name that is taken, in bytes: file systems end at 255.
pub(in crate::check::online) const MAX_NAME: usize = 512;

/// Longest value of an attribute that is taken, in bytes: an address.
const MAX_VALUE: usize = 4096;

/// Longest tag or text, in bytes; the longest descriptions of packages have 20 KB.
const MAX_EVENT: usize = 256 << 10;

/// Deepest nesting; lists of packages have 5 levels.
const MAX_DEPTH: usize = 32;

/// A stream of which a tag or a text is only so long.
pub(in crate::check::online) struct Bounded<R> {
    inner: R,
    taken: usize,
    depth: usize,
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

/// A reader of XML from a stream.
pub(in crate::check::online) fn reader<R: BufRead>(input: R) -> Reader<Bounded<R>> {
    let mut reader = Reader::from_reader(Bounded {
        inner: input,
        taken: 0,
        depth: 0,
    });
    reader.config_mut().expand_empty_elements = true;
    reader
}

/// The next event; what the one before left in `buffer` is forgotten.
///
/// # Errors
/// The text is not well-formed, or what it holds is too large.
pub(in crate::check::online) fn next<'b, R: BufRead>(
    reader: &mut Reader<Bounded<R>>,
    buffer: &'b mut Vec<u8>,
) -> Result<Event<'b>, String> {
    buffer.clear();
    reader.get_mut().taken = 0;
    let event = reader
        .read_event_into(buffer)
        .map_err(|error| format!("it is not well-formed XML: {error}"))?;
    let depth = &mut reader.get_mut().depth;
    match event {
        Event::Start(_) if *depth == MAX_DEPTH => {
            return Err(format!("it is nested more than {MAX_DEPTH} deep"));
        }
        Event::Start(_) => *depth += 1,
        Event::End(_) => *depth = depth.saturating_sub(1),
        _ => {}
    }
    Ok(event)
}

/// The attribute of that name, references resolved.
pub(in crate::check::online) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    // Looking for an attribute that is there twice takes quadratic time.
    let mut all = tag.attributes();
    let found = all.with_checks(false).flatten().find(|a| a.key.0 == name)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    (value.len() <= MAX_VALUE).then(|| value.into_owned())
}

/// Adds the character data of an event to `text`, up to [`MAX_NAME`] bytes.
pub(in crate::check::online) fn gather(text: &mut String, event: &Event<'_>) {
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

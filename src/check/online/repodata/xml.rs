//! What the readers of repository metadata share. quick-xml expands no entities of a document
//! type, so a text cannot grow by them.

use std::io::BufRead;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// Longest name that is taken, in bytes: file systems end at 255.
pub(in crate::check::online) const MAX_NAME: usize = 512;

/// A reader of XML from a stream.
pub(in crate::check::online) fn reader<R: BufRead>(input: R) -> Reader<R> {
    let mut reader = Reader::from_reader(input);
    reader.config_mut().expand_empty_elements = true;
    reader
}

/// The next event; what the one before left in `buffer` is forgotten.
///
/// # Errors
/// The text is not well-formed.
pub(in crate::check::online) fn next<'b, R: BufRead>(
    reader: &mut Reader<R>,
    buffer: &'b mut Vec<u8>,
) -> Result<Event<'b>, String> {
    buffer.clear();
    reader
        .read_event_into(buffer)
        .map_err(|error| format!("it is not well-formed XML: {error}"))
}

/// The attribute of that name, references resolved.
pub(in crate::check::online) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.attributes().flatten().find(|a| a.key.0 == name)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
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

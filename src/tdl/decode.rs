//! Bytes of a template to text, by its byte order mark or its XML header.

use std::borrow::Cow;
use std::ops::Range;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::diagnostic::{Diagnostic, Source};

/// Largest template, in bytes. The contents of files are limited to 16 MiB each (22 MiB as
/// base64); a template with more than a few of those names them by URL.
pub const MAX_TEMPLATE_BYTES: usize = 64 << 20;

/// How far into the file the XML header may reach.
const MAX_HEADER_BYTES: usize = 1024;

const KNOWN: &str = "UTF-8, UTF-16, ISO-8859-1 to -16, windows-125x and the other encodings of the \
                     web are known";

/// Turns the bytes of the template `name` into text.
///
/// The encoding is the one of the byte order mark, else the one that the XML header names (any of
/// the WHATWG Encoding Standard's), else UTF-8.
///
/// # Errors
/// One finding, if the file is too large, the encoding is unknown, or the bytes are not in it.
pub fn decode(bytes: &[u8], name: &str) -> Result<String, Vec<Diagnostic>> {
    decode_one(bytes, name).map_err(|finding| vec![*finding])
}

fn decode_one(bytes: &[u8], name: &str) -> Result<String, Box<Diagnostic>> {
    if bytes.len() > MAX_TEMPLATE_BYTES {
        return Err(finding(
            Source { name, text: "" },
            0..0,
            format!(
                "the template is larger than {} MiB",
                MAX_TEMPLATE_BYTES >> 20
            ),
            "name large files by URL: <file name='...' type='url'>file://./x</file>",
        ));
    }
    let (encoding, body) = match Encoding::for_bom(bytes) {
        Some((encoding, length)) => (encoding, &bytes[length..]),
        None => (without_mark(bytes, name)?, bytes),
    };
    if encoding == UTF_8 {
        // The standard library knows where the first bad byte is; encoding_rs does not say.
        return std::str::from_utf8(body).map(str::to_string).map_err(|error| {
            let at = error.valid_up_to();
            let text = super::mask(&String::from_utf8_lossy(body));
            finding(
                Source { name, text: &text },
                at..at + 1,
                format!("byte 0x{:02x} is not UTF-8", body[at]),
                "save the file as UTF-8, or name its encoding: <?xml version=\"1.0\" encoding=\"...\"?>",
            )
        });
    }
    encoding
        .decode_without_bom_handling_and_without_replacement(body)
        .map(Cow::into_owned)
        .ok_or_else(|| {
            finding(
                Source { name, text: "" },
                0..0,
                format!(
                    "the file is not in the encoding {} that it claims",
                    encoding.name()
                ),
                "name the encoding that the file was saved in",
            )
        })
}

fn finding(source: Source<'_>, span: Range<usize>, message: String, help: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(source, span, message).help(help))
}

/// The encoding of a file without a byte order mark.
fn without_mark(bytes: &[u8], name: &str) -> Result<&'static Encoding, Box<Diagnostic>> {
    // "<?" in two bytes each (XML 1.0, appendix F.1).
    if bytes.starts_with(b"<\0?\0") {
        return Ok(UTF_16LE);
    }
    if bytes.starts_with(b"\0<\0?") {
        return Ok(UTF_16BE);
    }
    let Some((label, start)) = declared(bytes) else {
        return Ok(UTF_8);
    };
    let refuse = |message: String| {
        let head = String::from_utf8_lossy(&bytes[..start + label.len()]);
        let source = Source { name, text: &head };
        finding(source, start..start + label.len(), message, KNOWN)
    };
    let shown = label.escape_debug();
    match Encoding::for_label_no_replacement(label.as_bytes()) {
        // Its own header could not be read if it were UTF-16.
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => Err(refuse(format!(
            "the header says `{shown}`, but the file is not in two-byte units"
        ))),
        Some(encoding) => Ok(encoding),
        None => Err(refuse(format!("unknown encoding `{shown}`"))),
    }
}

/// The encoding's label in the XML header, and its offset.
fn declared(bytes: &[u8]) -> Option<(&str, usize)> {
    let head = &bytes[..bytes.len().min(MAX_HEADER_BYTES)];
    let head = head.strip_prefix(b"<?xml")?;
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let header = std::str::from_utf8(&head[..end]).ok()?;
    let after = header.find("encoding")? + "encoding".len();
    let value = header[after..].trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let label = value[1..].split(quote).next()?;
    let start = header.len() - value.len() + 1 + b"<?xml".len();
    Some((label, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, mark: bool, little: bool) -> Vec<u8> {
        let mark = mark.then_some('\u{feff}').into_iter();
        let text: String = mark.chain(text.chars()).collect();
        text.encode_utf16()
            .flat_map(|unit| {
                if little {
                    unit.to_le_bytes()
                } else {
                    unit.to_be_bytes()
                }
            })
            .collect()
    }

    #[test]
    fn encodings_by_mark_and_by_header() {
        let header = "<?xml version='1.0' encoding='UTF-16'?><a>é</a>";
        for (bytes, expected) in [
            (b"<a/>".to_vec(), "<a/>"),
            (b"\xef\xbb\xbf<a/>".to_vec(), "<a/>"),
            (utf16("<a>é</a>", true, true), "<a>é</a>"),
            (utf16("<a>é</a>", true, false), "<a>é</a>"),
            (utf16(header, false, true), header),
            (utf16(header, false, false), header),
            (
                b"<?xml version=\"1.0\" encoding=\"ISO-8859-15\"?><a>\xa4</a>".to_vec(),
                "<?xml version=\"1.0\" encoding=\"ISO-8859-15\"?><a>€</a>",
            ),
            (
                b"<?xml version = '1.0' encoding = 'utf-8' ?><a/>".to_vec(),
                "<?xml version = '1.0' encoding = 'utf-8' ?><a/>",
            ),
        ] {
            assert_eq!(decode(&bytes, "t").unwrap(), expected);
        }
    }

    fn refusal(bytes: &[u8], name: &str) -> Diagnostic {
        decode(bytes, name).unwrap_err().remove(0)
    }

    #[test]
    fn refusals_say_where() {
        let unknown = refusal(b"<?xml version='1.0' encoding='klingon'?><a/>", "t.tdl");
        assert_eq!((unknown.line, unknown.column), (1, 31), "{unknown}");
        assert!(unknown.message.contains("`klingon`"));
        let bad = refusal(b"<a>\n x\xff</a>", "t.tdl");
        assert_eq!((bad.line, bad.column), (2, 3), "{bad}");
        let claims = refusal(b"<?xml version='1.0' encoding='utf-16'?><a/>", "t");
        assert!(claims.message.contains("two-byte"), "{claims}");
        let wrong = refusal(
            b"<?xml version='1.0' encoding='shift_jis'?><a>\xff\xff</a>",
            "t",
        );
        assert!(wrong.message.contains("Shift_JIS"), "{wrong}");
        let large = refusal(&vec![b' '; MAX_TEMPLATE_BYTES + 1], "t");
        assert!(large.message.contains("64 MiB"));
    }
}

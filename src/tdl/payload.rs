//! Contents of files and commands: raw, base64, or by URL.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::findings::Findings;
use super::model::{Payload, SourceUrl, local_path};
use super::xml::Element;

/// Largest contents of one file, in bytes: they travel through the installer's kickstart.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// Standard base64 with padding; bits behind the last byte may be anything, as in Python.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

const TYPES: &str = "allowed types: raw (the default), base64, url";

/// The contents of a `<file>` or `<command>`, by its attribute `type`.
pub fn read(element: &Element, findings: &mut Findings<'_>) -> Option<Payload> {
    let kind = element
        .attribute("type")
        .map_or("raw", |attribute| attribute.value.trim());
    let (text, span) = element.trimmed_text();
    let payload = match kind {
        "raw" => Payload::Inline(text.as_bytes().to_vec()),
        "base64" => match decode(text) {
            Ok(bytes) => Payload::Inline(bytes),
            Err((message, at)) => {
                let place = at.map_or(span.clone(), |at| {
                    let start = element.text.len() - element.text.trim_start().len() + at;
                    let width = element.text[start..]
                        .chars()
                        .next()
                        .map_or(0, char::len_utf8);
                    element.place_in_text(start..start + width)
                });
                findings.error(
                    &place,
                    message,
                    "base64 is A-Z a-z 0-9 + / with `=` at the end; white space is ignored",
                );
                return None;
            }
        },
        "url" => match local_path(text) {
            Some(path) => Payload::Local(path),
            None => match SourceUrl::parse(text, &["http", "https", "file"], &span) {
                Ok(url) => Payload::Remote(url),
                Err(message) => {
                    findings.error(
                        &span,
                        message,
                        "write http://, https://, file:///absolute/path or file://./path/beside/the/template",
                    );
                    return None;
                }
            },
        },
        _ => {
            let span = element
                .attribute("type")
                .map_or(element.tag.clone(), |attribute| attribute.span.clone());
            findings.error(&span, format!("unknown type in <{}>", element.name), TYPES);
            return None;
        }
    };
    match &payload {
        Payload::Inline(bytes) if bytes.len() > MAX_PAYLOAD_BYTES => {
            findings.error(
                &element.tag,
                format!(
                    "the contents are larger than {} MiB",
                    MAX_PAYLOAD_BYTES >> 20
                ),
                "put large files on a server and fetch them in %post",
            );
            None
        }
        _ => Some(payload),
    }
}

/// Decodes base64 with white space in it. The error knows the offset in `text`, where it has one.
fn decode(text: &str) -> Result<Vec<u8>, (String, Option<usize>)> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    if let Some((at, bad)) = text
        .char_indices()
        .find(|&(_, c)| !is_base64(c) && !c.is_ascii_whitespace())
    {
        return Err((
            format!("`{}` is not a base64 character", bad.escape_default()),
            Some(at),
        ));
    }
    let compact: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64.decode(compact).map_err(|error| {
        let message = match error {
            base64::DecodeError::InvalidPadding | base64::DecodeError::InvalidLength(_) => {
                "the base64 text is cut off or its padding is wrong".to_string()
            }
            _ => "`=` stands before the end of the base64 text".to_string(),
        };
        (message, None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_wrapped_and_not() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("aGVsbG8K", b"hello\n"),
            ("aGVs\n  bG8K\n", b"hello\n"),
            ("YQ==", b"a"),
            ("YQ\t=\n=", b"a"),
            ("YR==", b"a"),
            ("AP8=", b"\0\xff"),
        ] {
            assert_eq!(decode(text).unwrap(), bytes, "{text}");
        }
        for (text, at) in [
            ("BASE64GOBBLEDYGOOK-", Some(18)),
            ("ab_d", Some(2)),
            ("YQ=", None),
            ("YQ", None),
            ("Y", None),
            ("YQ==YQ==", None),
            ("====", None),
            ("é", Some(0)),
        ] {
            assert_eq!(decode(text).unwrap_err().1, at, "{text}");
        }
    }
}

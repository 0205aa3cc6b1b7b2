//! `%ksappend`, which the installer has expanded already when it waits for its kickstart: done here instead, as
//! pykickstart does it (`pykickstart/parser.py`, `preprocessKickstartToString`).

use url::Url;

use crate::kickstart::outline::Include;
use crate::kickstart::scan;
use crate::mirror::{Mirror, shown};

/// Most bytes of an appended file: a kickstart is a few thousand.
const MAX_APPENDED: u64 = 4 << 20;

/// The kickstart `served` with the contents of what `author`, the text that it was made of, appends; or why it
/// cannot be had here: one clause.
pub(super) async fn expand(
    served: &str,
    author: &str,
    name: &str,
    mirror: &Mirror,
) -> Result<String, String> {
    let written = scan::scan_all(author, name).0;
    let addresses = written.includes().filter(|include| include.ksappend);
    let found = scan::scan_all(served, name).0;
    // What is served has the author's lines first, with addresses that the guest reaches.
    let places = found.includes().filter(|include| include.ksappend);
    let mut expanded = String::new();
    let mut copied = 0;
    for (place, address) in places.zip(addresses) {
        let content = fetch(address, author, name, mirror).await?;
        let span = whole_lines(served, place);
        expanded.push_str(&served[copied..span.start]);
        expanded.push_str(&content);
        copied = span.end;
    }
    expanded.push_str(&served[copied..]);
    Ok(expanded)
}

/// The line with its end: what stands there begins and ends as the file does.
fn whole_lines(text: &str, include: &Include) -> std::ops::Range<usize> {
    let start = text[..include.span.start]
        .rfind('\n')
        .map_or(0, |end| end + 1);
    let rest = &text[include.span.start..];
    let end = rest
        .find('\n')
        .map_or(text.len(), |end| include.span.start + end + 1);
    start..end
}

async fn fetch(
    include: &Include,
    author: &str,
    name: &str,
    mirror: &Mirror,
) -> Result<String, String> {
    let line = author[..include.span.start].matches('\n').count() + 1;
    let url = Url::parse(&include.target).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        return Err(format!(
            "{name}:{line}: `%ksappend` of a file that only the installer has"
        ));
    };
    match mirror.fetch_bytes(&url, MAX_APPENDED).await {
        Ok(bytes) => Ok(scan::decode(bytes)),
        Err(error) => Err(format!(
            "{name}:{line}: `%ksappend {}`: {error:#}",
            shown(&url)
        )),
    }
}

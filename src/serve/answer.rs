//! From a checked request to the response that `tiny_http` sends.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use anyhow::Context;
use tiny_http::{Header, Response, StatusCode};

use super::access::Resource;
use super::catalogue::{self, Content, Item, Target};
use super::exchange::{Body, Exchange};
use super::head::{EXCHANGE_FIELD, Method};
use super::relay::{self, FilePart, Upstream, UpstreamResponse, Verdict};
use super::server::Shared;
use crate::panics::lock;

/// The most that is kept in memory of a body of unknown length for an HTTP/1.0 client, which
/// understands no chunks. Metadata fits; packages come with a length.
const MAX_UNCHUNKED: u64 = 4 * 1024 * 1024;

/// What is answered.
struct Reply {
    status: u16,
    fields: Vec<Header>,
    length: Option<u64>,
    body: Box<dyn Read + Send>,
    /// What the gate delivers in the body's place.
    file: Option<FilePart>,
}

impl Reply {
    fn new(status: u16, body: Box<dyn Read + Send>, length: Option<u64>) -> Self {
        Reply {
            status,
            fields: Vec::new(),
            length,
            body,
            file: None,
        }
        .with("Server", "ozr")
    }

    /// A short text that only depends on the status.
    fn error(status: u16) -> Self {
        let text: &'static str = match status {
            403 => "the mirror refuses\n",
            404 | 410 => "nothing here\n",
            416 => "no such range\n",
            500 => "the server failed\n",
            _ => "the mirror failed\n",
        };
        let body = Box::new(text.as_bytes());
        Reply::new(status, body, Some(text.len() as u64)).with("Content-Type", "text/plain")
    }

    /// Adds a header, if there is a value. It is ours, a number, or was checked against a grammar;
    /// anything that could end a line is left out even so.
    fn with<'a>(mut self, name: &'static str, value: impl Into<Option<&'a str>>) -> Self {
        let safe = |value: &&str| value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if let Some(value) = value.into().filter(safe)
            && let Ok(field) = Header::from_bytes(name, value)
        {
            self.fields.push(field);
        }
        self
    }
}

/// Answers one request.
pub(super) fn answer(shared: &Shared, request: tiny_http::Request) {
    let number = request
        .headers()
        .iter()
        .find(|field| field.field.equiv(EXCHANGE_FIELD))
        .and_then(|field| field.value.as_str().parse().ok());
    let Some(exchange) = number.and_then(|number| shared.exchanges.find(number)) else {
        // The gate gave up in the meantime.
        let _ = request.respond(Response::empty(StatusCode(500)));
        return;
    };
    let reply = reply(shared, &exchange, request.url());
    exchange.note(|outcome| outcome.status = reply.status);
    let body: Box<dyn Read + Send> = match reply.file {
        Some(file) => {
            // The head says how long it is, and nothing comes behind it here.
            exchange.hand_over(file);
            Box::new(io::empty())
        }
        None => Box::new(Body::new(reply.body, reply.length, &exchange)),
    };
    let length = reply.length.and_then(|length| usize::try_from(length).ok());
    let response = Response::new(StatusCode(reply.status), reply.fields, body, length, None)
        // What has a length is sent with its length, however long.
        .with_chunked_threshold(usize::MAX);
    // A failure of the source is in the exchange already; one of the channel means that the
    // gate has given up.
    let _ = request.respond(response);
}

fn reply(shared: &Shared, exchange: &Arc<Exchange>, url: &str) -> Reply {
    let route = catalogue::route(url, &shared.token);
    let found = route.and_then(|route| lock(&shared.catalogue).find(route));
    let Some((target, resource)) = found else {
        return Reply::error(404);
    };
    exchange.note(|outcome| outcome.resource = resource.clone());
    let range = exchange.request.range.as_deref();
    match target {
        Target::Item(item) => item_reply(&item, range).unwrap_or_else(|error| {
            let message = format!("could not serve {} to the guest: {error:#}", item.name);
            shared.reporter.warn(message);
            Reply::error(500)
        }),
        Target::Relay(upstream, path) => {
            relay_reply(&*upstream, &path, exchange).unwrap_or_else(|error| {
                let name = match resource {
                    Resource::Relay { name, .. } => name,
                    _ => String::new(),
                };
                let message = format!("could not relay {path} of {name} to the guest: {error:#}");
                shared.reporter.warn(message);
                Reply::error(502)
            })
        }
    }
}

fn item_reply(item: &Item, range: Option<&str>) -> anyhow::Result<Reply> {
    let found = match &item.content {
        Content::Bytes(bytes) => {
            let length = bytes.len() as u64;
            UpstreamResponse::part_of(Cursor::new(Arc::clone(bytes)), length, range)?
        }
        Content::File(path) => {
            let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
            let metadata = file.metadata()?;
            anyhow::ensure!(metadata.is_file(), "{} is no regular file", path.display());
            UpstreamResponse::part_of(file, metadata.len(), range)?
        }
    };
    let content_range = found.content_range.as_deref();
    if found.status == 416 {
        return Ok(Reply::error(416).with("Content-Range", content_range));
    }
    Ok(Reply::new(found.status, found.body, found.content_length)
        .with("Content-Range", content_range)
        .with("Accept-Ranges", "bytes")
        .with("Content-Type", relay::media_type(&item.content_type)))
}

fn relay_reply(
    upstream: &dyn Upstream,
    path: &str,
    exchange: &Arc<Exchange>,
) -> anyhow::Result<Reply> {
    let request = &exchange.request;
    let head_only = request.method == Method::Head;
    let range = request.range.as_deref();
    let range = range.filter(|range| relay::is_single(range));
    let response = upstream.open(path, head_only, range)?;
    let (status, length, content_range) = match relay::judge(&response, range.is_some()) {
        Verdict::Error(status) => return Ok(Reply::error(status)),
        Verdict::Unsatisfiable(length) => {
            let length = length.map(|length| format!("bytes */{length}"));
            return Ok(Reply::error(416).with("Content-Range", length.as_deref()));
        }
        Verdict::Whole(length) => (200, length, None),
        Verdict::Part(first, last) => (206, Some(last - first + 1), response.content_range),
    };
    let UpstreamResponse {
        content_type,
        last_modified,
        etag,
        mut body,
        file,
        ..
    } = response;
    let mut length = length;
    if length.is_none() && request.http10 && !head_only {
        let mut buffer = Vec::new();
        body.by_ref()
            .take(MAX_UNCHUNKED + 1)
            .read_to_end(&mut buffer)
            .context("reading from the mirror")?;
        anyhow::ensure!(
            buffer.len() as u64 <= MAX_UNCHUNKED,
            "the mirror names no length and the client speaks HTTP/1.0"
        );
        length = Some(buffer.len() as u64);
        body = Box::new(Cursor::new(buffer));
    }
    if head_only {
        body = Box::new(io::empty());
    }
    let mut reply = Reply::new(status, body, length);
    reply.file = file.filter(|_| !head_only);
    Ok(reply
        .with("Content-Range", content_range.as_deref())
        .with(
            "Content-Type",
            content_type.as_deref().and_then(relay::media_type),
        )
        .with(
            "Last-Modified",
            last_modified.as_deref().and_then(relay::date),
        )
        .with("ETag", etag.as_deref().and_then(relay::entity_tag)))
}

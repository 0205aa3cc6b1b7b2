//! What a guest asks our own server for, fetched from where only the host can reach: a mirror on
//! the host's loopback, a directory, one behind a proxy, a private authority or a client
//! certificate.

use std::io::{self, Cursor, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use reqwest::header::{
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED, RANGE,
};
use reqwest::{Method, Response};
use tokio::runtime::Handle;
use url::Url;

use super::fault::Fault;
use super::fetch::{Fetcher, content_length, header};
use super::location::{Location, below};
use super::obtain::{LocalFile, Store};
use crate::serve::{Upstream, UpstreamResponse};

pub(super) fn upstream(store: &Store, base: &Url) -> Result<Arc<dyn Upstream>, Fault> {
    Ok(match Location::of(base)? {
        Location::Web(base) => Arc::new(Web {
            fetcher: store.fetcher.clone(),
            base,
            runtime: Handle::current(),
        }),
        Location::Local(root) => Arc::new(Directory {
            store: store.clone(),
            root,
        }),
    })
}

/// A tree behind HTTP.
struct Web {
    fetcher: Fetcher,
    base: Url,
    runtime: Handle,
}

impl Upstream for Web {
    fn open(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
    ) -> anyhow::Result<UpstreamResponse> {
        let url = below(&self.base, path);
        if !url.path().starts_with(below(&self.base, "").path()) {
            return Ok(UpstreamResponse::empty(404));
        }
        let mut headers = HeaderMap::new();
        if let Some(range) = range.and_then(|range| HeaderValue::from_str(range).ok()) {
            headers.insert(RANGE, range);
        }
        let method = if head_only { Method::HEAD } else { Method::GET };
        let response = self
            .runtime
            .block_on(self.fetcher.request(method, &url, headers, false))
            .map_err(Fault::into_error)?
            .response;
        Ok(UpstreamResponse {
            status: response.status().as_u16(),
            content_length: content_length(&response),
            content_type: header(&response, CONTENT_TYPE),
            content_range: header(&response, CONTENT_RANGE),
            last_modified: header(&response, LAST_MODIFIED),
            etag: header(&response, ETAG),
            body: Box::new(WebBody {
                response,
                runtime: self.runtime.clone(),
                chunk: Cursor::default(),
            }),
            file: None,
        })
    }
}

/// A body that is read chunk by chunk, never held whole.
struct WebBody {
    response: Response,
    runtime: Handle,
    chunk: Cursor<Vec<u8>>,
}

impl Read for WebBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.chunk.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.runtime.block_on(self.response.chunk()) {
                Ok(Some(bytes)) => self.chunk = Cursor::new(bytes.into()),
                Ok(None) => return Ok(0),
                // Without the address, which may hold a password.
                Err(error) => return Err(io::Error::other(error.without_url())),
            }
        }
    }
}

/// A tree in a directory of this host.
struct Directory {
    store: Store,
    root: PathBuf,
}

impl Upstream for Directory {
    fn open(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
    ) -> anyhow::Result<UpstreamResponse> {
        let Ok(relative) = percent_decode_str(path).decode_utf8() else {
            return Ok(UpstreamResponse::empty(404));
        };
        let relative = Path::new(&*relative);
        if !relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Ok(UpstreamResponse::empty(404));
        }
        let place = self.root.join(relative);
        let shown_url = Url::from_file_path(&place)
            .map_err(|()| anyhow::anyhow!("{} is no absolute path", place.display()))?;
        let LocalFile { file, bytes, .. } = match self.store.open_local(&shown_url, &place) {
            Ok(opened) => opened,
            Err(Fault::NotFound { .. }) => return Ok(UpstreamResponse::empty(404)),
            Err(Fault::Outside { .. }) => return Ok(UpstreamResponse::empty(403)),
            Err(Fault::Local { error, .. }) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(UpstreamResponse::empty(403));
            }
            Err(fault) => return Err(fault.into_error()),
        };
        let modified = file.metadata()?.modified();
        let mut response = UpstreamResponse::part_of(file, bytes, range)?;
        response.last_modified = modified.ok().map(httpdate::fmt_http_date);
        if head_only {
            response.body = Box::new(io::empty());
        }
        Ok(response)
    }
}

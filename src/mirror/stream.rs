//! What is too large to be kept: taken piece by piece while it comes, gone on with where a connection
//! broke.

use std::sync::atomic::Ordering;

use reqwest::header::{HeaderMap, IF_RANGE, RANGE};
use reqwest::{Method, StatusCode};
use url::Url;

use super::client::broken;
use super::fault::Fault;
use super::fetch::{
    Coming, Fetcher, Tries, content_length, content_range, put, truncated, validators,
};
use super::part::Validators;

/// What has come of a stream.
#[derive(Default)]
struct Stream {
    validators: Validators,
    total: Option<u64>,
}

impl Fetcher {
    /// Takes what is at `url`, in order. `begin` hears how long it is, if the server says so; `take` says
    /// whether it wants more.
    ///
    /// # Errors
    /// What the server did wrong; that it has another file now than that of which a part has come.
    pub(super) async fn stream(
        &self,
        url: &Url,
        mut begin: impl FnMut(Option<u64>),
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Fault> {
        let coming = Coming::new(0);
        let mut tries = Tries::default();
        let mut stream = Stream::default();
        let mut wanted = true;
        loop {
            let taken = |bytes: &[u8]| {
                wanted = take(bytes);
                match wanted {
                    true => Ok(()),
                    false => Err(broken(url, "nobody wants more of it")),
                }
            };
            let came = self
                .stream_once(url, &mut stream, &coming, &mut begin, taken)
                .await;
            match came {
                Ok(()) => return Ok(()),
                Err(_) if !wanted => return Ok(()),
                Err(fault) => self.pause(&mut tries, fault, &coming).await?,
            }
        }
    }

    async fn stream_once(
        &self,
        url: &Url,
        stream: &mut Stream,
        coming: &Coming,
        begin: &mut impl FnMut(Option<u64>),
        take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let have = coming.have.load(Ordering::Relaxed);
        let mut headers = HeaderMap::new();
        if have > 0 {
            put(&mut headers, RANGE, &format!("bytes={have}-"));
            if let Some(validator) = stream.validators.if_range() {
                put(&mut headers, IF_RANGE, validator);
            }
        }
        let sent = self.request(Method::GET, url, headers, false);
        let mut response = sent.await?.response;
        coming.answered.store(true, Ordering::Relaxed);
        match response.status() {
            StatusCode::OK if have == 0 => {
                stream.total = content_length(&response);
                stream.validators = validators(&response);
                begin(stream.total);
            }
            StatusCode::PARTIAL_CONTENT
                if content_range(&response).is_some_and(|(start, _)| start == have) => {}
            // What has been taken cannot be taken back.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(Fault::Changed {
                    url: super::shown(url),
                });
            }
            _ => return Err(self.status_fault(url, &response)),
        }
        let total = stream.total;
        self.body(url, &mut response, coming, total, take).await?;
        let have = coming.have.load(Ordering::Relaxed);
        match total {
            Some(total) if have < total => Err(truncated(url, have, Some(total))),
            _ => Ok(()),
        }
    }
}

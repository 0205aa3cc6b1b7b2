//! One download: requests, resumption, retries, and the checks that a body must pass.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Method, Response, StatusCode};
use url::Url;

use super::client::{RetryPolicy, request_fault, status_fault};
use super::fault::Fault;
use super::location::shown;
use super::part::{Part, Validators};
use super::treeinfo::Checksum;
use super::verify::{Digests, Expect, HEAD_BYTES, is_web_page};
use crate::ui::event::Reporter;

/// Bytes after which failed tries are forgiven: a line that drops every few minutes must not
/// fail a large download, and one that drops after each packet must.
const FORGIVING_BYTES: u64 = 1 << 20;

/// Time between two lines of progress of one file.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

/// Makes requests.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    pub(super) client: Client,
    pub(super) patience: RetryPolicy,
    pub(super) reporter: Reporter,
}

/// What to download, and what it must be.
pub(super) struct Job<'a> {
    pub(super) url: &'a Url,
    pub(super) expect: Expect,
    pub(super) checksum: Option<&'a Checksum>,
    /// What is known of the copy that is there already.
    pub(super) validators: Option<&'a Validators>,
    /// Where the bytes go.
    pub(super) part: &'a Path,
}

/// How a download ended well.
pub(super) enum Outcome {
    /// The copy that is there already is the mirror's.
    NotModified,
    /// The part holds the whole file.
    Complete(Box<Complete>),
}

/// A part that is whole and right.
pub(super) struct Complete {
    pub(super) part: Part,
    pub(super) digests: Digests,
}

enum Step {
    NotModified,
    AllThere,
}

impl Fetcher {
    /// Downloads into the part, going on where an earlier try or run stopped.
    ///
    /// # Errors
    /// What the mirror did wrong. The part is removed unless another run can make use of it.
    pub(super) async fn download(&self, job: &Job<'_>) -> Result<Outcome, Fault> {
        let local = |error| Fault::local("opening", job.part, error);
        let mut part = Part::open(job.part, job.checksum).map_err(local)?;
        let result = self.download_into(job, &mut part).await;
        match result {
            Ok(Step::NotModified) => {
                part.discard();
                Ok(Outcome::NotModified)
            }
            Ok(Step::AllThere) => {
                let digests = part.digests();
                Ok(Outcome::Complete(Box::new(Complete { part, digests })))
            }
            Err(fault) => {
                if part.have == 0 || !fault.keeps_part() {
                    part.discard();
                }
                Err(fault)
            }
        }
    }

    async fn download_into(&self, job: &Job<'_>, part: &mut Part) -> Result<Step, Fault> {
        let mut tries = Tries::new(&self.patience);
        let mut started_over = false;
        loop {
            let fault = match self.attempt(job, part, &mut tries).await {
                Ok(Step::NotModified) => return Ok(Step::NotModified),
                Ok(Step::AllThere) => match check_whole(job, part) {
                    Ok(()) => return Ok(Step::AllThere),
                    // The parts may be of two files: only a download in one piece proves that
                    // the mirror's file is wrong.
                    Err(_) if part.resumed && !started_over => {
                        started_over = true;
                        self.restart(job, part)?;
                        part.ranges_broken = true;
                        continue;
                    }
                    Err(fault) => return Err(fault),
                },
                Err(fault) => fault,
            };
            part.flush()
                .map_err(|error| Fault::writing(job.url, job.part, error))?;
            let pause = tries.pause(fault, part.have, &self.reporter)?;
            tokio::time::sleep(pause).await;
        }
    }

    fn restart(&self, job: &Job<'_>, part: &mut Part) -> Result<(), Fault> {
        part.restart()
            .map_err(|error| Fault::writing(job.url, job.part, error))
    }

    /// One request and its body.
    async fn attempt(
        &self,
        job: &Job<'_>,
        part: &mut Part,
        tries: &mut Tries<'_>,
    ) -> Result<Step, Fault> {
        let writing = |error| Fault::writing(job.url, job.part, error);
        if part.is_complete() && job.checksum.is_some() {
            return Ok(Step::AllThere);
        }
        // Without a validator only a checksum can tell that two parts belong together.
        let resumable = part.validators().if_range().is_some() || job.checksum.is_some();
        if part.have > 0 && (!resumable || part.ranges_broken) {
            self.restart(job, part)?;
        }
        let mut headers = HeaderMap::new();
        if part.have > 0 {
            put(&mut headers, RANGE, &format!("bytes={}-", part.have));
            if let Some(validator) = part.validators().if_range() {
                put(&mut headers, IF_RANGE, validator);
            }
        } else if let Some(validators) = job.validators {
            if let Some(etag) = &validators.etag {
                put(&mut headers, IF_NONE_MATCH, etag);
            }
            if let Some(date) = &validators.last_modified {
                put(&mut headers, IF_MODIFIED_SINCE, date);
            }
        }
        let conditional =
            headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE);
        let mut response = self.request(Method::GET, job.url, headers).await?;
        tries.answered = true;
        match response.status() {
            StatusCode::NOT_MODIFIED if conditional => return Ok(Step::NotModified),
            StatusCode::OK => part
                .begin(job.url, validators(&response), content_length(&response))
                .map_err(writing)?,
            StatusCode::PARTIAL_CONTENT if part.have > 0 => {
                let agrees = content_range(&response).is_some_and(|(start, total)| {
                    start == part.have && (total.is_none() || total == part.total())
                });
                if !agrees {
                    part.ranges_broken = true;
                    return Err(broken(
                        job.url,
                        "the mirror sent another range than was asked for",
                    ));
                }
                part.resumed = true;
            }
            StatusCode::RANGE_NOT_SATISFIABLE if part.have > 0 => {
                part.ranges_broken = true;
                return Err(broken(job.url, "the mirror's file has become shorter"));
            }
            status => return Err(with_retry_after(status_fault(job.url, status), &response)),
        }
        self.check_size(job, part)?;
        self.take_body(job, part, &mut response).await?;
        part.flush().map_err(writing)?;
        match part.total() {
            Some(total) if part.have < total => Err(truncated(job.url, part.have, Some(total))),
            _ => {
                check_head(job, part, is_html(&response))?;
                Ok(Step::AllThere)
            }
        }
    }

    async fn take_body(
        &self,
        job: &Job<'_>,
        part: &mut Part,
        response: &mut Response,
    ) -> Result<(), Fault> {
        let html = is_html(response);
        let mut head_checked = false;
        let mut last_report = Instant::now();
        loop {
            let chunk = response
                .chunk()
                .await
                .map_err(|error| self.body_fault(job.url, part.have, part.total(), &error))?;
            let Some(chunk) = chunk else {
                return Ok(());
            };
            part.write(&chunk)
                .map_err(|error| Fault::writing(job.url, job.part, error))?;
            if part.have > job.expect.limit() {
                return Err(too_large(job));
            }
            if !head_checked && part.head.len() >= HEAD_BYTES {
                check_head(job, part, html)?;
                head_checked = true;
            }
            if last_report.elapsed() >= PROGRESS_EVERY {
                last_report = Instant::now();
                self.report_progress(job.url, part);
            }
        }
    }

    fn report_progress(&self, url: &Url, part: &Part) {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let total = part
            .total()
            .map_or(String::new(), |total| format!(" of {}", mib(total)));
        self.reporter
            .detail(format!("{}: {}{total} MiB", shown(url), mib(part.have)));
    }

    /// Refuses what is too large for its kind or for the disk, before it is taken.
    fn check_size(&self, job: &Job<'_>, part: &Part) -> Result<(), Fault> {
        let Some(total) = part.total() else {
            return Ok(());
        };
        if total > job.expect.limit() {
            return Err(too_large(job));
        }
        let needed = total.saturating_sub(part.have);
        let directory = job.part.parent().unwrap_or(job.part);
        match rustix::fs::statvfs(directory) {
            Ok(space) if space.f_bavail.saturating_mul(space.f_frsize) < needed => {
                Err(Fault::DiskFull {
                    url: shown(job.url),
                    path: directory.to_path_buf(),
                    needed: format!("{} MiB", needed.div_ceil(1 << 20)),
                })
            }
            // Where the file system does not tell, the write will.
            _ => Ok(()),
        }
    }

    /// Asks whether a file is there, without taking it; gives the address where redirects ended.
    ///
    /// # Errors
    /// As for a download; [`Fault::NotFound`] where it is not there.
    pub(super) async fn probe(&self, url: &Url) -> Result<Url, Fault> {
        let mut tries = Tries::new(&self.patience);
        let mut method = Method::HEAD;
        loop {
            let mut headers = HeaderMap::new();
            if method == Method::GET {
                put(&mut headers, RANGE, "bytes=0-0");
            }
            let fault = match self.request(method.clone(), url, headers).await {
                Ok(response) if response.status().is_success() => {
                    return Ok(response.url().clone());
                }
                Ok(response) => {
                    tries.answered = true;
                    with_retry_after(status_fault(url, response.status()), &response)
                }
                Err(fault) => fault,
            };
            // Some servers know no HEAD, refuse it, or hang up; the body of a GET is not read.
            let maybe_head = !matches!(fault, Fault::NotFound { .. } | Fault::Timeout { .. })
                && !fault.is_unreachable();
            if method == Method::HEAD && maybe_head {
                method = Method::GET;
                continue;
            }
            let pause = tries.pause(fault, 0, &self.reporter)?;
            tokio::time::sleep(pause).await;
        }
    }

    /// Fetches a small file into memory.
    ///
    /// # Errors
    /// As for a download; [`Fault::TooLarge`] past `limit` bytes.
    pub(super) async fn bytes(&self, url: &Url, limit: u64) -> Result<Vec<u8>, Fault> {
        let mut tries = Tries::new(&self.patience);
        loop {
            let fault = match self.bytes_once(url, limit, &mut tries).await {
                Ok(bytes) => return Ok(bytes),
                Err(fault) => fault,
            };
            let pause = tries.pause(fault, 0, &self.reporter)?;
            tokio::time::sleep(pause).await;
        }
    }

    async fn bytes_once(
        &self,
        url: &Url,
        limit: u64,
        tries: &mut Tries<'_>,
    ) -> Result<Vec<u8>, Fault> {
        let mut response = self.request(Method::GET, url, HeaderMap::new()).await?;
        tries.answered = true;
        if response.status() != StatusCode::OK {
            let fault = status_fault(url, response.status());
            return Err(with_retry_after(fault, &response));
        }
        let too_large = || Fault::TooLarge {
            url: shown(url),
            limit,
            what: Expect::Any.name(),
        };
        let total = content_length(&response);
        if total.is_some_and(|total| total > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes),
                Err(error) => {
                    let got = bytes.len() as u64;
                    return Err(self.body_fault(url, got, total, &error));
                }
            }
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
        }
    }

    /// Sends one request.
    pub(super) async fn request(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
    ) -> Result<Response, Fault> {
        // Bytes as they are in the tree: digests and ranges are of those.
        put(&mut headers, ACCEPT_ENCODING, "identity");
        self.client
            .request(method, url.clone())
            .headers(headers)
            .send()
            .await
            .map_err(|error| request_fault(url, &self.patience, &error))
    }

    fn body_fault(&self, url: &Url, got: u64, total: Option<u64>, error: &reqwest::Error) -> Fault {
        match request_fault(url, &self.patience, error) {
            // A body that ended early in an orderly way, as against a connection that broke:
            // hyper's words for bodies with a length and for chunked ones.
            Fault::Broken { reason, .. }
                if reason.contains("end of file before message length")
                    || reason.contains("unexpected EOF during chunk") =>
            {
                truncated(url, got, total)
            }
            fault => fault,
        }
    }
}

/// Counts failed requests.
struct Tries<'a> {
    patience: &'a RetryPolicy,
    count: u32,
    reached: u64,
    answered: bool,
}

impl<'a> Tries<'a> {
    fn new(patience: &'a RetryPolicy) -> Self {
        Tries {
            patience,
            count: 0,
            reached: 0,
            answered: false,
        }
    }

    /// How long to wait before the next try.
    ///
    /// # Errors
    /// The fault, where another try makes no sense.
    fn pause(&mut self, fault: Fault, have: u64, reporter: &Reporter) -> Result<Duration, Fault> {
        self.count += 1;
        if have >= self.reached + FORGIVING_BYTES {
            self.reached = have;
            self.count = 1;
        }
        let again = fault.is_transient() || (fault.is_unreachable() && self.answered);
        if !again || self.count >= self.patience.tries {
            return Err(fault.after(self.count));
        }
        let asked = match &fault {
            Fault::Server { retry_after, .. } => *retry_after,
            _ => None,
        };
        let doubled = self
            .patience
            .first_pause
            .saturating_mul(1 << (self.count - 1).min(16));
        let pause = asked
            .unwrap_or_else(|| jittered(doubled))
            .min(self.patience.longest_pause);
        reporter.detail(format!(
            "{fault}; trying again in {:.1} s",
            pause.as_secs_f64()
        ));
        Ok(pause)
    }
}

/// Between half and the whole of a pause, so that clients that failed together come back apart.
fn jittered(pause: Duration) -> Duration {
    let fraction = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + fraction / 2.0)
}

/// The first bytes must be those of such a file. A matching checksum outweighs unknown magic.
fn check_head(job: &Job<'_>, part: &Part, html: bool) -> Result<(), Fault> {
    if job.expect == Expect::Any {
        return Ok(());
    }
    let fits = job.expect.fits(&part.head);
    let url = shown(job.url);
    let what = job.expect.name();
    if is_web_page(&part.head) || (html && !fits) {
        return Err(Fault::WebPage { url, what });
    }
    if !fits && job.checksum.is_none() {
        return Err(Fault::WrongContent { url, what });
    }
    Ok(())
}

fn check_whole(job: &Job<'_>, part: &Part) -> Result<(), Fault> {
    let Some(expected) = job.checksum else {
        return Ok(());
    };
    let digests = part.digests();
    if digests.against() == expected.hex {
        return Ok(());
    }
    Err(Fault::Checksum {
        url: shown(job.url),
        expected: expected.clone(),
        found: digests.against().to_string(),
    })
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // A validator that is no header value came from no header, so it can be left out.
    if let Ok(value) = value.parse() {
        headers.insert(name, value);
    }
}

/// A header's value, where it is text.
pub(super) fn header(response: &Response, name: HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.trim().to_string())
}

/// `Content-Length` as the server wrote it, which a response to HEAD has too.
pub(super) fn content_length(response: &Response) -> Option<u64> {
    header(response, CONTENT_LENGTH)?.parse().ok()
}

fn validators(response: &Response) -> Validators {
    Validators {
        etag: header(response, ETAG),
        last_modified: header(response, LAST_MODIFIED),
    }
}

fn is_html(response: &Response) -> bool {
    header(response, CONTENT_TYPE)
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"))
}

/// `bytes 5-9/10` as first byte and whole length.
fn content_range(response: &Response) -> Option<(u64, Option<u64>)> {
    let value = header(response, CONTENT_RANGE)?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((start.trim().parse().ok()?, total))
}

fn with_retry_after(mut fault: Fault, response: &Response) -> Fault {
    if let Fault::Server { retry_after, .. } = &mut fault {
        *retry_after = header(response, RETRY_AFTER).and_then(|value| match value.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => httpdate::parse_http_date(&value)
                .ok()?
                .duration_since(SystemTime::now())
                .ok(),
        });
    }
    fault
}

fn broken(url: &Url, reason: &str) -> Fault {
    Fault::Broken {
        url: shown(url),
        reason: reason.to_string(),
        tries: 1,
    }
}

fn truncated(url: &Url, got: u64, expected: Option<u64>) -> Fault {
    Fault::Truncated {
        url: shown(url),
        got,
        expected,
        tries: 1,
    }
}

fn too_large(job: &Job<'_>) -> Fault {
    Fault::TooLarge {
        url: shown(job.url),
        limit: job.expect.limit(),
        what: job.expect.name(),
    }
}

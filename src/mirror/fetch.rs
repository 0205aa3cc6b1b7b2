//! One download: requests, resumption, retries, and the checks that a body must pass.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::cache::CacheEntry;
use super::client::{Answered, Clients, RetryPolicy, broken};
use super::fault::Fault;
use super::ledger::Ledger;
use super::location::shown;
use super::part::{Part, Validators};
use super::share::Progress;
use super::treeinfo::Checksum;
use super::verify::{Digests, Expect, HEAD_BYTES, is_web_page};
use crate::ui::event::Reporter;

/// Bytes after which failed tries are forgiven: a line that drops every few minutes must not
/// fail a large download, and one that drops after each packet must.
const FORGIVING_BYTES: u64 = 1 << 20;

/// Makes requests.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    pub(super) clients: Clients,
    pub(super) patience: RetryPolicy,
    pub(super) reporter: Reporter,
    /// Follow redirects from https to http whatever comes, as the installer does: to look at
    /// what it will fetch, and for nothing else.
    pub(super) follow_all: bool,
    /// Ask nobody (`--offline`).
    pub(super) offline: bool,
    /// What counts requests and bytes.
    pub(super) ledger: Ledger,
}

/// What to download, and what it must be.
pub(super) struct Job<'a> {
    pub(super) url: &'a Url,
    pub(super) expect: Expect,
    pub(super) checksum: Option<&'a Checksum>,
    /// What is known of the copy that is there already.
    pub(super) held: Option<&'a CacheEntry>,
    /// Where the bytes go.
    pub(super) part: &'a Path,
    /// How many bytes it has, where that was told before.
    pub(super) bytes: Option<u64>,
    /// Who reads along.
    pub(super) readers: Option<&'a Arc<Progress>>,
}

impl Job<'_> {
    /// The most bytes that it may have.
    fn limit(&self) -> u64 {
        self.bytes.unwrap_or(u64::MAX).min(self.expect.limit())
    }
}

/// Whether an answer is of the same file as the copy, by entity tag, else by date and length.
fn is_same(held: &CacheEntry, response: &Response) -> bool {
    let (ours, now) = (&held.validators, validators(response));
    match (&ours.etag, &now.etag) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (None, None) => {
            now.last_modified.is_some()
                && now.last_modified == ours.last_modified
                && content_length(response) == Some(held.bytes)
        }
        _ => false,
    }
}

/// A part that is whole and right.
pub(super) struct Complete {
    pub(super) part: Part,
    pub(super) digests: Digests,
}

/// Something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where redirects led, credentials included; the address itself without any.
    pub url: Url,
    /// The address that the server asks to use from now on, where it said so (301, 308).
    pub moved: Option<Url>,
    /// How long it is, in bytes, where that was told.
    pub bytes: Option<u64>,
}

impl Fetcher {
    /// Downloads into the part, going on where an earlier try or run stopped. None where the copy that
    /// is there already is the mirror's.
    ///
    /// # Errors
    /// What the mirror did wrong. The part is removed unless another run can make use of it.
    pub(super) async fn download(&self, job: &Job<'_>) -> Result<Option<Complete>, Fault> {
        let local = |error| Fault::local("opening", job.part, error);
        let mut part =
            Part::open(job.part, job.expect, job.checksum, job.readers).map_err(local)?;
        let _running = self.ledger.begin();
        match self.download_into(job, &mut part).await {
            Ok(Some(digests)) => Ok(Some(Complete { part, digests })),
            Ok(None) => {
                part.discard();
                Ok(None)
            }
            Err(fault) => {
                if part.have == 0 || !fault.keeps_part() {
                    part.discard();
                }
                Err(fault)
            }
        }
    }

    /// The digests of what has come, if the copy that is there is not the mirror's.
    async fn download_into(
        &self,
        job: &Job<'_>,
        part: &mut Part,
    ) -> Result<Option<Digests>, Fault> {
        let failed = |error| Fault::writing(job.url, job.part, error);
        let coming = Coming::new(part.have);
        let work = async {
            let mut tries = Tries::default();
            loop {
                let came = self.attempt(job, part, &coming).await;
                part.flush().map_err(failed)?;
                match came {
                    Ok(false) => return Ok(None),
                    Ok(true) => {}
                    Err(fault) => {
                        self.pause(&mut tries, fault, &coming).await?;
                        continue;
                    }
                }
                let digests = part.digests().map_err(failed)?;
                match digests.check(job.url, job.checksum) {
                    Ok(()) => return Ok(Some(digests)),
                    // The parts may be of two files: only a download in one piece proves that
                    // the mirror's file is wrong.
                    Err(_) if part.resumed => {
                        part.restart().map_err(failed)?;
                        part.ranges_broken = true;
                    }
                    Err(fault) => return Err(fault),
                }
            }
        };
        self.bounded(job.url, &coming, work).await
    }

    /// Bounds the time for one file, and tells every now and then how far it is.
    async fn bounded<T>(
        &self,
        url: &Url,
        coming: &Coming,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let (limit, every) = (self.patience.whole, self.patience.tell_every);
        let mut work = std::pin::pin!(tokio::time::timeout(limit, work));
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        let url = shown(url);
        loop {
            tokio::select! {
                result = &mut work => {
                    return result.unwrap_or_else(|_| Err(Fault::TooLong { url, limit }));
                }
                _ = ticks.tick() => {
                    let kib = coming.have.load(Ordering::Relaxed) >> 10;
                    self.reporter.note(format!("still fetching {url}: {kib} KiB so far"));
                }
            }
        }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The fault, where another try makes no sense.
    pub(super) async fn pause(
        &self,
        tries: &mut Tries,
        fault: Fault,
        coming: &Coming,
    ) -> Result<(), Fault> {
        let policy = &self.patience;
        tries.count += 1;
        let have = coming.have.load(Ordering::Relaxed);
        if have >= tries.reached + FORGIVING_BYTES {
            *tries = Tries {
                count: 1,
                reached: have,
            };
        }
        let answered = coming.answered.load(Ordering::Relaxed);
        let again = fault.is_transient() || (fault.is_unreachable() && answered);
        if !again || tries.count >= policy.tries {
            return Err(fault.after(tries.count));
        }
        let asked = match &fault {
            Fault::Server { retry_after, .. } => *retry_after,
            _ => None,
        };
        let factor = 1 << (tries.count - 1).min(16);
        let pause = asked.unwrap_or_else(|| jittered(policy.first_pause.saturating_mul(factor)));
        let pause = pause.min(policy.longest_pause);
        self.reporter.detail(format!(
            "{fault}; trying again in {:.1} s",
            pause.as_secs_f64()
        ));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// One request and its body. False where the copy that is there already is the mirror's.
    async fn attempt(
        &self,
        job: &Job<'_>,
        part: &mut Part,
        coming: &Coming,
    ) -> Result<bool, Fault> {
        let writing = |error| Fault::writing(job.url, job.part, error);
        if part.is_complete() && job.checksum.is_some() {
            return Ok(true);
        }
        // Without a validator only a checksum can tell that two parts belong together.
        // Those of another mirror mean nothing here.
        let validator = part.validators().if_range().filter(|_| part.is_of(job.url));
        let validator = validator.map(str::to_owned);
        let resumable = validator.is_some() || job.checksum.is_some();
        if part.have > 0 && (!resumable || part.ranges_broken) {
            part.restart().map_err(writing)?;
        }
        let mut headers = HeaderMap::new();
        if part.have > 0 {
            put(&mut headers, RANGE, &format!("bytes={}-", part.have));
            if let Some(validator) = &validator {
                put(&mut headers, IF_RANGE, validator);
            }
        } else if let Some(etag) = job.held.and_then(|held| held.validators.etag.as_ref()) {
            put(&mut headers, IF_NONE_MATCH, etag);
        }
        let conditional = headers.contains_key(IF_NONE_MATCH);
        let guarded = job.checksum.is_some();
        let mut response = self
            .request(Method::GET, job.url, headers, guarded)
            .await?
            .response;
        coming.answered.store(true, Ordering::Relaxed);
        match response.status() {
            StatusCode::NOT_MODIFIED if conditional => return Ok(false),
            // `If-Modified-Since` would ask for what is newer: a tree that is put back, or a link
            // that is turned to an older one, has changed, too. The body is not read.
            StatusCode::OK if job.held.is_some_and(|held| is_same(held, &response)) => {
                return Ok(false);
            }
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
                part.resume();
            }
            StatusCode::RANGE_NOT_SATISFIABLE if part.have > 0 => {
                part.ranges_broken = true;
                return Err(broken(job.url, "the mirror's file has become shorter"));
            }
            _ => return Err(self.status_fault(job.url, &response)),
        }
        self.check_size(job, part)?;
        let (limit, total) = (job.limit(), part.total());
        let (encoding, is_html) = (encoding(&response), is_html(&response));
        let check_head = |head: &[u8]| {
            let (url, expect, checksum) = (job.url, job.expect, job.checksum);
            check_head(url, expect, checksum, head, encoding.as_deref(), is_html)
        };
        let mut head_checked = false;
        coming.have.store(part.have, Ordering::Relaxed);
        let take = |bytes: &[u8]| {
            part.write(bytes).map_err(writing)?;
            if part.have > limit {
                return Err(too_large(job.url, job.expect, limit));
            }
            if !head_checked && part.head.len() >= HEAD_BYTES {
                check_head(&part.head)?;
                head_checked = true;
            }
            Ok(())
        };
        self.body(job.url, &mut response, coming, total, take)
            .await?;
        part.flush().map_err(writing)?;
        match total {
            Some(total) if part.have < total => Err(truncated(job.url, part.have, Some(total))),
            _ => {
                check_head(&part.head)?;
                Ok(true)
            }
        }
    }

    /// The fault of a status that is not the one that was hoped for.
    pub(super) fn status_fault(&self, url: &Url, response: &Response) -> Fault {
        let (url, status) = (shown(url), response.status());
        match (status.as_u16(), self.clients.proxy(response.url())) {
            (407, Some(proxy)) => Fault::ProxyAuthorization { url, proxy },
            (401 | 407, _) => Fault::Unauthorized { url },
            (403, _) => Fault::Forbidden { url },
            (404 | 410, _) => Fault::NotFound { url },
            (408 | 429 | 500..=599, proxy) => Fault::Server {
                url,
                status,
                tries: 1,
                retry_after: retry_after(response),
                who: match proxy {
                    Some(proxy) => format!("the mirror, or the proxy {proxy} before it,"),
                    None => "the mirror".to_string(),
                },
            },
            _ => Fault::Status { url, status },
        }
    }

    /// Takes a body piece by piece, and gives up one that comes too slowly.
    pub(super) async fn body(
        &self,
        url: &Url,
        response: &mut Response,
        coming: &Coming,
        total: Option<u64>,
        mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let policy = &self.patience;
        // From the first bytes on: a proxy may fetch the whole file before it sends any.
        let mut since = None;
        let mut got = 0;
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                let have = coming.have.load(Ordering::Relaxed);
                truncated_if(self.clients.fault(url, &error), url, have, total)
            })?;
            let Some(chunk) = chunk else {
                return Ok(());
            };
            let bytes = chunk.len() as u64;
            self.ledger.came(bytes);
            take(&chunk)?;
            coming.have.fetch_add(bytes, Ordering::Relaxed);
            got += bytes;
            let now = Instant::now();
            let elapsed = now - *since.get_or_insert(now);
            if elapsed < policy.rate_window {
                continue;
            }
            if (got as f64) < policy.min_rate as f64 * elapsed.as_secs_f64() {
                return Err(Fault::Slow {
                    url: shown(url),
                    got,
                    seconds: elapsed.as_secs(),
                    min_rate: policy.min_rate,
                });
            }
            (since, got) = (Some(now), 0);
        }
    }

    /// Refuses what is too large for its kind or for the disk, before it is taken.
    fn check_size(&self, job: &Job<'_>, part: &Part) -> Result<(), Fault> {
        let Some(total) = part.total() else {
            return Ok(());
        };
        if total > job.limit() {
            return Err(too_large(job.url, job.expect, job.limit()));
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

    /// Asks whether a file is there, without taking it.
    ///
    /// # Errors
    /// As for a download; [`Fault::NotFound`] where it is not there.
    pub(super) async fn probe(&self, url: &Url) -> Result<Answer, Fault> {
        let coming = Coming::new(0);
        let work = async {
            let mut tries = Tries::default();
            let mut method = Method::HEAD;
            loop {
                let mut headers = HeaderMap::new();
                if method == Method::GET {
                    put(&mut headers, RANGE, "bytes=0-0");
                }
                let fault = match self.request(method.clone(), url, headers, false).await {
                    Ok(Answered { response, moved }) if response.status().is_success() => {
                        let url = response.url().clone();
                        let bytes = match content_range(&response) {
                            Some((_, total)) => total,
                            None => content_length(&response),
                        };
                        return Ok(Answer { url, moved, bytes });
                    }
                    Ok(Answered { response, .. }) => {
                        coming.answered.store(true, Ordering::Relaxed);
                        self.status_fault(url, &response)
                    }
                    Err(fault) => fault,
                };
                // Some servers know no HEAD, refuse it, hang up, or say that there is nothing;
                // the body of a GET is not read.
                let final_of_both = matches!(
                    fault,
                    Fault::Timeout { .. } | Fault::Redirect { .. } | Fault::Redirects { .. }
                );
                if method == Method::HEAD && !final_of_both && !fault.is_unreachable() {
                    method = Method::GET;
                } else {
                    self.pause(&mut tries, fault, &coming).await?;
                }
            }
        };
        self.bounded(url, &coming, work).await
    }

    /// Fetches a small file into memory.
    ///
    /// # Errors
    /// As for a download; [`Fault::TooLarge`] past `limit` bytes.
    pub(super) async fn bytes(
        &self,
        url: &Url,
        expect: Expect,
        limit: u64,
    ) -> Result<Vec<u8>, Fault> {
        let coming = Coming::new(0);
        let work = async {
            let mut tries = Tries::default();
            loop {
                match self.bytes_once(url, expect, limit, &coming).await {
                    Ok(bytes) => return Ok(bytes),
                    Err(fault) => self.pause(&mut tries, fault, &coming).await?,
                }
            }
        };
        self.bounded(url, &coming, work).await
    }

    async fn bytes_once(
        &self,
        url: &Url,
        expect: Expect,
        limit: u64,
        coming: &Coming,
    ) -> Result<Vec<u8>, Fault> {
        let sent = self.request(Method::GET, url, HeaderMap::new(), false);
        let mut response = sent.await?.response;
        coming.answered.store(true, Ordering::Relaxed);
        coming.have.store(0, Ordering::Relaxed);
        if response.status() != StatusCode::OK {
            return Err(self.status_fault(url, &response));
        }
        let total = content_length(&response);
        if total.is_some_and(|total| total > limit) {
            return Err(too_large(url, expect, limit));
        }
        let mut bytes = Vec::new();
        let take = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            match bytes.len() as u64 > limit {
                true => Err(too_large(url, expect, limit)),
                false => Ok(()),
            }
        };
        self.body(url, &mut response, coming, total, take).await?;
        let bytes = unpacked(url, expect, limit, &response, bytes)?;
        if expect != Expect::Any && is_web_page(&bytes) {
            let (url, what) = (shown(url), expect.name());
            return Err(Fault::WebPage { url, what });
        }
        Ok(bytes)
    }

    /// Sends one request; `guarded` says that a checksum is known of what comes.
    pub(super) async fn request(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        guarded: bool,
    ) -> Result<Answered, Fault> {
        if self.offline {
            return Err(Fault::Offline { url: shown(url) });
        }
        self.ledger.asked();
        // Bytes as they are in the tree: digests and ranges are of those.
        put(&mut headers, ACCEPT_ENCODING, "identity");
        let downgrade = guarded || self.follow_all;
        self.clients.send(method, url, headers, downgrade).await
    }
}

/// A body that ended early in an orderly way, as against a connection that broke: hyper's words
/// for bodies with a length and for chunked ones.
fn truncated_if(fault: Fault, url: &Url, got: u64, total: Option<u64>) -> Fault {
    match fault {
        Fault::Broken { reason, .. }
            if reason.contains("end of file before message length")
                || reason.contains("unexpected EOF during chunk") =>
        {
            truncated(url, got, total)
        }
        fault => fault,
    }
}

/// What a server packed though it was asked not to (a bucket's objects with such metadata).
/// Servers that name a packing because a file is a `.gz` mean the file itself.
fn unpacked(
    url: &Url,
    expect: Expect,
    limit: u64,
    response: &Response,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, Fault> {
    let Some(encoding) = encoding(response) else {
        return Ok(bytes);
    };
    let is_archive = [".gz", ".tgz"].iter().any(|end| url.path().ends_with(end));
    let is_gzip = matches!(encoding.as_str(), "gzip" | "x-gzip");
    if is_gzip && (is_archive || !bytes.starts_with(GZIP)) {
        return Ok(bytes);
    }
    let packed = || Fault::Packed {
        url: shown(url),
        encoding: encoding.clone(),
    };
    if !is_gzip {
        return Err(packed());
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..])
        .take(limit + 1)
        .read_to_end(&mut plain)
        .map_err(|_| packed())?;
    match plain.len() as u64 > limit {
        true => Err(too_large(url, expect, limit)),
        false => Ok(plain),
    }
}

/// First bytes of everything that gzip packs (RFC 1952).
const GZIP: &[u8] = &[0x1f, 0x8b];

/// How the body is packed, if the server says that it is.
fn encoding(response: &Response) -> Option<String> {
    let value = header(response, CONTENT_ENCODING)?.to_ascii_lowercase();
    (!matches!(value.as_str(), "" | "identity")).then_some(value)
}

/// What has come of a file, as its tries note it.
pub(super) struct Coming {
    /// Bytes so far.
    pub(super) have: AtomicU64,
    /// Whether the mirror has ever answered.
    pub(super) answered: AtomicBool,
}

impl Coming {
    pub(super) fn new(have: u64) -> Coming {
        Coming {
            have: AtomicU64::new(have),
            answered: AtomicBool::new(false),
        }
    }
}

/// Failed requests.
#[derive(Default)]
pub(super) struct Tries {
    /// In a row.
    count: u32,
    /// Bytes that had come when the row began.
    reached: u64,
}

/// Between half and the whole of a pause, so that clients that failed together come back apart.
fn jittered(pause: Duration) -> Duration {
    let fraction = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + fraction / 2.0)
}

/// The first bytes must be those of such a file. A matching checksum outweighs unknown magic.
pub(super) fn check_head(
    url: &Url,
    expect: Expect,
    checksum: Option<&Checksum>,
    head: &[u8],
    encoding: Option<&str>,
    is_html: bool,
) -> Result<(), Fault> {
    if expect == Expect::Any {
        return Ok(());
    }
    let fits = expect.fits(head);
    let (url, what) = (shown(url), expect.name());
    if is_web_page(head) || (is_html && !fits) {
        return Err(Fault::WebPage { url, what });
    }
    if checksum.is_some() {
        return Ok(());
    }
    if let Some(encoding) = encoding
        && (head.starts_with(GZIP) || !encoding.contains("gzip"))
        && matches!(expect, Expect::Kernel | Expect::RepoMd)
    {
        let encoding = encoding.to_string();
        return Err(Fault::Packed { url, encoding });
    }
    match fits {
        true => Ok(()),
        false => Err(Fault::WrongContent { url, what }),
    }
}

pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
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

pub(super) fn validators(response: &Response) -> Validators {
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
pub(super) fn content_range(response: &Response) -> Option<(u64, Option<u64>)> {
    let value = header(response, CONTENT_RANGE)?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((start.trim().parse().ok()?, total))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = header(response, RETRY_AFTER)?;
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let time = httpdate::parse_http_date(&value).ok()?;
            time.duration_since(SystemTime::now()).ok()
        }
    }
}

pub(super) fn truncated(url: &Url, got: u64, expected: Option<u64>) -> Fault {
    Fault::Truncated {
        url: shown(url),
        got,
        expected,
        tries: 1,
    }
}

pub(super) fn too_large(url: &Url, expect: Expect, limit: u64) -> Fault {
    Fault::TooLarge {
        url: shown(url),
        limit,
        what: expect.name(),
    }
}

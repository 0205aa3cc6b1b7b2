//! The image that is named: opened, and looked at whether it is what it should be.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::Context;
use tokio::runtime::Runtime;
use url::Url;

use super::papers::{self, Paper};
use super::refusal;
use super::source::Source;
use crate::error::{Classify, Kind, fail};
use crate::image::checksum;
use crate::input;
use crate::mirror::{self, Mirror, MirrorOptions};
use crate::options::InstallOptions;
use crate::printable;
use crate::state::directories;
use crate::ui::event::Reporter;

/// Pieces of a download that wait to be unpacked.
const WAITING: usize = 64;

/// An address, and how it is reached.
#[derive(Debug)]
pub struct Address {
    url: Url,
    options: MirrorOptions,
}

impl Address {
    /// That of an image that is one; none if it is no address.
    ///
    /// # Errors
    /// Input: it is none that can be read. Host: there is no directory for the cache.
    pub fn of(image: &str, configured: &InstallOptions) -> anyhow::Result<Option<Address>> {
        if !image.starts_with("http://") && !image.starts_with("https://") {
            return Ok(None);
        }
        let url = Url::parse(image)
            .with_context(|| format!("reading the address {}", printable::line(image)))
            .kind(Kind::Input)?;
        let cache = directories::cache_dir(configured.cache_dir.as_deref()).kind(Kind::Host)?;
        let mut options = MirrorOptions::of(configured, cache);
        let host = url.host_str().map(str::to_owned);
        options.credentials.client_cert_hosts.extend(host);
        Ok(Some(Address { url, options }))
    }

    /// The same with options that are known.
    ///
    /// # Errors
    /// Input: it is no address.
    pub fn with(url: &str, options: MirrorOptions) -> anyhow::Result<Address> {
        let url = Url::parse(url)
            .with_context(|| format!("reading the address {}", printable::line(url)))
            .kind(Kind::Input)?;
        Ok(Address { url, options })
    }
}

/// The image in a file or on standard input, whose digest is looked at first where that can be. It must
/// not be what `forbidden` says: the disk that it is written to.
///
/// # Errors
/// Input: it cannot be read, is not what it should be, or is no image.
pub fn file(
    image: &str,
    named: Option<Paper>,
    forbidden: impl Fn(&File) -> io::Result<bool>,
    runtime: &Runtime,
    reporter: &Reporter,
) -> anyhow::Result<(Source, Option<Paper>)> {
    let path = Path::new(image);
    let shown = input::display_name(path);
    let opening = || format!("opening {shown}");
    if input::is_stdin(path) {
        let source = Source::stream(shown.clone(), io::stdin(), None, Kind::Input);
        return Ok((source.with_context(opening).kind(Kind::Input)?, named));
    }
    let file = input::open_image(path)
        .with_context(opening)
        .kind(Kind::Input)?;
    if forbidden(&file).kind(Kind::Input)? {
        fail!(
            Kind::Input,
            "{shown} is both the image and the disk: name two"
        );
    }
    if !file.metadata().kind(Kind::Input)?.is_file() {
        fail!(
            Kind::Input,
            "{shown} is no file: name an image, or - for standard input"
        );
    }
    let paper = match named {
        Some(paper) => Some(paper),
        None => papers::beside(path)?,
    };
    if let Some(paper) = &paper {
        reporter.step(format!("checking {shown} against {}", paper.from));
        let (digest, _) = runtime
            .block_on(checksum::sha256(&file))
            .kind(Kind::Input)?;
        if digest != paper.sha256 {
            return Err(refusal::differs(&shown, &digest, paper, Kind::Input));
        }
    }
    (&file).rewind().kind(Kind::Input)?;
    let source = Source::file(path, file).with_context(opening);
    Ok((source.kind(Kind::Input)?, paper))
}

/// The image at an address, which comes while it is written.
///
/// # Errors
/// Mirror: it does not come. Input: it is no image that goes by stream.
pub fn address(
    plan: Address,
    named: Option<Paper>,
    runtime: &Runtime,
    reporter: &Reporter,
) -> anyhow::Result<(Source, Option<Paper>)> {
    let Address { url, options } = plan;
    let mirror = Mirror::new(options, reporter.clone())?;
    let shown = mirror::shown(&url);
    reporter.step(format!("getting {shown}"));
    let paper = match named {
        Some(paper) => Some(paper),
        None => runtime
            .block_on(papers::beside_address(&mirror, &url))
            .map_err(mirror::Fault::into_error)?,
    };
    let (sender, receiver) = sync_channel(WAITING);
    let (length_sender, length) = sync_channel(1);
    let handle = runtime.handle().clone();
    let come = move || {
        let begin = |length| {
            // It is sent once, and there is room for it.
            let _ = length_sender.try_send(length);
        };
        let take = |bytes: &[u8]| sender.send(Ok(bytes.to_vec())).is_ok();
        if let Err(error) = handle.block_on(mirror.stream(&url, begin, take)) {
            let _ = sender.send(Err(format!("{error:#}")));
        }
    };
    let thread = std::thread::Builder::new().name("download".to_owned());
    thread.spawn(come).kind(Kind::Host)?;
    let stream = Pieces {
        from: receiver,
        piece: io::Cursor::default(),
    };
    // Its length comes before its first byte; a failure comes with that.
    let length = length.recv().ok().flatten();
    let source = Source::stream(shown.clone(), stream, length, Kind::Mirror);
    Ok((source.kind(Kind::Mirror)?, paper))
}

/// What another thread sends, as one stream.
struct Pieces {
    from: Receiver<Result<Vec<u8>, String>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(into)? {
                0 if !into.is_empty() => match self.from.recv() {
                    Ok(Ok(piece)) => self.piece = io::Cursor::new(piece),
                    Ok(Err(why)) => return Err(io::Error::other(why)),
                    Err(_) => return Ok(0),
                },
                read => return Ok(read),
            }
        }
    }
}

//! What the guest is handed: the kickstart, what the template adds, the install tree.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cpio::newc::{Builder, ModeFileType, trailer};
use tokio::sync::mpsc::UnboundedReceiver;
use url::Url;

use super::contents::Contents;
use super::evidence;
use super::place::Place;
use super::plan::Plan;
use super::prepare::Prepared;
use super::relay::Relaying;
use crate::error::{Classify, Kind};
use crate::hex;
use crate::kickstart::additions::{Additions, Repository};
use crate::kickstart::compose;
use crate::kickstart::mask;
use crate::kickstart::scan;
use crate::machine::Network;
use crate::options::Deliver;
use crate::secrets::Secrets;
use crate::serve::{Access, Content, KICKSTART_NAME, ServeOptions, Server, TREE_NAME};
use crate::tdl::Payload;
use crate::ui::event::Reporter;

/// What the guest is handed, and by whom.
#[derive(Debug)]
pub struct Handover {
    /// Our server, if anything goes through it.
    pub server: Option<Server>,
    /// What it was asked for.
    pub accesses: Option<UnboundedReceiver<Access>>,
    /// Where the guest finds the kickstart, if it is delivered by HTTP.
    pub kickstart: Option<Url>,
    /// Where the guest finds the install tree.
    pub tree: Url,
    /// The initrd to boot.
    pub initrd: PathBuf,
    /// What the kickstart prints on the console when all is done, if it does.
    pub mark: Option<String>,
    /// The kickstart as it is served. With its secrets.
    pub served: String,
    /// What no log may hold.
    pub secrets: Secrets,
}

impl Handover {
    /// Starts the server, if it takes one, and puts everything in place.
    ///
    /// # Errors
    /// Input: something of the template cannot be put into a kickstart. Host: the server cannot
    /// listen where the guest could reach it.
    pub fn make(
        plan: &Plan,
        place: &Place,
        prepared: &mut Prepared,
        reporter: &Reporter,
    ) -> anyhow::Result<Handover> {
        let contents = prepared.contents.take();
        let (server, accesses) = open_server(plan, place, prepared, reporter)?;
        let relaying = Relaying {
            reaches: &prepared.reaches,
            server: server.as_ref(),
            mirror: &prepared.mirror,
            reporter,
        };
        let tree = relaying.address(TREE_NAME, &plan.tree)?;
        let repositories = repositories(plan, &relaying)?;
        let (author, replaced) = relaying.kickstart(&plan.kickstart.text)?;
        let mark = format!("ozr-done-{}", hex::random()?);
        let mut secrets = Secrets::default();
        secrets.add_mark(&mark);
        if let Some(server) = &server {
            secrets.add(server.token());
        }
        let mut additions = additions(plan, contents, repositories, server.as_ref());
        additions.mark.clone_from(&mark);
        additions.replaced = replaced;
        let composed = match plan.options.verbatim {
            true => compose::verbatim(&author),
            false => {
                compose::compose(&author, &plan.kickstart.outline, &additions).kind(Kind::Input)?
            }
        };
        for note in &composed.notes {
            reporter.note(note);
        }
        add_secrets(&mut secrets, plan, &composed.text);
        let masked = secrets.hide(&mask::mask(&composed.text));
        let work = place.work.dir();
        work.replace(evidence::KICKSTART, masked.as_bytes())
            .context("keeping the kickstart")?;
        let (kickstart, initrd) = match (plan.deliver, &server) {
            (Deliver::Http, Some(server)) => {
                let content = Content::Bytes(scan::encode(&composed.text).into());
                let url = server.add(KICKSTART_NAME, content, "text/plain");
                (Some(url), prepared.tree.initrd.path.clone())
            }
            _ => {
                let copy = place.work.join("initrd.img");
                let original = &prepared.tree.initrd.path;
                append_kickstart(original, &copy, &scan::encode(&composed.text))?;
                (None, copy)
            }
        };
        Ok(Handover {
            server,
            accesses,
            kickstart,
            tree,
            initrd,
            mark: composed.prints_mark.then_some(mark),
            served: composed.text,
            secrets,
        })
    }
}

/// Starts our server, if the kickstart or anything else goes through it.
fn open_server(
    plan: &Plan,
    place: &Place,
    prepared: &Prepared,
    reporter: &Reporter,
) -> anyhow::Result<(Option<Server>, Option<UnboundedReceiver<Access>>)> {
    if plan.deliver == Deliver::Initrd && !prepared.reaches.need_server() {
        return Ok((None, None));
    }
    let address = prepared.host.network_address(&plan.guest.network)?;
    let options = ServeOptions {
        bind: address.bind,
        guest_host: address.guest_uses.to_string(),
        users: matches!(plan.guest.network, Network::User).then(|| prepared.host.users()),
        runtime_dir: place.runtime.path().to_path_buf(),
        access_log: Some(place.work.join(evidence::ACCESS_LOG)),
    };
    let (server, accesses) = Server::start(options, reporter.clone()).kind(Kind::Host)?;
    Ok((Some(server), Some(accesses)))
}

/// The template's repositories, with the addresses at which the guest reaches them now.
fn repositories(plan: &Plan, relaying: &Relaying<'_>) -> anyhow::Result<Vec<Repository>> {
    plan.repositories()
        .map(|repository| {
            let base = relaying.address(&repository.name, repository.url.url())?;
            Ok(Repository {
                name: repository.name.clone(),
                base_url: base.into(),
                image_url: repository.url.as_str().to_string(),
                signed: repository.signed,
                persisted: repository.persisted,
                sslverify: repository.sslverify,
            })
        })
        .collect()
}

/// Adds what is secret in a build: the passwords of the template and of the kickstart as `served`,
/// and what their addresses hold.
fn add_secrets(secrets: &mut Secrets, plan: &Plan, served: &str) {
    let template = &plan.template;
    let passwords = [&template.os.rootpw, &template.os.key];
    for password in passwords.into_iter().flatten() {
        secrets.add_password(password.reveal().trim());
    }
    secrets.add_url(&plan.tree);
    for repository in &template.repositories {
        secrets.add_url(repository.url.url());
    }
    for (_, _, content) in template.payloads() {
        match content {
            Payload::Remote(url) => secrets.add_url(url.url()),
            // It is packed in the kickstart that is served.
            Payload::Inline(bytes) => secrets.add_text(&String::from_utf8_lossy(bytes)),
            Payload::Local(_) => {}
        }
    }
    let words = template.os.kernelparam.iter();
    for word in words.flat_map(|text| text.split_whitespace()) {
        secrets.add_text(word);
        if let Some((_, value)) = word.split_once('=')
            && let Ok(url) = Url::parse(value)
        {
            secrets.add_url(&url);
        }
    }
    mask::add_secrets(served, secrets);
}

/// What is added to the kickstart, but for its mark.
fn additions(
    plan: &Plan,
    contents: Option<Contents>,
    repositories: Vec<Repository>,
    server: Option<&Server>,
) -> Additions {
    // Contents go through the server only where the kickstart does, too.
    let server = server.filter(|_| plan.deliver == Deliver::Http);
    match contents {
        Some(contents) => contents.into_additions(&plan.template, repositories, server),
        None => Additions::default(),
    }
}

/// The kernel looks for the next archive at multiples of four bytes and skips zeros in between
/// (Linux `init/initramfs.c`; `Documentation/driver-api/early-userspace/buffer-format.rst`).
const ALIGNMENT: u64 = 4;

/// Writes to `copy` (which must not exist) the initrd with a second archive behind it that holds
/// the kickstart. Only the owner can read it: kickstarts hold passwords.
///
/// The bytes of the initrd are not read by us where the file system can share or copy them
/// itself (`io::copy` between files is `copy_file_range`, which makes reflinks on XFS and btrfs).
///
/// # Errors
/// Anything that goes wrong with the files; nothing is left at `copy` then.
pub fn append_kickstart(initrd: &Path, copy: &Path, kickstart: &[u8]) -> anyhow::Result<()> {
    let mut source =
        File::open(initrd).with_context(|| format!("opening the initrd {}", initrd.display()))?;
    let target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(copy)
        .with_context(|| format!("creating {}", copy.display()))?;
    append(&mut source, target, kickstart)
        .inspect_err(|_| {
            // It is ours, and half an initrd is of no use; the first error is the one to tell.
            let _ = std::fs::remove_file(copy);
        })
        .with_context(|| format!("writing {}", copy.display()))
}

fn append(source: &mut File, mut target: File, kickstart: &[u8]) -> io::Result<()> {
    io::copy(source, &mut target)?;
    let length = target.stream_position()?;
    let mut target = BufWriter::new(target);
    let padding = length.next_multiple_of(ALIGNMENT) - length;
    target.write_all(&vec![0; padding as usize])?;
    // The root directory comes along with its mode, because an archive made elsewhere with
    // another mode would change it for all services of the initrd (lorax: dbus fails then).
    let directory = Builder::new(".")
        .ino(1)
        .nlink(2)
        .mode(0o755)
        .set_mode_file_type(ModeFileType::Directory);
    let target = directory.write(target, 0).finish()?;
    let size = u32::try_from(kickstart.len()).map_err(io::Error::other)?;
    // `inst.ks=file:/ks.cfg`
    let mut file = Builder::new(KICKSTART_NAME)
        .ino(2)
        .mode(0o600)
        .set_mode_file_type(ModeFileType::Regular)
        .write(target, size);
    file.write_all(kickstart)?;
    trailer(file.finish()?)?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::Reader;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_kernel_finds_the_second_archive() {
        for (length, kickstart) in [(0, ""), (1, "a"), (2, "ab"), (3, "abc"), (4096, "text\n")] {
            let folder = tempfile::tempdir().unwrap();
            let (initrd, copy) = (folder.path().join("i"), folder.path().join("c"));
            std::fs::write(&initrd, vec![7; length]).unwrap();
            append_kickstart(&initrd, &copy, kickstart.as_bytes()).unwrap();

            let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let bytes = std::fs::read(&copy).unwrap();
            assert_eq!(bytes[..length], vec![7; length]);
            let start = length.next_multiple_of(4);
            assert!(bytes[length..start].iter().all(|byte| *byte == 0));

            let root = Reader::new(&bytes[start..]).unwrap();
            assert_eq!((root.entry().name(), root.entry().mode()), (".", 0o040_755));
            let mut file = Reader::new(root.finish().unwrap()).unwrap();
            assert_eq!(file.entry().name(), "ks.cfg");
            assert_eq!(file.entry().mode(), 0o100_600);
            let mut content = String::new();
            file.read_to_string(&mut content).unwrap();
            assert_eq!(content, kickstart);
            let end = Reader::new(file.finish().unwrap()).unwrap();
            assert!(end.entry().is_trailer());
        }
    }

    #[test]
    fn nothing_is_overwritten_or_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("c");
        // A directory opens, and cannot be read.
        assert!(append_kickstart(folder.path(), &copy, b"x").is_err());
        assert!(!copy.exists());
        std::fs::write(&copy, "mine").unwrap();
        let initrd = folder.path().join("i");
        std::fs::write(&initrd, "x").unwrap();
        assert!(append_kickstart(&initrd, &copy, b"x").is_err());
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "mine");
    }
}

//! What the guest is handed: the kickstart, what the template adds, the install tree.

use std::cmp::Reverse;
use std::path::PathBuf;

use anyhow::Context;
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
use crate::host::{ServePlace, Tunnel};
use crate::initrd;
use crate::kickstart::additions::{Additions, Repository};
use crate::kickstart::compose;
use crate::kickstart::luks;
use crate::kickstart::mask;
use crate::kickstart::scan;
use crate::kickstart::script;
use crate::machine::Network;
use crate::options::{Deliver, Ports};
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
    /// What leads to our server from another host, if the guest runs there.
    pub tunnel: Option<Tunnel>,
    /// Where the guest finds the kickstart, if it is delivered by HTTP.
    pub kickstart: Option<Url>,
    /// Where the guest finds the install tree, if there is one.
    pub tree: Option<Url>,
    /// The initrd to boot.
    pub initrd: PathBuf,
    /// What the kickstart prints on the console when all is done, if it does.
    pub mark: Option<String>,
    /// The kickstart as it is served. With its secrets.
    pub served: String,
    /// What adds the same to an image that is there, where one is customised.
    pub in_place: Option<String>,
    /// What no log may hold.
    pub secrets: Secrets,
}

impl Handover {
    /// Starts the server, if it takes one, and puts everything in place.
    ///
    /// # Errors
    /// Input: something of the template cannot be put into a kickstart. Host: the server cannot
    /// listen where the guest could reach it.
    pub async fn make(
        plan: &Plan,
        place: &Place,
        prepared: &mut Prepared,
        reporter: &Reporter,
    ) -> anyhow::Result<Handover> {
        let contents = prepared.contents.take();
        let (server, accesses, tunnel) = serve(plan, place, prepared, reporter).await?;
        let relaying = Relaying {
            reaches: &prepared.reaches,
            server: server.as_ref(),
            mirror: &prepared.mirror,
            reporter,
        };
        let tree = plan.tree.as_ref();
        let tree = tree
            .map(|tree| relaying.address(TREE_NAME, tree))
            .transpose()?;
        let (tree, of_tree) = tree.unzip();
        let repositories = repositories(plan, &relaying)?;
        let (mut author, mut replaced) = relaying.kickstart(&plan.answers.text)?;
        replaced.extend(of_tree.unwrap_or_default());
        // One address may begin as another one does.
        replaced.sort_by_key(|one| Reverse(one.address.len()));
        let mut filled = Vec::new();
        let passphrase = plan.luks_passphrase.as_ref();
        if let Some(passphrase) = passphrase.filter(|_| !plan.options.verbatim) {
            (author, filled) = luks::fill(&author, passphrase.reveal());
            if filled.is_empty() {
                reporter.note(
                    "no line of the kickstart has --encrypted without --passphrase: the LUKS passphrase is for opening the disk only",
                );
            }
        }
        let mark = format!("ozr-done-{}", hex::random()?);
        let mut secrets = Secrets::default();
        secrets.add_mark(&mark);
        if let Some(server) = &server {
            secrets.add(server.token());
        }
        let mut additions = additions(plan, contents, repositories, server.as_ref());
        additions.mark.clone_from(&mark);
        additions.replaced = replaced;
        additions.filled = filled;
        let composed = match plan.options.verbatim {
            true => compose::verbatim(&author),
            false => {
                compose::compose(&author, plan.answers.outline(), &additions).kind(Kind::Input)?
            }
        };
        let customizes = plan.customizes();
        let in_place = customizes.then(|| script::in_place(&additions));
        for note in composed.notes.iter().chain(&plan.access.note()) {
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
                let kickstart = scan::encode(&composed.text);
                // `inst.ks=file:/ks.cfg`
                initrd::extend(original, &copy, &[(KICKSTART_NAME, 0o600, &kickstart)])?;
                (None, copy)
            }
        };
        Ok(Handover {
            server,
            accesses,
            tunnel,
            kickstart,
            tree,
            initrd,
            mark: composed.prints_mark.then_some(mark),
            served: composed.text,
            in_place,
            secrets,
        })
    }
}

/// Our server, what it is asked for, and what leads to it from another host.
type Serving = (
    Option<Server>,
    Option<UnboundedReceiver<Access>>,
    Option<Tunnel>,
);

/// Starts our server, if the kickstart or anything else goes through it, and makes sure that the guest gets there.
async fn serve(
    plan: &Plan,
    place: &Place,
    prepared: &Prepared,
    reporter: &Reporter,
) -> anyhow::Result<Serving> {
    if plan.deliver == Deliver::Initrd && !prepared.reaches.need_server() {
        return Ok((None, None, None));
    }
    let (mut server, accesses) = open_server(plan, place, prepared, reporter, false)?;
    let mut tunnel = None;
    if !prepared.host.is_local() && plan.options.serve_address.is_none() {
        let opened = Tunnel::open(place.connection.uri(), server.port()).await?;
        server.reached_at(opened.port);
        reporter.detail(format!(
            "the guest reaches ozr's server by ssh, at port {} of its host's loopback",
            opened.port
        ));
        tunnel = Some(opened);
    }
    Ok((Some(server), Some(accesses), tunnel))
}

/// Starts our server; where it is `open`, everybody whom it answers may know its paths.
///
/// # Errors
/// Host: it cannot listen where the guest could reach it.
pub(super) fn open_server(
    plan: &Plan,
    place: &Place,
    prepared: &Prepared,
    reporter: &Reporter,
    open: bool,
) -> anyhow::Result<(Server, UnboundedReceiver<Access>)> {
    let address = match plan.options.serve_address {
        Some(address) => ServePlace::at(address),
        None => prepared.host.network_address(plan.working_network())?,
    };
    let options = ServeOptions {
        bind: address.bind,
        ports: plan.options.serve_ports.unwrap_or(Ports::ANY),
        guest_host: address.guest_uses.to_string(),
        open,
        // By a tunnel they come from its ssh, which is ours.
        users: (matches!(plan.working_network(), Network::User)
            && plan.options.serve_address.is_none())
        .then(|| prepared.host.users()),
        runtime_dir: place.runtime.path().to_path_buf(),
        access_log: (!open).then(|| place.work.join(evidence::ACCESS_LOG)),
    };
    Server::start(options, reporter.clone()).kind(Kind::Host)
}

/// The template's repositories, with the addresses at which the guest reaches them now.
fn repositories(plan: &Plan, relaying: &Relaying<'_>) -> anyhow::Result<Vec<Repository>> {
    plan.repositories()
        .map(|repository| {
            let (base, _) = relaying.address(&repository.name, repository.url.url())?;
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
    let of_options = [&plan.luks_passphrase, &plan.access.password];
    let passwords = passwords.into_iter().chain(of_options).flatten();
    for password in passwords.chain(&plan.secrets) {
        secrets.add_password(password.reveal().trim());
    }
    plan.sources().for_each(|url| secrets.add_url(url));
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
    let mut additions = match contents {
        Some(contents) => contents.into_additions(&plan.template, repositories, server),
        None => Additions::default(),
    };
    // A built-in kickstart has its password already, but an image may have an older one.
    let hash = plan.access.hash.clone();
    additions.root_password = hash.filter(|_| !plan.answers.builtin || plan.base.is_some());
    let keys = script::root_keys(&plan.access.keys);
    additions.precommands.splice(0..0, keys);
    if plan.options.portable {
        let package = plan.release.portable_package();
        additions.packages.extend(package.map(str::to_owned));
    }
    additions
}

//! The steps of a build, in order.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context;
use tokio::sync::mpsc::UnboundedReceiver;

use super::contents::{Contents, hex};
use super::directories;
use super::evidence;
use super::guest::{self, Boot};
use super::initrd;
use super::manifest::{self, Facts};
use super::plan::Plan;
use super::relay::Relaying;
use super::runtime::RuntimeDir;
use super::supervise::{Senses, Terms, supervise};
use super::workdir::{Lease, WorkDir};
use crate::error::{Classify, Kind, failure};
use crate::host::{self, Connection, Host, HostOptions, Started};
use crate::image::disk;
use crate::image::finalize::{self, Company};
use crate::kickstart::additions::{Additions, Repository};
use crate::kickstart::compose::{self, Composed};
use crate::kickstart::mask;
use crate::machine::Network;
use crate::mirror::{Credentials, Mirror, MirrorOptions, shown};
use crate::options::Deliver;
use crate::secrets::Secrets;
use crate::serve::{Access, Content, KICKSTART_NAME, ServeOptions, Server, TREE_NAME};
use crate::ui::event::{Event, Reporter};
use crate::watch::verdict::{Delivery, Expectations, Outcome};

/// Random bytes of a completion mark and of a build's identity: nobody guesses 128 bits.
const RANDOM_BYTES: usize = 16;

/// A finished build.
#[derive(Debug)]
pub struct Finished {
    /// The image.
    pub image: PathBuf,
}

/// Builds. Dropping the future ends the build: its guest is destroyed, everything unfinished is
/// removed.
///
/// # Errors
/// Whatever ended the build, with its kind; what is unfinished is removed, and what explains a
/// failed install is kept in `NAME.failed/`.
pub async fn run(plan: Plan, reporter: &Reporter) -> anyhow::Result<Finished> {
    let started = SystemTime::now();
    check_outputs(&plan)?;
    std::fs::create_dir_all(&plan.output.dir)
        .with_context(|| {
            format!(
                "creating the output directory {}",
                plan.output.dir.display()
            )
        })
        .kind(Kind::Input)?;
    let (mut work, leftover) =
        WorkDir::take(&plan.output.dir, &plan.output.stem).kind(Kind::Host)?;
    let mut runtime = RuntimeDir::create().kind(Kind::Host)?;

    let connection =
        Connection::choose(plan.request.options.connect.as_deref()).kind(Kind::Input)?;
    let cache_dir = match plan.request.options.cache_dir.clone() {
        Some(dir) => dir,
        None => directories::default_cache_dir().kind(Kind::Host)?,
    };
    let mirror = open_mirror(&plan, cache_dir.clone(), reporter)?;

    // The tree is fetched while libvirt is opened: both take seconds when they are cold.
    reporter.step(format!(
        "getting the installer of {} from {}",
        plan.release,
        shown(&plan.tree)
    ));
    let host_options = HostOptions {
        connection: connection.clone(),
        runtime_dir: runtime.path().to_path_buf(),
        capability_cache: cache_dir.join("qemu-capabilities"),
        libvirt_networks: matches!(plan.guest.network, Network::Libvirt(_)),
    };
    let (host, tree, contents) = tokio::try_join!(
        open_host(host_options),
        async {
            let layout = plan.release.tree_layout(plan.arch);
            mirror.install_tree(&plan.tree, plan.arch, &layout).await
        },
        gather_contents(&plan, &mirror),
    )?;
    clear_leftovers(&plan, &host, leftover, reporter)?;
    let chosen = host::choose(plan.guest.accel, &host.kvm_facts(plan.arch), plan.arch)?;
    if let Some(warning) = &chosen.warning {
        reporter.warn(warning);
    }

    let disk = work.join("disk.qcow2");
    disk::create(&disk, plan.guest.disk_bytes).await?;
    if !connection.runs_as_us() {
        work.let_others_pass()?;
    }
    let mut secrets = Secrets::default();
    let (server, accesses) = open_server(&plan, &host, &mirror, &work, &runtime, reporter)?;
    let relaying = Relaying {
        relay: plan.relay,
        server: server.as_ref(),
        mirror: &mirror,
    };
    let tree_for_guest = relaying.address(TREE_NAME, &plan.tree, reporter)?;
    let repositories = repositories(&plan, &relaying, reporter)?;
    let mark = format!("ozr-done-{}", random()?);
    secrets.add(&mark);
    if let Some(server) = &server {
        secrets.add(server.token());
    }
    let kickstart = compose(&plan, contents, repositories, server.as_ref(), &mark)?;
    for note in &kickstart.notes {
        reporter.note(note);
    }
    let kept_kickstart = work.join(evidence::KICKSTART);
    let masked = mask::mask(&kickstart.text, &secrets.reveal());
    evidence::write_private(&kept_kickstart, &masked)?;

    let kickstart_url = match (plan.deliver, &server) {
        (Deliver::Http, Some(server)) => {
            let content = Content::Bytes(kickstart.text.as_bytes().into());
            Some(server.add(KICKSTART_NAME, content, "text/plain"))
        }
        _ => None,
    };
    let initrd = match plan.deliver {
        Deliver::Http => tree.initrd.path.clone(),
        Deliver::Initrd => {
            let copy = work.join("initrd.img");
            initrd::append_kickstart(&tree.initrd.path, &copy, kickstart.text.as_bytes())?;
            copy
        }
    };
    let boot = Boot {
        kernel: &tree.kernel.path,
        initrd: &initrd,
        kickstart: kickstart_url.as_ref(),
        tree: &tree_for_guest,
    };
    let build_id = random()?;
    let console_raw = work.join("serial.log");
    let spec = guest::domain(
        &plan,
        chosen.accel,
        &boot,
        disk.clone(),
        console_raw,
        &build_id,
    )?;
    let lease = Lease {
        pid: std::process::id(),
        uri: host.uri(),
        domain: spec.name.clone(),
        runtime_dir: runtime.path().to_path_buf(),
    };
    work.note(&lease).kind(Kind::Host)?;

    reporter.step(format!(
        "starting the guest: {} CPUs, {} MiB, {}, {}",
        spec.vcpus,
        spec.memory_mib,
        spec.accel,
        spec.firmware.name()
    ));
    let keep = plan.request.options.keep;
    let Started {
        guest,
        console,
        log_port,
    } = tokio::task::block_in_place(|| host.start(&spec, keep))?;
    if let Ok(xml) = guest.live_xml() {
        evidence::write_private(&work.join(evidence::DOMAIN), &secrets.hide(&xml))?;
    }
    guest.resume().kind(Kind::Host)?;

    let terms = Terms {
        expectations: Expectations {
            mark: kickstart.prints_mark,
            delivery: match plan.deliver {
                Deliver::Http => Delivery::Http,
                Deliver::Initrd => Delivery::Initrd,
            },
        },
        mark: kickstart.prints_mark.then_some(mark),
        timeout: plan.timeout,
        secrets: secrets.clone(),
    };
    let senses = Senses {
        console,
        log_port,
        accesses,
    };
    let console_log = work.join(evidence::CONSOLE_LOG);
    let supervised = supervise(&guest, senses, terms, &console_log, reporter).await?;
    let notes = match &supervised.decision.outcome {
        Outcome::Success { notes } => notes,
        Outcome::Failure(failed) => {
            if keep && supervised.decision.stop_guest {
                guest.leave();
                work.keep();
                runtime.keep();
                reporter.note(format!(
                    "the guest `{}` was left running on {}, its files in {}",
                    spec.name,
                    host.uri(),
                    work.path().display()
                ));
            } else if supervised.decision.stop_guest {
                tokio::task::block_in_place(|| guest.destroy())?;
            }
            for line in &failed.evidence {
                reporter.event(Event::Evidence(line.clone()));
            }
            let sentence = secrets.hide(&failed.sentence);
            let kept = evidence::keep(&work, &plan.output, &sentence)?;
            return Err(failure(
                Kind::Build,
                format!("{sentence} (what explains it is in {})", kept.display()),
            ));
        }
    };
    for note in notes {
        reporter.note(note);
    }
    // QEMU has closed the disk when the guest is finished; nobody asks our server any more.
    guest.finished().await;
    drop(guest);
    drop(server);

    reporter.step("finishing the image");
    let image = finalize::finish(work.path(), &disk, plan.format, plan.compress).await?;
    let versions = host.versions()?;
    let manifest = manifest::describe(&Facts {
        plan: &plan,
        spec: &spec,
        tree: &tree,
        image: &image,
        supervised: &supervised,
        hypervisor: format!("QEMU {} by libvirt {}", versions.qemu, versions.libvirt),
        notes,
        started,
    })?;
    let company = Company {
        manifest: &manifest,
        domain_xml: &host::bootable_xml(&guest::finished_domain(&plan, &spec)),
        console_log: &console_log,
        kickstart: &kept_kickstart,
    };
    image.publish(&plan.output, &company, plan.request.options.force)?;
    // An older failure of the same name is no news any more.
    evidence::remove(&plan.output)?;
    Ok(Finished {
        image: plan.output.image.clone(),
    })
}

/// Refuses to replace what is there, before anything is spent on the build.
fn check_outputs(plan: &Plan) -> anyhow::Result<()> {
    if plan.request.options.force {
        return Ok(());
    }
    let existing = plan.output.all().into_iter().find(|path| path.exists());
    existing.map_or(Ok(()), |path| {
        Err(failure(
            Kind::Input,
            format!(
                "{} exists already: use --force to replace it, or another --name or --output-dir",
                path.display()
            ),
        ))
    })
}

fn open_mirror(plan: &Plan, cache_dir: PathBuf, reporter: &Reporter) -> anyhow::Result<Mirror> {
    let options = &plan.request.options;
    let mirror_options = MirrorOptions {
        credentials: Credentials {
            cacert: options.cacert.clone(),
            client_cert: options.client_cert.clone(),
            client_key: options.client_key.clone(),
        },
        refetch: options.refetch,
        ..MirrorOptions::new(cache_dir)
    };
    Mirror::new(mirror_options, reporter.clone())
}

/// Opens libvirt on a thread of its own: with a cold cache it asks QEMU for seconds.
async fn open_host(options: HostOptions) -> anyhow::Result<Host> {
    tokio::task::spawn_blocking(move || Host::open(&options))
        .await
        .context("opening libvirt")?
        .kind(Kind::Host)
}

async fn gather_contents(plan: &Plan, mirror: &Mirror) -> anyhow::Result<Option<Contents>> {
    if !plan.customize || plan.request.options.verbatim {
        return Ok(None);
    }
    let request = &plan.request;
    Contents::gather(&request.template, &request.template_dir, mirror)
        .await
        .map(Some)
}

/// Removes what a killed build of this name left, and with `--cleanup` a guest of this name.
fn clear_leftovers(
    plan: &Plan,
    host: &Host,
    leftover: Option<Lease>,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    if let Some(lease) = leftover {
        reporter.note(format!(
            "removing what process {} left of an earlier build of `{}`",
            lease.pid, plan.name
        ));
        host::remove_abandoned(&lease.runtime_dir)?;
        // A daemon has ended the guest with the process that made it; only what it was told to
        // keep is left, and that is found below.
        if lease.uri == host.uri() && host.find(&lease.domain)?.is_some() {
            host.remove_leftover(&lease.domain)?;
        }
    }
    let name = host::domain_name(&plan.name);
    let Some(existing) = host.find(&name)? else {
        return Ok(());
    };
    if plan.request.options.cleanup {
        reporter.note(format!("removing the leftover guest `{name}`"));
        return host.remove_leftover(&name);
    }
    let state = if existing.active { "runs" } else { "exists" };
    Err(failure(
        Kind::Host,
        format!(
            "a guest `{name}` {state} already on {}: use -p to remove it, or another --name",
            host.uri()
        ),
    ))
}

/// Starts our server, if the kickstart or anything else goes through it.
fn open_server(
    plan: &Plan,
    host: &Host,
    mirror: &Mirror,
    work: &WorkDir,
    runtime: &RuntimeDir,
    reporter: &Reporter,
) -> anyhow::Result<(Option<Server>, Option<UnboundedReceiver<Access>>)> {
    let relays = std::iter::once(&plan.tree)
        .chain(plan.repositories().map(|repository| repository.url.url()))
        .any(|url| Relaying::wants_server(plan.relay, mirror, url));
    if plan.deliver == Deliver::Initrd && !relays {
        return Ok((None, None));
    }
    let place = host.network_address(&plan.guest.network)?;
    let options = ServeOptions {
        bind: place.bind,
        guest_host: place.guest_uses.to_string(),
        runtime_dir: runtime.path().to_path_buf(),
        access_log: Some(work.join(evidence::ACCESS_LOG)),
    };
    let (server, accesses) = Server::start(options, reporter.clone()).kind(Kind::Host)?;
    Ok((Some(server), Some(accesses)))
}

/// The template's repositories, with the addresses at which the guest reaches them now.
fn repositories(
    plan: &Plan,
    relaying: &Relaying<'_>,
    reporter: &Reporter,
) -> anyhow::Result<Vec<Repository>> {
    plan.repositories()
        .map(|repository| {
            let base = relaying.address(&repository.name, repository.url.url(), reporter)?;
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

fn compose(
    plan: &Plan,
    contents: Option<Contents>,
    repositories: Vec<Repository>,
    server: Option<&Server>,
    mark: &str,
) -> anyhow::Result<Composed> {
    let kickstart = &plan.request.kickstart;
    if plan.request.options.verbatim {
        return Ok(compose::verbatim(&kickstart.text));
    }
    // Contents go through the server only where the kickstart does, too.
    let server = server.filter(|_| plan.deliver == Deliver::Http);
    let additions = match contents {
        Some(contents) => contents.into_additions(
            &plan.request.template,
            repositories,
            server,
            mark.to_string(),
        ),
        None => Additions {
            mark: mark.to_string(),
            ..Additions::default()
        },
    };
    compose::compose(&kickstart.text, &kickstart.outline, &additions).kind(Kind::Input)
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).context("reading random bytes")?;
    Ok(hex(&bytes))
}

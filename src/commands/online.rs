//! `ozr check --online`: what the network says of addresses and names.

use std::path::Path;

use anyhow::Context;
use tokio::runtime::Runtime;
use url::Url;

use crate::check::includes;
use crate::check::online::{self, GuestView, Limits, Means, Subject, TemplateText};
use crate::diagnostic::Diagnostic;
use crate::error::{Classify, Kind};
use crate::host;
use crate::install::plan::template_dir;
use crate::machine::Network;
use crate::mirror::{Mirror, MirrorOptions};
use crate::options::InstallOptions;
use crate::state::directories;
use crate::tdl::{Install, SourceUrl};
use crate::ui::event::Reporter;

/// The network, as the configuration lets it be reached.
#[derive(Debug)]
pub struct Online {
    /// What waits for answers; none where nobody is asked.
    runtime: Option<Runtime>,
    mirror: MirrorOptions,
    guest: GuestView,
    reporter: Reporter,
}

impl Online {
    /// Starts the threads. `options` say how mirrors are reached.
    ///
    /// # Errors
    /// Host: there are no threads to be had, or nowhere to keep a cache.
    pub fn new(options: &InstallOptions, reporter: &Reporter) -> anyhow::Result<Online> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("starting threads")
            .kind(Kind::Host)?;
        let cache = directories::cache_dir(options.cache_dir.as_deref()).kind(Kind::Host)?;
        Ok(Online {
            runtime: Some(runtime),
            mirror: MirrorOptions {
                refetch: false,
                ..MirrorOptions::of(options, cache)
            },
            guest: GuestView {
                network: (options.first_network() == Network::User).then(host::user_network),
                relay: options.relay.unwrap_or_default(),
                verbatim: options.verbatim,
            },
            reporter: reporter.clone(),
        })
    }

    /// One that asks nobody and finds nothing wrong (`ozr install --offline`).
    ///
    /// # Errors
    /// As [`Online::new`].
    pub fn asking_nobody(options: &InstallOptions, reporter: &Reporter) -> anyhow::Result<Online> {
        let mut online = Online::new(options, reporter)?;
        online.runtime = None;
        Ok(online)
    }

    /// Fetches a text that a kickstart includes; nothing where it cannot be had.
    pub fn text(&self, address: &str) -> Option<String> {
        let url = Url::parse(address).ok()?;
        // A file of this host is not to be shown because somebody wrote its name.
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let url = online::seen_from_here(&url, self.guest.network);
        let mirror = Mirror::new(self.mirror.clone(), self.reporter.clone()).ok()?;
        let limit = Limits::default().answer;
        let fetched = self.runtime.as_ref()?.block_on(async {
            tokio::time::timeout(limit, mirror.fetch_bytes(&url, includes::MAX_BYTES)).await
        });
        String::from_utf8(fetched.ok()?.ok()?).ok()
    }

    /// Tries every address and looks up every name.
    ///
    /// # Errors
    /// As [`online::check`].
    pub fn check(&self, subject: &Subject<'_>) -> anyhow::Result<Vec<Diagnostic>> {
        let Some(runtime) = &self.runtime else {
            return Ok(Vec::new());
        };
        let mirror = match &subject.template {
            Some(TemplateText { template, source }) => {
                let tree = match &template.os.install {
                    Install::Url(url) => Some(url.url()),
                    Install::Iso(_) => template.os.install.addresses().next().map(SourceUrl::url),
                };
                let directory = template_dir(Path::new(source.name)).kind(Kind::Input)?;
                MirrorOptions {
                    tree_addresses: template.os.tree_addresses(),
                    ..self.mirror.clone().with_template(tree, &directory)
                }
            }
            None => self.mirror.clone(),
        };
        let means = Means {
            guest: Some(GuestView {
                // Of a kickstart alone it is not known what it is installed in.
                network: self.guest.network.filter(|_| subject.template.is_some()),
                ..self.guest
            }),
            mirror: &mirror,
            limits: Limits::default(),
            reporter: &self.reporter,
        };
        runtime.block_on(online::check(subject, &means))
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        // A name that is still being resolved is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

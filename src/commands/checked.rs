//! What a check is about: the files, and for which release each of them is read.

use std::path::{Path, PathBuf};

use url::Url;

use super::input;
use super::online::Online;
use super::template::{self, ReadTemplate};
use super::walk::Found;
use crate::check;
use crate::check::Setting;
use crate::check::includes::Files;
use crate::check::lints::scripts;
use crate::check::online::Subject;
use crate::check::report::Checked;
use crate::check::rules;
use crate::check::subject::{self, VersionLine};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::distro::Release;
use crate::error::{Classify, Kind};
use crate::input::{NotOpened, Roots};
use crate::install::isos;
use crate::install::plan::{self, template_dir};
use crate::kickstart::outline::Outline;
use crate::kickstart::scan;
use crate::language::{Reading, Version};
use crate::mirror::{Disc, Fault, MirrorOptions};
use crate::options::variables::{self, Writing};
use crate::options::{InstallOptions, ReleaseName, Values};
use crate::tdl::{self, Payload, SourceUrl, Template};

/// A file that is to be checked.
#[derive(Debug)]
pub enum Input {
    /// A template.
    Template {
        /// It was found in a folder, not named.
        walked: bool,
        /// The template.
        read: Box<ReadTemplate>,
    },
    /// A template that is wrong, and what is wrong with it.
    BadTemplate {
        /// The name that messages use.
        name: String,
        /// At least one error.
        findings: Vec<Diagnostic>,
    },
    /// A kickstart.
    Kickstart {
        /// The file, or `-`.
        path: PathBuf,
        /// All of it.
        text: String,
        /// Whether variables were filled in.
        filled: bool,
    },
    /// A file that is no text, or cannot be read at all.
    Unreadable(Diagnostic),
}

impl Input {
    /// Whether it is a kickstart from standard input.
    pub fn is_stdin(&self) -> bool {
        matches!(self, Input::Kickstart { path, .. } if input::is_stdin(path))
    }
}

/// Reads a file, tells by its content what it is, and fills its variables.
///
/// # Errors
/// Input: the secret of a variable cannot be had.
pub fn open(found: &Found, values: &Values) -> anyhow::Result<Input> {
    let Found { path, walked } = found;
    let (name, walked) = (input::display_name(path), *walked);
    let bytes = match input::read(path, "file") {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("{error:#}");
            let finding = Diagnostic::of_file(Severity::Error, &name, message);
            return Ok(Input::Unreadable(finding));
        }
    };
    if subject::is_template(&bytes) {
        return Ok(match template::parse(&bytes, &name, values)? {
            Ok(read) => Input::Template {
                walked,
                read: Box::new(read),
            },
            Err(findings) => Input::BadTemplate { name, findings },
        });
    }
    let written = scan::decode(bytes);
    let source = Source {
        name: &name,
        text: &written,
    };
    let filled = values.fill(source, Writing::Plain);
    Ok(match filled.map_err(variables::refusal) {
        Ok(text) => Input::Kickstart {
            path: path.clone(),
            filled: text != written,
            text,
        },
        Err(Ok(finding)) => Input::Unreadable(finding),
        Err(Err(error)) => return Err(error),
    })
}

/// The template that was named, if it is one: kickstarts beside it are read for its release.
pub fn only_template(inputs: &[Input]) -> Option<&ReadTemplate> {
    let mut named = inputs.iter().filter_map(|input| match input {
        Input::Template {
            walked: false,
            read,
        } => Some(read.as_ref()),
        _ => None,
    });
    named.next().filter(|_| named.next().is_none())
}

/// How inputs are read.
#[derive(Debug)]
pub struct Reader<'a> {
    /// `--release`, which stands above all.
    pub named_release: Option<ReleaseName>,
    /// A template that kickstarts are to be installed with.
    pub template: Option<&'a ReadTemplate>,
    /// A template is wrong, so that nothing says what kickstarts are for.
    pub template_is_wrong: bool,
    /// The first of the kickstarts.
    pub first_kickstart: Option<&'a Path>,
    /// The configuration's options of an install.
    pub install: &'a InstallOptions,
    /// Rules whose findings are not wanted.
    pub allow: &'a [String],
    /// The network, if it is to be asked.
    pub online: Option<Online>,
    /// What was filled into the texts.
    pub values: &'a Values,
}

impl Reader<'_> {
    /// Checks one input.
    ///
    /// # Errors
    /// Those of [`Online::check`].
    pub fn check(&self, input: &Input) -> anyhow::Result<Checked> {
        let mut checked = match input {
            Input::Unreadable(finding) => Checked::of(&finding.file, vec![finding.clone()]),
            Input::BadTemplate { name, findings } => Checked::of(name, findings.clone()),
            Input::Template { read, .. } => self.template(read)?,
            Input::Kickstart { path, text, .. } => self.kickstart(path, text)?,
        };
        if let Input::Kickstart { text, .. } = input {
            let findings = &mut checked.findings;
            self.values.hide(findings, &checked.name, text);
        }
        if let Some(read) = self.template {
            let findings = &mut checked.findings;
            self.values.hide(findings, &read.name, &read.text);
        }
        Ok(checked)
    }

    fn template(&self, read: &ReadTemplate) -> anyhow::Result<Checked> {
        let template = &read.template;
        let mut findings = template.warnings.clone();
        findings.extend(self.outside(read)?);
        match template.release() {
            Err(wrong) => findings.extend(wrong.iter().cloned()),
            Ok(release) => {
                if let Some(version) = Version::of(*release) {
                    let found = scripts::of_template(template, &read.name, version);
                    findings.extend(rules::without(found, self.allow));
                }
                // A kickstart beside it may name more repositories: both are asked about then.
                let beside = self.first_kickstart.is_some()
                    && self.template.is_some_and(|only| only.name == read.name);
                if !beside {
                    findings.extend(self.template_online(read)?);
                }
            }
        }
        Ok(Checked::of(&read.name, findings))
    }

    /// The files of this host that an install will not read, because the template may not name
    /// them. Those of addresses are left to a check that asks for the addresses.
    fn outside(&self, read: &ReadTemplate) -> anyhow::Result<Vec<Diagnostic>> {
        let template = &read.template;
        let directory = template_dir(Path::new(&read.name)).kind(Kind::Input)?;
        let options = MirrorOptions::of(self.install, PathBuf::new());
        let roots = Roots::new(options.with_template(None, &directory).file_roots);
        let mut named: Vec<(String, PathBuf)> = Vec::new();
        let path_of = |url: &SourceUrl| {
            let asked = self.online.is_some() || url.url().scheme() != "file";
            url.url().to_file_path().ok().filter(|_| !asked)
        };
        let what = match &template.os.install {
            tdl::Install::Url(_) => "the install tree",
            tdl::Install::Iso(iso) => {
                if let tdl::IsoAddress::Path(path) = &iso.address {
                    named.push(("the ISO image".to_owned(), directory.join(path)));
                }
                "the ISO image"
            }
        };
        for url in template.os.install.addresses() {
            named.extend(path_of(url).map(|path| (what.to_owned(), path)));
        }
        for repository in &template.repositories {
            let what = format!("the repository `{}`", repository.name);
            named.extend(path_of(&repository.url).map(|path| (what, path)));
        }
        for (kind, name, payload) in template.payloads() {
            let what = format!("the content of {kind} `{name}`");
            match payload {
                Payload::Remote(url) => named.extend(path_of(url).map(|path| (what, path))),
                Payload::Local(path) => named.push((what, directory.join(path))),
                Payload::Inline(_) => {}
            }
        }
        let outside =
            |(_, path): &(String, PathBuf)| matches!(roots.find(path), Err(NotOpened::Outside));
        let finding = |(what, path)| {
            let message = format!("{what}: {}", Fault::Outside { path });
            Diagnostic::of_file(Severity::Error, &read.name, message)
        };
        let mut findings: Vec<Diagnostic> =
            named.into_iter().filter(outside).map(finding).collect();
        if let tdl::Install::Iso(iso) = &template.os.install
            && let tdl::IsoAddress::Path(path) = &iso.address
            && self.online.is_some()
        {
            let path = directory.join(path);
            let wrong = match roots.open(&path) {
                Err(NotOpened::Outside) => None,
                Err(NotOpened::Io(error)) => Some(format!("cannot be read: {error}")),
                Ok((file, _)) => Disc::of_file(file).err().map(|error| format!("{error:#}")),
            };
            findings.extend(wrong.map(|wrong| {
                let message = format!("{} {wrong}", path.display());
                Diagnostic::of_file(Severity::Error, &read.name, message)
            }));
        }
        Ok(findings)
    }

    /// What the network says of a template by itself.
    fn template_online(&self, read: &ReadTemplate) -> anyhow::Result<Vec<Diagnostic>> {
        let (Some(online), Ok(release)) = (&self.online, read.template.release()) else {
            return Ok(Vec::new());
        };
        online.check(&Subject {
            reading: None,
            template: Some(read.as_text()),
            release: Some(*release),
            arch: Some(read.template.os.arch),
            disc: disc(read).as_ref(),
        })
    }

    /// A kickstart that cannot be read; the template that it is checked with is asked about alone.
    fn unread(
        &self,
        path: &Path,
        name: &str,
        mut findings: Vec<Diagnostic>,
    ) -> anyhow::Result<Checked> {
        if let Some(read) = self.template.filter(|_| self.first_kickstart == Some(path)) {
            findings.extend(self.template_online(read)?);
        }
        Ok(Checked::of(name, findings))
    }

    /// Checks a kickstart.
    ///
    /// # Errors
    /// Those of [`Online::check`].
    pub fn kickstart(&self, path: &Path, text: &str) -> anyhow::Result<Checked> {
        let name = input::display_name(path);
        if let Some(finding) = subject::unrendered(text, &name) {
            return self.unread(path, &name, vec![finding]);
        }
        let version = match self.version(path, &name, text) {
            Ok(version) => version,
            // The template that was to say it has errors of its own.
            Err(_) if self.template_is_wrong => return self.unread(path, &name, Vec::new()),
            Err(finding) => return self.unread(path, &name, vec![*finding]),
        };
        let fetch = |url: &str| self.online.as_ref()?.text(url);
        let files = Files::near(path, Some(&fetch));
        let reading = Reading::new(text, &name, version, &files);
        let setting = self.setting(&reading)?;
        let mut more = match &self.online {
            None => Vec::new(),
            Some(online) => online.check(&Subject {
                reading: Some(&reading),
                template: self.template.map(ReadTemplate::as_text),
                release: setting.release,
                arch: setting.arch,
                disc: self.template.and_then(disc).as_ref(),
            })?,
        };
        // With more kickstarts what is wrong with the template is said once.
        if self.first_kickstart != Some(path) {
            more.retain(|finding| self.template.is_none_or(|read| read.name != finding.file));
        }
        Ok(check::kickstart(reading, &setting, more, self.allow))
    }

    /// What is known of what is around a kickstart: with a template what `ozr install` would do,
    /// else nothing but the release.
    fn setting(&self, reading: &Reading) -> anyhow::Result<Setting> {
        let named = self.named_release.as_ref();
        let alone = Setting {
            release: named.and_then(|named| named.release),
            ..Setting::alone(reading.version)
        };
        let Some(read) = self.template.filter(|_| named.is_none()) else {
            return Ok(alone);
        };
        let outline = &reading.texts[0].outline;
        Ok(setting(&read.template, outline, self.install)?.unwrap_or(alone))
    }

    /// The version whose installer reads the kickstart: `--release`, or that of the template that
    /// it is checked with, or the configuration's for such files, or what the file says itself, or
    /// the configuration's for all.
    fn version(&self, path: &Path, name: &str, text: &str) -> Result<Version, Box<Diagnostic>> {
        // Also where the release does not exist for the template's architecture.
        let of_template = self.template.and_then(|read| {
            let os = &read.template.os;
            let known = read.template.release().ok().copied();
            known.or_else(|| Release::from_names(&os.name, &os.version).ok())
        });
        if let Some(named) = &self.named_release {
            return Ok(named.version);
        }
        if let Some(version) = of_template.and_then(Version::of) {
            return Ok(version);
        }
        if let Some(named) = self.install.check.release_of(path) {
            return Ok(named.version);
        }
        let default = self.install.check.release.as_ref();
        let default = default.map(|named| named.version);
        let help = "say it with --release RHEL9 (or Rocky-9, Fedora-43, ...), in a first line \
                    `#version=RHEL9`, or as `release` in [check] of the configuration file";
        match (subject::version_line(text), default) {
            (Some(VersionLine::Known(version)), _) | (_, Some(version)) => Ok(version),
            (Some(VersionLine::Unknown(span)), None) => {
                let message = format!("`{}` is no release that ozr knows", &text[span.clone()]);
                let finding = Diagnostic::error(Source { name, text }, span, message);
                Err(Box::new(finding.help(help)))
            }
            (None, None) => {
                let message = "nothing says which release's installer reads this kickstart";
                let finding = Diagnostic::of_file(Severity::Error, name, message);
                Err(Box::new(finding.help(help)))
            }
        }
    }
}

/// The address of the ISO image that a template installs from, if it does.
fn disc(read: &ReadTemplate) -> Option<Url> {
    let directory = plan::template_dir(Path::new(&read.name)).ok()?;
    let sources = isos::sources(&read.template, &InstallOptions::default(), &directory);
    Some(sources.ok()?.into_iter().next()?.url)
}

/// The setting of an install of this template, with a kickstart of this content and these options;
/// none where the template's release is not known, or its kickstart language is not.
///
/// # Errors
/// Input: the size of the disk is none.
pub fn setting(
    template: &Template,
    outline: &Outline,
    options: &InstallOptions,
) -> anyhow::Result<Option<Setting>> {
    let Ok(release) = template.release() else {
        return Ok(None);
    };
    let kernelparam = template.os.kernelparam.as_deref();
    let Some(booted) = Setting::of_boot(*release, outline, kernelparam) else {
        return Ok(None);
    };
    let arch = template.os.arch;
    let disks = plan::disks(options, template)?;
    Ok(Some(Setting {
        arch: Some(arch),
        firmware: Some(plan::firmware(options, *release, arch)),
        disk_bus: Some(options.disk_bus.unwrap_or_default()),
        nics: options.network.len().max(1),
        disks: disks.len(),
        disk_bytes: Some(disks.iter().sum()),
        new_guest: true,
        disc: match template.os.install {
            tdl::Install::Url(_) if options.iso.is_empty() => check::Disc::None,
            _ => check::Disc::Some,
        },
        portable: options.portable,
        deliver: Some(plan::deliver(options)),
        adds_passphrase: options.luks_passphrase.is_some() && !options.verbatim,
        adds_root_password: options.root_password.is_some() && !options.verbatim,
        adds_root_keys: !options.ssh_key.is_empty() && !options.verbatim,
        is_sealed: plan::seals(options, *release, &["machine-id", "ssh-host-keys"]),
        adds_ending: !options.verbatim,
        ..booted
    }))
}

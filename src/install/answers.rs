//! What the installer is told by a file: the author's kickstart, and the questions that a build has about it. Whoever only
//! builds asks these; who knows the language, asks for its outline.

use crate::diagnostic::Diagnostic;
use crate::distro::CDROM;
use crate::hex;
use crate::install::documents::file_name;
use crate::kickstart::luks;
use crate::kickstart::outline::Outline;
use crate::kickstart::scan;
use crate::secrets::Secret;

/// The author's answers to the installer: a kickstart.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The text.
    pub text: String,
    /// The file's name, or that of the built-in one; of several that were joined, all names.
    pub name: String,
    /// The files that they were joined from, if they are several.
    pub parts: Vec<Part>,
    /// Whether they are ours.
    pub builtin: bool,
    /// The digest of the bytes; of built-in ones that of what is the same in every build.
    pub sha256: String,
    outline: Outline,
}

impl Answers {
    /// The author's, as they were read.
    pub fn of(joined: Joined) -> Answers {
        Answers {
            outline: scan::scan_all(&joined.text, &joined.name).0,
            sha256: hex::sha256(&joined.written),
            text: joined.text,
            name: joined.name,
            parts: joined.parts,
            builtin: false,
        }
    }

    /// Some of our own.
    pub fn ours(text: String, name: &str) -> Answers {
        Answers {
            outline: scan::scan_all(&text, name).0,
            sha256: hex::sha256(&text),
            text,
            name: name.to_owned(),
            parts: Vec::new(),
            builtin: true,
        }
    }

    /// What is in them, for those who know the language.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Whether they say where packages come from.
    pub fn name_source(&self) -> bool {
        self.outline.source().is_some()
    }

    /// Whether they say that packages come from a disc.
    pub fn name_disc(&self) -> bool {
        let source = self.outline.source();
        source.is_some_and(|(_, line)| line.name() == CDROM)
    }

    /// Whether they may say more than is seen here: they include other files.
    pub fn include_more(&self) -> bool {
        self.outline.includes().next().is_some()
    }

    /// Whether they ask for a disk with drivers.
    pub fn need_driver_disk(&self) -> bool {
        self.outline.last("driverdisk").is_some()
    }

    /// Whether they may give the system a host name.
    pub fn may_name_host(&self) -> bool {
        self.text.contains("hostname")
    }

    /// Whether they name a package, as far as a look shows.
    pub fn mention(&self, package: &str) -> bool {
        self.text.contains(package)
    }

    /// The passphrases of what they encrypt.
    pub fn passphrases(&self) -> impl Iterator<Item = Secret> {
        luks::passphrases(&self.outline)
            .into_iter()
            .map(Secret::new)
    }

    /// Puts a finding about them into the file that it stands in.
    pub fn place(&self, finding: &mut Diagnostic) {
        place(&self.name, &self.parts, finding);
    }

    /// The names of the files, without their directories.
    pub fn file_names(&self) -> String {
        let names = self.parts.iter().map(|part| file_name(&part.name));
        match self.parts.len() {
            0 => file_name(&self.name),
            _ => names.collect::<Vec<_>>().join(" + "),
        }
    }
}

/// A file of joined answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The number of its first line in the whole, from 1.
    pub first: usize,
}

/// Files that are read one after the other.
#[derive(Debug, Default)]
pub struct Joined {
    /// The names.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// The files, if they are several.
    pub parts: Vec<Part>,
    /// Their bytes, as they were written.
    pub written: Vec<u8>,
}

impl Joined {
    /// Adds a file.
    pub fn add(&mut self, name: String, text: &str) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        if !self.name.is_empty() {
            self.name.push_str(" + ");
        }
        self.name.push_str(&name);
        let first = self.text.matches('\n').count() + 1;
        self.parts.push(Part { name, first });
        self.text.push_str(text);
    }

    /// Puts a finding about the whole into the file that it was joined from.
    pub fn place(&self, finding: &mut Diagnostic) {
        place(&self.name, &self.parts, finding);
    }

    /// The same where the whole goes by the name of its first file.
    pub fn place_from(&self, first: &str, finding: &mut Diagnostic) {
        place(first, &self.parts, finding);
    }
}

fn place(whole: &str, parts: &[Part], finding: &mut Diagnostic) {
    if finding.file != whole || finding.is_about_whole_file() {
        return;
    }
    let part = parts.iter().rfind(|part| part.first <= finding.line);
    if let Some(part) = part {
        finding.file.clone_from(&part.name);
        finding.line -= part.first - 1;
        finding.end_line = (finding.end_line + 1).saturating_sub(part.first);
    }
}

//! The modules of a repository (`modules.yaml`, EL 8 and 9): which of them have to do with packages of these names.
//!
//! A module hides packages of its names that are not its own, so one that comes or changes may change what is
//! installed. Which stream is taken is libdnf's business; here a module's documents are told from each other by
//! their lines, without being understood.

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

use sha2::{Digest, Sha256};

use crate::hex;

/// Longest line that is taken, in bytes.
const MAX_LINE: usize = 64 << 10;

/// Most bytes that are read; those of EL 8 have 4 MB.
pub const MAX_BYTES: usize = 128 << 20;

/// The SHA-256 of all documents of each module that has a package in `names`, or that is in `always`.
///
/// # Errors
/// Why the list cannot be used.
pub fn parse(
    input: impl BufRead,
    names: &dyn Fn(&str) -> bool,
    always: &[&str],
) -> Result<BTreeMap<String, String>, String> {
    let mut documents: BTreeMap<String, Vec<[u8; 32]>> = BTreeMap::new();
    let mut relevant: HashSet<String> = always.iter().map(|name| (*name).to_owned()).collect();
    let mut document = Document::default();
    let mut read = 0;
    for line in input.split(b'\n') {
        let line = line.map_err(|error| error.to_string())?;
        read += line.len();
        if line.len() > MAX_LINE || read > MAX_BYTES {
            return Err("it is longer than any list of modules".to_owned());
        }
        let line = String::from_utf8_lossy(&line);
        match line.trim_end() {
            "---" | "..." => document.end(&mut documents, &mut relevant),
            line => document.line(line, names),
        }
    }
    document.end(&mut documents, &mut relevant);
    let of_module = |(name, mut digests): (String, Vec<[u8; 32]>)| {
        digests.sort_unstable();
        (name, hex::sha256(digests.concat()))
    };
    let documents = documents.into_iter();
    Ok(documents
        .filter(|(name, _)| relevant.contains(name))
        .map(of_module)
        .collect())
}

#[derive(Default)]
struct Document {
    module: Option<String>,
    relevant: bool,
    digest: Sha256,
}

impl Document {
    fn line(&mut self, line: &str, names: &dyn Fn(&str) -> bool) {
        self.digest.update(line);
        self.digest.update("\n");
        // Below `data:`, of all kinds of documents: modulemd, modulemd-defaults, modulemd-obsoletes.
        let value = line
            .strip_prefix("  name: ")
            .or(line.strip_prefix("  module: "));
        if let Some(value) = value {
            self.module
                .get_or_insert_with(|| value.trim_matches(['"', '\'', ' ']).to_owned());
        }
        let artifact = line.trim_start().strip_prefix("- ");
        self.relevant |= artifact.and_then(name_of).is_some_and(names);
    }

    fn end(
        &mut self,
        documents: &mut BTreeMap<String, Vec<[u8; 32]>>,
        relevant: &mut HashSet<String>,
    ) {
        let done = std::mem::take(self);
        if let Some(module) = done.module {
            if done.relevant {
                relevant.insert(module.clone());
            }
            let digests = documents.entry(module).or_default();
            digests.push(done.digest.finalize().into());
        }
    }
}

/// The name in `name-epoch:version-release.arch`.
fn name_of(artifact: &str) -> Option<&str> {
    let (rest, _release) = artifact.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    version
        .contains(':')
        .then(|| name.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "---\ndocument: modulemd\ndata:\n  name: perl\n  stream: \"5.30\"\n  artifacts:\n    rpms:\n    \
        - perl-libs-4:5.30.1-452.x86_64\n...\n---\ndocument: modulemd-defaults\ndata:\n  module: perl\n  stream: x\n...\n\
        ---\ndocument: modulemd\ndata:\n  name: nodejs\n  artifacts:\n    rpms:\n    - nodejs-1:18.1-1.x86_64\n...\n";

    fn of(text: &str, always: &[&str]) -> BTreeMap<String, String> {
        parse(text.as_bytes(), &|name| name == "perl-libs", always).unwrap()
    }

    #[test]
    fn modules_count_that_have_a_package_in_question() {
        let before = of(TEXT, &[]);
        assert_eq!(before.keys().collect::<Vec<_>>(), ["perl"]);
        // Another module's change is nobody's business, its default is.
        assert_eq!(
            of(&TEXT.replace("nodejs-1:18.1", "nodejs-1:18.2"), &[]),
            before
        );
        assert_ne!(of(&TEXT.replace("stream: x", "stream: y"), &[]), before);
        assert_ne!(of(&TEXT.replace("5.30.1", "5.30.2"), &[]), before);
        assert_eq!(of(TEXT, &["nodejs"]).len(), 2);
        assert_eq!(name_of("perl-libs-4:5.30.1-452.x86_64"), Some("perl-libs"));
        assert_eq!(name_of("a-line-of-text"), None);
        let long = "x".repeat(MAX_LINE + 1);
        assert!(parse(long.as_bytes(), &|_| true, &[]).is_err());
    }
}

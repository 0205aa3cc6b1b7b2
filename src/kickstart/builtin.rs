//! The kickstarts that are used when nobody gave one: the files of `kickstarts/`.

use super::crypt;

/// Stands in a built-in kickstart where the hash of the root password belongs.
const ROOTPW_PLACEHOLDER: &str = "@OZR_ROOTPW@";

/// Stands there in a kickstart that somebody makes their own.
const START_ROOTPW: &str = "\
# Root's password comes from `ozr install --root-password`; or write it here as a hash that
# `openssl passwd -6` makes:
# rootpw --iscrypted HASH
";

macro_rules! builtins {
    ($($name:literal),* $(,)?) => {
        &[$(Builtin {
            name: $name,
            text: include_str!(concat!("../../kickstarts/", $name, ".ks")),
        }),*]
    };
}

const BUILTINS: &[Builtin] = builtins![
    "almalinux-10",
    "almalinux-8",
    "almalinux-9",
    "centos-6",
    "centos-7",
    "centos-stream-10",
    "centos-stream-8",
    "centos-stream-9",
    "fedora-43",
    "fedora-44",
    "fedora",
    "oracle-8",
    "oracle-9",
    "rhel-10",
    "rhel-6",
    "rhel-7",
    "rhel-8",
    "rhel-9",
    "rocky-10",
    "rocky-8",
    "rocky-9",
];

/// A kickstart that comes with `ozr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// `FAMILY-RELEASE`, such as `rocky-9`; `fedora` for the Fedoras that have none of their own.
    pub name: &'static str,
    text: &'static str,
}

/// All of them, by name.
pub fn all() -> &'static [Builtin] {
    BUILTINS
}

/// The first of the candidates that exists.
pub fn find(candidates: &[impl AsRef<str>]) -> Option<Builtin> {
    candidates.iter().find_map(|candidate| {
        BUILTINS
            .iter()
            .find(|builtin| builtin.name == candidate.as_ref())
            .copied()
    })
}

impl Builtin {
    /// The kickstart as it is in the program, with a placeholder for the root password.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// The kickstart for somebody who makes one of their own of it.
    pub fn to_start_from(&self) -> String {
        let lines =
            self.text
                .split_inclusive('\n')
                .map(|line| match line.contains(ROOTPW_PLACEHOLDER) {
                    true => START_ROOTPW,
                    false => line,
                });
        lines.collect()
    }

    /// The kickstart with this root password.
    ///
    /// # Errors
    /// The password cannot be hashed.
    pub fn render(&self, rootpw: &str) -> anyhow::Result<String> {
        Ok(self.text.replace(ROOTPW_PLACEHOLDER, &crypt::hash(rootpw)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kickstart::outline::EndAction;
    use crate::kickstart::scan::scan;
    use std::path::Path;

    #[test]
    fn every_file_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kickstarts");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let names: Vec<String> = all().iter().map(|b| format!("{}.ks", b.name)).collect();
        assert_eq!(files, names);
    }

    #[test]
    fn the_root_password_is_hashed_in() {
        for builtin in all() {
            let text = builtin.render("clear!text").unwrap();
            assert!(!text.contains("clear!text") && !text.contains(ROOTPW_PLACEHOLDER));
            let outline = scan(&text, builtin.name).unwrap();
            let rootpw = outline.last("rootpw").unwrap();
            assert_eq!(rootpw.words[1].text, "--iscrypted", "{}", builtin.name);
            assert!(rootpw.words[2].text.starts_with("$6$"), "{}", builtin.name);
            // The template says where to install from.
            assert!(outline.source().is_none() && outline.last("repo").is_none());
            assert_eq!(outline.ending().unwrap().action, EndAction::PowerOff);
        }
    }

    #[test]
    fn one_to_start_from_has_no_password() {
        for builtin in all() {
            let text = builtin.to_start_from();
            assert!(!text.contains(ROOTPW_PLACEHOLDER) && text.contains("--root-password"));
            assert_eq!(text.lines().count(), builtin.text().lines().count() + 2);
            assert!(scan(&text, builtin.name).unwrap().last("rootpw").is_none());
        }
    }

    #[test]
    fn candidates_are_tried_in_order() {
        assert_eq!(find(&["circle-9", "rhel-9"]).unwrap().name, "rhel-9");
        assert_eq!(find(&["rhel-5"]), None);
    }
}

//! The kickstarts that are used when nobody gave one: the files of `kickstarts/`.

use anyhow::Context;
use sha_crypt::{CustomizedPasswordHasher, Params, PasswordHash, ShaCrypt};

use crate::error::{Kind, fail};

/// Stands in a built-in kickstart where the hash of the root password belongs.
const ROOTPW_PLACEHOLDER: &str = "@OZR_ROOTPW@";

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

    /// The kickstart with the template's root password, hashed.
    ///
    /// # Errors
    /// [`Kind::Input`] if the template has no root password: an image that nobody can log in to
    /// is of no use, and one with a password that everybody knows is worse.
    pub fn render(&self, rootpw: Option<&str>) -> anyhow::Result<String> {
        let Some(rootpw) = rootpw.filter(|rootpw| !rootpw.is_empty()) else {
            fail!(
                Kind::Input,
                "the template has no <rootpw>, which the built-in kickstart {} needs; add one to its <os>, or give a kickstart with -k",
                self.name
            );
        };
        Ok(self.text.replace(ROOTPW_PLACEHOLDER, &hash(rootpw)?))
    }
}

/// Bytes of randomness in a salt: 12 bytes are the 16 characters that crypt(5) uses of a salt.
const SALT_BYTES: usize = 12;

/// Hashes a password with SHA-512 crypt (`$6$`), which glibc reads since 2.7, so on every
/// release from EL 5 on; yescrypt, today's default elsewhere, cannot be read by EL 7 and 8.
///
/// # Errors
/// No randomness from the system, an empty password, or one with a NUL, which crypt(3) would
/// cut.
fn hash(password: &str) -> anyhow::Result<String> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).context("taking random bytes for a salt")?;
    hash_with_salt(password, &salt)
}

fn hash_with_salt(password: &str, salt: &[u8]) -> anyhow::Result<String> {
    anyhow::ensure!(!password.is_empty(), "the root password is empty");
    anyhow::ensure!(!password.contains('\0'), "a password cannot hold a NUL");
    // 5000 rounds are the algorithm's default; the parameter is written out, which every
    // reader of `$6$` understands.
    let hash: PasswordHash = ShaCrypt::SHA512
        .hash_password_customized(password.as_bytes(), salt, None, None, Params::RECOMMENDED)
        .map_err(|error| anyhow::anyhow!("hashing a password: {error}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;
    use crate::kickstart::outline::EndAction;
    use crate::kickstart::scan::scan;
    use std::path::Path;
    use std::process::Command;

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
            let text = builtin.render(Some("clear!text")).unwrap();
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
    fn without_a_root_password_there_is_none() {
        for rootpw in [None, Some("")] {
            let error = find(&["rocky-9"]).unwrap().render(rootpw).unwrap_err();
            assert_eq!(kind_of(&error), Some(Kind::Input));
        }
    }

    #[test]
    fn candidates_are_tried_in_order() {
        assert_eq!(find(&["circle-9", "rhel-9"]).unwrap().name, "rhel-9");
        assert_eq!(find(&["rhel-5"]), None);
    }

    /// What OpenSSL makes of the password with the salt of the hash.
    fn openssl(password: &str, hash: &str) -> Option<String> {
        let salt = hash.split('$').nth(3).expect("a salt");
        let output = Command::new("openssl")
            .args([
                "passwd",
                "-6",
                "-salt",
                &format!("rounds=5000${salt}"),
                password,
            ])
            .output()
            .ok()?;
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap().trim().to_string())
    }

    #[test]
    fn agrees_with_openssl() {
        for password in ["ozrootpw", "#", "ümläut $x'\" 💡", &"long".repeat(40)] {
            let hash = hash(password).unwrap();
            match openssl(password, &hash) {
                Some(theirs) => assert_eq!(hash, theirs, "{password:?}"),
                None => eprintln!("skipped: no openssl"),
            }
        }
    }

    #[test]
    fn known_answer() {
        // The right side is from OpenSSL 3.0: `openssl passwd -6 -salt 'rounds=5000$SALT' PW`.
        let hash = hash_with_salt("Passw0rd ü", b"ozr test 123").unwrap();
        assert_eq!(
            hash,
            "$6$rounds=5000$jdbQUELNnF56l6nA$cKWJqidOqMqKZtJwPbwRYn211n3hYPu6zBXclPgj6vk4BFOJWjLiv.qCjPZ5vehiuOXB0LvhtICXmgwwneJb80"
        );
    }

    #[test]
    fn useless_passwords_are_refused() {
        assert!(hash("").is_err());
        assert!(hash("a\0b").is_err());
    }

    #[test]
    fn salts_differ() {
        assert_ne!(hash("a").unwrap(), hash("a").unwrap());
    }
}

//! Who may log in to the image as root, as far as the options say it.

use crate::error::{Kind, failed};
use crate::hex;
use crate::input;
use crate::kickstart::crypt;
use crate::kickstart::ssh_keys::{self, PublicKey};
use crate::options::{InstallOptions, Purpose};
use crate::secrets::Secret;

/// Largest file of public keys, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// `--root-password` and `--ssh-key`, read.
#[derive(Debug, Clone, Default)]
pub struct RootAccess {
    /// The password.
    pub password: Option<Secret>,
    /// The same as /etc/shadow has it.
    pub hash: Option<Secret>,
    /// The keys that may log in by SSH.
    pub keys: Vec<PublicKey>,
}

impl RootAccess {
    /// What the options say, their files read; whoever is at the terminal may be asked.
    ///
    /// # Errors
    /// Input: a password or a key that cannot be used. Interrupted: by a signal, while somebody was asked.
    pub fn read(options: &InstallOptions) -> anyhow::Result<RootAccess> {
        let mut keys: Vec<PublicKey> = Vec::new();
        for path in &options.ssh_key {
            let wrong = |why: String| failed!(Kind::Input, "--ssh-key: {} {why}", path.display());
            let bytes = input::read_bounded(path, MOST_BYTES)
                .map_err(|error| wrong(format!("cannot be read: {error}")))?;
            let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".to_owned()))?;
            for key in ssh_keys::parse(&text).map_err(wrong)? {
                if !keys.iter().any(|other| other.line == key.line) {
                    keys.push(key);
                }
            }
        }
        let source = options.root_password.as_ref();
        let password = source.map(|source| source.read("root password", Purpose::New));
        let password = password.transpose()?;
        let hash = password.as_ref().map(|text| crypt::hash(text.reveal()));
        Ok(RootAccess {
            hash: hash.transpose()?.map(Secret::new),
            password,
            keys,
        })
    }

    /// What the user should know of the keys, if there are any.
    pub fn note(&self) -> Option<String> {
        let prints: Vec<&str> = self
            .keys
            .iter()
            .map(|key| key.fingerprint.as_str())
            .collect();
        let note = || format!("keys that may log in as root: {}", prints.join(", "));
        (!prints.is_empty()).then(note)
    }

    /// The password of a built-in kickstart: the option's, else the template's, else one that nobody knows if
    /// keys let somebody in.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn password_or(&self, of_template: Option<&Secret>) -> anyhow::Result<Option<Secret>> {
        let of_template = of_template.filter(|password| !password.reveal().is_empty());
        match self.password.as_ref().or(of_template) {
            Some(password) => Ok(Some(password.clone())),
            // Not `rootpw --lock`: an installer without any administrator who has a password asks for one.
            None if !self.keys.is_empty() => Ok(Some(Secret::new(hex::random()?))),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SecretSource;

    #[test]
    fn keys_are_read_once_each_and_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("k.pub");
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA a";
        std::fs::write(&file, format!("{key}\n{key}\n")).unwrap();
        let mut options = InstallOptions {
            ssh_key: vec![file.clone(), file.clone()],
            ..InstallOptions::default()
        };
        let access = RootAccess::read(&options).unwrap();
        assert_eq!(access.keys.len(), 1);
        let unknown = access.password_or(None).unwrap().unwrap();
        assert_eq!(unknown.reveal().len(), 32);
        std::fs::write(&file, "nonsense\n").unwrap();
        let error = RootAccess::read(&options).unwrap_err().to_string();
        assert!(
            error.contains("k.pub has in line 1 no public key"),
            "{error}"
        );
        options.ssh_key.clear();
        assert!(
            RootAccess::read(&options)
                .unwrap()
                .password_or(None)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn the_options_password_stands_above_the_templates() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pw");
        std::fs::write(&file, "of the option\n").unwrap();
        let options = InstallOptions {
            root_password: Some(SecretSource::File(file)),
            ..InstallOptions::default()
        };
        let access = RootAccess::read(&options).unwrap();
        let hash = access.hash.as_ref().unwrap().reveal();
        assert!(hash.starts_with("$6$"), "{hash}");
        let template = Secret::new("of the template");
        let chosen = |access: &RootAccess| access.password_or(Some(&template)).unwrap().unwrap();
        assert_eq!(chosen(&access).reveal(), "of the option");
        assert_eq!(chosen(&RootAccess::default()).reveal(), "of the template");
    }
}

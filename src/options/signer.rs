//! `--sign`: who signs what lies beside an image. `--key`: whose signatures are trusted.

use std::path::PathBuf;
use std::str::FromStr;

/// `--sign`: a program of the user's that signs. It asks for passphrases itself; none is ever ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// GnuPG, with this key or the default one.
    Gpg(Option<String>),
    /// `ssh-keygen -Y sign`, with this private key, or with this public one, whose other half an agent has.
    Ssh(PathBuf),
    /// `cosign sign-blob`, with this key: a file, or an address that cosign knows.
    Cosign(String),
}

impl Signer {
    /// What the names of detached signatures of checksums end in, whoever makes them.
    pub const OF_CHECKSUMS: [&str; 2] = ["sig", "sigstore.json"];

    /// What the names of its detached signatures end in.
    pub fn ending(&self) -> &'static str {
        match self {
            Signer::Gpg(_) => "asc",
            Signer::Ssh(_) => "sig",
            Signer::Cosign(_) => "sigstore.json",
        }
    }
}

impl FromStr for Signer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (program, key) = text.split_once(':').unwrap_or((text, ""));
        match (program, key) {
            // A name that looks like an option would be one.
            (_, key) if key.starts_with('-') => Err("no key begins with a dash".to_owned()),
            ("gpg", "") => Ok(Signer::Gpg(None)),
            ("gpg", key) => Ok(Signer::Gpg(Some(key.to_owned()))),
            ("ssh" | "cosign", "") => Err(format!("name the key: {program}:KEY")),
            ("ssh", key) => Ok(Signer::Ssh(PathBuf::from(key))),
            ("cosign", key) => Ok(Signer::Cosign(key.to_owned())),
            _ => Err("write gpg, gpg:KEYID, ssh:KEYFILE or cosign:KEY".to_owned()),
        }
    }
}

/// `--key`: public keys that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustedKey {
    /// OpenPGP keys: exported ones, or a keyring.
    Gpg(PathBuf),
    /// A list of allowed signers (ssh-keygen(1)), or one public key.
    Ssh(PathBuf),
    /// A public key of cosign: a file, or an address that cosign knows.
    Cosign(String),
}

impl FromStr for TrustedKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (program, key) = text.split_once(':').unwrap_or((text, ""));
        match (program, key) {
            (_, key) if key.starts_with('-') => Err("no key begins with a dash".to_owned()),
            ("gpg" | "ssh" | "cosign", "") => Err(format!("name the file: {program}:FILE")),
            ("gpg", key) => Ok(TrustedKey::Gpg(PathBuf::from(key))),
            ("ssh", key) => Ok(TrustedKey::Ssh(PathBuf::from(key))),
            ("cosign", key) => Ok(TrustedKey::Cosign(key.to_owned())),
            _ => Err("write gpg:FILE, ssh:FILE or cosign:KEY".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signers_and_keys() {
        let of = |text: &str| text.parse::<Signer>();
        assert_eq!(of("gpg"), Ok(Signer::Gpg(None)));
        assert_eq!(of("gpg:0xAB"), Ok(Signer::Gpg(Some("0xAB".to_owned()))));
        assert_eq!(of("ssh:/k:1"), Ok(Signer::Ssh("/k:1".into())));
        let kms = "awskms:///alias/a";
        assert_eq!(
            of(&format!("cosign:{kms}")),
            Ok(Signer::Cosign(kms.to_owned()))
        );
        for wrong in [
            "",
            "ssh",
            "ssh:",
            "cosign",
            "pgp:x",
            "gpg:--output",
            "ssh:-f",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        let key = "ssh:allowed_signers".parse();
        assert_eq!(key, Ok(TrustedKey::Ssh("allowed_signers".into())));
        for wrong in ["", "gpg", "ssh:", "gpg:-x", "x:y"] {
            assert!(wrong.parse::<TrustedKey>().is_err(), "{wrong}");
        }
    }
}

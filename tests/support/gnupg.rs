//! A GnuPG of the tests' own, with one key.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Its home, with the key; its agent ends with it.
pub struct Gnupg {
    home: PathBuf,
}

impl Gnupg {
    /// Makes the key of `R <r@example.org>` in a new directory. Its agent's socket has to fit into 108 bytes.
    pub fn make(home: &Path) -> Gnupg {
        use std::os::unix::fs::PermissionsExt;

        std::fs::create_dir(home).unwrap();
        std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).unwrap();
        let gnupg = Gnupg {
            home: home.to_owned(),
        };
        gnupg.run(&[
            "--passphrase",
            "",
            "--quick-generate-key",
            "R <r@example.org>",
            "ed25519",
            "sign",
            "never",
        ]);
        gnupg
    }

    /// Runs gpg, and wants its success.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = Command::new("gpg")
            .args(["--batch", "--quiet"])
            .args(arguments)
            .env("GNUPGHOME", &self.home)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {said}");
        output
    }
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(&self.home)
            .args(["--kill", "all"])
            .status();
    }
}

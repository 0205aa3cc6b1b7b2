//! Passwords, hashed as /etc/shadow has them.

use anyhow::Context;
use sha_crypt::{CustomizedPasswordHasher, Params, PasswordHash, ShaCrypt};

/// Bytes of randomness in a salt: 12 bytes are the 16 characters that crypt(5) uses of a salt.
const SALT_BYTES: usize = 12;

/// Hashes a password with SHA-512 crypt (`$6$`), which glibc reads since 2.7, so on every
/// release from EL 5 on; yescrypt, today's default elsewhere, cannot be read by EL 7 and 8.
///
/// # Errors
/// No randomness from the system, an empty password, or one with a NUL, which crypt(3) would
/// cut.
pub fn hash(password: &str) -> anyhow::Result<String> {
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
    use std::process::Command;

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

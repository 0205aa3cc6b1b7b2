//! Public keys that may log in by SSH, as `authorized_keys` has them (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

/// The longest line in bytes: sshd's own limit (OpenSSH, `SSH_MAX_PUBKEY_BYTES`).
const LONGEST_LINE: usize = 16 << 10;

/// Most keys of one file. Each is a line of the kickstart.
const MOST_KEYS: usize = 64;

/// A key and what stands beside it on its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The line, without what surrounds it.
    pub line: String,
    /// Its algorithm: `ssh-ed25519`.
    pub algorithm: String,
    /// What `ssh-keygen -l` calls it: `SHA256:` and a digest.
    pub fingerprint: String,
}

/// The keys of a file, which has one on a line, as `ssh-keygen` writes it or `authorized_keys` has it.
///
/// # Errors
/// Why it cannot be used, and with which line.
pub fn parse(text: &str) -> Result<Vec<PublicKey>, String> {
    if let Some(line) = text.lines().find(|line| line.starts_with("-----BEGIN ")) {
        return Err(match line.contains("PRIVATE KEY") {
            true => "is a private key, which belongs into no image: name the public one beside it (NAME.pub)".to_owned(),
            false => "is no key of OpenSSH's: `ssh-keygen -i -m PKCS8 -f FILE` makes one of it".to_owned(),
        });
    }
    if text.starts_with("---- BEGIN SSH2 PUBLIC KEY") {
        return Err(
            "has the form of RFC 4716: `ssh-keygen -i -f FILE` makes a key of OpenSSH's of it"
                .to_owned(),
        );
    }
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = key_of(line).map_err(|why| format!("has in line {} {why}", number + 1))?;
        keys.push(key);
        if keys.len() > MOST_KEYS {
            return Err(format!("has more than {MOST_KEYS} keys"));
        }
    }
    if keys.is_empty() {
        return Err(
            "holds no key: it should have a line such as `ssh-ed25519 AAAA… name`".to_owned(),
        );
    }
    Ok(keys)
}

fn key_of(line: &str) -> Result<PublicKey, String> {
    if line.len() > LONGEST_LINE {
        return Err(format!(
            "more than the {LONGEST_LINE} bytes that sshd reads"
        ));
    }
    if line.chars().any(char::is_control) {
        return Err("control characters".to_owned());
    }
    // Options may stand before the key; what is quoted in them may hold blanks.
    let behind = behind_options(line);
    let found = algorithm_of(line).or_else(|| behind.and_then(algorithm_of));
    let Some((algorithm, blob)) = found else {
        return Err(
            "no public key: it should begin like `ssh-ed25519 AAAA…`, whole and on one line"
                .to_owned(),
        );
    };
    let digest = STANDARD_NO_PAD.encode(Sha256::digest(blob));
    Ok(PublicKey {
        line: line.to_owned(),
        algorithm: algorithm.to_owned(),
        fingerprint: format!("SHA256:{digest}"),
    })
}

/// The algorithm and the key itself that a text begins with: the key names its algorithm, too (RFC 4253, 6.6).
fn algorithm_of(text: &str) -> Option<(&str, Vec<u8>)> {
    let mut words = text.split_whitespace();
    let (algorithm, word) = (words.next()?, words.next()?);
    let blob = STANDARD.decode(word).ok()?;
    let length = u32::from_be_bytes(*blob.first_chunk()?) as usize;
    let (name, key) = blob.get(4..)?.split_at_checked(length)?;
    (name == algorithm.as_bytes() && is_whole(key)).then_some((algorithm, blob))
}

/// Whether what follows the name are strings with their lengths, to the end: no key that was cut is.
fn is_whole(mut key: &[u8]) -> bool {
    let mut fields = 0;
    while let Some((length, rest)) = key.split_first_chunk() {
        let Some((_, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else {
            return false;
        };
        (key, fields) = (rest, fields + 1);
    }
    key.is_empty() && fields > 0
}

/// What stands behind the first blank that is not in quotes.
fn behind_options(line: &str) -> Option<&str> {
    let mut is_quoted = false;
    let mut before = ' ';
    let end = line.find(|c: char| {
        let quote = c == '"' && before != '\\';
        is_quoted ^= quote;
        before = c;
        c.is_whitespace() && !is_quoted
    });
    end.map(|end| line[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by ssh-keygen of OpenSSH 9.2, which names the fingerprints so.
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAaFtO35JmTYMvFR6nt7eiI/oWJrf9qXL2fMFnV/b7U5 a b@c";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDGcGJ2w+bxfXC0V+dkOHQJ3bAsRKaBWSKJlFmx2svOE8WqpiCtphZtCbHl3HiygJ2k161BAF5c+MsG7l3xBTIosStLwBxyvNmNANwPrSPuHUk83YHIl9TSuiJsbcvPbqjaXTzX/8WKsMrptnMdhDLaboROM8FnlkhQ53YiCiyeyD3F2l5r9UZPX4swJFXV8UPPQt9HWira3aS6jJSPAGCE0DnFT6FxuumWKdRsFzEAoQ9vDiiDxrZkukF0w9VEGm8CPP+WN//5ZYRS2SyRJKSnTdC68InulSS1TT9Q1SQbzOKADm1ObrQSIzCQGtdlpDpoHo1owGEVe50cPfZTuaQT rsa@x";

    #[test]
    fn keys_are_those_of_ssh_keygen() {
        let text =
            format!("# ours\n\n{ED25519}\r\nfrom=\"a b,c\",command=\"echo \\\"x y\\\"\" {RSA}\n");
        let keys = parse(&text).unwrap();
        let prints: Vec<&str> = keys.iter().map(|key| key.fingerprint.as_str()).collect();
        assert_eq!(
            prints,
            [
                "SHA256:H6Pc/pMW8MKzhn7ycpoxuer4Y67n4ZiqkWAmaQTy9GI",
                "SHA256:jXpnIAhs+Dy4zlSeDxZIsoEWt/KvHQZQKPrJS7iLCRY"
            ]
        );
        assert_eq!(keys[0].line, ED25519);
        assert_eq!(keys[1].algorithm, "ssh-rsa");
        assert!(keys[1].line.starts_with("from="));
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_line() {
        let cut = &ED25519[..60];
        let other = ED25519.replacen("ssh-ed25519", "ssh-rsa", 1);
        for (text, why) in [
            ("", "holds no key"),
            ("# a\n", "holds no key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "private key"),
            ("-----BEGIN PUBLIC KEY-----\nx\n", "ssh-keygen -i -m PKCS8"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\n", "RFC 4716"),
            ("\nhello world\n", "line 2 no public key"),
            ("ssh-ed25519\n", "line 1 no public key"),
            (cut, "line 1 no public key"),
            (&other, "line 1 no public key"),
            (&format!("{ED25519}\u{7}"), "control characters"),
            (
                &format!("{ED25519}{}", "x".repeat(LONGEST_LINE)),
                "more than the",
            ),
            (&format!("{ED25519}\n").repeat(65), "more than 64 keys"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}

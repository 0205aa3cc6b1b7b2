//! Where a secret stands in a text of any kind: a script, a template, a command line.
//!
//! What cannot be recognised is a secret that nothing calls one. Names of options are those of the
//! programs' own manuals: curl(1) `-u`, mysql(1) `-p`, sshpass(1) `-p`, ldapsearch(1) `-w`, usermod(8)
//! `-p`, wpa_supplicant.conf(5) `psk=`.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A part of a name that is given to secrets, in lower case.
const NAMES: &str = "passwd|password|passphrase|passwort|secret|token|api[_-]?key|access[_-]?key|\
    activation[_-]?key|private[_-]?key|credential|mysql_pwd|mysqlpass|dbpass|psk|wpakey|wepkey|vncpass";

/// A word of a shell's, quoted or not.
const WORD: &str = r#"(?:"(?<a>[^"\n]*)"|'(?<b>[^'\n]*)'|(?<c>[^\s;&|"'<>`)]+))"#;

/// What gives itself away wherever it stands: the secret is the group `a`, `b` or `c`.
static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // `user:password@` of an address; a user without a password is mostly a token.
        r#"://(?<c>[^\s/?\#"'<>]+)@"#.to_owned(),
        // A value of an address' query.
        format!(r#"(?i)[?&;][\w.-]*(?:{NAMES}|auth|sig|signature|key)[\w.-]*=(?<c>[^&\s"'<>\#]+)"#),
        // `NAME=value`, `name: value`, `--name=value`, `"name": "value"`.
        format!(r#"(?i)[\w.-]*(?:{NAMES})[\w.-]*["']?[\s]?(?:=|:[\s])[\s]?{WORD}"#),
        // `--name value`.
        format!(r"(?i)[\s]--?[\w-]*(?:{NAMES})[\s]+{WORD}"),
        // `Authorization: Bearer value`.
        r#"(?i)authorization:[\s]*(?:[\w]+[\s]+)?(?<c>[^\s"']+)"#.to_owned(),
        // `-u user:password`, with a blank or without one.
        format!(r"\bcurl\b[^\n|;]*?[\s](?:-u|-U|--user|--proxy-user)[=\s]?[\s]*{WORD}"),
        format!(r"\b(?:mysql|mysqladmin|mysqldump|mariadb[\w]*|mariadb-[\w]+|sshpass|7za?|unzip)\b[^\n|;]*?[\s]-[pP][\s]?{WORD}"),
        format!(r"\b(?:usermod|useradd|openssl[\s]+passwd|docker[\s]+login|podman[\s]+login)\b[^\n|;]*?[\s]-p[\s]+{WORD}"),
        format!(r"\b(?:ldap[\w]+|redis-cli|smbclient|mount\.cifs)\b[^\n|;]*?[\s](?:-w|-a|-U)[\s]+{WORD}"),
        // Tokens by their shape: GitHub, GitLab, AWS, Slack, Vault, JSON Web Tokens.
        r"(?<c>\bgh[oprsu]_[\w]{4,}|\bgithub_pat_[\w]{4,}|\bglpat-[\w-]{8,}|\bAKIA[0-9A-Z]{16}|\bxox[abprs]-[\w-]{8,}|\bhvs\.[\w]{8,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*)".to_owned(),
        // Hashes of crypt(5), with at least a salt and the 22 characters of MD5, and of GRUB.
        r"(?<c>\$[0-9a-z]{1,3}\$[\w./=$,]{22,}|\bgrub\.pbkdf2\.[\w.]*)".to_owned(),
    ]
    .iter()
    .map(|pattern| {
        // ASCII only: tables of all of Unicode would cost each start of ozr milliseconds.
        let pattern = pattern
            .replace(r"\w", "0-9A-Za-z_")
            .replace(r"\s", r" \t\r\n")
            .replace(r"\b", r"(?-u:\b)");
        Regex::new(&pattern).expect("the patterns are constants")
    })
    .collect()
});

/// What a name may be given that is no secret.
const HARMLESS: [&str; 12] = [
    "true",
    "false",
    "yes",
    "no",
    "none",
    "null",
    "required",
    "sufficient",
    "sha512",
    "sha256",
    "md5",
    "yescrypt",
];

/// The secrets of a text, in bytes: in order, no two overlapping, none empty.
pub fn places(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = PATTERNS
        .iter()
        .flat_map(|pattern| pattern.captures_iter(text))
        .filter_map(|captures| {
            let value = ["a", "b", "c"]
                .iter()
                .find_map(|name| captures.name(name))?;
            (!is_harmless(value.as_str())).then(|| value.range())
        })
        .collect();
    merge(&mut found);
    found
}

/// A variable, a file's name or a word of a setting: to hide it would hide only what explains.
fn is_harmless(value: &str) -> bool {
    value.starts_with(['$', '/']) && !is_hash(value)
        || HARMLESS.contains(&value.to_ascii_lowercase().as_str())
}

fn is_hash(value: &str) -> bool {
    PATTERNS.last().is_some_and(|hash| hash.is_match(value))
}

/// Sorts places and joins those that touch or overlap; empty ones go.
pub fn merge(places: &mut Vec<Range<usize>>) {
    places.retain(|place| !place.is_empty());
    places.sort_by_key(|place| (place.start, place.end));
    places.dedup_by(|next, last| {
        let joined = next.start < last.end;
        if joined {
            last.end = last.end.max(next.end);
        }
        joined
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with its secrets in brackets.
    fn marked(text: &str) -> String {
        let mut marked = text.to_owned();
        for place in places(text).into_iter().rev() {
            marked.insert(place.end, ']');
            marked.insert(place.start, '[');
        }
        marked
    }

    #[test]
    fn what_is_a_secret() {
        for wanted in [
            "curl -fsS -u [ann:hunter2] -o x https://h/x",
            "curl --user '[ann:hunter 2]' https://h/x",
            "curl -u[ann:hunter2] h",
            "psk=\"[hunter2]\"",
            "wifi-sec.psk=[hunter2]",
            "MYSQL_PWD=[hunter2] mysql db",
            "mysql -u root -p[hunter2] db",
            "sshpass -p [hunter2] ssh h",
            "sshpass -p'[hunter 2]' ssh h",
            "useradd -m -p [hunter2] ann",
            "git clone https://[ghp_0123abcd]@h/x",
            "echo [ghp_0123abcd] >t",
            "wget 'https://h/os?arch=x&token=[t0ken]'",
            "https://h/x?X-Amz-Signature=[abc]&b=c",
            "-H 'Authorization: Bearer [abc.def]'",
            "-H \"PRIVATE-TOKEN: [abc]\"",
            "ip=dhcp inst.vncpassword=[hunter2] quiet",
            "  passphrase: [hunter2]",
            "{\"api_key\": \"[hunter2]\"}",
            "register --activationkey [k1] --org 1",
            "ldapsearch -x -w [hunter2]",
            "echo 'root:[$6$saltsalt$cKWJqidOqMqKZtJwPbwRYn211n3hYPu6]' | chpasswd -e",
            "set password=[grub.pbkdf2.sha512.10000.AB]",
            "http://[u:p]@h/ ftp://[t0ken]@h/",
        ] {
            let text = wanted.replace(['[', ']'], "");
            assert_eq!(marked(&text), wanted);
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "auth --enableshadow --passalgo=sha512",
            "password    sufficient    pam_unix.so",
            "password = $PASS",
            "passwd=/etc/passwd",
            "authselect select sssd with-mkhomedir",
            "the password is in the vault",
            "cp -p a b; mkdir -p /x",
            "PasswordAuthentication: no",
            "echo $1$2 a $6$ b",
            "curl -fsSU x",
            "keyboard --vckeymap=us",
        ] {
            assert_eq!(marked(text), text);
        }
    }

    #[test]
    fn places_are_in_order_and_apart() {
        let mut places = vec![5..9, 0..2, 1..3, 4..4, 9..10];
        merge(&mut places);
        assert_eq!(places, [0..3, 5..9, 9..10]);
    }
}

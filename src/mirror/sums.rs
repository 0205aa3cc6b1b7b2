//! Lists of checksums, as they lie beside images: GNU's form (`HEX  NAME`), BSD's (`SHA256 (NAME) = HEX`), signed
//! in clear text or not. Pure.

use super::treeinfo::Checksum;

/// Largest list that is read, in bytes: Fedora's of a whole release has 10 KiB.
pub const MAX_BYTES: u64 = 1 << 20;

/// Names of the lists that distributions put beside an image; `*` stands for the image's own name. Rocky and
/// Alma, CentOS Stream, Fedora's mirrors of old, CentOS 7.
pub const BESIDE: [&str; 7] = [
    "*.CHECKSUM",
    "*.SHA256SUM",
    "*.sha256",
    "CHECKSUM",
    "SHA256SUMS",
    "SHA256SUM",
    "sha256sum.txt",
];

/// What may be in a list, the strongest first: the name, and the length in hexadecimal digits.
const ALGORITHMS: [(&str, usize); 5] = [
    ("sha512", 128),
    ("sha384", 96),
    ("sha256", 64),
    ("sha1", 40),
    ("md5", 32),
];

/// What begins a text that is signed (RFC 9580, 7).
const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
/// What ends it.
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";

/// A checksum as it is written with its kind: `sha256:HEX`.
pub fn parse_checksum(text: &str) -> Option<Checksum> {
    let (kind, digest) = text.split_once(':')?;
    let checksum = checksum(digest)?;
    kind.eq_ignore_ascii_case(&checksum.algorithm)
        .then_some(checksum)
}

/// The strongest checksum of the file `name` in a list; of this kind only, if one is named. A list that is one
/// checksum without a name is the file's.
pub fn find(text: &str, name: &str, only: Option<&str>) -> Option<Checksum> {
    let mut lines = text.lines().map(str::trim).peekable();
    if lines.peek() == Some(&SIGNED) {
        // Up to the empty line there are headers.
        lines.by_ref().find(|line| line.is_empty());
    }
    let lines = lines.take_while(|line| *line != SIGNATURE);
    let lines: Vec<&str> = lines
        // How a line with a dash is written in a signed text.
        .map(|line| line.strip_prefix("- ").unwrap_or(line))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut found: Vec<Checksum> = lines
        .iter()
        .filter_map(|line| {
            let (listed, checksum) = entry(line)?;
            (listed.rsplit('/').next() == Some(name)).then_some(checksum)
        })
        .collect();
    if let [line] = lines[..] {
        found.extend(checksum(line));
    }
    found.retain(|checksum| only.is_none_or(|only| checksum.algorithm == only));
    found.into_iter().max_by_key(|checksum| checksum.hex.len())
}

/// A line: the file that it names, and its checksum.
fn entry(line: &str) -> Option<(&str, Checksum)> {
    // GNU's.
    if let Some((digest, name)) = line.split_once([' ', '\t'])
        && let Some(checksum) = checksum(digest)
    {
        let name = name.trim_start();
        return Some((name.strip_prefix('*').unwrap_or(name), checksum));
    }
    // BSD's, with or without a blank before the bracket.
    let (kind, rest) = line.split_once('(')?;
    let (name, digest) = rest.rsplit_once(')')?;
    let checksum = checksum(digest.trim_start().strip_prefix('=')?)?;
    let kind = kind.trim().to_ascii_lowercase().replace('-', "");
    (kind == checksum.algorithm).then_some((name, checksum))
}

/// A digest, whose kind is known by its length.
fn checksum(digest: &str) -> Option<Checksum> {
    let hex = digest.trim().to_ascii_lowercase();
    let (algorithm, _) = ALGORITHMS.iter().find(|(_, length)| *length == hex.len())?;
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| Checksum {
        algorithm: (*algorithm).to_owned(),
        hex,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digit: &str, length: usize) -> String {
        digit.repeat(length)
    }

    #[test]
    fn every_form_of_a_list() {
        let (a, b, md5) = (hex("a", 64), hex("b", 128), hex("c", 32));
        let rocky = format!("# x.iso: 123 bytes\nSHA256 (x.iso) = {a}\n");
        let signed = format!(
            "{SIGNED}\nHash: SHA256\n\n# x.iso: 1 bytes\n- SHA256 (x.iso) = {a}\n{SIGNATURE}\n\nSHA256 (x.iso) = {}\n",
            hex("d", 64)
        );
        for text in [
            rocky,
            signed.clone(),
            signed.replace('\n', "\r\n"),
            format!("{a}  x.iso\n"),
            format!("{a} *x.iso\n"),
            format!("{a}  ./dir/x.iso\n{}  y.iso\n", hex("e", 64)),
            format!("{}\n", a.to_uppercase()),
            format!("SHA256(x.iso)= {a}\n"),
            format!("{md5}  x.iso\n{a}  x.iso\n"),
        ] {
            let found = find(&text, "x.iso", None).unwrap();
            assert_eq!(
                (found.algorithm.as_str(), &found.hex),
                ("sha256", &a),
                "{text}"
            );
        }
        let both = format!("SHA512 (x.iso) = {b}\nSHA256 (x.iso) = {a}\nMD5 (x.iso) = {md5}\n");
        assert_eq!(find(&both, "x.iso", None).unwrap().hex, b);
        assert_eq!(find(&both, "x.iso", Some("md5")).unwrap().hex, md5);
        assert_eq!(find(&both, "x.iso", Some("sha1")), None);
    }

    #[test]
    fn what_is_of_others_is_not_taken() {
        let a = hex("a", 64);
        for text in [
            String::new(),
            format!("{a}  other.iso\n"),
            format!("{a}  y-x.iso\n"),
            format!("SHA512 (x.iso) = {a}\n"),
            format!("SHA256 (x.iso) = {}\n", hex("g", 64)),
            "<html>x.iso</html>".to_owned(),
            format!("{a}\n{a}\n"),
            SIGNED.to_owned(),
        ] {
            assert_eq!(find(&text, "x.iso", None), None, "{text}");
        }
    }

    #[test]
    fn checksums_with_their_kind() {
        let a = hex("A", 64);
        let found = parse_checksum(&format!("SHA256:{a}")).unwrap();
        assert_eq!(found.to_string(), format!("sha256:{}", hex("a", 64)));
        assert_eq!(parse_checksum(&format!("md5:{a}")), None);
        assert_eq!(parse_checksum("http://h/CHECKSUM"), None);
        assert_eq!(parse_checksum(&a), None);
    }
}

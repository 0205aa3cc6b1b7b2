//! Package URLs of RPM packages (the purl specification's `types/rpm-definition.json`), as syft writes them.

use std::fmt::Write as _;

use crate::inspect::Release;
use crate::packages::Package;

/// The package URL of a package of a release; its qualifiers are in alphabetical order, as they have to be.
pub fn of(package: &Package, release: &Release) -> String {
    let mut purl = "pkg:rpm/".to_owned();
    if let Some(id) = &release.id {
        purl.push_str(&encoded(namespace(id)));
        purl.push('/');
    }
    let version = format!("{}-{}", package.version, package.release);
    purl.push_str(&encoded(&package.name));
    purl.push('@');
    purl.push_str(&encoded(&version));
    let distro = release.id.as_ref().map(|id| match &release.version_id {
        Some(version) => format!("{id}-{version}"),
        None => id.clone(),
    });
    let qualifiers = [
        ("arch", package.arch.clone()),
        ("distro", distro),
        ("epoch", package.epoch.map(|epoch| epoch.to_string())),
        ("upstream", package.source_rpm.clone()),
    ];
    let known = qualifiers
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    for ((key, value), mark) in known.zip(std::iter::once('?').chain(std::iter::repeat('&'))) {
        // Writing into a string does not fail.
        let _ = write!(purl, "{mark}{key}={}", encoded(&value));
    }
    purl
}

/// Who a distribution's packages are by.
fn namespace(id: &str) -> &str {
    match id {
        "rhel" => "redhat",
        id if id.starts_with("opensuse") => "opensuse",
        id => id,
    }
}

/// The version of a package with its epoch, as syft has it: `0:` only if the package says so itself.
pub fn version(package: &Package) -> String {
    let version = format!("{}-{}", package.version, package.release);
    match package.epoch {
        Some(epoch) => format!("{epoch}:{version}"),
        None => version,
    }
}

/// A text with what has a meaning in such URLs escaped. A tilde and a colon stay.
fn encoded(text: &str) -> String {
    let mut plain = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            plain.push(char::from(byte));
        } else {
            let _ = write!(plain, "%{byte:02X}");
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::sample as package;

    fn rocky() -> Release {
        Release {
            id: Some("rocky".to_owned()),
            version_id: Some("9.4".to_owned()),
            ..Release::default()
        }
    }

    #[test]
    fn packages_are_named_as_syft_names_them() {
        assert_eq!(
            of(&package("libstdc++", Some(0)), &rocky()),
            "pkg:rpm/rocky/libstdc%2B%2B@1.2~rc1%2Bgit%5E4-3.el9?arch=x86_64&distro=rocky-9.4&epoch=0&upstream=libstdc%2B%2B-1.2-3.el9.src.rpm"
        );
        let rhel = Release {
            id: Some("rhel".to_owned()),
            ..Release::default()
        };
        let mut key = package("gpg-pubkey", None);
        (key.arch, key.source_rpm) = (None, None);
        assert_eq!(
            of(&key, &rhel),
            "pkg:rpm/redhat/gpg-pubkey@1.2~rc1%2Bgit%5E4-3.el9?distro=rhel"
        );
        assert_eq!(version(&key), "1.2~rc1+git^4-3.el9");
        assert_eq!(version(&package("a", Some(0))), "0:1.2~rc1+git^4-3.el9");
    }
}

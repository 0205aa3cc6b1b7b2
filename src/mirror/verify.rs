//! Digests, and whether a file can be what its name says.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use openssl::hash::MessageDigest;
use sha2::{Digest, Sha256};
use url::Url;

use super::fault::Fault;
use super::implanted::{Media, MediaCheck};
use super::location::shown;
use super::treeinfo::Checksum;
use crate::hex;

/// What a file is meant to be: decides its largest size and what its first bytes may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    TreeInfo,
    Kernel,
    Initrd,
    /// `repodata/repomd.xml`.
    RepoMd,
    /// The signature of that.
    Signature,
    /// What `repomd.xml` names: lists of packages and groups, mostly packed.
    Metadata,
    /// An installation disc.
    Iso,
    /// What a guest asks for: packages, the installer's main image.
    Guest,
    Any,
}

/// Bytes from a file's begin that tell what it is: the boot protocol's `HdrS` is at 0x202.
pub(super) const HEAD_BYTES: usize = 1024;

impl Expect {
    /// Most bytes that are taken. EL 10's kernel has 17 MB and its initrd 170 MB; a mirror that
    /// sends without end must not fill the disk.
    pub(super) fn limit(self) -> u64 {
        match self {
            Expect::TreeInfo => super::treeinfo::MAX_BYTES,
            Expect::Kernel => 256 << 20,
            Expect::Initrd => 2 << 30,
            // A few KB; a list of more than 1 MiB is none.
            Expect::RepoMd => 1 << 20,
            // Below 1 KB.
            Expect::Signature => 64 << 10,
            // Fedora's list of 75,000 packages has 20 MB with zstd, 40 MB with gzip.
            Expect::Metadata => 512 << 20,
            // EL 10's DVD has 10 GiB, and a disc of Blu-ray 128.
            Expect::Iso => 128 << 30,
            // The largest package has 2 GB, a stage 2 below 2 GB.
            Expect::Guest => 16 << 30,
            Expect::Any => u64::MAX,
        }
    }

    /// The thing with its article, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Expect::TreeInfo => "a .treeinfo",
            Expect::Kernel => "a kernel",
            Expect::Initrd => "an initrd",
            Expect::RepoMd => "a repomd.xml",
            Expect::Signature => "a signature",
            Expect::Metadata => "repository metadata",
            Expect::Iso => "an ISO image",
            Expect::Guest | Expect::Any => "a file for a guest",
        }
    }

    /// Whether a file that begins with `head` can be it.
    pub(super) fn fits(self, head: &[u8]) -> bool {
        match self {
            Expect::Kernel => is_kernel(head),
            Expect::Initrd => is_initrd(head),
            Expect::RepoMd => head.trim_ascii_start().starts_with(b"<"),
            // What makes it one comes later.
            Expect::TreeInfo
            | Expect::Signature
            | Expect::Metadata
            | Expect::Iso
            | Expect::Guest
            | Expect::Any => true,
        }
    }
}

/// bzImage (`HdrS`, Documentation/arch/x86/boot.rst), EFI image (`MZ`), arm64 `Image`
/// (Documentation/arch/arm64/booting.rst), ARM zImage, ELF, gzip. s390x images have no magic:
/// they begin with a PSW whose first word is zero.
fn is_kernel(head: &[u8]) -> bool {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    at(0, b"MZ")
        || at(0x202, b"HdrS")
        || at(0x38, b"ARM\x64")
        || at(0x24, &[0x18, 0x28, 0x6f, 0x01])
        || at(0, b"\x7fELF")
        || at(0, &[0x1f, 0x8b])
        || at(0, &[0, 0x08, 0, 0, 0x80])
        || at(0, &[0, 0, 0, 0])
}

/// newc and odc cpio, gzip, xz, lzma, zstd, lz4, lzop, bzip2: what the kernel unpacks
/// (lib/decompress.c), with or without a leading microcode cpio.
fn is_initrd(head: &[u8]) -> bool {
    const MAGICS: [&[u8]; 11] = [
        b"070701",
        b"070702",
        b"070707",
        &[0x1f, 0x8b],
        b"\xfd7zXZ\0",
        &[0x5d, 0, 0],
        &[0x28, 0xb5, 0x2f, 0xfd],
        &[0x02, 0x21, 0x4c, 0x18],
        b"\x89LZO",
        b"BZh",
        &[0x04, 0x22, 0x4d, 0x18],
    ];
    MAGICS.iter().any(|magic| head.starts_with(magic))
}

/// Whether the bytes begin a web page.
pub(super) fn is_web_page(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text: String = head
        .iter()
        .map(|&byte| byte as char)
        .skip_while(char::is_ascii_whitespace)
        .take(64)
        .collect::<String>()
        .to_ascii_lowercase();
    [
        "<!doctype html",
        "<html",
        "<head",
        "<script",
        "<body",
        "<!--",
    ]
    .iter()
    .any(|begin| text.starts_with(begin))
        || (text.starts_with("<?xml") && text.contains("html"))
}

/// SHA-256 for our own records, and the tree's algorithm beside it where that is another one.
#[derive(Clone)]
pub(super) struct Hasher {
    own: Sha256,
    other: Option<openssl::hash::Hasher>,
    media: Option<MediaCheck>,
}

/// Finished digests.
#[derive(Debug, Clone)]
pub(super) struct Digests {
    pub(super) sha256: String,
    pub(super) other: Option<String>,
    /// Of an ISO image, what its implanted checksum says.
    pub(super) media: Option<Media>,
}

impl Hasher {
    pub(super) fn new(checksum: Option<&Checksum>) -> io::Result<Hasher> {
        let other = match checksum.map(|checksum| checksum.algorithm.as_str()) {
            // createrepo wrote `sha` for SHA-1 until 2009, and old mirrors are still there.
            Some("sha" | "sha1") => Some(MessageDigest::sha1()),
            // Of ISO images only.
            Some("md5") => Some(MessageDigest::md5()),
            Some("sha384") => Some(MessageDigest::sha384()),
            Some("sha512") => Some(MessageDigest::sha512()),
            _ => None,
        };
        Ok(Hasher {
            own: Sha256::new(),
            other: other.map(openssl::hash::Hasher::new).transpose()?,
            media: None,
        })
    }

    /// As [`Hasher::new`], for such a file.
    pub(super) fn of(expect: Expect, checksum: Option<&Checksum>) -> io::Result<Hasher> {
        Ok(Hasher {
            media: (expect == Expect::Iso).then(MediaCheck::new),
            ..Hasher::new(checksum)?
        })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.own.update(bytes);
        if let Some(media) = &mut self.media {
            media.update(bytes)?;
        }
        match &mut self.other {
            Some(other) => other.write_all(bytes),
            None => Ok(()),
        }
    }

    /// Takes in a whole file; gives its length in bytes.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<u64> {
        self.read_all(File::open(path)?, |_| true)
    }

    /// Takes in all that comes; `go_on` hears after each piece how much came, and says whether to go on.
    pub(super) fn read_all(
        &mut self,
        mut file: impl Read,
        mut go_on: impl FnMut(u64) -> bool,
    ) -> io::Result<u64> {
        // Large enough to keep the disk busy, small beside our memory goal.
        let mut buffer = vec![0; 256 << 10];
        let mut total = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(count) => {
                    self.update(&buffer[..count])?;
                    total += count as u64;
                    if !go_on(total) {
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn finish(self) -> io::Result<Digests> {
        let other = self.other.map(|mut other| other.finish()).transpose()?;
        Ok(Digests {
            sha256: hex::encode(self.own.finalize()),
            other: other.map(hex::encode),
            media: self.media.map(MediaCheck::finish).transpose()?,
        })
    }
}

impl Digests {
    /// Compares with what the tree says of `url`, if it does.
    pub(super) fn check(&self, url: &Url, expected: Option<&Checksum>) -> Result<(), Fault> {
        if self.media == Some(Media::Wrong) {
            return Err(Fault::Implanted { url: shown(url) });
        }
        let found = self.other.as_ref().unwrap_or(&self.sha256);
        match expected.filter(|expected| expected.hex != *found) {
            None => Ok(()),
            Some(expected) => Err(Fault::Checksum {
                url: shown(url),
                expected: expected.clone(),
                found: found.clone(),
            }),
        }
    }
}

/// Whether a checksum of the tree can be verified here. MD5 and SHA-1 (trees before Fedora 11)
/// prove nothing against an attacker, so such a file is handled as one without a checksum.
pub(super) fn is_known(checksum: &Checksum) -> bool {
    matches!(checksum.algorithm.as_str(), "sha256" | "sha384" | "sha512")
}

/// Whether a checksum of repository metadata tells a damaged or half-copied file, which SHA-1
/// still does. Nothing that is verified so is run.
pub(super) fn tells_damage(checksum: &Checksum) -> bool {
    is_known(checksum) || matches!(checksum.algorithm.as_str(), "sha" | "sha1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_kernels_and_initrds_from_other_things() {
        let mut bzimage = vec![0xea; 0x202];
        bzimage.extend_from_slice(b"HdrS");
        assert!(is_kernel(&bzimage));
        assert!(is_kernel(b"MZ\x90"));
        assert!(!is_kernel(b"not a kernel"));
        assert!(!is_kernel(b""));
        assert!(is_initrd(b"\xfd7zXZ\0\0\x01"));
        assert!(is_initrd(b"0707010000"));
        assert!(!is_initrd(b"[general]"));
    }

    #[test]
    fn tells_web_pages() {
        for page in [
            "<!DOCTYPE HTML PUBLIC",
            "\u{feff}  <html>",
            "\n\n<HTML lang=de>",
            "<?xml version=\"1.0\"?><!DOCTYPE html",
        ] {
            assert!(is_web_page(page.as_bytes()), "{page}");
        }
        assert!(!is_web_page(b"[general]\n"));
        assert!(!is_web_page(b"MZ<html>"));
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        let sha512 = Checksum {
            algorithm: "sha512".to_string(),
            hex: String::new(),
        };
        let of = |checksum| {
            let mut hasher = Hasher::new(Some(checksum)).unwrap();
            hasher.update(b"abc").unwrap();
            hasher.finish().unwrap()
        };
        let digests = of(&sha512);
        assert!(digests.sha256.starts_with("ba7816bf8f01cfea"));
        assert!(digests.other.unwrap().starts_with("ddaf35a193617aba"));
        let sha1 = Checksum {
            algorithm: "sha".to_string(),
            hex: String::new(),
        };
        assert!(of(&sha1).other.unwrap().starts_with("a9993e364706816a"));
        assert!(tells_damage(&sha1) && !is_known(&sha1));
    }
}

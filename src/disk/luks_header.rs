//! Headers of LUKS: version 1 ("LUKS1 On-Disk Format Specification" 1.2.3) and version 2 ("LUKS2 On-Disk
//! Format Specification" 1.1.1), as one form.
//!
//! The crate `luks` reads version 2 alone and derives keys at whatever cost a header asks for.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bytes::{big, slice, text};
use super::device::Device;

/// Bytes of a sector, in which LUKS counts.
pub(super) const SECTOR: u64 = 512;

/// How a header begins, and the second one of version 2.
const FIRST: &[u8] = b"LUKS\xba\xbe";
const SECOND: &[u8] = b"SKUL\xba\xbe";

/// Bytes of the binary head of version 2; the JSON follows.
const HEAD: usize = 4096;

/// Sizes that a header of version 2 may have: its second one stands so far behind the beginning.
const SIZES: [u64; 9] = [
    0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000,
];

/// Where the checksum of version 2 stands.
const CHECKSUM: std::ops::Range<usize> = 448..512;

/// Key slots of version 1, and the most of version 2.
const SLOTS: usize = 8;
const MOST_SLOTS: usize = 32;

/// What marks a key slot of version 1 that is used.
const ACTIVE: u64 = 0x00ac_71f3;

/// Longest key in bytes: AES-256 in XTS has 64.
const LONGEST_KEY: u64 = 64;

/// Most pieces that a key is split into; cryptsetup makes 4000.
const MOST_STRIPES: u64 = 8000;

/// A hash that headers name.
pub(super) fn digest(name: &str) -> Result<MessageDigest> {
    let known = ["sha1", "sha224", "sha256", "sha384", "sha512"].contains(&name);
    let digest = known.then(|| MessageDigest::from_name(name)).flatten();
    digest.with_context(|| format!("its hash {name:?} is not known"))
}

/// What is encrypted, and how.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// Where the data begin.
    pub start: u64,
    /// How many bytes they are; none if they go to the end.
    pub size: Option<u64>,
    /// What is added to the numbers of their sectors.
    pub tweak: u64,
    /// Bytes that are encrypted as one.
    pub sector: u64,
    /// The cipher.
    pub cipher: String,
    /// What a good key has.
    pub digest: Digest,
    /// What a passphrase may open.
    pub slots: Vec<Slot>,
    /// Why others of them are not read.
    pub unread: Vec<String>,
}

/// What tells a good key.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    pub kdf: Kdf,
    pub value: Vec<u8>,
}

/// What makes a key of a passphrase.
#[derive(Debug, Clone)]
pub(super) enum Kdf {
    Pbkdf2 {
        hash: String,
        iterations: u64,
        salt: Vec<u8>,
    },
    Argon2 {
        algorithm: argon2::Algorithm,
        passes: u32,
        /// In KiB.
        memory: u32,
        lanes: u32,
        salt: Vec<u8>,
    },
}

/// The key of the data, encrypted.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub kdf: Kdf,
    /// The cipher, and the length of its key.
    pub cipher: String,
    pub cipher_key: usize,
    /// Where the pieces are.
    pub start: u64,
    /// The length of the data's key, and how many pieces of that length there are.
    pub key: usize,
    pub stripes: usize,
    /// The hash that they are mixed with.
    pub hash: String,
}

/// The header on a device.
///
/// # Errors
/// It is broken, or of a kind that is not read.
pub(super) fn read(device: &Device) -> Result<Header> {
    let head = device.bytes(0, SECTOR as usize * 2)?;
    match big(&head, FIRST.len(), 2)? {
        1 if head.starts_with(FIRST) => first(&head),
        _ => second(&json(device)?),
    }
}

fn key_length(length: u64) -> Result<usize> {
    ensure!(
        (16..=LONGEST_KEY).contains(&length),
        "a key has {length} bytes"
    );
    Ok(length as usize)
}

fn stripes(number: u64) -> Result<usize> {
    ensure!(
        (1..=MOST_STRIPES).contains(&number),
        "a key has {number} pieces"
    );
    Ok(number as usize)
}

/// Version 1.
fn first(head: &[u8]) -> Result<Header> {
    let name = |at, length| {
        let name = text(slice(head, at, length)?);
        name.context("a name is missing in its header")
    };
    let cipher = format!("{}-{}", name(8, 32)?, name(40, 32)?);
    let hash = name(72, 32)?;
    let key = key_length(big(head, 108, 4)?)?;
    let mut slots = Vec::new();
    for number in 0..SLOTS {
        let at = 208 + number * 48;
        if big(head, at, 4)? != ACTIVE {
            continue;
        }
        slots.push(Slot {
            kdf: Kdf::Pbkdf2 {
                hash: hash.clone(),
                iterations: big(head, at + 4, 4)?,
                salt: slice(head, at + 8, 32)?.to_vec(),
            },
            cipher: cipher.clone(),
            cipher_key: key,
            start: big(head, at + 40, 4)? * SECTOR,
            key,
            stripes: stripes(big(head, at + 44, 4)?)?,
            hash: hash.clone(),
        });
    }
    Ok(Header {
        start: big(head, 104, 4)? * SECTOR,
        size: None,
        tweak: 0,
        sector: SECTOR,
        cipher,
        digest: Digest {
            kdf: Kdf::Pbkdf2 {
                hash,
                iterations: big(head, 164, 4)?,
                salt: slice(head, 132, 32)?.to_vec(),
            },
            value: slice(head, 112, 20)?.to_vec(),
        },
        slots,
        unread: Vec::new(),
    })
}

/// The JSON of version 2: of the first header, or of the second if that is broken.
fn json(device: &Device) -> Result<Metadata> {
    let first = json_at(device, 0, FIRST);
    if first.is_ok() {
        return first;
    }
    let mut second = SIZES.iter().map(|at| json_at(device, *at, SECOND));
    second.find_map(Result::ok).map_or(first, Ok)
}

fn json_at(device: &Device, at: u64, magic: &[u8]) -> Result<Metadata> {
    let head = device.bytes(at, HEAD)?;
    ensure!(head.starts_with(magic), "it has no header");
    let version = big(&head, 6, 2)?;
    ensure!(version == 2, "version {version} of LUKS is not read");
    let size = big(&head, 8, 8)?;
    ensure!(
        SIZES.contains(&size) && big(&head, 256, 8)? == at,
        "its header is broken"
    );
    let mut whole = device.bytes(at, size as usize)?;
    let name = text(slice(&head, 72, 32)?).context("its header has no checksum")?;
    whole[CHECKSUM].fill(0);
    let found = openssl::hash::hash(digest(&name)?, &whole)?;
    ensure!(
        head[CHECKSUM].starts_with(&found),
        "the checksum of its header is wrong"
    );
    let json = whole.get(HEAD..).context("its header is broken")?;
    let json = json.split(|byte| *byte == 0).next().unwrap_or_default();
    serde_json::from_slice(json).context("its header is broken")
}

/// A number that JSON has as a text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Number(u64);

impl TryFrom<String> for Number {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> std::result::Result<Number, Self::Error> {
        text.parse().map(Number)
    }
}

/// Parts of version 2, by their numbers. What of them is used has a type of its own.
#[derive(Debug, Deserialize)]
struct Metadata {
    keyslots: BTreeMap<String, Value>,
    segments: BTreeMap<String, Value>,
    digests: BTreeMap<String, Value>,
    config: Config,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    requirements: Requirements,
}

#[derive(Debug, Default, Deserialize)]
struct Requirements {
    #[serde(default)]
    mandatory: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Segment {
    offset: Number,
    size: String,
    iv_tweak: Number,
    encryption: String,
    sector_size: u64,
    integrity: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct DigestOf {
    keyslots: Vec<String>,
    segments: Vec<String>,
    hash: String,
    iterations: u64,
    salt: String,
    digest: String,
}

#[derive(Debug, Deserialize)]
struct Keyslot {
    key_size: u64,
    af: Splitter,
    area: Area,
    kdf: Value,
}

#[derive(Debug, Deserialize)]
struct Splitter {
    stripes: u64,
    hash: String,
}

#[derive(Debug, Deserialize)]
struct Area {
    offset: Number,
    encryption: String,
    key_size: u64,
}

#[derive(Debug, Deserialize)]
struct Pbkdf2 {
    hash: String,
    iterations: u64,
    salt: String,
}

#[derive(Debug, Deserialize)]
struct Argon2 {
    time: u32,
    memory: u32,
    cpus: u32,
    salt: String,
}

/// A part as its type has it, whose name is `kind`.
fn part<T: DeserializeOwned>(part: &Value) -> Result<T> {
    T::deserialize(part).context("its header is broken")
}

fn kind(part: &Value) -> &str {
    part["type"].as_str().unwrap_or_default()
}

fn base64(text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).context("its header is broken")
}

/// Version 2.
fn second(metadata: &Metadata) -> Result<Header> {
    let wanted = &metadata.config.requirements.mandatory;
    ensure!(wanted.is_empty(), "it needs {}", wanted.join(", "));
    let mut segments = metadata.segments.iter();
    let (Some((name, segment)), None) = (segments.next(), segments.next()) else {
        bail!("its data lie in several pieces, or in none");
    };
    let kind_of_data = kind(segment);
    ensure!(kind_of_data == "crypt", "its data are {kind_of_data:?}");
    let segment: Segment = part(segment)?;
    ensure!(segment.integrity.is_none(), "its data are authenticated");
    let sector = segment.sector_size;
    ensure!(
        [512, 1024, 2048, 4096].contains(&sector),
        "its sectors have {sector} bytes"
    );
    let digests = metadata.digests.values();
    let mut digests = digests.filter(|digest| kind(digest) == "pbkdf2");
    let digest = digests.find_map(|digest| {
        let digest = part::<DigestOf>(digest).ok()?;
        digest.segments.contains(name).then_some(digest)
    });
    let digest = digest.context("its data have no key")?;
    let slots = metadata.keyslots.iter().filter(|(name, slot)| {
        // Those of priority 0 are opened by name only.
        digest.keyslots.contains(name) && kind(slot) == "luks2" && slot["priority"] != 0
    });
    let (mut good, mut unread) = (Vec::new(), Vec::new());
    for (_, one) in slots.take(MOST_SLOTS) {
        match part(one).and_then(|one| slot(&one)) {
            Ok(slot) => good.push(slot),
            Err(why) => unread.push(format!("{why:#}")),
        }
    }
    Ok(Header {
        start: segment.offset.0,
        size: match segment.size.as_str() {
            "dynamic" => None,
            size => Some(size.parse().context("its header is broken")?),
        },
        tweak: segment.iv_tweak.0,
        sector,
        cipher: segment.encryption,
        digest: Digest {
            kdf: Kdf::Pbkdf2 {
                hash: digest.hash,
                iterations: digest.iterations,
                salt: base64(&digest.salt)?,
            },
            value: base64(&digest.digest)?,
        },
        slots: good,
        unread,
    })
}

fn slot(slot: &Keyslot) -> Result<Slot> {
    let kdf = match kind(&slot.kdf) {
        "pbkdf2" => {
            let kdf: Pbkdf2 = part(&slot.kdf)?;
            Kdf::Pbkdf2 {
                hash: kdf.hash,
                iterations: kdf.iterations,
                salt: base64(&kdf.salt)?,
            }
        }
        name => {
            let algorithm = argon2::Algorithm::new(name);
            let kdf: Argon2 = part(&slot.kdf)?;
            Kdf::Argon2 {
                algorithm: algorithm
                    .ok()
                    .with_context(|| format!("its keys are made by {name:?}"))?,
                passes: kdf.time,
                memory: kdf.memory,
                lanes: kdf.cpus,
                salt: base64(&kdf.salt)?,
            }
        }
    };
    Ok(Slot {
        kdf,
        cipher: slot.area.encryption.clone(),
        cipher_key: key_length(slot.area.key_size)?,
        start: slot.area.offset.0,
        key: key_length(slot.key_size)?,
        stripes: stripes(slot.af.stripes)?,
        hash: slot.af.hash.clone(),
    })
}

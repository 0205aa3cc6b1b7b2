//! What is encrypted, read with a passphrase. QEMU writes it (LUKS 1), cryptsetup makes LUKS 2 of that, and both need
//! no device mapper; what is in it is known. Then headers that a hostile guest wrote.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use ozr::disk::device::Device;
use ozr::disk::image_file;
use ozr::disk::luks::{self, Keys};
use ozr::disk::volumes::{Place, Volumes};
use serde_json::{Value, json};

const OZR: &str = env!("CARGO_BIN_EXE_ozr");

const PASSPHRASE: &str = "t\u{fc}r auf \"x\"";

/// Bytes of what is encrypted: not a multiple of what is decrypted at once.
const SIZE: usize = (1 << 20) + 3 * 4096;

fn run(program: &str, arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn open(image: &Path) -> Device {
    image_file::open(File::open(image).unwrap()).unwrap()
}

fn opened(disk: &Device, passphrases: &[&str]) -> (Keys, Volumes) {
    let passphrases: Vec<String> = passphrases.iter().map(|one| (*one).to_owned()).collect();
    let keys = luks::keys(std::slice::from_ref(disk), &passphrases).unwrap();
    let volumes = Volumes::find(&[disk.clone().with_keys(keys.keys.clone().into())]).unwrap();
    (keys, volumes)
}

/// What lies in the only thing that is encrypted.
fn inner(volumes: &Volumes) -> Option<&Device> {
    let mut all = volumes.all.iter();
    let inner = all.find(|volume| matches!(volume.place, Place::Opened(_)));
    inner.and_then(|volume| volume.device.as_ref().ok())
}

fn known() -> Vec<u8> {
    (0..SIZE as u32)
        .flat_map(|at| (at / 7).to_le_bytes())
        .take(SIZE)
        .collect()
}

/// LUKS 1 by cryptsetup, with a content that QEMU encrypts.
fn luks1(directory: &Path, content: &Path, (cipher, bits, hash): (&str, &str, &str)) -> PathBuf {
    let (secret, image) = (directory.join("secret"), directory.join("luks.img"));
    fs::write(&secret, PASSPHRASE).unwrap();
    let _ = fs::remove_file(&image);
    let size = fs::metadata(content).unwrap().len();
    File::create(&image)
        .unwrap()
        .set_len((2 << 20) + size)
        .unwrap();
    let format = [
        "luksFormat",
        "--type",
        "luks1",
        "--pbkdf-force-iterations",
        "1000",
    ];
    let how = ["--cipher", cipher, "--key-size", bits, "--hash", hash];
    cryptsetup(&[&format[..], &how].concat(), &image);
    let object = format!("secret,id=s,file={}", secret.display());
    let file = format!(
        "driver=luks,key-secret=s,file.driver=file,file.filename={}",
        image.display()
    );
    let convert = [
        "convert",
        "-n",
        "--object",
        &object,
        "-f",
        "raw",
        "--target-image-opts",
    ];
    run(
        "qemu-img",
        &[&convert[..], &[content.to_str().unwrap(), &file]].concat(),
        "",
    );
    image
}

fn cryptsetup(arguments: &[&str], image: &Path) -> String {
    let mut all = vec!["-q", "--key-file", "-", "--disable-locks"];
    all.extend(arguments);
    all.push(image.to_str().unwrap());
    run("cryptsetup", &all, PASSPHRASE)
}

/// The same as LUKS 2, its key by Argon2.
fn luks2(image: &Path) {
    let uuid = run("cryptsetup", &["luksUUID", image.to_str().unwrap()], "");
    assert!(!uuid.trim().is_empty());
    cryptsetup(&["convert", "--type", "luks2"], image);
    let cheap = [
        "--pbkdf",
        "argon2id",
        "--pbkdf-memory",
        "32",
        "--pbkdf-parallel",
        "2",
    ];
    let cheap = [
        &["luksConvertKey"][..],
        &cheap,
        &["--pbkdf-force-iterations", "4"],
    ]
    .concat();
    cryptsetup(&cheap, image);
}

fn assert_reads(image: &Path, what: &str) {
    let disk = open(image);
    let (keys, volumes) = opened(&disk, &["wrong one", PASSPHRASE]);
    assert_eq!(keys.closed, [] as [String; 0], "{what}");
    let inner = inner(&volumes).unwrap_or_else(|| panic!("{what}: {:?}", volumes.troubles));
    // A small key leaves more room behind its header.
    assert!(inner.size() as usize >= SIZE, "{what}");
    assert!(inner.bytes(0, SIZE).unwrap() == known(), "{what}");
    for (at, length) in [(1, 1), (511, 2), (65_535, 70_000), (SIZE - 3, 3)] {
        let read = inner.bytes(at as u64, length).unwrap();
        assert!(read == known()[at..at + length], "{what}: {length} at {at}");
    }
    inner.bytes(inner.size() - 3, 4).unwrap_err();

    let (keys, volumes) = opened(&disk, &["wrong one"]);
    assert_eq!(keys.closed, ["no passphrase opens the disk"], "{what}");
    assert!(self::inner(&volumes).is_none());
    assert!(!format!("{:?}", opened(&disk, &[PASSPHRASE]).0).contains("key:"));
}

#[test]
fn what_others_encrypted_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let content = directory.path().join("content");
    fs::write(&content, known()).unwrap();
    for (cipher, bits, hash) in [
        ("aes-xts-plain64", "512", "sha256"),
        ("aes-xts-plain64", "256", "sha512"),
        ("aes-cbc-essiv:sha256", "256", "sha1"),
        ("aes-cbc-plain", "128", "sha1"),
    ] {
        let image = luks1(directory.path(), &content, (cipher, bits, hash));
        assert_reads(&image, cipher);
        luks2(&image);
        assert_reads(&image, &format!("LUKS 2 of {cipher}"));
    }
}

/// Sectors of 4096 bytes, which are encrypted here as dm-crypt does: their numbers count sectors of 512.
#[test]
fn large_sectors_are_numbered_as_small_ones() {
    use openssl::symm::{Cipher, Crypter, Mode};
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("luks.img");
    File::create(&image)
        .unwrap()
        .set_len((16 << 20) + SIZE as u64)
        .unwrap();
    let cheap = [
        "--pbkdf",
        "argon2i",
        "--pbkdf-memory",
        "32",
        "--pbkdf-force-iterations",
        "4",
    ];
    let large = ["luksFormat", "--type", "luks2", "--sector-size", "4096"];
    cryptsetup(&[&large[..], &cheap].concat(), &image);
    let key_file = directory.path().join("key");
    let dump = [
        "luksDump",
        "--dump-volume-key",
        "--volume-key-file",
        key_file.to_str().unwrap(),
    ];
    cryptsetup(&dump, &image);
    let key = fs::read(key_file).unwrap();
    assert_eq!(key.len(), 64);
    let mut whole = fs::read(&image).unwrap();
    for (number, plain) in known().chunks(4096).enumerate() {
        let mut start = [0; 16];
        start[..8].copy_from_slice(&(number as u64 * 8).to_le_bytes());
        let cipher = Cipher::aes_256_xts();
        let mut crypter = Crypter::new(cipher, Mode::Encrypt, &key, Some(&start)).unwrap();
        let mut encrypted = vec![0; 4096 + 16];
        let length = crypter.update(plain, &mut encrypted).unwrap();
        let at = (16 << 20) + number * 4096;
        whole[at..at + 4096].copy_from_slice(&encrypted[..length]);
    }
    fs::write(&image, &whole).unwrap();
    assert_reads(&image, "4096");

    // The second header says the same; without either there is nothing.
    let mut first_gone = whole.clone();
    first_gone[5000] ^= 1;
    fs::write(&image, &first_gone).unwrap();
    assert_reads(&image, "the second header");
    first_gone[0x4000 + 5000] ^= 1;
    let disk = Device::of_bytes(first_gone);
    let (keys, volumes) = opened(&disk, &[PASSPHRASE]);
    assert_eq!(
        keys.closed,
        ["the disk: the checksum of its header is wrong"]
    );
    assert!(inner(&volumes).is_none());
}

/// The disk with logical volumes of fixtures/disks, and its volumes.
fn with_volumes() -> (Device, Volumes) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/disks/lvm.qcow2");
    let disk = open(&path);
    let volumes = Volumes::find(std::slice::from_ref(&disk)).unwrap();
    (disk, volumes)
}

fn device<'a>(volumes: &'a Volumes, named: &str) -> &'a Device {
    let volume = volumes.all.iter().find(|volume| volume.name() == named);
    volume.unwrap().device.as_ref().unwrap()
}

/// `luksFormat`, `pvcreate`: what `autopart --encrypted --type=lvm` makes, here of one of two physical volumes.
#[test]
fn logical_volumes_in_what_is_encrypted() {
    const PIECE: usize = 1 << 20;
    let directory = tempfile::tempdir().unwrap();
    let (_, plain) = with_volumes();
    let first = device(&plain, "partition 3");
    let content = directory.path().join("content");
    let copy = File::create(&content).unwrap();
    copy.set_len(first.size()).unwrap();
    for at in (0..first.size()).step_by(PIECE) {
        let piece = first.beginning(at, PIECE).unwrap();
        if piece.iter().any(|byte| *byte != 0) {
            copy.write_all_at(&piece, at).unwrap();
        }
    }
    let image = luks1(
        directory.path(),
        &content,
        ("aes-xts-plain64", "256", "sha256"),
    );
    let disks = [open(&image), device(&plain, "partition 4").clone()];
    let keys = luks::keys(&disks, &[PASSPHRASE.to_owned()]).unwrap();
    assert_eq!((keys.keys.len(), keys.closed.len()), (1, 0));
    let opened: Arc<[luks::Key]> = keys.keys.into();
    let opened = disks.map(|disk| disk.with_keys(Arc::clone(&opened)));
    let opened = Volumes::find(&opened).unwrap();
    for volume in &plain.all {
        let Place::Logical(name) = &volume.place else {
            continue;
        };
        let found = opened.named(&volume.name()).unwrap();
        assert_eq!(found.contents, volume.contents, "{name}");
        match (&found.device, &volume.device) {
            (Ok(found), Ok(volume)) => {
                let end = volume.size() - 4096;
                for at in [0, end / 2, end] {
                    assert!(found.bytes(at, 4096).unwrap() == volume.bytes(at, 4096).unwrap());
                }
            }
            (found, volume) => assert_eq!(found.is_ok(), volume.is_ok(), "{name}"),
        }
    }
    let closed = Volumes::find(&[open(&image)]).unwrap();
    assert!(closed.named("/dev/mapper/rl--a-root").is_none());
}

/// `logvol --encrypted`: the LUKS lies on the logical volume.
#[test]
fn what_is_encrypted_on_a_logical_volume() {
    let directory = tempfile::tempdir().unwrap();
    let content = directory.path().join("content");
    fs::write(&content, known()).unwrap();
    let image = luks1(
        directory.path(),
        &content,
        ("aes-xts-plain64", "512", "sha256"),
    );
    let encrypted = fs::read(&image).unwrap();
    let (disk, plain) = with_volumes();
    let swap = device(&plain, "/dev/mapper/rl--a-swap");
    assert!(encrypted.len() as u64 <= swap.size());
    // Where that lies on the disk: where the beginning of it, which says its UUID, is found again.
    let beginning = swap.bytes(0, 4096).unwrap();
    let found = |at: &u64| disk.bytes(*at, 4096).unwrap() == beginning;
    let at = (0..disk.size() - 4096).step_by(4096).find(found).unwrap();
    let disk = Device::new(disk.size(), move |from, into| {
        disk.read(from, into)?;
        let end = (at + encrypted.len() as u64).min(from + into.len() as u64);
        for place in at.max(from)..end {
            into[(place - from) as usize] = encrypted[(place - at) as usize];
        }
        Ok(())
    });
    let (keys, volumes) = opened(&disk, &[PASSPHRASE]);
    assert_eq!(keys.closed, [] as [String; 0]);
    let inner = inner(&volumes).unwrap();
    assert!(inner.bytes(0, SIZE).unwrap() == known());
    let (keys, _) = opened(&disk, &["wrong one"]);
    assert_eq!(keys.closed, ["no passphrase opens /dev/mapper/rl--a-swap"]);
}

/// A LUKS 2 whose JSON is altered, with the checksum that it then has.
fn altered(whole: &[u8], alter: impl Fn(&mut Value)) -> Vec<u8> {
    let mut whole = whole.to_vec();
    let area = 4096..0x4000;
    let text = whole[area.clone()].split(|byte| *byte == 0).next().unwrap();
    let mut metadata: Value = serde_json::from_slice(text).unwrap();
    alter(&mut metadata);
    let text = serde_json::to_vec(&metadata).unwrap();
    whole[area.clone()].fill(0);
    whole[area][..text.len()].copy_from_slice(&text);
    checked(&mut whole);
    whole
}

fn checked(whole: &mut [u8]) {
    whole[448..512].fill(0);
    let sum = openssl::sha::sha256(&whole[..0x4000]);
    whole[448..480].copy_from_slice(&sum);
}

fn small_luks2() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("luks.img");
    File::create(&image).unwrap().set_len(2 << 20).unwrap();
    let format = [
        "luksFormat",
        "--type",
        "luks2",
        "--pbkdf",
        "argon2id",
        "--pbkdf-memory",
        "32",
    ];
    let small = ["--pbkdf-force-iterations", "4", "--offset", "2048"];
    cryptsetup(&[&format[..], &small].concat(), &image);
    fs::read(image).unwrap()
}

#[test]
fn hostile_headers_cost_little_and_are_named() {
    let whole = small_luks2();
    assert!(inner(&opened(&Device::of_bytes(whole.clone()), &[PASSPHRASE]).1).is_some());
    let slot = "/keyslots/0";
    for (place, value, why) in [
        (
            format!("{slot}/kdf/memory"),
            json!(4 << 20),
            "takes 4096 MiB of memory, more than 1024",
        ),
        (format!("{slot}/kdf/memory"), json!(1), "header is broken"),
        (
            format!("{slot}/kdf/time"),
            json!(u32::MAX),
            "would take minutes",
        ),
        (format!("{slot}/kdf/time"), json!(0), "header is broken"),
        (format!("{slot}/kdf/time"), json!(-1), "header is broken"),
        (
            format!("{slot}/kdf/cpus"),
            json!(u32::MAX),
            "header is broken",
        ),
        (
            format!("{slot}/kdf/salt"),
            json!("YQ=="),
            "header is broken",
        ),
        (
            format!("{slot}/kdf/type"),
            json!("scrypt"),
            "keys are made by \"scrypt\"",
        ),
        (
            format!("{slot}/af/stripes"),
            json!(u32::MAX),
            "has 4294967295 pieces",
        ),
        (
            format!("{slot}/af/hash"),
            json!("md5"),
            "hash \"md5\" is not known",
        ),
        (
            format!("{slot}/key_size"),
            json!(1_u64 << 40),
            "a key has 1099511627776 bytes",
        ),
        (
            format!("{slot}/area/key_size"),
            json!(0),
            "a key has 0 bytes",
        ),
        (
            format!("{slot}/area/offset"),
            json!(u64::MAX.to_string()),
            "beyond the end",
        ),
        (
            format!("{slot}/area/encryption"),
            json!("serpent-xts-plain64"),
            "\"serpent-xts-plain64\"",
        ),
        (
            "/digests/0/iterations".to_owned(),
            json!(u64::MAX),
            "would take minutes",
        ),
        (
            "/digests/0/iterations".to_owned(),
            json!(0),
            "header is broken",
        ),
        (
            "/digests/0/digest".to_owned(),
            json!(""),
            "header is broken",
        ),
        (
            "/digests/0/segments".to_owned(),
            json!([]),
            "its data have no key",
        ),
        (
            "/segments/0/sector_size".to_owned(),
            json!(0),
            "sectors have 0 bytes",
        ),
        (
            "/segments/0/type".to_owned(),
            json!("linear"),
            "its data are \"linear\"",
        ),
        ("/segments/1".to_owned(), json!({}), "in several pieces"),
        (
            "/segments/0/integrity".to_owned(),
            json!({}),
            "authenticated",
        ),
        (
            "/config/requirements".to_owned(),
            json!({"mandatory": ["x"]}),
            "it needs x",
        ),
    ] {
        let disk = Device::of_bytes(altered(&whole, |metadata| {
            let (parent, name) = place.rsplit_once('/').unwrap();
            metadata.pointer_mut(parent).unwrap()[name] = value.clone();
        }));
        let (keys, volumes) = opened(&disk, &[PASSPHRASE]);
        let said = keys.closed.join("; ");
        assert!(said.contains(why), "{place} {value}: {said}");
        assert!(inner(&volumes).is_none());
    }
    // What is found out with the key only.
    for (place, value, why) in [
        ("offset", json!("1000000000000"), "data lie beyond the end"),
        ("size", json!("1000000000000"), "data end beyond the end"),
        ("encryption", json!("aes-xts-x"), "is not read"),
    ] {
        let disk = Device::of_bytes(altered(&whole, |metadata| {
            metadata["segments"]["0"][place] = value.clone();
        }));
        let (_, volumes) = opened(&disk, &[PASSPHRASE]);
        let said = volumes.troubles.join("; ");
        assert!(said.contains(why), "{place} {value}: {said}");
    }
    let last = Device::of_bytes(altered(&whole, |metadata| {
        metadata["segments"]["0"]["iv_tweak"] = json!(u64::MAX.to_string());
    }));
    let (_, volumes) = opened(&last, &[PASSPHRASE]);
    inner(&volumes).unwrap().bytes(0, 4096).unwrap();
}

/// Bytes of both versions altered, with a good checksum: an answer or an error, never a panic.
#[test]
fn broken_headers_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let content = directory.path().join("content");
    fs::write(&content, [0; 4096]).unwrap();
    let first = fs::read(luks1(
        directory.path(),
        &content,
        ("aes-xts-plain64", "512", "sha256"),
    ))
    .unwrap();
    let second = small_luks2();
    let mut number = 1_u32;
    let mut next = |below: usize| {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 8) as usize % below
    };
    let mut answers = 0;
    for round in 0..120 {
        let mut bytes = [&first, &second][round % 2].clone();
        for _ in 0..=next(3) {
            let at = 6 + next([586, 1300][round % 2]);
            let at = if round % 2 == 1 && at > 512 {
                4096 + at - 512
            } else {
                at
            };
            bytes[at] = [b'0', b'9', b'"', 0, 0xff, 1][next(6)];
        }
        if round % 2 == 1 {
            checked(&mut bytes);
            // No second header to fall back to.
            bytes[0x4000] = 0;
        }
        let disk = Device::of_bytes(bytes);
        let keys = luks::keys(std::slice::from_ref(&disk), &[PASSPHRASE.to_owned()]);
        answers += usize::from(keys.is_ok_and(|keys| keys.keys.is_empty()));
    }
    assert!(answers > 20, "{answers}");
}

#[test]
fn an_encrypted_system_is_inspected_with_its_passphrase_only() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(
        root.join("etc/os-release"),
        "ID=rocky\nPRETTY_NAME=\"Rocky 9\"\n",
    )
    .unwrap();
    fs::write(
        root.join("etc/fstab"),
        "/dev/mapper/vault / ext4 defaults 0 0\n",
    )
    .unwrap();
    fs::write(root.join("etc/hostname"), "vault.example.org\n").unwrap();
    let content = directory.path().join("content");
    File::create(&content).unwrap().set_len(16 << 20).unwrap();
    let (from, to) = (root.to_str().unwrap(), content.to_str().unwrap());
    run("mkfs.ext4", &["-q", "-F", "-d", from, to], "");
    let image = luks1(
        directory.path(),
        &content,
        ("aes-xts-plain64", "512", "sha256"),
    );
    luks2(&image);
    let secret = format!("file:{}", directory.path().join("secret").display());
    let wrong = directory.path().join("wrong");
    fs::write(&wrong, "another\n").unwrap();
    let wrong = format!("file:{}", wrong.display());
    let ozr = |arguments: &[&str]| {
        let output = Command::new(OZR)
            .args(arguments)
            .arg(&image)
            .output()
            .unwrap();
        let said =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let (status, said) = ozr(&["inspect", "--luks-passphrase", &secret]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("Rocky 9") && said.contains("vault.example.org"),
        "{said}"
    );
    assert!(said.contains("/dev/mapper/luks-"), "{said}");
    assert!(!said.contains("t\u{fc}r"), "{said}");
    let (_, said) = ozr(&["inspect"]);
    assert!(said.contains("no passphrase of it is known"), "{said}");
    assert!(!said.contains("vault"), "{said}");
    let (status, said) = ozr(&["inspect", "--luks-passphrase", &wrong]);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("nothing encrypted was opened: no passphrase opens the disk"),
        "{said}"
    );
}

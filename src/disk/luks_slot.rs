//! From a passphrase to a key of LUKS, and from a key to what it encrypts. A header may ask for any amount of
//! memory and time: both have bounds.

use anyhow::{Context, Result, anyhow, bail, ensure};
use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::CipherCtx;
use openssl::hash::Hasher;

use super::device::Device;
use super::luks_header::{Digest, Header, Kdf, SECTOR, Slot, digest};

/// Most memory that deriving a key may take, in KiB: the most that cryptsetup takes unless it is told
/// otherwise (2.6, `DEFAULT_LUKS2_MEMORY_KB`).
pub(super) const MOST_MEMORY: u32 = 1 << 20;

/// How much may be computed for one image: KiB that Argon2 passes over, and hashes of PBKDF2. Each takes about a
/// microsecond; cryptsetup's own choices come to ten millions at most.
const MOST_WORK: u64 = 200_000_000;

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// What may still be computed.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    /// That of one image.
    pub(super) fn new() -> Budget {
        Budget(MOST_WORK)
    }

    fn take(&mut self, work: u64) -> Result<()> {
        let left = self.0.checked_sub(work);
        self.0 = left.context("its keys would take minutes to derive, more than is spent on it")?;
        Ok(())
    }
}

impl Kdf {
    /// A key of so many bytes.
    fn derive(&self, passphrase: &[u8], length: usize, budget: &mut Budget) -> Result<Vec<u8>> {
        let mut key = vec![0; length];
        match self {
            Kdf::Pbkdf2 {
                hash,
                iterations,
                salt,
            } => {
                let hash = digest(hash)?;
                budget.take(iterations.saturating_mul(length.div_ceil(hash.size()) as u64))?;
                let iterations = usize::try_from(*iterations)?;
                ensure!(iterations > 0, "its header is broken");
                openssl::pkcs5::pbkdf2_hmac(passphrase, salt, iterations, hash, &mut key)?;
            }
            Kdf::Argon2 {
                algorithm,
                passes,
                memory,
                lanes,
                salt,
            } => {
                ensure!(
                    *memory <= MOST_MEMORY,
                    "deriving its key takes {} MiB of memory, more than {}",
                    memory >> 10,
                    MOST_MEMORY >> 10
                );
                budget.take(u64::from(*memory) * u64::from(*passes))?;
                let broken = |error| anyhow!("its header is broken: {error}");
                let parameters = argon2::Params::new(*memory, *passes, *lanes, Some(length));
                let parameters = parameters.map_err(broken)?;
                let mut blocks = Vec::new();
                let count = parameters.block_count();
                if blocks.try_reserve_exact(count).is_err() {
                    bail!(
                        "there are no {} MiB of memory to derive its key",
                        memory >> 10
                    );
                }
                blocks.resize(count, argon2::Block::default());
                argon2::Argon2::new(*algorithm, argon2::Version::V0x13, parameters)
                    .hash_password_into_with_memory(passphrase, salt, &mut key, &mut blocks)
                    .map_err(broken)?;
            }
        }
        Ok(key)
    }
}

impl Digest {
    fn fits(&self, key: &[u8], budget: &mut Budget) -> Result<bool> {
        ensure!(
            (16..=64).contains(&self.value.len()),
            "its header is broken"
        );
        let found = self.kdf.derive(key, self.value.len(), budget)?;
        Ok(found == self.value)
    }
}

impl Header {
    /// The key that a passphrase opens; none if it opens none.
    ///
    /// # Errors
    /// No passphrase could be tried on some of the slots, and it opens none of the others.
    pub(super) fn key(
        &self,
        device: &Device,
        passphrase: &[u8],
        budget: &mut Budget,
    ) -> Result<Option<Vec<u8>>> {
        let mut untried: Vec<String> = self.unread.clone();
        for slot in &self.slots {
            let mut open = || {
                let key = slot.open(device, passphrase, budget)?;
                anyhow::Ok(self.digest.fits(&key, budget)?.then_some(key))
            };
            match open() {
                Ok(Some(key)) => return Ok(Some(key)),
                Ok(None) => {}
                Err(why) => untried.push(format!("{why:#}")),
            }
        }
        untried.dedup();
        match untried.as_slice() {
            [] => Ok(None),
            untried => bail!("{}", untried.join("; ")),
        }
    }
}

impl Slot {
    /// What would be the key if the passphrase were right.
    fn open(&self, device: &Device, passphrase: &[u8], budget: &mut Budget) -> Result<Vec<u8>> {
        // Before minutes are spent on it.
        let mode = Mode::of(&self.cipher, self.cipher_key)?;
        let length = self.key * self.stripes;
        let mut pieces = device.bytes(self.start, length.next_multiple_of(SECTOR as usize))?;
        let key = self.kdf.derive(passphrase, self.cipher_key, budget)?;
        mode.decrypt(&key, &mut pieces, 0, SECTOR)?;
        merge(&pieces[..length], self.key, &self.hash)
    }
}

/// Puts a key together that was split (LUKS1 specification, 2.4).
fn merge(pieces: &[u8], length: usize, hash: &str) -> Result<Vec<u8>> {
    let mut key = vec![0; length];
    let (last, others) = {
        let mut all = pieces.chunks_exact(length);
        (all.next_back(), all)
    };
    let mix = |key: &mut [u8], piece: &[u8]| {
        for (byte, other) in key.iter_mut().zip(piece) {
            *byte ^= other;
        }
    };
    for piece in others {
        mix(&mut key, piece);
        let size = digest(hash)?.size();
        for (number, part) in key.chunks_mut(size).enumerate() {
            let mut hasher = Hasher::new(digest(hash)?)?;
            hasher.update(&(number as u32).to_be_bytes())?;
            hasher.update(part)?;
            part.copy_from_slice(&hasher.finish()?[..part.len()]);
        }
    }
    mix(&mut key, last.context("its header is broken")?);
    Ok(key)
}

/// A cipher with its mode, and how numbers of sectors begin it (Linux, `drivers/md/dm-crypt.c`).
#[derive(Clone, Copy)]
pub(super) struct Mode {
    cipher: &'static CipherRef,
    /// What encrypts the number, with the hash of the key.
    essiv: bool,
    /// Bytes of the number.
    width: usize,
}

impl Mode {
    /// That of a name as headers have it, for keys of so many bytes.
    ///
    /// # Errors
    /// It is not known.
    pub(super) fn of(name: &str, key: usize) -> Result<Mode> {
        let (cipher, essiv, width) = match (name, key) {
            ("aes-xts-plain64", 32) => (Cipher::aes_128_xts(), false, 8),
            ("aes-xts-plain64", 64) => (Cipher::aes_256_xts(), false, 8),
            ("aes-xts-plain", 32) => (Cipher::aes_128_xts(), false, 4),
            ("aes-xts-plain", 64) => (Cipher::aes_256_xts(), false, 4),
            ("aes-cbc-plain64", 16) => (Cipher::aes_128_cbc(), false, 8),
            ("aes-cbc-plain64", 32) => (Cipher::aes_256_cbc(), false, 8),
            ("aes-cbc-plain", 16) => (Cipher::aes_128_cbc(), false, 4),
            ("aes-cbc-plain", 32) => (Cipher::aes_256_cbc(), false, 4),
            ("aes-cbc-essiv:sha256", 16) => (Cipher::aes_128_cbc(), true, 8),
            ("aes-cbc-essiv:sha256", 32) => (Cipher::aes_256_cbc(), true, 8),
            _ => bail!("its cipher {name:?} with {} bits is not read", key * 8),
        };
        Ok(Mode {
            cipher,
            essiv,
            width,
        })
    }

    /// Decrypts whole sectors of `sector` bytes, the first of which has the number in sectors of 512.
    ///
    /// # Errors
    /// OpenSSL cannot.
    pub(super) fn decrypt(
        &self,
        key: &[u8],
        data: &mut [u8],
        number: u64,
        sector: u64,
    ) -> Result<()> {
        let mut context = CipherCtx::new()?;
        context.decrypt_init(Some(self.cipher), Some(key), None)?;
        context.set_padding(false);
        let mut essiv = CipherCtx::new()?;
        if self.essiv {
            let hash = openssl::sha::sha256(key);
            essiv.encrypt_init(Some(Cipher::aes_256_ecb()), Some(&hash), None)?;
            essiv.set_padding(false);
        }
        // OpenSSL wants room for a block more than it writes.
        let mut room = vec![0; sector as usize + BLOCK];
        let mut number = number;
        for data in data.chunks_mut(sector as usize) {
            let mut start = [0; BLOCK];
            start[..self.width].copy_from_slice(&number.to_le_bytes()[..self.width]);
            if self.essiv {
                essiv.cipher_update(&start, Some(&mut room))?;
                start.copy_from_slice(&room[..BLOCK]);
            }
            context.decrypt_init(None, None, Some(&start))?;
            let written = context.cipher_update(data, Some(&mut room))?;
            ensure!(written == data.len(), "a sector was not decrypted");
            data.copy_from_slice(&room[..written]);
            number = number.wrapping_add(sector / SECTOR);
        }
        Ok(())
    }
}

//! Systems on LVM, XFS, Btrfs, ext and FAT (fixtures/disks) with bytes altered by a hostile guest: an answer
//! or an error, never a panic. The data are a byte that says which disk, and then places (four bytes) with what
//! stands there instead. Places count words of four bytes in those blocks that are not empty, round and round.
#![no_main]

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ozr::disk::device::Device;
use ozr::disk::image_file;
use ozr::image::look::Request;
use ozr::image::reader::Question;

/// Bytes of a block.
const BLOCK: u64 = 4096;

const ZEROES: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// A disk, unpacked once: what is not empty of it.
struct Disk {
    size: u64,
    blocks: HashMap<u64, Vec<u8>>,
    used: Vec<u64>,
}

static DISKS: LazyLock<[Disk; 3]> = LazyLock::new(|| {
    ["lvm", "btrfs", "mbr"].map(|name| {
        let path = format!("{}/../fixtures/disks/{name}.qcow2", env!("CARGO_MANIFEST_DIR"));
        let packed = image_file::open(File::open(Path::new(&path)).unwrap()).unwrap();
        let size = packed.size();
        let mut blocks = HashMap::new();
        let mut piece = vec![0; 1 << 20];
        for start in (0..size).step_by(piece.len()) {
            let length = piece.len().min((size - start) as usize);
            packed.read(start, &mut piece[..length]).unwrap();
            for (block, at) in piece[..length].chunks(BLOCK as usize).zip(start / BLOCK..) {
                // Compared at once: each byte would be a branch that the fuzzer watches.
                if block != &ZEROES[..block.len()] {
                    blocks.insert(at, block.to_vec());
                }
            }
        }
        let mut used: Vec<u64> = blocks.keys().copied().collect();
        used.sort_unstable();
        Disk { size, blocks, used }
    })
});

fuzz_target!(|data: &[u8]| {
    let Some((which, changes)) = data.split_first() else {
        return;
    };
    let disk = &DISKS[usize::from(*which) % DISKS.len()];
    let mut altered: HashMap<u64, Vec<u8>> = HashMap::new();
    for change in changes.chunks_exact(8) {
        let place = u32::from_le_bytes([change[0], change[1], change[2], change[3]]) as usize;
        let words = BLOCK as usize / 4;
        let block = disk.used[place / words % disk.used.len()];
        let content = altered.entry(block).or_insert_with(|| disk.blocks[&block].clone());
        let at = place % words * 4;
        if let Some(there) = content.get_mut(at..at + 4) {
            there.copy_from_slice(&change[4..]);
        }
    }
    let device = Device::new(disk.size, move |at, into| {
        let mut done = 0;
        while done < into.len() {
            let (block, within) = ((at + done as u64) / BLOCK, ((at + done as u64) % BLOCK) as usize);
            let length = (BLOCK as usize - within).min(into.len() - done);
            let target = &mut into[done..done + length];
            match altered.get(&block).or_else(|| disk.blocks.get(&block)) {
                Some(content) => target.copy_from_slice(&content[within..within + length]),
                None => target.fill(0),
            }
            done += length;
        }
        Ok(())
    });
    let read = |path: &str| Request::Read {
        path: PathBuf::from(path),
        most: 1 << 20,
    };
    let requests = vec![
        Request::List("/".into()),
        Request::List("/kinds".into()),
        Request::List("/attributes".into()),
        Request::Stat("/many/x".into()),
        read("/sizes/extents"),
        read("/boot/efi/EFI/rocky/shimx64.efi"),
        read("/boot/sizes/large"),
    ];
    for question in [Question::Contents, Question::Logs, Question::Look(requests)] {
        let _ = question.answer(std::slice::from_ref(&device), &mut std::io::sink());
    }
});

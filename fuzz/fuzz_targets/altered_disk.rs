//! Systems on LVM, XFS, Btrfs, ext and FAT (fixtures/disks) with bytes altered by a hostile guest: an answer
//! or an error, never a panic. The data are a byte that says which disk, and then places (four bytes, in
//! units of four) with what stands there instead.
#![no_main]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ozr::disk::device::Device;
use ozr::disk::image_file;
use ozr::image::look::Request;
use ozr::image::reader::Question;

static DISKS: LazyLock<[Device; 3]> = LazyLock::new(|| {
    ["lvm", "btrfs", "mbr"].map(|name| {
        let path = format!("{}/../fixtures/disks/{name}.qcow2", env!("CARGO_MANIFEST_DIR"));
        image_file::open(File::open(Path::new(&path)).unwrap()).unwrap()
    })
});

fuzz_target!(|data: &[u8]| {
    let Some((which, changes)) = data.split_first() else {
        return;
    };
    let disk = DISKS[usize::from(*which) % DISKS.len()].clone();
    let change = |change: &[u8]| {
        let place = u32::from_le_bytes([change[0], change[1], change[2], change[3]]);
        (u64::from(place) * 4, [change[4], change[5], change[6], change[7]])
    };
    let changes: Vec<(u64, [u8; 4])> = changes.chunks_exact(8).map(change).collect();
    let altered = Device::new(disk.size(), move |at, into| {
        disk.read(at, into)?;
        for (place, bytes) in &changes {
            for (byte, place) in bytes.iter().zip(*place..) {
                let within = place.checked_sub(at).and_then(|within| into.get_mut(within as usize));
                if let Some(there) = within {
                    *there = *byte;
                }
            }
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
    let files = Question::Files(Vec::new());
    for question in [Question::Contents, Question::Logs, Question::Look(requests), files] {
        let _ = question.answer(std::slice::from_ref(&altered), &mut std::io::sink());
    }
});

//! Whatever a guest writes to its disk: an answer or an error, never a panic, and never more than a
//! guest's logs. (Memory is the matter of the process that reads, so the size of the file system is
//! kept small here.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::disk::device::Device;
use ozr::image::look::Request;
use ozr::image::reader::Question;

/// Where the file system is: behind the partition table.
const START: usize = 512;

/// The ext4 superblock in the disk, and in it the number of blocks, low and high (Linux'
/// Documentation/filesystems/ext4/super.rst).
const SUPERBLOCK: usize = START + 1024;
const BLOCKS: [usize; 2] = [SUPERBLOCK + 0x06, SUPERBLOCK + 0x150];

fuzz_target!(|data: &[u8]| {
    // One partition, as far as the data do not say otherwise.
    let mut bytes = vec![0; START];
    bytes[446 + 4] = 0x83;
    bytes[446 + 8] = 1;
    bytes[446 + 14] = 1;
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes.extend_from_slice(data);
    for (at, width) in BLOCKS.into_iter().zip([2, 4]) {
        if let Some(size) = bytes.get_mut(at..at + width) {
            size.fill(0);
        }
    }
    let length = bytes.len();
    let disk = Device::of_bytes(bytes);
    let look = Request::List("/etc".into());
    for question in [Question::Contents, Question::Logs, Question::Look(vec![look])] {
        let mut answer = Vec::new();
        if question.answer(std::slice::from_ref(&disk), &mut answer).is_ok() {
            assert!(answer.len() <= 8 * length + 4096, "more than there is");
        }
    }
});

//! Images onto disks: `ozr write`.
//!
//! ```text
//! copy    the whole of one write, in its order          source   the image: file, stream, address
//! pieces  the image in pieces, by a thread of its own   papers   which digest an image should have
//! target  the disk: opened for this alone               usage    who uses a disk, as the kernel tells
//! table   partition tables for a disk's own size        gpt, mbr its kinds
//! open    the image that is named                       refusal  why nothing is written
//! mark    the sector that says that a disk is not whole
//! ```
//!
//! The first MiB, and with it the partition table and the boot sector, is written last: when all else has
//! been read back and the image's digest is right. Until then the disk's first sector says what it is.

pub mod copy;
pub mod open;
pub mod papers;
pub mod refusal;
pub mod source;
pub mod table;
pub mod target;
pub mod usage;

mod gpt;
mod mark;
mod mbr;
mod pieces;

/// Bytes of a disk's beginning that are written last. Boot sectors, partition tables and the boot loader
/// before the first partition lie within it: partitions begin at 1 MiB (parted, anaconda, Windows).
pub const HEAD: usize = 1 << 20;

/// What follows the sector that says that a disk's image is not whole; none if it does not begin so.
pub fn after_mark(beginning: &[u8]) -> Option<&[u8]> {
    beginning.strip_prefix(&mark::sector())
}

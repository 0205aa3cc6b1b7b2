//! Images onto disks: `ozr write`.
//!
//! ```text
//! copy    the whole of one write, in its order          source  the image: file, stream, address
//! target  the disk: opened for this alone, by descriptor papers  which digest an image should have
//! usage   who uses a disk, as the kernel tells          table   partition tables for a disk's own size
//! mark    the sector that says that a disk is not whole
//! ```
//!
//! The first MiB, and with it the partition table and the boot sector, is written last: when all else has
//! been read back and the image's digest is right. Until then the disk's first sector says what it is.

pub mod copy;
pub mod papers;
pub mod source;
pub mod table;
pub mod target;
pub mod usage;

mod mark;

/// Bytes of a disk's beginning that are written last. Boot sectors, partition tables and the boot loader
/// before the first partition lie within it: partitions begin at 1 MiB (parted, anaconda, Windows).
pub const HEAD: usize = 1 << 20;

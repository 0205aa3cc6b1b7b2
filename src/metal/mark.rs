//! The boot sector of a disk whose image is not whole.

/// Bytes of a sector, and of a boot sector on any disk.
const SECTOR: usize = 512;

/// What a machine shows that boots from such a disk, and who looks into its first sector.
const TEXT: &str =
    "ozr: the image on this disk is not whole. Write it again: ozr write IMAGE DEVICE\r\n";

/// Prints [`TEXT`] by the BIOS (interrupt 10h) and lets it try the next disk (18h). For 0000:7c00.
const CODE: [u8; 27] = [
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, // mov ds, ax
    0xfc, // cld
    0xbe, 0x1b, 0x7c, // mov si, the text
    0xac, // next: lodsb
    0x84, 0xc0, // test al, al
    0x74, 0x09, // jz end
    0xb4, 0x0e, // mov ah, 0eh
    0xbb, 0x07, 0x00, // mov bx, 7
    0xcd, 0x10, // int 10h
    0xeb, 0xf2, // jmp next
    0xcd, 0x18, // end: int 18h
    0xf4, // stop: hlt
    0xeb, 0xfd, // jmp stop
];

/// The sector: an MBR without partitions.
pub(super) fn sector() -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    let (code, rest) = sector.split_at_mut(CODE.len());
    code.copy_from_slice(&CODE);
    rest[..TEXT.len()].copy_from_slice(TEXT.as_bytes());
    sector[SECTOR - 2..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::device::Device;
    use crate::disk::partitions;

    #[test]
    fn it_is_a_table_without_partitions() {
        let mut bytes = sector().to_vec();
        bytes.resize(1 << 16, 0);
        let disk = Device::of_bytes(bytes);
        let table = partitions::read(&disk).unwrap().unwrap();
        assert!(table.partitions.is_empty());
        // The text is where the code looks for it, and ends before the partitions.
        assert!(sector()[0x1b..].starts_with(b"ozr:"));
        assert!(CODE.len() + TEXT.len() < 440);
    }
}

//! Block maps, by which bmaptool and its like write only what of an image is data: format 2.0, as
//! bmaptool writes it (`BmapCreate.py`, `TransRead.py`; its file format is described in the text
//! that each map begins with).

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::spread::{BLOCK, Piece, Writer};
use crate::hex;

/// Ranges with at most so many bytes of zeroes between them are one range.
const GAP: u64 = 64 << 10;

/// What stands for the map's own digest while that is computed.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes the map of a disk.
#[derive(Debug)]
pub struct BlockMapWriter {
    file: File,
    size: u64,
    map: BlockMap,
}

impl BlockMapWriter {
    /// Of a disk of `size` bytes, into an empty file.
    pub fn new(file: File, size: u64) -> BlockMapWriter {
        BlockMapWriter {
            file,
            size,
            map: BlockMap::default(),
        }
    }
}

impl Writer for BlockMapWriter {
    fn take(&mut self, piece: &Arc<Piece>) -> Result<()> {
        for data in piece.data() {
            self.map
                .add(piece.at + data.start as u64, &piece.bytes[data]);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let text = text(std::mem::take(&mut self.map), self.size);
        self.file
            .write_all(text.as_bytes())
            .context("writing a block map")
    }
}

/// Where an image has data, as it is written.
#[derive(Debug, Default)]
struct BlockMap {
    done: Vec<Range>,
    open: Option<(u64, u64, Sha256)>,
}

#[derive(Debug)]
struct Range {
    /// The first block, and the last.
    blocks: (u64, u64),
    sha256: String,
}

impl BlockMap {
    /// Adds data that begins at a block; it may be the disk's end.
    fn add(&mut self, at: u64, bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        match &mut self.open {
            Some((_, last, digest)) if at - *last <= GAP => {
                let zeroes = vec![0; (at - *last) as usize];
                digest.update(zeroes);
                digest.update(bytes);
                *last = end;
            }
            _ => {
                self.close();
                self.open = Some((at, end, Sha256::new_with_prefix(bytes)));
            }
        }
    }

    fn close(&mut self) {
        if let Some((start, end, digest)) = self.open.take() {
            self.done.push(Range {
                blocks: (start / BLOCK as u64, (end - 1) / BLOCK as u64),
                sha256: hex::encode(digest.finalize()),
            });
        }
    }
}

/// The map of an image of `size` bytes.
fn text(mut map: BlockMap, size: u64) -> String {
    map.close();
    let mapped = map
        .done
        .iter()
        .map(|range| range.blocks.1 - range.blocks.0 + 1);
    let mut text = format!(
        r#"<?xml version="1.0" ?>
<!-- Which blocks of the image hold data; bmaptool(1) copies only those. -->
<bmap version="2.0">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {BLOCK} </BlockSize>
    <BlocksCount> {} </BlocksCount>
    <MappedBlocksCount> {} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {NO_DIGEST} </BmapFileChecksum>
    <BlockMap>
"#,
        size.div_ceil(BLOCK as u64),
        mapped.sum::<u64>(),
    );
    for Range { blocks, sha256 } in &map.done {
        let blocks = match blocks {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let _ = writeln!(
            text,
            "        <Range chksum=\"{sha256}\"> {blocks} </Range>"
        );
    }
    text.push_str("    </BlockMap>\n</bmap>\n");
    // The digest is that of the map with zeroes in its place.
    let digest = hex::sha256(&text);
    text.replacen(NO_DIGEST, &digest, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_one() {
        let mut map = BlockMap::default();
        map.add(0, &[1; 4096]);
        map.add(12288, &[2; 4096]);
        map.add(1 << 20, &[3; 100]);
        let mut together = vec![1; 4096];
        together.resize(12288, 0);
        together.extend([2; 4096]);
        let text = text(map, (1 << 20) + 100);
        let expected = format!("<Range chksum=\"{}\"> 0-3 </Range>", hex::sha256(together));
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("> 256 </Range>"), "{text}");
        assert!(text.contains("<MappedBlocksCount> 5 <"), "{text}");
        assert!(text.contains("<BlocksCount> 257 <"), "{text}");
    }
}

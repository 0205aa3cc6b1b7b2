//! A stream that is packed block by block, on all processors: gzip, zstd and xz.
//!
//! Each block is packed by itself. Of gzip one member comes of them all, whose blocks end at bytes
//! (RFC 1952; pigz does the same), which every reader takes. zstd and xz have streams of frames
//! (RFC 8878, 3.1; the .xz file format, 2), which their readers take for one. Blocks of zeroes, as
//! disks have many, are packed once.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, Result};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use liblzma::stream::{Check, Stream};

use super::pool::{Pool, Queue};

/// How a stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Deflate, level 6.
    Gzip,
    /// Deflate, level 1: for what is packed already.
    GzipFast,
    /// Level 3.
    Zstd,
    /// Level 6: 100 MiB of memory for each processor.
    Xz,
}

impl Codec {
    /// Bytes that are packed at a time: what costs little in size.
    fn block(self) -> usize {
        match self {
            Codec::Gzip | Codec::GzipFast => 1 << 20,
            Codec::Zstd => 4 << 20,
            Codec::Xz => 16 << 20,
        }
    }

    /// Deflate's level, where it is one.
    fn deflate(self) -> Option<Compression> {
        match self {
            Codec::Gzip => Some(Compression::default()),
            Codec::GzipFast => Some(Compression::fast()),
            Codec::Zstd | Codec::Xz => None,
        }
    }

    /// Packs a block.
    fn pack(self, block: &[u8]) -> Result<Block> {
        let mut crc = Crc::new();
        let bytes = match self.deflate() {
            Some(level) => {
                crc.update(block);
                deflate(block, level)?
            }
            None if self == Codec::Zstd => zstd::bulk::compress(block, 3)?,
            None => {
                let stream = Stream::new_easy_encoder(6, Check::Crc64)?;
                let mut packer = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                packer.write_all(block)?;
                packer.finish()?
            }
        };
        Ok(Block { bytes, crc })
    }
}

/// A block, packed.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    /// Of what was packed; gzip's only.
    crc: Crc,
}

/// Packs a block so that it ends at a byte and others can follow.
fn deflate(block: &[u8], level: Compression) -> Result<Vec<u8>> {
    let mut packer = Compress::new(level, false);
    let mut bytes = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let done = packer.total_in() as usize;
        packer.compress_vec(&block[done..], &mut bytes, FlushCompress::Sync)?;
        if packer.total_in() as usize == block.len() && bytes.len() < bytes.capacity() {
            return Ok(bytes);
        }
        bytes.reserve(block.len() / 4 + 1024);
    }
}

/// Packs bytes into a zlib stream (RFC 1950), reusing a packer.
///
/// # Errors
/// None that is known.
pub fn zlib(packer: &mut Compress, bytes: &[u8], into: &mut Vec<u8>) -> Result<()> {
    packer.reset();
    loop {
        let done = packer.total_in() as usize;
        into.reserve(bytes.len() / 2 + 64);
        if packer.compress_vec(&bytes[done..], into, FlushCompress::Finish)? == Status::StreamEnd {
            return Ok(());
        }
    }
}

/// A packer that grains and the like are packed with, one by one.
pub fn zlib_packer() -> Compress {
    Compress::new(Compression::default(), true)
}

/// Packs what is written to it.
#[derive(Debug)]
pub struct Packed<W> {
    out: W,
    codec: Codec,
    queue: Queue<Result<Arc<Block>>>,
    /// What waits to be packed.
    block: Vec<u8>,
    /// A block of zeroes, once there was one.
    zeroes: Option<Arc<Block>>,
    crc: Crc,
    length: u64,
}

impl<W: Write> Packed<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(mut out: W, codec: Codec, pool: &Pool) -> Result<Self> {
        if codec.deflate().is_some() {
            // No name and no time; "unknown" for the system (RFC 1952, 2.3).
            out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
        }
        Ok(Packed {
            out,
            codec,
            queue: pool.queue(),
            block: Vec::with_capacity(codec.block()),
            zeroes: None,
            crc: Crc::new(),
            length: 0,
        })
    }

    /// What it is written to.
    pub fn inner_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// How many bytes were written to it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What the stream goes into.
    pub fn out(&self) -> &W {
        &self.out
    }

    /// Writes zeroes, in no time if they are many.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write_zeroes(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let size = self.codec.block();
            let some = count.min((size - self.block.len()) as u64) as usize;
            if some < size {
                self.block.resize(self.block.len() + some, 0);
                if self.block.len() == size {
                    self.pack()?;
                }
            } else {
                let zeroes = match &self.zeroes {
                    Some(zeroes) => Arc::clone(zeroes),
                    None => {
                        let zeroes = Arc::new(self.codec.pack(&vec![0; size])?);
                        Arc::clone(self.zeroes.insert(zeroes))
                    }
                };
                let oldest = self.queue.push_done(Ok(zeroes))?;
                self.append(oldest)?;
            }
            self.length += some as u64;
            count -= some as u64;
        }
        Ok(())
    }

    /// Has the block packed that is full.
    fn pack(&mut self) -> Result<()> {
        let codec = self.codec;
        let next = Vec::with_capacity(codec.block());
        let block = std::mem::replace(&mut self.block, next);
        let oldest = self.queue.push(move || codec.pack(&block).map(Arc::new))?;
        self.append(oldest)
    }

    fn append(&mut self, block: Option<Result<Arc<Block>>>) -> Result<()> {
        if let Some(block) = block.transpose()? {
            self.crc.combine(&block.crc);
            self.out.write_all(&block.bytes)?;
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(&mut self) -> Result<()> {
        if !self.block.is_empty() {
            self.pack()?;
        }
        while let Some(block) = self.queue.pop()? {
            self.append(Some(block))?;
        }
        if self.codec.deflate().is_some() {
            // An empty last block, the checksum, the length modulo 2^32.
            self.out.write_all(&[3, 0])?;
            self.out.write_all(&self.crc.sum().to_le_bytes())?;
            self.out.write_all(&(self.length as u32).to_le_bytes())?;
        }
        self.out.flush().context("writing the end of the stream")
    }
}

impl<W: Write> Write for Packed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let some = bytes.len().min(self.codec.block() - self.block.len());
        self.block.extend_from_slice(&bytes[..some]);
        if self.block.len() == self.codec.block() {
            self.pack().map_err(io::Error::other)?;
        }
        self.length += some as u64;
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Bytes that pack neither well nor badly, from a small generator.
    fn bytes(count: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 59) as u8
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked_by_others() {
        let pool = Pool::start();
        let data = bytes(300_000);
        for codec in [Codec::Gzip, Codec::GzipFast, Codec::Zstd, Codec::Xz] {
            for zeroes in [0, 5, 3 * codec.block() as u64 + 7] {
                let mut stream = Packed::begin(Vec::new(), codec, &pool).unwrap();
                for _ in 0..12 {
                    stream.write_all(&data).unwrap();
                }
                stream.write_zeroes(zeroes).unwrap();
                stream.write_all(b"end").unwrap();
                stream.end().unwrap();
                let packed = stream.out.as_slice();
                let mut read: Box<dyn Read> = match codec {
                    // One member.
                    Codec::Gzip | Codec::GzipFast => Box::new(flate2::read::GzDecoder::new(packed)),
                    Codec::Zstd => Box::new(zstd::Decoder::new(packed).unwrap()),
                    Codec::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(packed)),
                };
                let mut unpacked = Vec::new();
                read.read_to_end(&mut unpacked).unwrap();
                let mut expected = data.repeat(12);
                expected.resize(expected.len() + zeroes as usize, 0);
                expected.extend_from_slice(b"end");
                assert!(unpacked == expected, "{codec:?} {zeroes}");
                assert_eq!(stream.length(), expected.len() as u64);
            }
        }
    }
}

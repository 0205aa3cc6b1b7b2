//! Files into volumes of a storage pool and back, without their holes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, bail, ensure};
use rustix::fs::SeekFrom;
use virt::connect::Connect;
use virt::storage_vol::StorageVol;
use virt::sys;

use super::raw::{RawStream, last_error};
use crate::host::carrying::Carrying;

/// Bytes sent or read at once: a message of libvirt's holds hardly more (`VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX`).
const PIECE: usize = 256 * 1024;

/// `virStreamRecvFlags`' answer at a hole.
const AT_HOLE: i32 = -3;

/// Fills a volume with what is in a file. Blocks; a link that is cut ends it when libvirt's signs of life stay away.
///
/// # Errors
/// libvirt's; the file cannot be read; it is to stop.
pub(super) fn upload(
    connect: &Connect,
    volume: &StorageVol,
    file: &File,
    carrying: &Carrying,
) -> anyhow::Result<()> {
    let length = file.metadata()?.len();
    let stream = RawStream::new(connect, 0)?;
    stream.with_virt(|stream| {
        volume.upload(stream, 0, 0, sys::VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
    })?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        // A file system that knows no holes has data everywhere.
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data.min(length),
            // The rest is a hole (lseek(2)).
            Err(rustix::io::Errno::NXIO) => length,
            Err(_) => at,
        };
        if data > at {
            stream.write_hole(data - at)?;
            carrying.carried(data - at);
            at = data;
            continue;
        }
        let end = rustix::fs::seek(file, SeekFrom::Hole(at)).unwrap_or(length);
        let end = end.clamp(at + 1, length);
        while at < end {
            ensure!(!carrying.is_stopped(), "nobody waits for it any more");
            let room = usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE));
            file.read_exact_at(&mut piece[..room], at)
                .context("reading it")?;
            send(&stream, &piece[..room])?;
            at += room as u64;
            carrying.carried(room as u64);
        }
    }
    stream.finish()
}

fn send(stream: &RawStream, mut bytes: &[u8]) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        match usize::try_from(stream.write(bytes)) {
            Ok(0) => bail!("nothing more is taken"),
            Ok(count) => bytes = &bytes[count.min(bytes.len())..],
            Err(_) => return Err(last_error()),
        }
    }
    Ok(())
}

/// Makes a file what is in a volume. As [`upload`].
///
/// # Errors
/// libvirt's; the file cannot be written; it is to stop.
pub(super) fn download(
    connect: &Connect,
    volume: &StorageVol,
    file: &File,
    carrying: &Carrying,
) -> anyhow::Result<()> {
    let stream = RawStream::new(connect, 0)?;
    stream.with_virt(|stream| {
        volume.download(stream, 0, 0, sys::VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
    })?;
    // What is not written below is a hole.
    file.set_len(0).context("emptying it")?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        ensure!(!carrying.is_stopped(), "nobody waits for it any more");
        match stream.read_to_hole(&mut piece) {
            0 => break,
            AT_HOLE => at += stream.skip_hole()?,
            count => {
                let Ok(count) = usize::try_from(count) else {
                    return Err(last_error());
                };
                file.write_all_at(&piece[..count], at)
                    .context("writing it")?;
                at += count as u64;
                carrying.carried(count as u64);
            }
        }
    }
    stream.finish()?;
    file.set_len(at).context("giving it its length")
}

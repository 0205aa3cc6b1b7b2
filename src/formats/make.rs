//! Makes all formats that are asked for, of one disk, in a directory of ours.
//!
//! First the disk is read, once for all writers of ours, and by `qemu-img` for the formats that it
//! writes; then what holds these files is packed; then all is digested.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::bmap::BlockMapWriter;
use super::conversion::{Conversion, Made};
use super::gcp::{self, GcpWriter};
use super::hardware::Hardware;
use super::package::{Package, Part};
use super::packed::Codec;
use super::pool::Pool;
use super::raw::RawWriter;
use super::source::Source;
use super::spread::{self, Writer};
use super::stream::StreamWriter;
use super::trees::{self, Archive};
use super::vmdk::{Description, VmdkWriter};
use super::{aws, containerdisk, liveimg, oci, ova, uuid, vagrant, vhd};
use crate::blocking;
use crate::image::{checksum, disk, files, qemu_img, reader};
use crate::machine::DiskFormat;
use crate::options::{Compress, Format};
use crate::state::OwnedDir;

/// The disk that is converted.
#[derive(Debug)]
pub struct Original {
    /// Its file.
    pub file: File,
    /// The file's format.
    pub format: DiskFormat,
    /// Its name in the work directory, where the file is one that the build itself has made: it
    /// becomes the image where nothing is to be changed.
    pub own: Option<String>,
    /// The size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// What the file takes on its file system, in bytes.
    pub actual_size: u64,
}

impl Original {
    /// Looks at a file of this format.
    ///
    /// # Errors
    /// It is not of this format; it stands on another file, which a stranger's image could name at
    /// will.
    pub async fn open(file: File, format: DiskFormat, own: Option<String>) -> Result<Original> {
        let info = qemu_img::info(&file, format)
            .await
            .context("looking at the disk")?;
        if !info.is_standalone() {
            bail!("the disk needs another file beside it, which an image must not");
        }
        Ok(Original {
            file,
            format,
            own,
            virtual_size: info.virtual_size,
            actual_size: info.actual_size,
        })
    }
}

/// What the disk is made into.
#[derive(Debug, Clone)]
pub struct Order {
    /// The formats.
    pub formats: Vec<Format>,
    /// How a qcow2 is compressed.
    pub compress: Compress,
    /// The image's name, without an ending.
    pub name: String,
    /// What the guest calls its disks, in order: the names of the images of all but the first end in it,
    /// too.
    pub devices: Vec<String>,
    /// What the file of the first format is called.
    pub file: String,
    /// The machine that the image is for.
    pub hardware: Hardware,
}

/// The name in the work directory of a file of the disk with this number, from 0 on.
fn at(disk: usize, ending: &str) -> String {
    match disk {
        0 => format!("new.{ending}"),
        more => format!("new-{}.{ending}", more + 1),
    }
}

/// The same of what stands between the disk and a package: kept only if it is asked for, too.
fn part_at(disk: usize, ending: &str) -> String {
    at(disk, ending).replacen("new", "part", 1)
}

/// Endings of such files.
const PLAIN_QCOW2: &str = "qcow2";
const SPARSE_VMDK: &str = "vmdk";
const VHDX: &str = "vhdx";
const LAYER: &str = "layer";

/// The image's name as descriptions and archives of every kind take it: 80 letters, digits, dots and
/// dashes.
fn inner_name(name: &str) -> String {
    let fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name = name.chars().take(80);
    name.map(|c| if fit(c) { c } else { '_' }).collect()
}

/// Makes all of it, of a machine's disks: the first is the system's.
///
/// # Errors
/// There is no room (kind `Host`); it cannot be read or written.
pub async fn make(work: &OwnedDir, originals: Vec<Original>, order: &Order) -> Result<Conversion> {
    let begun = Instant::now();
    let mut jobs = Vec::new();
    for (disk, original) in originals.into_iter().enumerate() {
        let is_qcow2 = original.format == DiskFormat::Qcow2;
        jobs.push(Job {
            work,
            order,
            begun,
            disk,
            done: BTreeMap::new(),
            as_it_is: original.own.clone().filter(|_| is_qcow2),
            original,
            uuid: uuid::random()?,
            data: 0,
            populated: 0,
        });
    }
    let working = jobs.iter().filter(|job| !job.is_done_already());
    let needed = working.map(|job| job.needed(job.original.actual_size));
    if let needed @ 1.. = needed.sum() {
        disk::ensure_space(work.path(), needed, "converting the image")?;
    }
    let mut readable = Vec::new();
    for job in &mut jobs {
        let own = job.readable().await?;
        let (spread, copies) = tokio::try_join!(job.spread(own.as_ref()), job.copies())?;
        job.done.extend(spread.times);
        job.done.extend(copies);
        (job.data, job.populated) = (spread.data, spread.populated);
        readable.extend(own.map(|(file, _)| file));
    }
    let mut trees = Trees::default();
    if let Some(system) = jobs.first_mut() {
        trees = system.trees(&readable).await?;
        system.done.extend(std::mem::take(&mut trees.times));
    }
    pack(&mut jobs).await?;
    let files = collect(&jobs).await?;
    Ok(Conversion {
        files,
        virtual_sizes: jobs.iter().map(|job| job.original.virtual_size).collect(),
        data: jobs.iter().map(|job| job.data).sum(),
        lasted: begun.elapsed(),
        notes: trees.notes,
        warnings: trees.warnings,
    })
}

/// What is made of one disk.
struct Job<'a> {
    work: &'a OwnedDir,
    order: &'a Order,
    begun: Instant,
    /// The disk's number, from 0 on.
    disk: usize,
    original: Original,
    /// Which files are whole, by their names in the work directory, and how long it took.
    done: BTreeMap<String, Duration>,
    /// The original's name, if it can be used as it is where a qcow2 is wanted.
    as_it_is: Option<String>,
    /// The UUID of the disk.
    uuid: String,
    /// Bytes that were read.
    data: u64,
    /// Bytes of a VMDK's grains that hold data.
    populated: u64,
}

/// What came of reading the disk.
#[derive(Debug, Default)]
struct Spread {
    times: Vec<(String, Duration)>,
    /// Bytes that were read.
    data: u64,
    /// Bytes of a VMDK's grains that hold data.
    populated: u64,
}

/// What came of reading the files of the system.
#[derive(Debug, Default)]
struct Trees {
    times: Vec<(String, Duration)>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl Job<'_> {
    fn wants(&self, any: &[Format]) -> bool {
        self.order.formats.iter().any(|format| any.contains(format))
    }

    /// Whether the original is all that is wanted.
    fn is_done_already(&self) -> bool {
        self.as_it_is.is_some()
            && self.order.compress == Compress::None
            && self
                .order
                .formats
                .iter()
                .all(|format| *format == Format::Qcow2)
    }

    /// The room that all files take at most, in bytes, for a disk that has so many bytes of data.
    fn needed(&self, data: u64) -> u64 {
        let files = self
            .order
            .formats
            .iter()
            .flat_map(|format| format.endings());
        let files = files.map(|ending| match *ending {
            "raw" | "vhd" | "ovirt.ova" => data,
            // With its layer.
            "oci.tar" => data,
            "raw.bmap" | "aws.sh" | "liveimg.ks" => 0,
            // What is packed has half of its size.
            _ => data / 2,
        });
        files.sum()
    }

    fn create(&self, name: &str) -> Result<File> {
        self.work.remove_file(name)?;
        let file = self.work.file(name, true)?;
        file.set_permissions(Permissions::from_mode(disk::PRIVATE))
            .with_context(|| format!("setting the mode of {name}"))?;
        Ok(file)
    }

    /// Reads the disk once, for all formats that we write.
    async fn spread(&self, readable: Option<&(File, DiskFormat)>) -> Result<Spread> {
        let wanted = self.spread_endings();
        let Some((file, driver)) = readable.filter(|_| !wanted.is_empty()) else {
            return Ok(Spread::default());
        };
        let (file, driver) = (file.try_clone()?, *driver);
        let files = wanted
            .iter()
            .map(|ending| Ok((*ending, self.create(&self.at(ending))?)))
            .collect::<Result<Vec<_>>>()?;
        let disk = self.disk;
        let vmdk_file = format!("{}.vmdk", inner_name(&self.order.name));
        let hardware = self.order.hardware.vmware_version();
        let uuid = self.uuid.clone();
        let waited = self.begun.elapsed();
        let mut spread = blocking::stoppable(move |stop| {
            let source = Source::open(file, driver)?;
            let data = source.data()?;
            let (pool, populated) = (Pool::start(), Arc::new(AtomicU64::new(0)));
            let size = source.size;
            let writers = files.into_iter().map(|(ending, file)| {
                Ok::<Box<dyn Writer>, anyhow::Error>(match ending {
                    "raw" => Box::new(RawWriter::new(file, size)),
                    "raw.bmap" => Box::new(BlockMapWriter::new(file, size)),
                    "vhd" => Box::new(RawWriter::vhd(file, size.next_multiple_of(vhd::ALIGNMENT))),
                    "tar.gz" => {
                        let size = size.next_multiple_of(gcp::ALIGNMENT);
                        Box::new(GcpWriter::begin(file, size, &data, &pool)?)
                    }
                    "raw.zst" => Box::new(StreamWriter::begin(file, size, Codec::Zstd, &pool)?),
                    "raw.xz" => Box::new(StreamWriter::begin(file, size, Codec::Xz, &pool)?),
                    _ => {
                        let description = Description {
                            file: &vmdk_file,
                            uuid: &uuid,
                            hardware,
                        };
                        let populated = Arc::clone(&populated);
                        let writer = VmdkWriter::begin(file, size, &description, populated, &pool);
                        Box::new(writer?)
                    }
                })
            });
            let writers = writers.collect::<Result<Vec<_>>>()?;
            let times = spread::spread(&source, &data, writers, stop)?;
            let times = wanted.iter().zip(times);
            Ok(Spread {
                times: times
                    .map(|(ending, time)| (at(disk, ending), time))
                    .collect(),
                data: data.iter().map(|range| range.end - range.start).sum(),
                populated: populated.load(Ordering::Relaxed),
            })
        })
        .await?;
        for (_, time) in &mut spread.times {
            *time += waited;
        }
        Ok(spread)
    }

    /// What the names end in of the formats that the disk is read for.
    fn spread_endings(&self) -> Vec<&'static str> {
        use Format::{Aws, Azure, Gcp, Ova, Raw, RawXz, RawZst, VagrantVirtualbox, Vmdk};
        let endings: [(&str, &[Format]); 7] = [
            ("raw", &[Raw, Aws]),
            ("raw.bmap", &[Raw, RawZst, RawXz]),
            ("vhd", &[Azure]),
            ("tar.gz", &[Gcp]),
            ("raw.zst", &[RawZst]),
            ("raw.xz", &[RawXz]),
            ("vmdk", &[Vmdk, Ova, VagrantVirtualbox]),
        ];
        let wanted = endings.iter().filter(|(_, formats)| self.wants(formats));
        wanted.map(|(ending, _)| *ending).collect()
    }

    /// The name of an archive in the work directory: that of a container image becomes its layer.
    fn archive_at(&self, format: Format) -> String {
        match format {
            Format::Oci => part_at(self.disk, LAYER),
            _ => self.at(format.ending()),
        }
    }

    /// Writes archives of the files of the system, and what lies beside them.
    async fn trees(&self, disks: &[File]) -> Result<Trees> {
        let formats = self.order.formats.iter();
        let wanted: Vec<Format> = formats.copied().filter(|f| f.is_of_files()).collect();
        if wanted.is_empty() {
            return Ok(Trees::default());
        }
        let into = wanted
            .iter()
            .map(|format| Ok((*format, self.create(&self.archive_at(*format))?)))
            .collect::<Result<Vec<_>>>()?;
        let (begun, name) = (self.begun, inner_name(&self.order.name));
        let program = Path::new(reader::OWN_PROGRAM);
        let written = files::read(program, disks, trees::apart(&wanted), move |files| {
            let pool = Pool::start();
            let archives = into
                .into_iter()
                .map(|(format, file)| Archive::begin(format, file, &pool));
            let archives = archives.collect::<Result<Vec<_>>>()?;
            let missing = files.beginning.missing.clone();
            let (finished, facts) = trees::write(files, archives, (&name, begun))?;
            Ok((finished, facts, missing))
        });
        let (finished, facts, missing) = written.await?;
        let facts = Arc::new(facts);
        let notes = missing.iter().map(|(place, why)| {
            format!(
                "{} is left out, for the image starts without it and it cannot be read: {why}",
                place.display()
            )
        });
        let mut trees = Trees {
            notes: notes.collect(),
            ..Trees::default()
        };
        for archive in finished {
            let format = archive.format;
            if format == Format::Oci {
                let layer = self.work.file(self.archive_at(format), false)?;
                let into = self.create(&self.at(format.ending()))?;
                let (name, facts) = (inner_name(&self.order.name), Arc::clone(&facts));
                let arch = self.order.hardware.go_arch();
                blocking::stoppable(move |_| {
                    oci::write(&facts, &archive, layer, into, (&name, arch))
                })
                .await?;
                self.work.remove_file(self.archive_at(format))?;
                trees
                    .times
                    .push((self.at(format.ending()), self.begun.elapsed()));
                continue;
            }
            trees.times.push((self.at(format.ending()), archive.lasted));
            if format == Format::Liveimg {
                let ending = format.endings()[1];
                let order = self.order;
                let own = match order.formats.first() {
                    Some(Format::Liveimg) => order.file.clone(),
                    _ => format!("{}.{}", order.name, format.ending()),
                };
                let names = (&*order.name, &*own, &*format!("{}.{ending}", order.name));
                let (text, warnings) =
                    liveimg::kickstart(&facts, &archive, order.hardware.arch, names);
                trees.warnings.extend(warnings);
                self.create(&self.at(ending))?
                    .write_all(text.as_bytes())
                    .context("writing a kickstart")?;
                trees.times.push((self.at(ending), self.begun.elapsed()));
            }
        }
        Ok(trees)
    }

    /// The disk in a format that we read, if it is read here. What we do not, `qemu-img` makes plain first.
    async fn readable(&self) -> Result<Option<(File, DiskFormat)>> {
        let original = &self.original;
        let of_files = self.order.formats.iter().any(|format| format.is_of_files());
        if self.spread_endings().is_empty() && !of_files {
            return Ok(None);
        }
        if matches!(original.format, DiskFormat::Raw | DiskFormat::Qcow2) {
            return Ok(Some((original.file.try_clone()?, original.format)));
        }
        let name = part_at(self.disk, "raw");
        let plain = self.create(&name)?;
        let target = (self.work, name.as_str(), DiskFormat::Raw);
        qemu_img::convert((&original.file, original.format), target, &[], false)
            .await
            .context("reading the disk")?;
        // Nobody needs its name.
        self.work.remove_file(&name)?;
        Ok(Some((plain, DiskFormat::Raw)))
    }

    /// Has `qemu-img` write the formats that it writes well.
    async fn copies(&self) -> Result<Vec<(String, Duration)>> {
        let mut times = Vec::new();
        let original = &self.original;
        let image = (&original.file, original.format);
        let compression = format!("compression_type={}", self.order.compress.name());
        let qcow2: (&str, &[&str]) = match self.order.compress {
            Compress::None => ("qcow2", &["compat=1.1"]),
            _ => ("qcow2", &["compat=1.1", &compression]),
        };
        let compressed = self.order.compress != Compress::None;
        let mut wanted: Vec<(String, DiskFormat, &[&str], bool)> = Vec::new();
        if self.wants(&[Format::Qcow2]) && (compressed || self.as_it_is.is_none()) {
            wanted.push((self.at("qcow2"), DiskFormat::Qcow2, qcow2.1, compressed));
        }
        let plain_is_there = self.as_it_is.is_some()
            || (self.wants(&[Format::Qcow2]) && self.order.compress == Compress::None);
        if self.wants(&PACKED_QCOW2) && !plain_is_there {
            wanted.push((
                part_at(self.disk, PLAIN_QCOW2),
                DiskFormat::Qcow2,
                &["compat=1.1"],
                false,
            ));
        }
        if self.wants(&[Format::VagrantVmware]) {
            let options = &["subformat=monolithicSparse,adapter_type=lsilogic"];
            let name = part_at(self.disk, SPARSE_VMDK);
            wanted.push((name, DiskFormat::Vmdk, options, false));
        }
        if self.wants(&[Format::VagrantHyperv]) {
            wanted.push((
                part_at(self.disk, VHDX),
                DiskFormat::Vhdx,
                &["subformat=dynamic"],
                false,
            ));
        }
        for (name, driver, options, compressed) in wanted {
            self.create(&name)?;
            qemu_img::convert(image, (self.work, &name, driver), options, compressed)
                .await
                .with_context(|| format!("converting the disk to {}", driver.name()))?;
            times.push((name, self.begun.elapsed()));
        }
        Ok(times)
    }

    /// Where a qcow2 without compression is, for packages that hold one.
    fn plain_qcow2(&self) -> String {
        let plain = part_at(self.disk, PLAIN_QCOW2);
        match &self.as_it_is {
            Some(own) => own.clone(),
            None if self.done.contains_key(&plain) => plain,
            None => self.at("qcow2"),
        }
    }

    fn at(&self, ending: &str) -> String {
        at(self.disk, ending)
    }

    /// The disk in the form that a format packs; none where it packs none.
    fn part(&self, format: Format) -> Result<Option<Part>> {
        let name = match format {
            Format::Ova | Format::VagrantVirtualbox => self.at("vmdk"),
            Format::Ovirt | Format::VagrantLibvirt | Format::Containerdisk => self.plain_qcow2(),
            Format::VagrantVmware => part_at(self.disk, SPARSE_VMDK),
            Format::VagrantHyperv => part_at(self.disk, VHDX),
            _ => return Ok(None),
        };
        let file = match &self.as_it_is {
            Some(own) if *own == name => self.original.file.try_clone()?,
            _ => self.work.file(&name, false)?,
        };
        let populated = match format {
            Format::Ova => self.populated,
            _ => file.metadata()?.len(),
        };
        Ok(Some(Part {
            file,
            capacity: self.original.virtual_size,
            populated,
            uuid: self.uuid.clone(),
        }))
    }

    /// Packs the disk, and `more` of the machine with it, into a format that takes it whole.
    async fn pack(&mut self, format: Format, part: Part, more: Vec<Part>) -> Result<()> {
        let name = self.at(format.ending());
        let (into, order) = (self.create(&name)?, self.order.clone());
        let layer_name = part_at(self.disk, LAYER);
        let layer = match format {
            Format::Containerdisk => Some(self.create(&layer_name)?),
            _ => None,
        };
        blocking::stoppable(move |stop| {
            let package = Package {
                name: &inner_name(&order.name),
                hardware: &order.hardware,
                part: &part,
                more: &more,
                stop,
            };
            let pool = Pool::start();
            match (format, layer) {
                (Format::Ova, _) => ova::vsphere(&package, into),
                (Format::Ovirt, _) => ova::ovirt(&package, into),
                (Format::VagrantLibvirt, _) => vagrant::libvirt(&package, into, &pool),
                (Format::VagrantVirtualbox, _) => vagrant::virtualbox(&package, into, &pool),
                (Format::VagrantVmware, _) => vagrant::vmware(&package, into, &pool),
                (Format::VagrantHyperv, _) => vagrant::hyperv(&package, into, &pool),
                (_, Some(layer)) => containerdisk::write(&package, into, layer, &pool),
                _ => Ok(()),
            }
        })
        .await?;
        self.work.remove_file(&layer_name)?;
        self.done.insert(name, self.begun.elapsed());
        Ok(())
    }

    /// Writes AWS's commands for the images of these disks.
    fn write_commands(&mut self, disks: &[(String, u64)]) -> Result<()> {
        let Order { name, hardware, .. } = self.order;
        let text = aws::text(name, disks, hardware);
        let at = self.at("aws.sh");
        self.create(&at)?
            .write_all(text.as_bytes())
            .context("writing the commands for AWS")?;
        self.done.insert(at, self.begun.elapsed());
        Ok(())
    }
}

/// Packs what is taken whole.
async fn pack(jobs: &mut [Job<'_>]) -> Result<()> {
    let Some(order) = jobs.first().map(|job| job.order) else {
        return Ok(());
    };
    for format in order.formats.iter().copied() {
        if format == Format::Aws {
            let names = jobs.iter().map(|job| match order.devices.get(job.disk) {
                Some(device) if job.disk > 0 => format!("{}.{device}.raw", order.name),
                _ => format!("{}.raw", order.name),
            });
            let sizes = jobs.iter().map(|job| job.original.virtual_size);
            let disks: Vec<_> = names.zip(sizes).collect();
            jobs[0].write_commands(&disks)?;
            continue;
        }
        let parts = jobs.iter().map(|job| job.part(format));
        let parts = parts.collect::<Result<Option<Vec<_>>>>();
        let Some(mut parts) = parts? else {
            continue;
        };
        if format.endings_of_more().is_empty() {
            let first = parts.remove(0);
            jobs[0].pack(format, first, parts).await?;
        } else {
            for (job, part) in jobs.iter_mut().zip(parts) {
                job.pack(format, part, Vec::new()).await?;
            }
        }
    }
    Ok(())
}

/// All files that were asked for, with their digests.
async fn collect(jobs: &[Job<'_>]) -> Result<Vec<Made>> {
    let mut files: Vec<Made> = Vec::new();
    for job in jobs {
        for format in &job.order.formats {
            let endings = match job.disk {
                0 => format.endings(),
                _ => format.endings_of_more(),
            };
            for ending in endings {
                let mut there = files.iter().filter(|made| made.disk == job.disk);
                if there.any(|made| made.ending == *ending) {
                    continue;
                }
                let at = job.at(ending);
                let (at, file, lasted) = match (job.done.get(&at), &job.as_it_is) {
                    (Some(lasted), _) => {
                        let file = job.work.file(&at, false)?;
                        (at, file, *lasted)
                    }
                    (None, Some(own)) => {
                        let file = job.original.file.try_clone()?;
                        (own.clone(), file, Duration::ZERO)
                    }
                    (None, None) => bail!("{at} was not made"),
                };
                files.push(Made {
                    disk: job.disk,
                    format: *format,
                    ending,
                    at,
                    file,
                    size: 0,
                    allocated: 0,
                    sha256: String::new(),
                    lasted,
                });
            }
        }
    }
    let handles = files
        .iter()
        .map(|made| made.file.try_clone().context("digesting the images"))
        .collect::<Result<Vec<_>>>()?;
    let digests = blocking::stoppable(move |stop| digests(&handles, stop)).await?;
    for (made, (sha256, size)) in files.iter_mut().zip(digests) {
        (made.sha256, made.size) = (sha256, size);
        made.allocated = made.file.metadata()?.blocks() * 512;
    }
    Ok(files)
}

/// Formats that hold a qcow2.
const PACKED_QCOW2: [Format; 3] = [Format::Ovirt, Format::VagrantLibvirt, Format::Containerdisk];

/// The digests and lengths of files, on all processors.
fn digests(files: &[File], stop: &AtomicBool) -> Result<Vec<(String, u64)>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Vec::with_capacity(files.len());
    for some in files.chunks(processors) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = some
                .iter()
                .map(|file| scope.spawn(|| checksum::hash(file, stop)))
                .collect();
            for thread in threads {
                let digest = thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                all.push(digest?);
            }
            anyhow::Ok(())
        })?;
    }
    Ok(all)
}

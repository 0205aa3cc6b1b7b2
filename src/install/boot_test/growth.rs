//! Whether the root file system grows with its disk, as clouds give their machines larger ones than the image's.

use std::fs::File;
use std::path::Path;

use super::Stage;
use super::plan::BootPlan;
use super::report::Check;
use crate::error::{Classify, Kind, fail};
use crate::image::qemu_img;
use crate::image::reader::{self, Image, OWN_PROGRAM, Question};
use crate::inspect::{Inspection, Storage};

/// By how much a disk is made larger where the image is to grow by itself, in bytes.
const USUAL: u64 = 1 << 30;

/// The packages that grow a root together: cloud-init, and what it moves a partition's end with.
const GROWERS: [&str; 2] = ["cloud-init", "cloud-utils-growpart"];

/// A disk that is made larger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The bytes that the disk has then.
    pub size: u64,
    by: u64,
    /// What the root file system is on, and how many bytes it had; none if that is not known.
    root: Option<(String, u64)>,
}

impl Growth {
    /// The growth that is wanted: the size that was asked for; 1 GiB more where the image has all that grows
    /// it, and a seed, without which cloud-init sleeps; else none.
    ///
    /// # Errors
    /// Input: the disk is larger already, or cannot be read. Somebody asked to stop.
    pub async fn wanted(plan: &BootPlan, stage: Stage<'_>) -> anyhow::Result<Option<Growth>> {
        let asked = plan.wanted.grow_to;
        if asked.is_none() && plan.wanted.seed.is_none() {
            return Ok(None);
        }
        let images = plan.images().map(File::open);
        let images = images.collect::<Result<Vec<_>, _>>().kind(Kind::Input)?;
        let info = qemu_img::info(&images[0], plan.format)
            .await
            .kind(Kind::Input)?;
        let program = Path::new(OWN_PROGRAM);
        let inspection = async {
            let all = Image::all(&images);
            let opened = reader::keys(program, &all, &plan.passphrases).await?;
            reader::inspect(program, &images, &opened.keys).await
        };
        let inspection = stage
            .cancellation
            .or(async { Ok(inspection.await) })
            .await?;
        let inspection = inspection.ok();
        let by_itself = inspection.as_ref().is_some_and(has_growers);
        let size = match asked {
            Some(size) if size <= info.virtual_size => fail!(
                Kind::Input,
                "--grow-to: {size} bytes are no more than the disk's {}",
                info.virtual_size
            ),
            Some(size) => size,
            None if by_itself => info.virtual_size.saturating_add(USUAL),
            None => return Ok(None),
        };
        Ok(Some(Growth {
            size,
            by: size - info.virtual_size,
            root: inspection.as_ref().and_then(root_of),
        }))
    }

    /// Checks the overlays of a boot that was shut down.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn check(&self, images: &[Image<'_>]) -> anyhow::Result<Check> {
        let program = Path::new(OWN_PROGRAM);
        let storage: Storage = reader::ask(program, images, &Question::Storage).await?;
        Ok(self.judge(&storage))
    }

    fn judge(&self, storage: &Storage) -> Check {
        let after = self
            .root
            .as_ref()
            .map(|(on, before)| (before, size_of(storage, on)));
        let (passed, found) = match after {
            Some((before, Some(after))) => (
                // File systems and tables keep some for themselves.
                Some(after.saturating_sub(*before) >= self.by / 2),
                format!(
                    "the disk was made larger by {} bytes, and the root file system grew from {before} to {after}",
                    self.by
                ),
            ),
            _ => (
                None,
                "the size of the root file system cannot be read".to_owned(),
            ),
        };
        Check {
            name: "the root file system grows with its disk".to_owned(),
            passed,
            found,
        }
    }
}

fn has_growers(inspection: &Inspection) -> bool {
    let system = inspection.system.as_ref();
    let packages = system.and_then(|system| system.packages.as_deref());
    let packages = packages.unwrap_or_default();
    let is_there = |name: &&str| packages.iter().any(|package| package.name == *name);
    GROWERS.iter().all(is_there)
}

/// What the root is on, and its size.
fn root_of(inspection: &Inspection) -> Option<(String, u64)> {
    let mut mounts = inspection.system.as_ref()?.mounts.iter();
    let root = mounts.find(|mount| mount.at == "/")?;
    let size = size_of(&inspection.storage, &root.on)?;
    Some((root.on.clone(), size))
}

fn size_of(storage: &Storage, on: &str) -> Option<u64> {
    storage.filesystem_on(on)?.size
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_root_that_grew_and_one_that_did_not() {
        let storage = |size: Option<u64>| -> Storage {
            let filesystem = json!({ "kind": "xfs", "label": null, "uuid": null, "size": size });
            let partition = json!({ "number": 2, "start": 1, "size": 1, "type": "83", "type_name": null,
                "uuid": null, "name": null, "filesystem": filesystem });
            let storage = json!({ "size": 1, "table": "gpt", "filesystem": null,
                "partitions": [partition], "volumes": [] });
            serde_json::from_value(storage).unwrap()
        };
        let growth = Growth {
            size: 6 << 30,
            by: 2 << 30,
            root: Some(("partition 2".to_owned(), 4 << 30)),
        };
        for (after, passed) in [
            (Some((6 << 30) - 100_000), Some(true)),
            (Some(4 << 30), Some(false)),
            // The partition grew by a little, for other reasons.
            (Some((4 << 30) + 1_000_000), Some(false)),
            (None, None),
        ] {
            assert_eq!(growth.judge(&storage(after)).passed, passed, "{after:?}");
        }
    }
}

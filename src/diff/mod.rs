//! What is different in an image from an earlier one.
//!
//! Each is known by its image, by its manifest, or by both; what only one of them tells is not compared, and
//! named. The types here are what `ozr diff --format json` writes; `docs/diff.md` describes them, and a test
//! compares the two.

mod packages;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::image::configuration::{self, Held};
use crate::image::disk::total;
use crate::image::manifest::Manifest;
use crate::inspect::{Inspection, Installed, Storage, User};
use crate::packages::Package;
use crate::packages::changelog::Entry;

pub use packages::{Packages, Step};

/// The version of the schema. Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// How entries of rescue systems are named by their kernels: made anew, with other names, in each build.
const RESCUE: &str = "rescue";

/// What is known of an image.
#[derive(Debug, Default)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// What is in it.
    pub inspection: Option<Inspection>,
    /// How it was made.
    pub manifest: Option<Manifest>,
    /// The files of its configuration.
    pub configuration: Option<BTreeMap<String, Held>>,
    /// What its packages say of their changes, by their names.
    pub changelogs: Option<BTreeMap<String, Vec<Entry>>>,
}

/// What is different.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The earlier image.
    pub old: Build,
    /// The later one.
    pub new: Build,
    /// Single things that are another now.
    pub changed: Vec<Changed>,
    /// Packages; none if those of one are not known.
    pub packages: Option<Packages>,
    /// Arguments of the kernel in the boot loader's entries, UUIDs left out.
    pub kernel_arguments: Names,
    /// Units that are enabled.
    pub services: Names,
    /// Accounts that have a shell.
    pub users: Names,
    /// Files below `/etc`, with owner, mode and content, UUIDs in them left out.
    pub configuration: Names,
    /// Repositories of packages that are in another revision.
    pub repositories: Vec<Changed>,
    /// Sizes in bytes.
    pub sizes: Vec<Size>,
    /// Phases of the install.
    pub phases: Vec<Time>,
    /// What could not be compared, in words.
    pub not_compared: Vec<String>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    /// What it is called.
    pub name: String,
    /// What names its build.
    pub build_id: Option<String>,
    /// When it was done (RFC 3339, UTC).
    pub finished: Option<String>,
}

/// One thing that is another now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// What.
    pub what: String,
    /// What it was.
    pub old: Option<String>,
    /// What it is.
    pub new: Option<String>,
}

/// Names of what came, went, or is another now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Names {
    /// What came.
    pub added: Vec<String>,
    /// What went.
    pub removed: Vec<String>,
    /// What is another.
    pub changed: Vec<String>,
}

/// A size, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Of what.
    pub what: String,
    /// What it was.
    pub old: u64,
    /// What it is.
    pub new: u64,
}

/// How long a phase of the install took, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Time {
    /// The phase.
    pub what: String,
    /// What it took.
    pub old: f64,
    /// What it takes.
    pub new: f64,
}

impl Side {
    fn system(&self) -> Option<&Installed> {
        self.inspection.as_ref()?.system.as_ref()
    }

    /// Its packages, by the image before the manifest.
    pub fn packages(&self) -> Option<&[Package]> {
        let of_image = self.system().and_then(|system| system.packages.as_deref());
        of_image.or_else(|| self.manifest.as_ref()?.packages.as_deref())
    }

    fn storage(&self) -> Option<&Storage> {
        let of_image = self
            .inspection
            .as_ref()
            .map(|inspection| &inspection.storage);
        of_image.or_else(|| self.manifest.as_ref()?.storage.as_ref())
    }

    fn build(&self) -> Build {
        let manifest = self.manifest.as_ref();
        Build {
            name: self.name.clone(),
            build_id: manifest.map(|manifest| manifest.build_id.clone()),
            finished: manifest.map(|manifest| manifest.finished.clone()),
        }
    }
}

impl Names {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Compares what has names.
    fn between<T: PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Names {
        let only = |one: &BTreeMap<String, T>, other: &BTreeMap<String, T>| {
            let names = one.keys().filter(|name| !other.contains_key(*name));
            names.cloned().collect()
        };
        let is_other =
            |(name, value): &(&String, &T)| new.get(*name).is_some_and(|new| new != *value);
        let changed = old.iter().filter(is_other);
        Names {
            added: only(new, old),
            removed: only(old, new),
            changed: changed.map(|(name, _)| name.clone()).collect(),
        }
    }
}

impl Difference {
    /// Whether there is none in what an image is made of. Sizes and times are others in each build.
    pub fn is_empty(&self) -> bool {
        let names = [
            &self.kernel_arguments,
            &self.services,
            &self.users,
            &self.configuration,
        ];
        self.changed.is_empty()
            && self.packages.as_ref().is_none_or(Packages::is_empty)
            && names.into_iter().all(Names::is_empty)
    }
}

/// The names of the packages whose changelogs [`between`] wants: of the earlier image, and of the later one.
pub fn changelogs_wanted(old: &Side, new: &Side) -> (BTreeSet<String>, BTreeSet<String>) {
    match (old.packages(), new.packages()) {
        (Some(old), Some(new)) => Packages::between(old, new).names_of_steps(),
        _ => Default::default(),
    }
}

/// Compares two images.
pub fn between(old: &Side, new: &Side) -> Difference {
    let mut not_compared = Vec::new();
    let mut packages = both(
        "packages",
        (old, new),
        |side| Some(side.packages()?.to_vec()),
        &mut not_compared,
    )
    .map(|(old, new)| Packages::between(&old, &new));
    if let Some(packages) = packages.as_mut().filter(|packages| packages.has_steps()) {
        match &new.changelogs {
            Some(changelogs) => packages.explain(old.changelogs.as_ref(), changelogs),
            None => not_compared.push(format!(
                "the changelogs: {} is a manifest, which has none",
                new.name
            )),
        }
    }
    let mut names = |what, of: fn(&Side) -> Option<BTreeMap<String, String>>| {
        both(what, (old, new), of, &mut not_compared)
            .map(|(old, new)| Names::between(&old, &new))
            .unwrap_or_default()
    };
    let kernel_arguments = names("kernel arguments", kernel_arguments);
    let services = names("services", services);
    let users = names("users", users);
    let configuration = match (&old.configuration, &new.configuration) {
        (Some(old), Some(new)) => Names::between(old, new),
        _ => {
            not_compared.push("files of configuration: both must be images".to_owned());
            Names::default()
        }
    };
    Difference {
        schema: SCHEMA,
        old: old.build(),
        new: new.build(),
        changed: single_things(old, new),
        packages,
        kernel_arguments,
        services,
        users,
        configuration,
        repositories: repositories(old, new),
        sizes: sizes(old, new),
        phases: phases(old, new),
        not_compared,
    }
}

/// What both tell; what one does not is noted.
fn both<T>(
    what: &str,
    (old, new): (&Side, &Side),
    of: impl Fn(&Side) -> Option<T>,
    not_compared: &mut Vec<String>,
) -> Option<(T, T)> {
    match (of(old), of(new)) {
        (Some(old), Some(new)) => Some((old, new)),
        (one, _) => {
            let lacks = if one.is_none() { old } else { new };
            not_compared.push(format!("{what}: {} does not tell them", lacks.name));
            None
        }
    }
}

fn kernel_arguments(side: &Side) -> Option<BTreeMap<String, String>> {
    let entries = side.system()?.boot_entries.iter();
    let entries = entries.filter(|entry| !entry.linux.contains(RESCUE));
    let words = entries.flat_map(|entry| entry.arguments.split_whitespace());
    let blanked = words.map(|word| {
        let blanked = configuration::without_uuids(word.as_bytes().to_vec());
        String::from_utf8_lossy(&blanked).replace(&"-".repeat(36), "…")
    });
    Some(blanked.map(|word| (word, String::new())).collect())
}

fn services(side: &Side) -> Option<BTreeMap<String, String>> {
    let services = side.system()?.services.iter();
    Some(services.map(|unit| (unit.clone(), String::new())).collect())
}

fn users(side: &Side) -> Option<BTreeMap<String, String>> {
    let users = side.system()?.users.iter();
    let told = |user: &User| {
        let known = (
            user.uid,
            &user.home,
            &user.shell,
            user.password,
            user.authorized_keys,
        );
        format!("{known:?}")
    };
    Some(users.map(|user| (user.name.clone(), told(user))).collect())
}

/// Single things, by the names that they have in the output.
fn single_things(old: &Side, new: &Side) -> Vec<Changed> {
    type Of = fn(&Installed) -> Option<String>;
    let things: [(&str, Of); 7] = [
        ("system", |system| system.release.name.clone()),
        ("version", |system| system.release.version_id.clone()),
        ("architecture", |system| system.arch.clone()),
        ("hostname", |system| system.hostname.clone()),
        ("boots to", |system| system.default_target.clone()),
        ("SELinux", |system| {
            let selinux = system.selinux.as_ref()?;
            let policy = selinux.policy.iter().map(|policy| format!(", {policy}"));
            Some(format!("{}{}", selinux.mode, policy.collect::<String>()))
        }),
        ("mounts", |system| {
            let mounts = system.mounts.iter();
            let mounts = mounts.map(|mount| format!("{} {} on {}", mount.at, mount.kind, mount.on));
            Some(mounts.collect::<Vec<_>>().join(", "))
        }),
    ];
    let mut changed = Vec::new();
    let mut compare = |what: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            let what = what.to_owned();
            changed.push(Changed { what, old, new });
        }
    };
    if let (Some(old), Some(new)) = (old.system(), new.system()) {
        for (what, of) in things {
            compare(what, of(old), of(new));
        }
    }
    if let (Some(old), Some(new)) = (&old.inspection, &new.inspection) {
        let firmware = |inspection: &Inspection| Some(format!("{:?}", inspection.firmware));
        compare("boots with", firmware(old), firmware(new));
    }
    if let (Some(old), Some(new)) = (&old.manifest, &new.manifest) {
        for (what, of) in [
            (
                "template",
                (|manifest| &manifest.template.sha256) as fn(&Manifest) -> &String,
            ),
            ("kickstart", |manifest| &manifest.kickstart.sha256),
            ("kernel of the installer", |manifest| {
                &manifest.tree.kernel.sha256
            }),
            ("initrd of the installer", |manifest| {
                &manifest.tree.initrd.sha256
            }),
            ("ozr", |manifest| &manifest.ozr_version),
        ] {
            compare(what, Some(of(old).clone()), Some(of(new).clone()));
        }
    }
    changed
}

fn repositories(old: &Side, new: &Side) -> Vec<Changed> {
    let (Some(old), Some(new)) = (&old.manifest, &new.manifest) else {
        return Vec::new();
    };
    let of = |manifest: &Manifest| -> BTreeMap<String, (Option<String>, Option<String>)> {
        let repositories = manifest.repositories.iter();
        let told = repositories.map(|repository| {
            let (revision, digest) = (&repository.revision, &repository.repomd_sha256);
            (repository.url.clone(), (revision.clone(), digest.clone()))
        });
        told.collect()
    };
    let (old, new) = (of(old), of(new));
    let urls: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = urls
        .into_iter()
        .filter(|url| old.get(*url) != new.get(*url));
    let changed = changed.map(|url| Changed {
        what: url.clone(),
        old: old.get(url).and_then(|(revision, _)| revision.clone()),
        new: new.get(url).and_then(|(revision, _)| revision.clone()),
    });
    changed.collect()
}

fn sizes(old: &Side, new: &Side) -> Vec<Size> {
    let of = |side: &Side| {
        let mut sizes = Vec::new();
        if let Some(manifest) = &side.manifest {
            for image in &manifest.images {
                sizes.push((image.file.clone(), image.size));
            }
        }
        if let Some(storage) = side.storage() {
            sizes.push(("disk".to_owned(), storage.size));
            for partition in &storage.partitions {
                sizes.push((format!("partition {}", partition.number), partition.size));
            }
        }
        if let Some(packages) = side.packages() {
            let size = total(packages.iter().map(|package| package.size));
            sizes.push(("files of packages".to_owned(), size));
        }
        sizes
    };
    let before: BTreeMap<String, u64> = of(old).into_iter().collect();
    let now = of(new).into_iter();
    let sizes = now.filter_map(|(what, new)| {
        let old = *before.get(&what)?;
        (old != new).then_some(Size { what, old, new })
    });
    sizes.collect()
}

fn phases(old: &Side, new: &Side) -> Vec<Time> {
    let (Some(old), Some(new)) = (&old.manifest, &new.manifest) else {
        return Vec::new();
    };
    let phases = new.phases.iter().filter_map(|phase| {
        let before = old.phases.iter().find(|old| old.name == phase.name)?;
        Some(Time {
            what: phase.name.clone(),
            old: before.seconds,
            new: phase.seconds,
        })
    });
    phases.collect()
}

#[cfg(test)]
mod tests;

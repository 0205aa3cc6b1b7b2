//! `NAME.provenance.json`: an in-toto statement (v1) with SLSA's provenance (v1): which files came of which
//! inputs. Described in `docs/papers.md`.
//!
//! What a tool on the user's own machine says of itself is SLSA's Build Level 1 once it is signed, and no more.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Value, json};

use super::attempt::Attempt;
use super::papers::Contents;
use crate::image::manifest::timestamp;
use crate::mirror::{CachedFile, REPOMD, TreeInfo, join, shown};
use crate::sbom::purl;

/// in-toto's Statement layer, and SLSA's predicate.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// How the image was built, and by whom if nobody says otherwise.
const BUILD_TYPE: &str = "urn:ozr:install:v1";
const BUILDER: &str = "urn:ozr:local";

/// An artifact (in-toto's `spec/v1/resource_descriptor.md`).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Resource {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

impl Resource {
    fn sha256(digest: &str) -> Resource {
        Resource {
            digest: [("sha256".to_owned(), digest.to_owned())].into(),
            ..Resource::default()
        }
    }

    fn named(self, name: impl Into<String>) -> Resource {
        Resource {
            name: Some(name.into()),
            ..self
        }
    }

    fn at(self, uri: impl Into<String>) -> Resource {
        Resource {
            uri: Some(uri.into()),
            ..self
        }
    }

    fn noting(mut self, key: &'static str, value: Option<&String>) -> Resource {
        self.annotations
            .extend(value.map(|value| (key, value.clone())));
        self
    }
}

impl Attempt<'_> {
    /// The statement. `subjects` are the names and SHA-256 of all files that came of the build.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn provenance(
        &self,
        subjects: &[(String, String)],
        contents: Option<&Contents>,
    ) -> anyhow::Result<String> {
        let (plan, spec) = (self.plan, &self.spec);
        let subjects = subjects.iter();
        let subjects = subjects.map(|(name, sha256)| Resource::sha256(sha256).named(name));
        let subjects: Vec<Resource> = subjects.collect();
        let source = |name: &str, sha256: &str| Resource::sha256(sha256).named(name);
        let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let versions = self.hypervisor.as_ref();
        let version: BTreeMap<&str, &str> = [("ozr", env!("CARGO_PKG_VERSION"))]
            .into_iter()
            .chain(versions.map(|versions| ("qemu", versions.qemu.as_str())))
            .chain(versions.map(|versions| ("libvirt", versions.libvirt.as_str())))
            .collect();
        let formats = plan.formats.iter().map(|format| format.name());
        let statement = json!({
            "_type": STATEMENT,
            "subject": subjects,
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "template": source(&file_name(&plan.file.name), &plan.file.sha256),
                        "kickstart": source(&plan.answers.file_names(), &plan.answers.sha256),
                        "name": plan.name,
                        "os": plan.template.os.name,
                        "version": plan.template.os.version,
                        "arch": plan.arch.to_string(),
                        "tree": shown(plan.source()),
                        "formats": formats.collect::<Vec<_>>(),
                        "disks": plan.guest.disks,
                        "firmware": plan.guest.firmware.name(),
                        "verbatim": plan.options.verbatim,
                        "customize": plan.customize,
                        "seal": plan.seal.iter().map(|item| &item.name).collect::<Vec<_>>(),
                    },
                    "internalParameters": {
                        "accelerator": spec.accel.to_string(),
                        "vcpus": spec.vcpus,
                        "memoryMib": spec.memory_mib,
                    },
                    "resolvedDependencies": self.dependencies(contents),
                },
                "runDetails": {
                    "builder": {
                        "id": plan.options.builder_id.as_deref().unwrap_or(BUILDER),
                        "version": version,
                    },
                    "metadata": {
                        "invocationId": spec.build_id,
                        "startedOn": timestamp(self.timings.started()),
                        "finishedOn": timestamp(SystemTime::now()),
                    },
                },
            },
        });
        Ok(serde_json::to_string_pretty(&statement)? + "\n")
    }

    /// All that ozr and the installer took, as far as it is known: files that ozr fetched by their digests,
    /// stage 2 by the digest that the tree gives, repositories by their `repomd.xml`, packages by the digests
    /// of their headers.
    fn dependencies(&self, contents: Option<&Contents>) -> Value {
        let (prepared, tree) = (&self.prepared, &self.prepared.tree);
        let info = tree.treeinfo.as_ref();
        let layout = self.plan.release.tree_layout(self.plan.arch);
        let own = |file: &CachedFile, named: Option<&str>, usual: &str| {
            let path = named.unwrap_or(usual);
            Resource::sha256(&file.sha256).at(shown(&join(&tree.url, path)))
        };
        let kernel = info.and_then(|info| info.kernel.as_deref());
        let initrd = info.and_then(|info| info.initrd.as_deref());
        let mut all = vec![
            own(&tree.kernel, kernel, layout.kernel).named("kernel"),
            own(&tree.initrd, initrd, layout.initrd).named("initrd"),
            stage2(info, &tree.stage2_path)
                .named("stage2")
                .at(shown(&join(&tree.url, &tree.stage2_path))),
        ];
        for image in prepared.discs.iter().flat_map(|discs| &discs.images) {
            all.push(
                Resource::sha256(&image.file.sha256)
                    .named("iso")
                    .at(shown(&image.url)),
            );
        }
        for (uri, sha256) in &prepared.fetched {
            all.push(Resource::sha256(sha256).at(uri));
        }
        for repository in &prepared.repositories {
            let url = format!("{}/{REPOMD}", repository.url.trim_end_matches('/'));
            let state = repository.repomd_sha256.as_deref();
            let state = state.map_or_else(Resource::default, Resource::sha256);
            let name = repository
                .name
                .clone()
                .unwrap_or_else(|| "repository".to_owned());
            let state = state.named(name).at(url);
            all.push(state.noting("revision", repository.revision.as_ref()));
        }
        if let Some(contents) = contents {
            all.extend(contents.packages.iter().map(|package| {
                Resource::default()
                    .at(purl::of(package, &contents.release))
                    .noting("sha256header", package.header_sha256.as_ref())
                    .noting("signingKey", package.signing_key.as_ref())
                    .noting("repository", package.repository.as_ref())
            }));
        }
        json!(all)
    }
}

/// Stage 2, with the digest that the tree gives: the guest fetches it itself.
fn stage2(info: Option<&TreeInfo>, path: &str) -> Resource {
    let checksum = info.and_then(|info| info.checksum(path));
    let digest = checksum.map(|checksum| (checksum.algorithm.clone(), checksum.hex.clone()));
    Resource {
        digest: digest.into_iter().collect(),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::treeinfo;

    #[test]
    fn stage2_has_the_digest_that_the_tree_gives() {
        let digest = "0a".repeat(32);
        let text = format!(
            "[general]\narch = x86_64\n[checksums]\nimages/install.img = sha256:{digest}\n"
        );
        let info = treeinfo::parse(&text, "t").unwrap();
        let found = stage2(Some(&info), "images/install.img");
        assert_eq!(found, Resource::sha256(&digest));
        assert_eq!(
            stage2(Some(&info), "LiveOS/squashfs.img"),
            Resource::default()
        );
    }
}

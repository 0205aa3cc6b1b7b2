//! CycloneDX 1.6 as JSON (<https://cyclonedx.org/docs/1.6/json/>): the image, its distribution and its packages.

use serde::Serialize;

use super::{Subject, identity, purl};
use crate::inspect::Release;
use crate::packages::Package;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Component,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Serialize)]
struct Dependency {
    r#ref: String,
    #[serde(rename = "dependsOn")]
    depends_on: Vec<String>,
}

#[derive(Default, Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Organization>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licensed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Organization {
    name: String,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Licensed {
    license: License,
}

#[derive(Serialize)]
struct License {
    name: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

/// The reference of the image.
const IMAGE: &str = "image";

pub fn document(subject: &Subject<'_>) -> Document {
    let mut components = vec![system(subject.release)];
    let packages = subject.packages.iter().zip(1..);
    components
        .extend(packages.map(|(package, number)| component(number, package, subject.release)));
    let parts = components.iter().filter_map(|part| part.reference.clone());
    let dependencies = vec![Dependency {
        r#ref: IMAGE.to_owned(),
        depends_on: parts.collect(),
    }];
    let id = identity(subject, "cyclonedx");
    // The form of a random UUID (RFC 9562, version 8: whatever its maker takes).
    let serial = format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        &id[..8],
        &id[8..12],
        &id[13..16],
        &id[17..20],
        &id[20..32]
    );
    let hash = subject.sha256.map(|sum| Hash {
        alg: "SHA-256",
        content: sum.to_owned(),
    });
    Document {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: serial,
        version: 1,
        metadata: Metadata {
            timestamp: humantime::format_rfc3339_seconds(subject.created).to_string(),
            tools: Tools {
                components: vec![Component {
                    kind: "application",
                    name: "ozr".to_owned(),
                    version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                    ..Component::default()
                }],
            },
            component: Component {
                kind: "file",
                reference: Some(IMAGE.to_owned()),
                name: subject.name.to_owned(),
                hashes: hash.into_iter().collect(),
                ..Component::default()
            },
        },
        components,
        dependencies,
    }
}

/// The distribution, by which scanners choose their lists.
fn system(release: &Release) -> Component {
    Component {
        kind: "operating-system",
        reference: Some("system".to_owned()),
        name: release.id.clone().unwrap_or_else(|| "linux".to_owned()),
        version: release.version_id.clone(),
        description: release.name.clone(),
        cpe: release.cpe.clone(),
        ..Component::default()
    }
}

fn component(number: usize, package: &Package, release: &Release) -> Component {
    let licenses = package.license.iter().map(|name| Licensed {
        license: License { name: name.clone() },
    });
    let properties = [
        ("ozr:rpm:sourceRpm", package.source_rpm.clone()),
        ("ozr:rpm:size", Some(package.size.to_string())),
        ("ozr:rpm:signingKey", package.signing_key.clone()),
    ];
    let properties = properties.into_iter();
    let properties = properties.filter_map(|(name, value)| {
        Some(Property {
            name,
            value: value?,
        })
    });
    Component {
        kind: "library",
        reference: Some(format!("package-{number}")),
        supplier: package.vendor.clone().map(|name| Organization { name }),
        name: package.name.clone(),
        version: Some(purl::version(package)),
        description: package.summary.clone(),
        licenses: licenses.collect(),
        purl: Some(purl::of(package, release)),
        properties: properties.collect(),
        ..Component::default()
    }
}

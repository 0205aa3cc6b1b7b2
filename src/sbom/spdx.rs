//! SPDX 2.3 as JSON (<https://spdx.github.io/spdx-spec/v2.3/>): the image, its packages, and the licences that
//! they name in their own words.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Subject, identity, purl};
use crate::inspect::Release;
use crate::packages::Package;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: Creation,
    packages: Vec<Item>,
    has_extracted_licensing_infos: Vec<License>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Creation {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Reference>,
    primary_package_purpose: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct License {
    license_id: String,
    extracted_text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The identity of the document, and of the image in it.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

/// What is not known, in SPDX' words.
const UNKNOWN: &str = "NOASSERTION";

pub fn document(subject: &Subject<'_>) -> Document {
    let mut licenses = BTreeMap::new();
    let mut packages = vec![image(subject)];
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", IMAGE)];
    for (package, number) in subject.packages.iter().zip(1..) {
        let item = item(number, package, subject.release, &mut licenses);
        relationships.push(relationship(IMAGE, "CONTAINS", &item.id));
        packages.push(item);
    }
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: subject.name.to_owned(),
        // A name, not an address: it only has to be unique.
        document_namespace: format!(
            "https://spdx.org/spdxdocs/ozr-{}",
            identity(subject, "spdx")
        ),
        creation_info: Creation {
            created: humantime::format_rfc3339_seconds(subject.created).to_string(),
            creators: vec![concat!("Tool: ozr-", env!("CARGO_PKG_VERSION")).to_owned()],
        },
        packages,
        has_extracted_licensing_infos: licenses.into_values().collect(),
        relationships,
    }
}

fn relationship(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship {
        spdx_element_id: from.to_owned(),
        relationship_type: kind,
        related_spdx_element: to.to_owned(),
    }
}

fn image(subject: &Subject<'_>) -> Item {
    let sum = subject.sha256.map(|sum| Checksum {
        algorithm: "SHA256",
        checksum_value: sum.to_owned(),
    });
    Item {
        id: IMAGE.to_owned(),
        name: subject.name.to_owned(),
        version_info: subject.release.version_id.clone(),
        supplier: None,
        download_location: UNKNOWN,
        files_analyzed: false,
        source_info: subject.release.name.clone(),
        license_concluded: UNKNOWN,
        license_declared: UNKNOWN.to_owned(),
        copyright_text: UNKNOWN,
        summary: None,
        checksums: sum.into_iter().collect(),
        external_refs: Vec::new(),
        primary_package_purpose: "OPERATING-SYSTEM",
    }
}

fn item(
    number: usize,
    package: &Package,
    release: &Release,
    licenses: &mut BTreeMap<String, License>,
) -> Item {
    // What packages say is no expression of SPDX, or only since Fedora 38: their words are kept as they are.
    let declared = package.license.as_ref().map_or(UNKNOWN.to_owned(), |text| {
        let id = format!("LicenseRef-rpm-{}", &crate::hex::sha256(text)[..16]);
        licenses.entry(id.clone()).or_insert_with(|| License {
            license_id: id.clone(),
            extracted_text: text.clone(),
        });
        id
    });
    Item {
        id: format!("SPDXRef-Package-{number}"),
        name: package.name.clone(),
        version_info: Some(purl::version(package)),
        supplier: package
            .vendor
            .as_ref()
            .map(|vendor| format!("Organization: {vendor}")),
        download_location: UNKNOWN,
        files_analyzed: false,
        source_info: package
            .source_rpm
            .as_ref()
            .map(|source| format!("built from {source}")),
        license_concluded: UNKNOWN,
        license_declared: declared,
        copyright_text: UNKNOWN,
        summary: package.summary.clone(),
        checksums: Vec::new(),
        external_refs: vec![Reference {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: purl::of(package, release),
        }],
        primary_package_purpose: "INSTALL",
    }
}

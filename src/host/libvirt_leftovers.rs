//! Domains that exist already: finding them, and removing what an earlier build left behind.

use anyhow::Context;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

use super::libvirt::{Host, host_error};
use super::libvirt_guest::destroy;
use super::marker::{Marker, NAMESPACE};
use crate::error::{Classify, Kind};

impl Host {
    /// All domains that have our mark, running or not: their names and marks.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt does not answer.
    pub fn marked(&self) -> anyhow::Result<Vec<(String, Marker)>> {
        let mut marked = Vec::new();
        for domain in self.connect.list_all_domains(0).map_err(host_error)? {
            // What others write into that place of their domains is theirs.
            if let Ok(Some(marker)) = marker(&domain) {
                marked.push((domain.name().map_err(host_error)?, marker));
            }
        }
        Ok(marked)
    }

    /// The mark on a domain, if there is one of that name and it is ours.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt does not answer.
    pub fn find(&self, name: &str) -> anyhow::Result<Option<Marker>> {
        let found = self.lookup(name)?;
        Ok(found.as_ref().map(marker).transpose()?.flatten())
    }

    /// Ends and forgets the domain that the build `build_id` left behind. Nothing to do if there is
    /// none of that name, or another build's.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt refuses.
    pub fn remove_leftover(&self, name: &str, build_id: &str) -> anyhow::Result<()> {
        let Some(domain) = self.lookup(name)? else {
            return Ok(());
        };
        if marker(&domain)?.is_none_or(|marker| marker.build_id != build_id) {
            return Ok(());
        }
        if domain.is_active().map_err(host_error)? {
            destroy(&domain)?;
        }
        // A transient domain is gone by now.
        if let Some(domain) = self.lookup(name)? {
            let undefined = domain.undefine_flags(sys::VIR_DOMAIN_UNDEFINE_NVRAM);
            match undefined {
                Err(error) if !error.code().is(ErrorNumber::NoDomain) => {
                    return Err(host_error(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn lookup(&self, name: &str) -> anyhow::Result<Option<Domain>> {
        match self.connect.lookup_domain_by_name(name) {
            Ok(domain) => Ok(Some(domain)),
            Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
            Err(error) => Err(host_error(error)),
        }
    }
}

/// The mark on a domain, if it is ours.
pub(super) fn marker(domain: &Domain) -> anyhow::Result<Option<Marker>> {
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
    match domain.metadata(kind, Some(NAMESPACE), 0) {
        Ok(xml) => quick_xml::de::from_str(&xml)
            .map(Some)
            .context("parsing a domain's metadata")
            .kind(Kind::Host),
        Err(error) if error.code().is(ErrorNumber::NoDomainMetadata) => Ok(None),
        // It ended between being found and being asked.
        Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
        Err(error) => Err(host_error(error)),
    }
}

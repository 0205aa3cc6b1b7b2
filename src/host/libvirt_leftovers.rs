//! Domains that exist already: finding them, and removing what an earlier build left behind.

use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

use super::libvirt::{Host, host_error};
use super::marker::{Marker, NAMESPACE};
use crate::error::{Classify, Kind, failure};

/// A domain that exists already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Whether it runs.
    pub active: bool,
    /// The mark on it if it is ours; another program's or person's without.
    pub marker: Option<Marker>,
}

impl Host {
    /// Looks for a domain.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt does not answer.
    pub fn find(&self, name: &str) -> anyhow::Result<Option<Existing>> {
        let Some(domain) = self.lookup(name)? else {
            return Ok(None);
        };
        Ok(Some(Existing {
            active: domain.is_active().map_err(host_error)?,
            marker: marker(&domain)?,
        }))
    }

    /// Ends and forgets a domain that an earlier build left behind. Nothing to do if there is
    /// none of that name.
    ///
    /// # Errors
    /// [`Kind::Host`] when the domain is not ours, or libvirt refuses.
    pub fn remove_leftover(&self, name: &str) -> anyhow::Result<()> {
        let Some(domain) = self.lookup(name)? else {
            return Ok(());
        };
        if marker(&domain)?.is_none() {
            return Err(failure(
                Kind::Host,
                format!(
                    "the guest `{name}` was not made by ozr and is left alone: build under \
                     another name"
                ),
            ));
        }
        if domain.is_active().map_err(host_error)? {
            domain.destroy().map_err(host_error)?;
        }
        // A transient domain is gone by now.
        if let Some(domain) = self.lookup(name)? {
            domain
                .undefine_flags(sys::VIR_DOMAIN_UNDEFINE_NVRAM)
                .map_err(host_error)?;
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
        Ok(xml) => Marker::parse(&xml).map(Some).kind(Kind::Host),
        Err(error) if error.code().is(ErrorNumber::NoDomainMetadata) => Ok(None),
        // It ended between being found and being asked.
        Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
        Err(error) => Err(host_error(error)),
    }
}

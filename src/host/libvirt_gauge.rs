//! What a running guest has read and written, for a thread of its own.

use virt::domain::Domain;

use super::libvirt::host_error;

/// What a guest has read and written since it started, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// From its disk.
    pub disk_read: u64,
    /// To its disk.
    pub disk_written: u64,
    /// Received and sent; QEMU's user networking does not count.
    pub network: Option<(u64, u64)>,
}

/// Reads a guest's counters. Does not keep the guest alive, and may outlive it.
pub struct Gauge {
    domain: Domain,
    disk_target: &'static str,
    mac: String,
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauge").finish_non_exhaustive()
    }
}

impl Gauge {
    pub(super) fn new(domain: &Domain, disk_target: &'static str, mac: &str) -> Self {
        Gauge {
            domain: domain.clone(),
            disk_target,
            mac: mac.to_owned(),
        }
    }

    /// How much the guest has read and written. Blocks while libvirt answers.
    ///
    /// # Errors
    /// [`Kind::Host`](crate::error::Kind::Host) when it does not run.
    pub fn read(&self) -> anyhow::Result<Counters> {
        let disk = self
            .domain
            .block_stats(self.disk_target)
            .map_err(host_error)?;
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        let network = self
            .domain
            .interface_stats(&self.mac)
            .ok()
            .map(|stats| (count(stats.rx_bytes), count(stats.tx_bytes)));
        Ok(Counters {
            disk_read: count(disk.rd_bytes),
            disk_written: count(disk.wr_bytes),
            network,
        })
    }
}

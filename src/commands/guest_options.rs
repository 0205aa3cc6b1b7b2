//! What the guests of commands beside `ozr install` can be told.

use std::path::PathBuf;

use crate::machine::AccelChoice;
use crate::options::Mebibytes;

/// The guest that works on an image that is there, or boots it; where what is running is noted.
#[derive(Debug, Default, clap::Args)]
pub struct GuestOptions {
    /// libvirt connection, as for `ozr install`
    #[arg(long, value_name = "URI", help_heading = "Guest")]
    pub connect: Option<String>,

    /// The storage pool for the guest's files where --connect names another host, as for `ozr install`
    #[arg(long, value_name = "POOL", help_heading = "Guest")]
    pub storage_pool: Option<String>,

    /// Accelerator [default: auto]
    #[arg(long, value_name = "ACCEL", help_heading = "Guest")]
    pub accel: Option<AccelChoice>,

    /// Number of virtual CPUs [default: 2 for a boot test, else as for an install]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512), help_heading = "Guest")]
    pub vcpus: Option<u32>,

    /// Memory: 2G, 2048M, or a number of MiB [default: 2048 for a boot test, else as for an install]
    #[arg(long, value_name = "SIZE", help_heading = "Guest")]
    pub memory: Option<Mebibytes>,

    /// Where the cache is [default: /var/cache/ozr for root, else ~/.cache/ozr]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub cache_dir: Option<PathBuf>,

    /// Where running builds are noted [default: /var/lib/ozr for root, else ~/.local/state/ozr]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub state_dir: Option<PathBuf>,
}

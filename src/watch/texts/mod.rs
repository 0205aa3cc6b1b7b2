//! The texts by which an install is followed: tables of patterns, each row with where the text
//! comes from and a sample line.
//!
//! Not in the tables, though they look like failures: `Call Trace:` (the kernel prints it for
//! warnings too), `CRIT` and `Traceback` in the log (handled exceptions), `[FAILED]` units (most
//! recover), `Unknown command:` and its kin outside of anaconda's own block (a script can print
//! anything).

pub mod details;
pub mod endings;
pub mod hypervisor;
pub mod initramfs;
pub mod installer;
pub mod kernel;
pub mod kickstart;
pub mod pattern;
pub mod phases;
pub mod standstill;

use pattern::{Channel, Pattern};

/// The tables for lines of the console and records of the log. Of each the first row that
/// matches counts, so the more telling stand first.
pub static TABLES: [&[Pattern]; 7] = [
    phases::PHASES,
    endings::ENDINGS,
    kernel::KERNEL,
    kickstart::KICKSTART,
    installer::INSTALLER,
    standstill::STANDSTILL,
    initramfs::INITRAMFS,
];

/// The row of `table` that is for this line.
pub fn find<'a>(
    table: &'a [Pattern],
    channel: Channel,
    line: &str,
    body: &str,
) -> Option<&'a Pattern> {
    table.iter().find(|row| row.matches(channel, line, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::line::body;

    #[test]
    fn each_sample_is_read_as_what_its_row_means() {
        for table in TABLES
            .into_iter()
            .chain([details::DETAILS, hypervisor::HYPERVISOR])
        {
            for row in table {
                let channel = match row.channel {
                    Channel::Both => Channel::Console,
                    one => one,
                };
                let sample = body(row.sample);
                assert!(row.matches(channel, row.sample, sample), "{:?}", row.sample);
                let found = find(table, channel, row.sample, sample);
                assert_eq!(
                    found.map(|row| row.meaning),
                    Some(row.meaning),
                    "{:?}",
                    row.sample
                );
            }
        }
    }

    #[test]
    fn each_row_says_where_its_text_comes_from() {
        for table in TABLES
            .into_iter()
            .chain([details::DETAILS, hypervisor::HYPERVISOR])
        {
            for row in table {
                assert!(!row.origin.program.is_empty(), "{:?}", row.sample);
                assert!(!row.origin.releases.is_empty(), "{:?}", row.sample);
                assert!(!row.origin.file.is_empty(), "{:?}", row.sample);
            }
        }
    }

    /// A row that an earlier one always wins over would never count.
    #[test]
    fn no_text_is_in_two_tables_of_failures() {
        for (at, table) in TABLES.into_iter().enumerate().skip(2) {
            for row in table {
                let channel = if row.channel == Channel::Both {
                    Channel::Console
                } else {
                    row.channel
                };
                for other in TABLES.into_iter().skip(at + 1) {
                    let twice = find(other, channel, row.sample, body(row.sample));
                    assert!(twice.is_none(), "{:?}: {:?}", row.sample, twice);
                }
            }
        }
    }
}

//! Members of pax archives (POSIX.1-2017, pax): files with owners of any number, times to the nanosecond,
//! holes, extended attributes, ACLs and SELinux labels, as GNU tar writes and reads them with `--xattrs
//! --acls --selinux` (its `src/xheader.c` and `src/xattrs.c`; holes: its manual, "PAX Format, Version 1.0").

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tar::{EntryType, Header};

use super::tarball::{LARGEST_USTAR, Tarball};
use crate::disk::acl;
use crate::disk::tree::Kind;
use crate::image::files::Entry;

/// Bytes of a header's name.
const NAME: usize = 100;

/// The largest owner and number of a device that a header holds: 7 octal digits.
const LARGEST_NUMBER: u32 = (1 << 21) - 1;

/// The attribute that holds a label, which ends with a zero byte.
const LABEL: &str = "security.selinux";

/// How archives of different readers differ.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// What every name begins with: `./` or nothing.
    pub top: &'static str,
    /// Whether SELinux labels are kept.
    pub labels: bool,
    /// Whether holes are kept: there are readers that know none.
    pub holes: bool,
}

/// The name of a member; none of the root where names begin with nothing.
pub fn member_name(style: Style, path: &Path, is_directory: bool) -> Option<Vec<u8>> {
    let below = path.strip_prefix("/").unwrap_or(path);
    let mut name = [style.top.as_bytes(), below.as_os_str().as_bytes()].concat();
    if is_directory && !name.ends_with(b"/") && !name.is_empty() {
        name.push(b'/');
    }
    (!name.is_empty()).then_some(name)
}

/// Records of an extended header.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    /// Adds one: its length in decimal digits, which count too, a blank, the keyword, `=`, the value, a
    /// line feed.
    fn add(&mut self, keyword: &str, value: &[u8]) {
        let rest = 3 + keyword.len() + value.len();
        let mut length = rest;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.0.extend(format!("{length} {keyword}=").as_bytes());
        self.0.extend(value);
        self.0.push(b'\n');
    }

    fn attributes(&mut self, entry: &Entry, style: Style) -> Result<()> {
        for (name, value) in &entry.attributes {
            if let Some(which) = name.strip_prefix(acl::PREFIX) {
                let text = acl::text(&value.0)
                    .with_context(|| format!("the ACL of {}", entry.path.path().display()))?;
                self.add(&format!("SCHILY.acl.{which}"), text.as_bytes());
                continue;
            }
            if name == LABEL {
                if !style.labels {
                    continue;
                }
                let label = value.0.strip_suffix(b"\0").unwrap_or(&value.0);
                self.add("RHT.security.selinux", label);
            }
            // A keyword ends at the first `=`.
            let name = name.replace('%', "%25").replace('=', "%3D");
            self.add(&format!("SCHILY.xattr.{name}"), &value.0);
        }
        Ok(())
    }
}

/// Puts a name into a header, and into a record where it does not fit or is not what all readers take for
/// the same. A name that is no UTF-8 has no place in a record but for want of another.
fn set_name(field: &mut [u8], keyword: &str, name: &[u8], records: &mut Records) {
    let fits = name.len() <= field.len();
    if !fits || (!name.is_ascii() && str::from_utf8(name).is_ok()) {
        records.add(keyword, name);
    }
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
}

/// Begins a member; its data follows ([`Tarball::data`]) and [`Tarball::end_member`] ends it. What it is
/// said to be in the archive is `name`.
///
/// # Errors
/// It is of no kind that archives have; an ACL is broken; it cannot be written.
pub fn begin<W: Write>(
    tarball: &mut Tarball<W>,
    entry: &Entry,
    name: &[u8],
    style: Style,
) -> Result<()> {
    let (mut header, mut records) = (Header::new_ustar(), Records::default());
    header.set_mode(entry.mode & 0o7777);
    let (seconds, nanoseconds) = entry.modified;
    header.set_mtime(u64::try_from(seconds).unwrap_or(0));
    if nanoseconds != 0 || !(0..1 << 33).contains(&seconds) {
        records.add("mtime", time(seconds, nanoseconds).as_bytes());
    }
    for (keyword, number) in [("uid", entry.uid), ("gid", entry.gid)] {
        let fits = number <= LARGEST_NUMBER;
        if !fits {
            records.add(keyword, number.to_string().as_bytes());
        }
        let number = u64::from(if fits { number } else { 0 });
        match keyword {
            "uid" => header.set_uid(number),
            _ => header.set_gid(number),
        }
    }
    let mut link = entry.target.as_ref().map(|target| target.0.clone());
    let kind = match (entry.kind(), entry.mode & 0o170_000, &entry.link_to) {
        (_, _, Some(first)) => {
            link = member_name(style, first.path(), false);
            EntryType::Link
        }
        (Kind::File, ..) => EntryType::Regular,
        (Kind::Directory, ..) => EntryType::Directory,
        (Kind::Link, ..) => EntryType::Symlink,
        (_, 0o020_000, _) => EntryType::Char,
        (_, 0o060_000, _) => EntryType::Block,
        (_, 0o010_000, _) => EntryType::Fifo,
        _ => bail!(
            "{} is of no kind that archives have",
            entry.path.path().display()
        ),
    };
    header.set_entry_type(kind);
    if matches!(kind, EntryType::Char | EntryType::Block) {
        header.set_device_major(entry.device.0)?;
        header.set_device_minor(entry.device.1)?;
    }
    if kind != EntryType::Link {
        records.attributes(entry, style)?;
    }
    let map = (style.holes && entry.is_sparse()).then(|| map_of(entry));
    let size = match &map {
        _ if kind != EntryType::Regular => 0,
        Some(map) => map.len() as u64 + entry.stored(),
        None => entry.size,
    };
    let mut own = name.to_vec();
    if map.is_some() {
        records.add("GNU.sparse.major", b"1");
        records.add("GNU.sparse.minor", b"0");
        records.add("GNU.sparse.name", name);
        records.add("GNU.sparse.realsize", entry.size.to_string().as_bytes());
        // What readers see that know no holes.
        own = b"./GNUSparseFile.0/".to_vec();
        own.extend(name.rsplit(|byte| *byte == b'/').next().unwrap_or_default());
        own.truncate(NAME);
    }
    if size > LARGEST_USTAR {
        records.add("size", size.to_string().as_bytes());
    }
    header.set_size(if size > LARGEST_USTAR { 0 } else { size });
    let fields = header
        .as_ustar_mut()
        .context("a header is of another form")?;
    set_name(&mut fields.name, "path", &own, &mut records);
    if let Some(link) = link {
        set_name(&mut fields.linkname, "linkpath", &link, &mut records);
    }
    header.set_cksum();
    if !records.0.is_empty() {
        write_records(tarball, &records.0)?;
    }
    tarball.data(header.as_bytes())?;
    match map {
        Some(map) => tarball.data(&map),
        None => Ok(()),
    }
}

/// Writes records as a member before the one that they are of.
fn write_records<W: Write>(tarball: &mut Tarball<W>, records: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_path("././@PaxHeader")?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(records.len() as u64);
    header.set_entry_type(EntryType::XHeader);
    header.set_cksum();
    tarball.data(header.as_bytes())?;
    tarball.data(records)?;
    tarball.end_member()
}

/// Where a file has data: how many pieces, and of each place and length, in whole blocks.
fn map_of(entry: &Entry) -> Vec<u8> {
    let mut data = entry.data.clone();
    // A file that ends in a hole has an empty piece at its end.
    if data.last().is_none_or(|last| last.end < entry.size) {
        data.push(entry.size..entry.size);
    }
    let mut map = format!("{}\n", data.len());
    for range in data {
        map.push_str(&format!("{}\n{}\n", range.start, range.end - range.start));
    }
    let mut map = map.into_bytes();
    map.resize(map.len().next_multiple_of(512), 0);
    map
}

/// A time in decimal digits. One before 1970 counts backwards, its fraction too.
fn time(seconds: i64, nanoseconds: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let (sign, total) = (if total < 0 { "-" } else { "" }, total.unsigned_abs());
    let (seconds, fraction) = (total / 1_000_000_000, total % 1_000_000_000);
    let text = format!("{sign}{seconds}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for length in [1, 88, 89, 90, 980, 9980] {
            let mut records = Records::default();
            records.add("k", &vec![b'x'; length]);
            let text = String::from_utf8(records.0).unwrap();
            let (said, _) = text.split_once(' ').unwrap();
            assert_eq!(said.parse(), Ok(text.len()));
        }
    }

    #[test]
    fn times_are_decimal() {
        for (time, expected) in [
            ((0, 0), "0"),
            ((10, 500_000_000), "10.5"),
            ((-1, 0), "-1"),
            ((-1, 250_000_000), "-0.75"),
            ((100, 1), "100.000000001"),
        ] {
            assert_eq!(super::time(time.0, time.1), expected);
        }
    }

    #[test]
    fn names_begin_as_readers_want_them() {
        let (with, without) = (
            Style {
                top: "./",
                labels: true,
                holes: true,
            },
            Style {
                top: "",
                labels: true,
                holes: true,
            },
        );
        let name = |style, path: &str, is_directory| {
            member_name(style, Path::new(path), is_directory)
                .map(|name| String::from_utf8(name).unwrap())
        };
        assert_eq!(name(with, "/", true).as_deref(), Some("./"));
        assert_eq!(name(without, "/", true), None);
        assert_eq!(name(with, "/etc", true).as_deref(), Some("./etc/"));
        assert_eq!(name(without, "/etc/a", false).as_deref(), Some("etc/a"));
    }
}

//! LVM2 (its `lib/format_text/`): which logical volumes lie on physical ones, and where. Linear and
//! striped volumes are read; others are named.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};

use super::bytes::{little, slice};
use super::device::Device;
use super::lvm_text::{Section, Value, parse};

/// Bytes of a sector, in which LVM counts.
const SECTOR: u64 = 512;

/// How the head of an area of metadata is marked, after its checksum.
const HEAD: &[u8] = b" LVM2 x[5A%r0N*>";

/// Bytes of that head; the text begins behind it, and goes on there when it comes to the area's end.
const HEAD_SIZE: u64 = 512;

/// Most bytes of a text. Each volume takes some hundred.
const MOST_TEXT: u64 = 4 << 20;

/// Most pieces of one volume: as many as `lvextend` made.
const MOST_SEGMENTS: usize = 4096;

/// A physical volume: one member of a group.
#[derive(Debug, Clone)]
struct Physical {
    /// Without dashes.
    id: String,
    device: Device,
    text: Option<String>,
}

/// A logical volume.
#[derive(Debug, Clone)]
pub struct Logical {
    /// The name of its group.
    pub group: String,
    /// Its own name.
    pub name: String,
    /// What is on it; else why that is not read.
    pub device: std::result::Result<Device, String>,
}

impl Logical {
    /// Its name below `/dev/mapper`: dashes within names are doubled.
    pub fn mapper_name(&self) -> String {
        let name = |name: &str| name.replace('-', "--");
        format!("{}-{}", name(&self.group), name(&self.name))
    }
}

/// The logical volumes that lie on devices, those that are none of LVM's left out; and what could not be
/// read of it, in words.
pub fn volumes(devices: &[Device]) -> (Vec<Logical>, Vec<String>) {
    let mut troubles = Vec::new();
    let mut members = Vec::new();
    for device in devices {
        match physical(device) {
            Ok(Some(member)) => members.push(member),
            Ok(None) => {}
            Err(why) => troubles.push(format!("a physical volume of LVM: {why:#}")),
        }
    }
    // Each member has the text of its group; the highest number is the newest.
    let mut groups: BTreeMap<String, (u64, Section)> = BTreeMap::new();
    for text in members.iter().filter_map(|member| member.text.as_deref()) {
        match parse(text).and_then(newest) {
            Ok((name, number, group)) => {
                let known = groups.get(&name).is_some_and(|(known, _)| *known >= number);
                if !known {
                    groups.insert(name, (number, group));
                }
            }
            Err(why) => troubles.push(format!("a volume group of LVM: {why:#}")),
        }
    }
    let mut volumes = Vec::new();
    for (name, (_, group)) in &groups {
        match of_group(name, group, &members) {
            Ok(more) => volumes.extend(more),
            Err(why) => troubles.push(format!("the volume group {name}: {why:#}")),
        }
    }
    (volumes, troubles)
}

/// A group with its name and the number of its text.
fn newest(text: Section) -> Result<(String, u64, Section)> {
    let group = text.sections().next().context("it has no volume group")?;
    let number = group.1.number("seqno")?;
    Ok((group.0.to_owned(), number, group.1.clone()))
}

fn physical(device: &Device) -> Result<Option<Physical>> {
    let sectors = device.beginning(0, 4 * SECTOR as usize)?;
    let label = sectors
        .chunks_exact(SECTOR as usize)
        .find(|sector| sector.starts_with(b"LABELONE") && &sector[24..32] == b"LVM2 001");
    let Some(label) = label else {
        return Ok(None);
    };
    let header = label.get(little(label, 20, 4)? as usize..);
    let header = header.context("its label is broken")?;
    let id = String::from_utf8_lossy(slice(header, 0, 32)?).into_owned();
    // Areas of data, a zero, areas of metadata, a zero.
    let mut areas = Vec::new();
    let mut at = 40;
    for _ in 0..2 {
        areas.clear();
        loop {
            let (start, size) = (little(header, at, 8)?, little(header, at + 8, 8)?);
            at += 16;
            if start == 0 {
                break;
            }
            areas.push((start, size));
        }
    }
    let mut text = None;
    for (start, size) in areas {
        text = area(device, start, size)?;
        if text.is_some() {
            break;
        }
    }
    let device = device.clone();
    Ok(Some(Physical { id, device, text }))
}

/// The text in an area of metadata, if there is one.
fn area(device: &Device, start: u64, size: u64) -> Result<Option<String>> {
    let head = device.bytes(start, HEAD_SIZE as usize)?;
    ensure!(&head[4..20] == HEAD, "its metadata is broken");
    let (at, length) = (little(&head, 40, 8)?, little(&head, 48, 8)?);
    if at == 0 || length == 0 {
        return Ok(None);
    }
    ensure!(
        length <= MOST_TEXT && (HEAD_SIZE..size).contains(&at),
        "its metadata is broken"
    );
    let first = length.min(size - at);
    let mut text = device.bytes(start + at, first as usize)?;
    text.extend(device.bytes(start + HEAD_SIZE, (length - first) as usize)?);
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

fn of_group(name: &str, group: &Section, members: &[Physical]) -> Result<Vec<Logical>> {
    let extent = sectors(group.number("extent_size")?)?;
    ensure!(extent > 0, "its extents have no size");
    let mut data = HashMap::new();
    for (member, section) in group.section("physical_volumes")?.sections() {
        let id = section.text("id")?.replace('-', "");
        let start = sectors(section.number("pe_start")?)?;
        let here = members.iter().find(|member| member.id == id);
        let device = here.map(|here| here.device.part(start, u64::MAX));
        data.insert(member.to_owned(), device);
    }
    // A group without volumes has no such section.
    let Ok(volumes) = group.section("logical_volumes") else {
        return Ok(Vec::new());
    };
    let visible = |volume: &Section| match volume.get("status") {
        Some(Value::List(all)) => all.contains(&Value::Text("VISIBLE".to_owned())),
        _ => false,
    };
    let volumes = volumes.sections().filter(|(_, volume)| visible(volume));
    let volumes = volumes.map(|(volume, section)| Logical {
        group: name.to_owned(),
        name: volume.to_owned(),
        device: map(section, extent, &data).map_err(|why| format!("{why:#}")),
    });
    Ok(volumes.collect())
}

fn sectors(count: u64) -> Result<u64> {
    count.checked_mul(SECTOR).context("a number is too large")
}

/// A piece of a volume: where it begins and ends, how wide its stripes are, and what they lie on.
struct Segment {
    start: u64,
    end: u64,
    width: u64,
    stripes: Vec<Device>,
}

fn map(volume: &Section, extent: u64, data: &HashMap<String, Option<Device>>) -> Result<Device> {
    let count = volume.number("segment_count")? as usize;
    ensure!(count <= MOST_SEGMENTS, "it has too many segments");
    let mut segments = Vec::with_capacity(count);
    let bytes = |extents: u64| extents.checked_mul(extent).context("a number is too large");
    for number in 1..=count {
        let section = volume.section(&format!("segment{number}"))?;
        let kind = section.text("type")?;
        if kind != "striped" {
            bail!("{kind} volumes of LVM are not read");
        }
        let start = bytes(section.number("start_extent")?)?;
        let length = bytes(section.number("extent_count")?)?;
        let Some(Value::List(places)) = section.get("stripes") else {
            bail!("a segment has no stripes");
        };
        let each = length / (places.len() as u64 / 2).max(1);
        let mut stripes = Vec::new();
        for place in places.chunks_exact(2) {
            let [Value::Text(member), Value::Number(first)] = place else {
                bail!("a stripe is broken");
            };
            let device = data.get(member).context("a stripe is broken")?;
            let device = device.as_ref();
            let device = device.context("a physical volume of its group is not here")?;
            stripes.push(device.part(bytes(*first)?, each));
        }
        ensure!(!stripes.is_empty(), "a segment has no stripes");
        let width = match stripes.len() {
            1 => length.max(1),
            _ => sectors(section.number("stripe_size")?)?,
        };
        let end = start.checked_add(length);
        segments.push(Segment {
            start,
            end: end.context("a number is too large")?,
            width,
            stripes,
        });
    }
    ensure!(
        segments.iter().all(|segment| segment.width > 0),
        "its stripes have no width"
    );
    let size = segments.iter().map(|s| s.end).max().unwrap_or(0);
    Ok(Device::new(size, move |at, into| read(&segments, at, into)))
}

fn read(segments: &[Segment], mut at: u64, mut into: &mut [u8]) -> Result<()> {
    while !into.is_empty() {
        let segment = segments.iter().find(|s| (s.start..s.end).contains(&at));
        let segment = segment.context("a logical volume has a gap")?;
        let within = at - segment.start;
        let (stripe, rest) = (within / segment.width, within % segment.width);
        let count = segment.stripes.len() as u64;
        let device = &segment.stripes[(stripe % count) as usize];
        let room = (segment.width - rest).min(segment.end - at);
        let length = room.min(into.len() as u64);
        let (now, later) = into.split_at_mut(length as usize);
        device.read(stripe / count * segment.width + rest, now)?;
        at += length;
        into = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: usize = 4 * SECTOR as usize;

    /// A physical volume with a text; its extents begin at 8 KiB, and each byte says in which it is.
    fn member(id: &str, text: &str) -> Device {
        let mut bytes = vec![0; 8192 + 16 * EXTENT];
        for (extent, number) in bytes[8192..].chunks_mut(EXTENT).zip(1..) {
            extent.fill(number);
        }
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        let mut number = |at: usize, number: u64| put(at, &number.to_le_bytes());
        // Areas of data, the end, areas of metadata, the end; then the head of those.
        for (at, value) in [(584, 8192), (616, 4096), (624, 4096), (4136, 512)] {
            number(at, value);
        }
        number(4144, text.len() as u64);
        number(532, 32);
        put(512, b"LABELONE");
        put(536, b"LVM2 001");
        put(544, id.as_bytes());
        put(4100, HEAD);
        put(4608, text.as_bytes());
        Device::of_bytes(bytes)
    }

    #[test]
    fn volumes_are_put_together_or_named() {
        let (one, other) = ("1".repeat(32), "2".repeat(32));
        let volume = |name: &str, kind: &str, stripes: &str| {
            format!(
                "{name} {{ status = [\"READ\", \"VISIBLE\"] segment_count = 1\n\
                 segment1 {{ start_extent = 0 extent_count = 4 type = \"{kind}\" stripe_size = 2\n\
                 stripes = [{stripes}] }} }}\n"
            )
        };
        let text = format!(
            "g-1 {{ seqno = 2 extent_size = 4\nphysical_volumes {{\n\
             pv0 {{ id = \"{one}\" pe_start = 16 }} pv1 {{ id = \"{other}\" pe_start = 16 }}\n\
             pv2 {{ id = \"gone\" pe_start = 16 }} }}\nlogical_volumes {{\n{}{}{}{}}} }}",
            volume("linear", "striped", "\"pv0\", 3"),
            volume("two", "striped", "\"pv0\", 0, \"pv1\", 5"),
            volume("thin", "thin", ""),
            volume("half", "striped", "\"pv0\", 0, \"pv2\", 0"),
        );
        let old = text
            .replace("seqno = 2", "seqno = 1")
            .replace("linear", "before");
        let (volumes, troubles) = volumes(&[member(&one, &text), member(&other, &old)]);
        assert_eq!(troubles, [] as [String; 0]);
        let names: Vec<String> = volumes.iter().map(Logical::mapper_name).collect();
        assert_eq!(names, ["g--1-linear", "g--1-two", "g--1-thin", "g--1-half"]);
        let linear = volumes[0].device.as_ref().unwrap();
        assert_eq!(linear.size(), 4 * EXTENT as u64);
        assert_eq!(linear.bytes(EXTENT as u64 - 1, 2).unwrap(), [4, 5]);
        // Two sectors on one, two on the other.
        let two = volumes[1].device.as_ref().unwrap();
        let around = |at: u64| two.bytes(at - 1, 2).unwrap();
        assert_eq!(around(1024), [1, 6]);
        assert_eq!(around(2048), [6, 1]);
        assert_eq!(around(4096), [6, 2]);
        let why = |number: usize| volumes[number].device.as_ref().unwrap_err().as_str();
        assert_eq!(why(2), "thin volumes of LVM are not read");
        assert_eq!(why(3), "a physical volume of its group is not here");
    }
}

//! Oz's configuration, `oz.cfg`, said in ozr's words.
//!
//! Its keys and what they mean: oz-0.19's `oz/ozutil.py` (`parse_config`), `oz/Guest.py`
//! (`Guest.__init__`) and `oz.cfg.5`.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Source};
use crate::ini::{self, Entry, Ini};
use crate::input;

/// An `oz.cfg`, translated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation {
    /// The keys of an `ozr.toml` with their values as TOML has them, in the order of the file.
    pub keys: Vec<(&'static str, String)>,
    /// What is set and is not used here: the key, and why.
    pub unused: Vec<(String, &'static str)>,
}

impl Translation {
    /// An `ozr.toml` that says the same, with remarks on what it cannot say.
    pub fn toml(&self) -> String {
        let keys = self.keys.iter();
        let keys = keys.map(|(key, value)| format!("{key} = {value}\n"));
        let unused = self.unused.iter();
        let unused = unused.map(|(key, why)| format!("# {key} is not used: {why}\n"));
        keys.chain(unused).collect()
    }
}

/// What becomes of a key.
enum Meaning {
    /// It is this key of ours, and this makes the value of it.
    Key(
        &'static str,
        fn(&str, Option<&str>) -> Result<String, String>,
    ),
    /// A switch, which says what ozr does anyway when it is off or on; and why it is not used otherwise.
    Switch {
        usual: Option<bool>,
        why: &'static str,
    },
    /// Nothing.
    Unused(&'static str),
}

use Meaning::{Key, Switch, Unused};

const SECTIONS: [&str; 5] = ["paths", "libvirt", "cache", "icicle", "timeouts"];

/// Every key of every section.
const KEYS: [(&str, &str, Meaning); 22] = [
    ("paths", "output_dir", Key("output-dir", path)),
    ("paths", "data_dir", Key("cache-dir", cache_dir)),
    (
        "paths",
        "screenshot_dir",
        Unused("the screen of a failed build is in NAME.failed beside the image"),
    ),
    (
        "paths",
        "sshprivkey",
        Unused("nothing is done over SSH, so there is no key"),
    ),
    ("libvirt", "uri", Key("connect", text)),
    ("libvirt", "image_type", Key("format", image_type)),
    ("libvirt", "type", Key("accel", domain_type)),
    ("libvirt", "bridge_name", Key("network", bridge)),
    ("libvirt", "cpus", Key("vcpus", number)),
    ("libvirt", "memory", Key("memory", number)),
    ("libvirt", "rng_model", Unused(RNG)),
    ("libvirt", "rng_device", Unused(RNG)),
    ("libvirt", "rng_rate_bytes", Unused(RNG)),
    ("libvirt", "rng_rate_period", Unused(RNG)),
    (
        "cache",
        "original_media",
        Switch {
            usual: Some(true),
            why: "what is cached is compared with the mirror at each use; `ozr cache prune` and `ozr cache clear` make room",
        },
    ),
    (
        "cache",
        "modified_media",
        Switch {
            usual: Some(false),
            why: "no medium is ever modified",
        },
    ),
    (
        "cache",
        "jeos",
        Switch {
            usual: Some(false),
            why: "each install is one of its own; `ozr install --from BASE` keeps one that others are made from",
        },
    ),
    (
        "icicle",
        "safe_generation",
        Switch {
            usual: None,
            why: "making an ICICLE never changes the image",
        },
    ),
    ("timeouts", "install", Key("timeout", number)),
    (
        "timeouts",
        "inactivity",
        Unused(
            "how long an installer may be silent is known for each thing it does; --stall-limit sets it",
        ),
    ),
    ("timeouts", "boot", Unused(CUSTOMIZED)),
    ("timeouts", "shutdown", Unused(CUSTOMIZED)),
];

const RNG: &str = "every guest has a random number generator, fed by the host's";
const CUSTOMIZED: &str =
    "what the template adds is added by the install itself, without a second boot";

/// Where an `oz.cfg` has the first of its sections; none in a text that is none.
pub fn first_section(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    text.split_inclusive('\n').find_map(|line| {
        let start = at;
        at += line.len();
        let name = line.trim().strip_prefix('[')?.strip_suffix(']')?;
        SECTIONS.contains(&name).then_some(start..at)
    })
}

/// Says an `oz.cfg` in ozr's words; a path that begins with `~` is below `home`.
///
/// # Errors
/// What is wrong with it, or cannot be done, with its place.
pub fn translate(text: &str, name: &str, home: Option<&str>) -> Result<Translation, Diagnostic> {
    let source = Source { name, text };
    let settings = ini::read(source)?;
    let mut translation = Translation::default();
    for (place, entry) in settings.entries.iter().enumerate() {
        // The last one stands, and an empty one says nothing.
        if !is_last(&settings, place) || entry.value.is_empty() {
            continue;
        }
        let key = entry.key.to_ascii_lowercase();
        let named = format!("[{}] {key}", entry.section);
        let refuse = |message: String| Diagnostic::error(source, entry.span.clone(), message);
        let known = KEYS
            .iter()
            .find(|(section, known, _)| *section == entry.section && *known == key);
        let Some((_, _, meaning)) = known else {
            translation.unused.push((unknown(entry, &named), UNKNOWN));
            continue;
        };
        match meaning {
            Key(ours, value) => {
                let value = value(entry.value, home)
                    .map_err(|why| refuse(format!("{named} = {}: {why}", entry.value)))?;
                translation.keys.push((ours, value));
            }
            Switch { usual, why } => {
                let value = switch(entry.value)
                    .map_err(|why| refuse(format!("{named} = {}: {why}", entry.value)))?;
                if usual.is_some_and(|usual| usual != value) {
                    translation.unused.push((named, why));
                }
            }
            Unused(why) => translation.unused.push((named, why)),
        }
    }
    Ok(translation)
}

/// Oz passes over what it does not know.
const UNKNOWN: &str = "neither Oz nor ozr knows it";

/// A key that nobody knows, with the one that may be meant.
fn unknown(entry: &Entry<'_>, named: &str) -> String {
    let of_section = KEYS
        .iter()
        .filter(|(section, ..)| *section == entry.section);
    let known: Vec<&str> = of_section.map(|(_, key, _)| *key).collect();
    match input::nearest(entry.key, &known) {
        Some(near) => format!("{named} (`{near}` is near)"),
        None => named.to_owned(),
    }
}

fn is_last(settings: &Ini<'_>, place: usize) -> bool {
    let (entry, later) = (&settings.entries[place], &settings.entries[place + 1..]);
    let same = |other: &Entry<'_>| {
        other.section == entry.section && other.key.eq_ignore_ascii_case(entry.key)
    };
    !later.iter().any(same)
}

fn text(value: &str, _: Option<&str>) -> Result<String, String> {
    if value.contains("%(") {
        return Err("write the value itself: `%(...)s` is not filled in".to_owned());
    }
    // Python's reader halves them.
    Ok(toml::Value::String(value.replace("%%", "%")).to_string())
}

fn number(value: &str, _: Option<&str>) -> Result<String, String> {
    let number = value.parse::<u32>().ok().filter(|number| *number > 0);
    number
        .map(|number| number.to_string())
        .ok_or_else(|| "write a whole number above zero".to_owned())
}

fn path(value: &str, home: Option<&str>) -> Result<String, String> {
    let value = match value.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = home.ok_or("HOME is not set: write the whole path")?;
            format!("{home}{rest}")
        }
        Some(_) => return Err("write the whole path".to_owned()),
        None => value.to_owned(),
    };
    text(&value, None)
}

/// ozr's cache holds nothing that Oz has put there.
fn cache_dir(value: &str, home: Option<&str>) -> Result<String, String> {
    path(&format!("{}/ozr", value.trim_end_matches('/')), home)
}

fn image_type(value: &str, _: Option<&str>) -> Result<String, String> {
    match value {
        "raw" | "qcow2" => text(value, None),
        _ => Err("write raw or qcow2; `ozr convert` makes the other formats of it".to_owned()),
    }
}

fn domain_type(value: &str, _: Option<&str>) -> Result<String, String> {
    match value {
        "kvm" => text("kvm", None),
        "qemu" => text("tcg", None),
        _ => Err("write kvm or qemu: ozr runs its guests by QEMU".to_owned()),
    }
}

fn bridge(value: &str, _: Option<&str>) -> Result<String, String> {
    text(&format!("bridge:{value}"), None)
}

fn switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Format, Mebibytes, config};

    fn of(text: &str) -> Result<Translation, String> {
        let translated = translate(text, "oz.cfg", Some("/home/me"));
        translated
            .map_err(|finding| format!("{}:{}: {}", finding.line, finding.column, finding.message))
    }

    /// Every key is one of ozr's, or is passed over with a reason; what comes out is an `ozr.toml`.
    #[test]
    fn every_key_means_something() {
        let values = [
            ("[libvirt] image_type", "qcow2"),
            ("[libvirt] type", "qemu"),
            ("[libvirt] memory", "1024"),
        ];
        for (section, key, meaning) in &KEYS {
            let named = format!("[{section}] {key}");
            let value = values.iter().find(|(of, _)| *of == named);
            let value = value.map_or("7", |(_, value)| *value);
            let value = if matches!(meaning, Switch { .. }) {
                "Yes"
            } else {
                value
            };
            let translated = of(&format!("[{section}]\n{key} = {value}\n")).unwrap();
            match meaning {
                Key(ours, _) => {
                    assert_eq!(translated.keys[0].0, *ours);
                    let read = config::parse(&translated.toml(), "t").unwrap();
                    assert_ne!(read, InstallOptions::default(), "{named}");
                }
                Unused(why) => assert_eq!(translated.unused, [(named, *why)]),
                Switch { .. } => assert_eq!(translated.keys, []),
            }
        }
    }

    use crate::options::InstallOptions;

    #[test]
    fn what_builders_write() {
        let text = "\u{feff}[libvirt]\ncpus = 2\nmemory: 3072\nimage_type = qcow2\n\n; a remark\n[cache]\noriginal_media = no\n";
        let translated = of(text).unwrap();
        assert_eq!(
            translated.toml(),
            "vcpus = 2\nmemory = 3072\nformat = \"qcow2\"\n# [cache] original_media is not used: what is \
             cached is compared with the mirror at each use; `ozr cache prune` and `ozr cache clear` make room\n"
        );
        let options = config::parse(text.trim_start_matches('\u{feff}'), "oz.cfg").unwrap();
        assert_eq!(
            (options.vcpus, options.memory),
            (Some(2), Some(Mebibytes(3072)))
        );
        assert_eq!(options.format, [Format::Qcow2]);

        let text = "[paths]\noutput_dir = ~/images\ndata_dir = /var/lib/oz/\nOutput_Dir = ~/later\n[libvirt]\n\
                    uri = qemu:///system\nbridge_name = virbr0\ntype = kvm\n[x]\ny = z\n[timeouts]\ninstal = 3\n";
        let translated = of(text).unwrap();
        assert_eq!(
            translated.keys,
            [
                ("cache-dir", "\"/var/lib/oz/ozr\"".to_owned()),
                ("output-dir", "\"/home/me/later\"".to_owned()),
                ("connect", "\"qemu:///system\"".to_owned()),
                ("network", "\"bridge:virbr0\"".to_owned()),
                ("accel", "\"kvm\"".to_owned()),
            ]
        );
        let unused: Vec<&str> = translated
            .unused
            .iter()
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(unused, ["[x] y", "[timeouts] instal (`install` is near)"]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_its_place() {
        for (text, place, says) in [
            ("[libvirt]\nimage_type = vdi\n", "2:14", "`ozr convert`"),
            (
                "[libvirt]\ncpus = two\n",
                "2:8",
                "[libvirt] cpus = two: write a whole number",
            ),
            ("[libvirt]\nmemory = 0\n", "2:10", "above zero"),
            ("[libvirt]\ntype = xen\n", "2:8", "kvm or qemu"),
            ("[cache]\njeos = maybe\n", "2:8", "yes or no"),
            ("[paths]\noutput_dir = ~me/x\n", "2:14", "whole path"),
            (
                "[paths]\noutput_dir = %(home)s/x\n",
                "2:14",
                "not filled in",
            ),
            (
                "[paths]\noutput_dir\n",
                "2:1",
                "neither a section nor a setting",
            ),
        ] {
            let error = of(text).unwrap_err();
            assert!(
                error.starts_with(place) && error.contains(says),
                "{text}: {error}"
            );
        }
        assert!(translate("[paths]\ndata_dir = ~/x\n", "c", None).is_err());
    }

    #[test]
    fn ours_and_theirs_are_told_apart() {
        assert!(first_section("# x\n [libvirt] \ncpus = 2").is_some());
        for ours in ["memory = 1\n[check]\nstrict = true", "", "[boot-test]\n"] {
            assert_eq!(first_section(ours), None, "{ours}");
        }
    }
}

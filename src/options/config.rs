//! The configuration file: TOML, its keys the long names of the options of `ozr install`, and in
//! the table `[check]` those of `ozr check`.
//!
//! `/etc/ozr/ozr.toml` is read first, then `$XDG_CONFIG_HOME/ozr/ozr.toml`
//! (`~/.config/ozr/ozr.toml`); the command line stands above both. One that is named may be Oz's.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{CHECK_KEYS, InstallOptions, Layer, boot_test, oz_cfg};
use crate::diagnostic::{Diagnostic, Source};
use crate::error::{Classify, Kind};
use crate::input;

/// Where a distribution's or site's settings are.
pub const SYSTEM_FILE: &str = "/etc/ozr/ozr.toml";

/// Largest configuration that is read, in bytes; one with every option has some kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Where the user's settings are, if the environment names a home.
pub fn user_file(xdg_config_home: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    let base = match xdg_config_home.filter(|dir| Path::new(dir).is_absolute()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(home.filter(|home| !home.is_empty())?).join(".config"),
    };
    Some(base.join("ozr/ozr.toml"))
}

/// Reads the settings that stand below the command line's.
///
/// # Errors
/// Input: a file that was named does not exist; a file cannot be read; an unknown key or a value
/// of the wrong kind, with its line.
pub fn load(named: Option<&Path>) -> anyhow::Result<InstallOptions> {
    if let Some(path) = named {
        return read(path).kind(Kind::Input);
    }
    let user = user_file(
        std::env::var_os("XDG_CONFIG_HOME").as_deref(),
        std::env::var_os("HOME").as_deref(),
    );
    let mut options = InstallOptions::default();
    for path in user.into_iter().chain([PathBuf::from(SYSTEM_FILE)]) {
        if path.exists() {
            options = options.over(read(&path).kind(Kind::Input)?);
        }
    }
    Ok(options)
}

fn read(path: &Path) -> anyhow::Result<InstallOptions> {
    let reading = || format!("reading the configuration {}", path.display());
    let bytes = input::read_bounded(path, MAX_BYTES).with_context(reading)?;
    let text = String::from_utf8(bytes)
        .context("it is not UTF-8")
        .with_context(reading)?;
    Ok(parse(&text, &path.display().to_string())?)
}

/// Parses a configuration file: ozr's own, or Oz's.
///
/// # Errors
/// The first unknown key, wrong value or syntax error, with its place.
pub fn parse(text: &str, name: &str) -> Result<InstallOptions, Diagnostic> {
    if let Some(at) = oz_cfg::first_section(text) {
        return of_oz(text, name, at);
    }
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim_end();
        Diagnostic::error(
            Source { name, text },
            error.span().unwrap_or(0..0),
            unknown_key(message).unwrap_or_else(|| in_words(message)),
        )
        .help(
            "keys are the long options of `ozr install` without the leading `--`, \
             those in [check] of `ozr check`, those in [boot-test] of `ozr boot-test`",
        )
    })
}

/// The options that an `oz.cfg` names, whose first section is at a place.
fn of_oz(text: &str, name: &str, at: Range<usize>) -> Result<InstallOptions, Diagnostic> {
    let home = std::env::var("HOME").ok();
    let translation = oz_cfg::translate(text, name, home.as_deref())?;
    let options = toml::from_str(&translation.toml()).map_err(|error| {
        let message = in_words(error.message().trim_end());
        Diagnostic::error(Source { name, text }, at, message)
    })?;
    let unused: Vec<&str> = translation.unused.iter().map(|(key, _)| &**key).collect();
    let note = (!unused.is_empty()).then(|| {
        let unused = unused.join(", ");
        format!("{name}: not used are {unused}; `ozr config from-oz {name}` says why")
    });
    Ok(InstallOptions {
        notes: note.into_iter().collect(),
        ..options
    })
}

/// Says in few words what serde says by naming all keys there are: "unknown field `x`, expected
/// one of `a`, `b`".
fn unknown_key(message: &str) -> Option<String> {
    let mut words = message.strip_prefix("unknown field `")?.split('`');
    let key = words.next()?;
    let known: Vec<&str> = words.skip(1).step_by(2).collect();
    let tables: [(&str, &[&str]); 2] = [("check", &CHECK_KEYS), ("boot-test", &boot_test::KEYS)];
    if let Some((table, keys)) = tables.iter().find(|(_, keys)| known == *keys) {
        return Some(format!(
            "there is no option `{key}` in [{table}]; the keys there are {}",
            keys.join(", ")
        ));
    }
    Some(match input::nearest(key, &known) {
        Some(near) => format!("there is no option `{key}`; did you mean `{near}`?"),
        None => format!("there is no option `{key}`; `ozr install --help` lists them"),
    })
}

/// Types as people call them.
fn in_words(message: &str) -> String {
    ["expected u64", "expected u32"]
        .iter()
        .fold(message.to_string(), |text, name| {
            text.replace(name, "expected a whole number")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Version;
    use crate::machine::{AccelChoice, Network};
    use crate::options::{ReportFormat, Seconds};
    use std::time::Duration;

    #[test]
    fn every_kind_of_value_is_read() {
        let options = parse(
            "memory = 2048\naccel = \"tcg\"\nnetwork = \"bridge:br0\"\ntimeout = \"90m\"\nforce = true\n",
            "ozr.toml",
        )
        .unwrap();
        assert_eq!(options.memory, Some(2048));
        assert_eq!(options.accel, Some(AccelChoice::Tcg));
        assert_eq!(options.first_network(), Network::Bridge("br0".into()));
        assert_eq!(options.timeout, Some(Seconds(Duration::from_secs(5400))));
        assert!(options.force);
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_named_with_their_place() {
        let finding = parse("memory = 2048\nmemmory = 1\n", "ozr.toml").unwrap_err();
        assert_eq!((finding.line, finding.column), (2, 1));
        assert_eq!(
            finding.message,
            "there is no option `memmory`; did you mean `memory`?"
        );
        let finding = parse("zzz = 1\n", "ozr.toml").unwrap_err();
        assert!(
            finding.message.contains("`ozr install --help`"),
            "{finding}"
        );
        let finding = parse("timeout = \"soon\"\n", "ozr.toml").unwrap_err();
        assert_eq!(finding.line, 1);
        assert!(finding.message.contains("90m"), "{finding}");
        assert!(parse("accel = [", "ozr.toml").is_err());
    }

    #[test]
    fn checks_have_a_table_of_their_own() {
        let lower = parse(
            "[check]\nrelease = \"Rocky-9.4\"\nallow = [\"KS101\"]\nstrict = true\n",
            "l",
        )
        .unwrap();
        let release = lower.check.release.clone().unwrap();
        assert_eq!(release.version, Version::Rhel(9));
        let upper = parse("check = { release = \"F43\", allow = [\"KS102\"] }", "u").unwrap();
        let both = upper.over(lower).check;
        assert_eq!(both.release.unwrap().version, Version::Fedora(43));
        assert_eq!(both.allow, ["KS102", "KS101"]);
        assert!(both.strict);

        let finding = parse("[check]\nstrikt = true\n", "ozr.toml").unwrap_err();
        assert_eq!((finding.line, finding.column), (2, 1));
        assert!(
            finding
                .message
                .contains("the keys there are release, allow,"),
            "{finding}"
        );
        let finding = parse("[check]\nrelease = \"Rocki-9\"\n", "ozr.toml").unwrap_err();
        assert_eq!((finding.line, finding.column), (2, 11));
        assert!(
            finding.message.contains("did you mean `Rocky-9`"),
            "{finding}"
        );
    }

    #[test]
    fn progress_is_one_way_or_several() {
        use crate::options::{EventsTo, Progress};

        let of = |text: &str| parse(text, "ozr.toml").map(|options| options.progress);
        assert_eq!(of("progress = \"plain\"").unwrap(), [Progress::Plain]);
        let file = Progress::Json(EventsTo::File("e.json".into()));
        let several = of("progress = [\"live\", \"json=e.json\"]").unwrap();
        assert_eq!(several, [Progress::Live, file]);
        assert_eq!(of("memory = 1").unwrap(), []);
        let finding = of("progress = \"loud\"").unwrap_err();
        assert!(finding.message.contains("json=FILE"), "{finding}");
        assert!(of("progress = 3").is_err());
    }

    #[test]
    fn reports_are_lists_and_the_upper_one_stands() {
        let lower = parse("report = [\"junit=a.xml\", \"markdown=b=c.md\"]", "l").unwrap();
        assert_eq!(lower.report[0].format, ReportFormat::Junit);
        assert_eq!(lower.report[1].file, Path::new("b=c.md"));
        let upper = parse("report = [\"junit=u.xml\"]", "u").unwrap();
        let both = upper.over(lower.clone()).report;
        assert_eq!(
            (both.len(), both[0].file.as_path()),
            (1, Path::new("u.xml"))
        );
        assert_eq!(parse("", "u").unwrap().over(lower).report.len(), 2);
        for wrong in ["sarif=x", "junit", "markdown="] {
            let finding = parse(&format!("report = [\"{wrong}\"]"), "l").unwrap_err();
            assert_eq!(finding.line, 1, "{finding}");
            assert!(finding.message.contains("=FILE"), "{finding}");
        }
    }

    #[test]
    fn the_upper_layer_stands() {
        let upper = parse("memory = 1\ncustomize = true\noutput-dir = \"a\"", "u").unwrap();
        let lower = parse(
            "memory = 2\nvcpus = 3\nno-customize = true\noutput = \"b\"",
            "l",
        )
        .unwrap();
        let both = upper.over(lower);
        assert_eq!((both.memory, both.vcpus), (Some(1), Some(3)));
        assert!(!both.no_customize);
        assert_eq!((both.output_dir, both.output), (Some("a".into()), None));
    }

    #[test]
    fn the_users_file_follows_the_environment() {
        let of = |xdg: Option<&str>, home: Option<&str>| {
            user_file(xdg.map(OsStr::new), home.map(OsStr::new))
        };
        assert_eq!(of(None, Some("/h")), Some("/h/.config/ozr/ozr.toml".into()));
        assert_eq!(of(Some("/x"), Some("/h")), Some("/x/ozr/ozr.toml".into()));
        assert_eq!(
            of(Some("rel"), Some("/h")),
            Some("/h/.config/ozr/ozr.toml".into())
        );
        assert_eq!(of(None, None), None);
    }
}

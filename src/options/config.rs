//! The configuration file: TOML, its keys the long names of the options of `ozr install`, and in
//! the table `[check]` those of `ozr check`.
//!
//! `/etc/ozr/ozr.toml` is read first, then `$XDG_CONFIG_HOME/ozr/ozr.toml` (`~/.config/ozr/ozr.toml`), then
//! `ozr.toml` in the working directory. Above them stand the environment and the command line. One that is
//! named may be Oz's.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

use super::family::Variant;
use super::variables::Setting;
use super::{CHECK_KEYS, InstallOptions, Layer, boot_test, environment, family, oz_cfg, variables};
use crate::diagnostic::{Diagnostic, Source};
use crate::error::{Classify, Kind, fail};
use crate::input;

/// Where a distribution's or site's settings are.
pub const SYSTEM_FILE: &str = "/etc/ozr/ozr.toml";

/// A project's settings, in the working directory.
pub const PROJECT_FILE: &str = "ozr.toml";

/// Names a file to be read in place of all others, as `--config` does.
pub const NAMED_FILE: &str = "OZR_CONFIG";

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
/// Input: a file that was named does not exist; a file cannot be read; a project's file that others could have
/// written; an unknown key or a value of the wrong kind, with its line or the name of its variable.
pub fn load(named: Option<&Path>) -> anyhow::Result<InstallOptions> {
    let files = files(named)?;
    Ok(environment::read(std::env::vars_os())?.over(files))
}

/// What stands below the command line, in its layers.
#[derive(Debug)]
pub struct Layers {
    environment: InstallOptions,
    files: InstallOptions,
}

/// The layers that [`load`] lays over each other.
///
/// # Errors
/// As for [`load`].
pub fn layers(named: Option<&Path>) -> anyhow::Result<Layers> {
    let files = files(named)?;
    let environment = environment::read(std::env::vars_os())?;
    Ok(Layers { environment, files })
}

impl Layers {
    /// All that stands below the command line of a build of a family. Its tables are a part of the file; what names
    /// one image, and stands in the environment, is not meant for several.
    pub fn with(&self, variant: &Variant) -> InstallOptions {
        let environment = InstallOptions {
            name: None,
            output: None,
            ..self.environment.clone()
        };
        let tables = variant.options.clone();
        environment.over(tables).over(self.files.clone())
    }
}

/// The builds of the project's file, or of the one that is named, with what is `set` on the command line.
///
/// # Errors
/// Input: there is no such file, or no build in it; it cannot be read; what is wrong in it, with its place.
pub fn family(named: Option<&Path>, set: &[Setting]) -> anyhow::Result<Vec<Variant>> {
    let by_variable = std::env::var_os(NAMED_FILE).filter(|path| !path.is_empty());
    let by_variable = by_variable.map(PathBuf::from);
    let project = Path::new(PROJECT_FILE);
    let (path, bytes) = match named.or(by_variable.as_deref()) {
        Some(path) => (path, Some(bytes_of(path).kind(Kind::Input)?)),
        None => (project, project_bytes(project)?),
    };
    let name = path.display().to_string();
    let Some(bytes) = bytes else {
        fail!(
            Kind::Input,
            "there is no {name} in this directory: name the file of the builds, or write one (`ozr new` begins it)"
        );
    };
    let text = decoded(bytes, path).kind(Kind::Input)?;
    let variants = family::parse(&text, &name, set)
        .map_err(anyhow::Error::from)
        .kind(Kind::Input)?;
    if variants.is_empty() {
        fail!(
            Kind::Input,
            "{name} names no builds: write a table [build.NAME] for each, with its template"
        );
    }
    Ok(variants)
}

fn files(named: Option<&Path>) -> anyhow::Result<InstallOptions> {
    let by_variable = std::env::var_os(NAMED_FILE).filter(|path| !path.is_empty());
    let by_variable = by_variable.map(PathBuf::from);
    if let Some(path) = named.or(by_variable.as_deref()) {
        return read(path).kind(Kind::Input);
    }
    let user = user_file(
        std::env::var_os("XDG_CONFIG_HOME").as_deref(),
        std::env::var_os("HOME").as_deref(),
    );
    let mut options = project(Path::new(PROJECT_FILE))?.unwrap_or_default();
    for path in user.into_iter().chain([PathBuf::from(SYSTEM_FILE)]) {
        if path.exists() {
            options = options.over(read(&path).kind(Kind::Input)?);
        }
    }
    Ok(options)
}

/// The settings of the project in whose directory ozr was started, if there are any.
fn project(path: &Path) -> anyhow::Result<Option<InstallOptions>> {
    let bytes = project_bytes(path)?;
    let read = bytes.map(|bytes| text(bytes, path).kind(Kind::Input));
    read.transpose()
}

/// The bytes of a project's file, which must be one that is meant.
fn project_bytes(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let opened = rustix::fs::open(
        path,
        // Neither waits for who writes into a FIFO nor follows a link that somebody laid here.
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let reading = || format!("reading the configuration {}", path.display());
    let how = format!(
        "if it is meant, name it with `--config {}`, else start ozr in another directory",
        path.display()
    );
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP) => fail!(Kind::Input, "{} is a link: {how}", path.display()),
        Err(error) => return Err(error).with_context(reading).kind(Kind::Input),
    };
    let about = file.metadata().with_context(reading).kind(Kind::Input)?;
    if !about.is_file() {
        fail!(Kind::Input, "{} is no regular file: {how}", path.display());
    }
    // It names programs, files and passwords; a directory such as /tmp is everybody's.
    if ![0, rustix::process::geteuid().as_raw()].contains(&about.uid()) {
        fail!(
            Kind::Input,
            "{} belongs to another user (UID {}): {how}",
            path.display(),
            about.uid()
        );
    }
    if about.mode() & 0o002 != 0 {
        fail!(
            Kind::Input,
            "{} can be written by everybody: {how}",
            path.display()
        );
    }
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.with_context(reading).kind(Kind::Input)?;
    if bytes.len() as u64 > MAX_BYTES {
        fail!(
            Kind::Input,
            "{} is larger than any configuration",
            path.display()
        );
    }
    Ok(Some(bytes))
}

fn read(path: &Path) -> anyhow::Result<InstallOptions> {
    text(bytes_of(path)?, path)
}

fn bytes_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    input::read_bounded(path, MAX_BYTES)
        .with_context(|| format!("reading the configuration {}", path.display()))
}

fn text(bytes: Vec<u8>, path: &Path) -> anyhow::Result<InstallOptions> {
    Ok(parse(&decoded(bytes, path)?, &path.display().to_string())?)
}

fn decoded(bytes: Vec<u8>, path: &Path) -> anyhow::Result<String> {
    String::from_utf8(bytes)
        .context("it is not UTF-8")
        .with_context(|| format!("reading the configuration {}", path.display()))
}

/// Parses a configuration file: ozr's own, or Oz's.
///
/// # Errors
/// The first unknown key, wrong value or syntax error, with its place.
pub fn parse(text: &str, name: &str) -> Result<InstallOptions, Diagnostic> {
    if let Some(at) = oz_cfg::first_section(text) {
        return of_oz(text, name, at);
    }
    let source = Source { name, text };
    let refusal = |error| refusal(source, &error, &family::TABLES);
    let mut table = DeTable::parse(text).map_err(refusal)?;
    // Those are read where builds are asked for.
    for name in family::TABLES {
        table.get_mut().remove(name);
    }
    InstallOptions::deserialize(Deserializer::from(table)).map_err(refusal)
}

/// What to say of an error of TOML's; `more` may be keys, too.
pub(super) fn refusal(source: Source<'_>, error: &toml::de::Error, more: &[&str]) -> Diagnostic {
    let message = error.message().trim_end();
    Diagnostic::error(
        source,
        error.span().unwrap_or(0..0),
        unknown_key(message, more).unwrap_or_else(|| in_words(message)),
    )
    .help(
        "keys are the long options of `ozr install` without the leading `--`, \
         those in [check] of `ozr check`, those in [boot-test] of `ozr boot-test`",
    )
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
fn unknown_key(message: &str, more: &[&str]) -> Option<String> {
    let mut words = message.strip_prefix("unknown field `")?.split('`');
    let key = words.next()?;
    let known: Vec<&str> = words.skip(1).step_by(2).collect();
    let tables: [(&str, &[&str]); 3] = [
        ("check", &CHECK_KEYS),
        ("boot-test", &boot_test::KEYS),
        ("variables.NAME", &variables::KEYS),
    ];
    if let Some((table, keys)) = tables.iter().find(|(_, keys)| known == *keys) {
        return Some(format!(
            "there is no option `{key}` in [{table}]; the keys there are {}",
            keys.join(", ")
        ));
    }
    let known = [&known, more].concat();
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
    use crate::options::{Mebibytes, ReportFormat, Seconds};
    use std::time::Duration;

    #[test]
    fn every_kind_of_value_is_read() {
        let options = parse(
            "memory = 2048\naccel = \"tcg\"\nnetwork = \"bridge:br0\"\ntimeout = \"90m\"\nforce = true\n",
            "ozr.toml",
        )
        .unwrap();
        assert_eq!(options.memory, Some(Mebibytes(2048)));
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
        assert_eq!(of("memory = 100").unwrap(), []);
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
        let upper = parse("memory = \"1G\"\ncustomize = true\noutput-dir = \"a\"", "u").unwrap();
        let lower = parse(
            "memory = 2048\nvcpus = 3\nno-customize = true\noutput = \"b\"",
            "l",
        )
        .unwrap();
        let both = upper.over(lower);
        assert_eq!((both.memory, both.vcpus), (Some(Mebibytes(1024)), Some(3)));
        assert!(!both.no_customize);
        assert_eq!((both.output_dir, both.output), (Some("a".into()), None));
    }

    #[test]
    fn a_projects_file_is_the_users_or_roots_and_nobody_elses() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ozr.toml");
        assert_eq!(project(&path).unwrap(), None);
        std::fs::write(&path, "memory = \"2G\"\n").unwrap();
        let read = project(&path).unwrap().unwrap();
        assert_eq!(read.memory, Some(Mebibytes(2048)));
        let refused = |why: &str| {
            let error = project(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("--config"), "{error}");
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        refused("can be written by everybody");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
            refused("belongs to another user (UID 4242)");
        }
        std::fs::rename(&path, folder.path().join("other")).unwrap();
        symlink("other", &path).unwrap();
        refused("is a link");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        refused("is no regular file");
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

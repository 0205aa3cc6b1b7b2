//! Variables: what stands as `${NAME}` in a template, a kickstart or the name of an output, and is filled in
//! before they are read. Only declared names are looked for: a shell writes its own variables in the same way.

mod declared;
pub mod fill;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, OnceLock};

pub use declared::{Declarations, KEYS, Kind, Name, Scalar, Setting, Variable};
pub use fill::Writing;

use super::{InstallOptions, Purpose, SecretSource};
use crate::diagnostic::{Diagnostic, Lines, Source};
use crate::error::{Kind as Failing, fail, failed};
use crate::input;
use crate::kickstart::mask;
use crate::panics::lock;
use crate::secrets::Secret;

/// The variables of a command, and what is filled in for them.
#[derive(Debug, Default)]
pub struct Values {
    all: BTreeMap<String, Value>,
    /// Those that were met.
    used: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
enum Value {
    Plain(String),
    /// Read when it is met first: not every command of a project needs all of its secrets.
    Secret(SecretSource, OnceLock<Secret>),
    Missing,
}

impl Values {
    /// The values of the variables that are declared and set. A name that is set where none is declared is
    /// declared by that.
    ///
    /// # Errors
    /// Input: a name that is set is not declared; a value is not one of its variable's.
    pub fn of(options: &InstallOptions) -> anyhow::Result<Values> {
        let declared = &options.variables.0;
        let mut all = BTreeMap::new();
        for (name, variable) in declared {
            let value = match (&variable.secret, &variable.default) {
                (Some(source), _) => Value::Secret(source.clone(), OnceLock::new()),
                (None, Some(default)) => Value::Plain(default.clone()),
                (None, None) => Value::Missing,
            };
            all.insert(name.0.clone(), value);
        }
        for Setting { name, value } in &options.set {
            let variable = declared.get(name);
            let name = &name.0;
            if variable.is_none() && !declared.is_empty() {
                let names: Vec<&str> = declared.keys().map(|name| &*name.0).collect();
                let near = match input::nearest(name, &names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("declared are {}", names.join(", ")),
                };
                fail!(
                    Failing::Input,
                    "--set {name}: [variables] declares no `{name}`; {near}"
                );
            }
            let value = match variable.filter(|variable| variable.secret.is_some()) {
                Some(_) => {
                    let source = value.parse().map_err(|why: String| {
                        failed!(Failing::Input, "--set {name}: it is a secret: {why}")
                    })?;
                    Value::Secret(source, OnceLock::new())
                }
                None => {
                    let kind = variable.map_or(&Kind::Text, |variable| &variable.kind);
                    kind.check(value)
                        .map_err(|why| failed!(Failing::Input, "--set {name}: the value {why}"))?;
                    Value::Plain(value.clone())
                }
            };
            all.insert(name.clone(), value);
        }
        Ok(Values {
            all,
            used: Mutex::default(),
        })
    }

    /// A text of a file, filled.
    ///
    /// # Errors
    /// Input: a variable has no value (the place is named), or its secret cannot be had.
    pub fn fill(&self, source: Source<'_>, writing: Writing) -> anyhow::Result<String> {
        fill::fill(source.text, writing, |place| {
            let Some(value) = self.all.get(place.name) else {
                return Ok(None);
            };
            if place.escaped {
                return Ok(Some(String::new()));
            }
            lock(&self.used).insert(place.name.to_owned());
            match value {
                Value::Plain(value) => Ok(Some(value.clone())),
                Value::Secret(from, read) => {
                    let secret = match read.get() {
                        Some(secret) => secret,
                        None => {
                            let what = format!("variable `{}`", place.name);
                            let secret = from.read(&what, Purpose::Known)?;
                            read.get_or_init(|| secret)
                        }
                    };
                    Ok(Some(secret.reveal().to_owned()))
                }
                Value::Missing => {
                    let name = place.name;
                    let message = format!("the variable `{name}` has no value");
                    let finding = Diagnostic::error(source, place.span.clone(), message);
                    let help =
                        format!("give it one with --set {name}=VALUE, or a default in [variables]");
                    Err(anyhow::Error::new(finding.help(help)))
                }
            }
        })
    }

    /// The value of an option that names an output, filled.
    ///
    /// # Errors
    /// Input: a variable has no value, or a secret's would be in a name that everybody sees.
    pub fn fill_name(&self, option: &str, text: &str) -> anyhow::Result<String> {
        let known = |name| self.all.get(name);
        for place in fill::places(text).filter(|place| !place.escaped) {
            let name = place.name;
            match known(name) {
                Some(Value::Secret(..)) => fail!(
                    Failing::Input,
                    "{option}: the variable `{name}` is a secret, and names are seen by everybody"
                ),
                Some(Value::Missing) => fail!(
                    Failing::Input,
                    "{option}: the variable `{name}` has no value: give it one with --set {name}=VALUE"
                ),
                _ => {}
            }
        }
        let source = Source { name: option, text };
        self.fill(source, Writing::Plain)
    }

    /// Fills the options that name outputs.
    ///
    /// # Errors
    /// As for [`Values::fill_name`]; a path is not UTF-8.
    pub fn fill_outputs(&self, options: &mut InstallOptions) -> anyhow::Result<()> {
        if self.all.is_empty() {
            return Ok(());
        }
        each_output(options, |option, text| self.fill_name(option, text))
    }

    /// Writes the options that name outputs so that filling them gives what they are now.
    ///
    /// # Errors
    /// Never in practice.
    pub fn escape_outputs(&self, options: &mut InstallOptions) -> anyhow::Result<()> {
        let is_known = |name: &str| self.all.contains_key(name);
        each_output(options, |_, text| Ok(fill::escape(text, is_known)))
    }

    /// The variables that are set and were not met: misspelt, or of no use.
    pub fn unused<'a>(&self, set: &'a [Setting]) -> Vec<&'a str> {
        let used = lock(&self.used);
        let set = set.iter().map(|setting| &*setting.name.0);
        set.filter(|name| !used.contains(*name)).collect()
    }

    /// The variables that were met.
    pub fn used(&self) -> BTreeSet<String> {
        lock(&self.used).clone()
    }

    /// The secrets that were filled in.
    pub fn secrets(&self) -> Vec<Secret> {
        let read = self.all.values().filter_map(|value| match value {
            Value::Secret(_, read) => read.get().cloned(),
            _ => None,
        });
        read.collect()
    }

    /// Hides the secrets that were filled into `text` in findings about it.
    pub fn hide(&self, findings: &mut [Diagnostic], name: &str, text: &str) {
        hide(&self.secrets(), findings, name, text);
    }
}

/// Changes each option that names an output, unless it is no text: such a name has no variable.
fn each_output(
    options: &mut InstallOptions,
    mut change: impl FnMut(&str, &str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    if let Some(name) = &mut options.name {
        *name = change("--name", name)?;
    }
    let paths = [
        ("--output", &mut options.output),
        ("--output-dir", &mut options.output_dir),
        ("--xml", &mut options.xml),
        ("--icicle", &mut options.icicle),
    ];
    let paths = paths
        .into_iter()
        .filter_map(|(option, path)| Some((option, path.as_mut()?)));
    let reports = options.report.iter_mut();
    let reports = reports.map(|report| ("--report", &mut report.file));
    for (option, path) in paths.chain(reports) {
        if let Some(text) = path.to_str() {
            *path = change(option, text)?.into();
        }
    }
    Ok(())
}

/// Hides secrets in findings about a text that has them.
pub fn hide(secrets: &[Secret], findings: &mut [Diagnostic], name: &str, text: &str) {
    let mut places: Vec<Range<usize>> = Vec::new();
    for secret in secrets {
        let secret = secret.reveal();
        for form in [secret, &*quick_xml::escape::escape(secret)] {
            let found = text.match_indices(form);
            places.extend(found.map(|(at, _)| at..at + form.len()));
        }
    }
    if places.is_empty() {
        return;
    }
    crate::secrets::merge(&mut places);
    let lines = Lines::of(text);
    let of_it = findings.iter_mut().filter(|finding| finding.file == name);
    for finding in of_it {
        mask::hide(finding, text, &lines, &places);
        for secret in secrets {
            finding.message = finding.message.replace(secret.reveal(), mask::MASK);
        }
    }
}

/// What there is to say of an error that is a finding, and of any other.
pub fn refusal(error: anyhow::Error) -> Result<Diagnostic, anyhow::Error> {
    error.downcast::<Diagnostic>()
}

/// One sentence of a variable that is set in vain.
pub fn unused_warning(name: &str) -> String {
    format!(
        "--set {name}: no `${{{name}}}` stands in the template, the kickstart or the outputs' names"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::config;

    fn values(text: &str, set: &[&str]) -> anyhow::Result<Values> {
        let mut options = config::parse(text, "ozr.toml").unwrap();
        options.set = set.iter().map(|set| set.parse().unwrap()).collect();
        Values::of(&options)
    }

    fn filled(values: &Values, text: &str) -> anyhow::Result<String> {
        values.fill(Source { name: "t", text }, Writing::Plain)
    }

    #[test]
    fn what_is_set_stands_above_the_default() {
        let text =
            "[variables]\nrelease = { one-of = [\"8\", \"9\"], default = \"9\" }\nrole = {}\n";
        let of = |set: &[&str]| values(text, set).and_then(|values| filled(&values, "${release}"));
        assert_eq!(of(&[]).unwrap(), "9");
        assert_eq!(of(&["release=9", "release=8"]).unwrap(), "8");
        for (set, says) in [
            ("release=10", "one of 8, 9"),
            ("releas=8", "did you mean `release`"),
            ("x=8", "declared are release, role"),
        ] {
            let error = of(&[set]).unwrap_err().to_string();
            assert!(error.contains(says), "{set}: {error}");
        }
        let missing = filled(&values(text, &[]).unwrap(), "a\n ${role}").unwrap_err();
        let finding = refusal(missing).unwrap();
        assert_eq!((finding.line, finding.column), (2, 2));
        // Where nothing is declared, what is set is.
        let set = values("", &["a=1", "b=2"]).unwrap();
        assert_eq!(filled(&set, "${a}${c}").unwrap(), "1${c}");
        assert_eq!(set.used().into_iter().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn secrets_are_read_when_they_are_met_and_hidden() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2&\n").unwrap();
        let text = format!(
            "[variables]\ntoken = {{ secret = \"file:{}\" }}\ngone = {{ secret = \"env:OZR_NOT_SET\" }}\n",
            file.path().display()
        );
        let of = values(&text, &[]).unwrap();
        assert!(of.secrets().is_empty());
        let text = filled(&of, "repo --baseurl=http://h/${token}/x\n").unwrap();
        assert!(text.contains("hunter2&"));
        let source = Source {
            name: "t",
            text: &text,
        };
        let message = "the address http://h/hunter2&/x is odd";
        let mut found = [Diagnostic::error(source, 5..10, message)];
        of.hide(&mut found, "t", &text);
        let shown = format!("{} {:?}", found[0], found[0]);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(filled(&of, "${gone}").is_err());
        let named = of
            .fill_name("--name", "x-${token}")
            .unwrap_err()
            .to_string();
        assert!(named.contains("is a secret"), "{named}");
        // A secret is never given on a command line.
        let written = values(
            "[variables]\ntoken = { secret = \"env:X\" }\n",
            &["token=hunter2"],
        );
        let error = written.unwrap_err().to_string();
        assert!(
            error.contains("not the secret") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

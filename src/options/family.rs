//! A family of builds: `[defaults]`, `[matrix]` and `[build.NAME]` of a project's file, and the variants that come
//! of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use super::variables::{Declarations, Kind, Name, Scalar, Setting, Values, Variable, fill};
use super::{InstallOptions, Layer, config};
use crate::diagnostic::{Diagnostic, Source};
use crate::input;
use crate::tdl;

/// The tables of a project's file that are of its family.
pub const TABLES: [&str; 3] = ["defaults", "matrix", "build"];

/// The keys of `[defaults]` and `[build.NAME]` that are no options.
const OWN_KEYS: [&str; 3] = ["template", "matrix", "variables"];

/// The key of a matrix that says which combinations there are not.
const EXCLUDE: &str = "exclude";

/// Most variants: more is a slip in a matrix.
const MOST_VARIANTS: usize = 1000;

/// Most combinations of a matrix, those that are excluded among them: all of them are made to see which stay.
const MOST_COMBINATIONS: usize = 100 * MOST_VARIANTS;

/// One build, with everything that it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name, which is the image's.
    pub name: String,
    /// The table that it comes from.
    pub build: String,
    /// The template.
    pub template: PathBuf,
    /// The values of the matrix and of the build's own variables.
    pub values: BTreeMap<String, String>,
    /// What its tables say; the rest of the configuration is below.
    pub options: InstallOptions,
    /// The variables that were filled into its options.
    pub used: BTreeSet<String>,
}

type Table<'i> = DeTable<'i>;
type Found<'i> = Spanned<DeValue<'i>>;

/// The variants of a project's file, in the order of the file, with what is `set` on the command line.
///
/// # Errors
/// What is wrong in the file, with its place.
pub fn parse(text: &str, name: &str, set: &[Setting]) -> Result<Vec<Variant>, Diagnostic> {
    let source = Source { name, text };
    let root = DeTable::parse(text).map_err(|error| config::refusal(source, &error, &[]))?;
    let mut root = root.into_inner();
    let file = File {
        source,
        set,
        declared: match root.remove("variables") {
            Some(declared) => read(source, declared)?,
            None => Declarations::default(),
        },
        defaults: table(source, "defaults", root.remove("defaults"))?,
        matrix: Matrix::read(source, root.remove("matrix"))?,
    };
    let builds = table(source, "build", root.remove("build"))?;
    let of_builds = builds.values().filter_map(|build| {
        let matrix = build.get_ref().as_table()?.get("matrix")?;
        Some(matrix.get_ref().as_table()?.keys())
    });
    let of_builds = of_builds.flatten().map(|key| &**key.get_ref());
    file.matrix.check_excluded(source, of_builds)?;
    let mut variants: Vec<Variant> = Vec::new();
    for (key, value) in in_order(builds) {
        let (span, key) = (key.span(), key.into_inner().into_owned());
        let of_build = file.variants(&key, span.clone(), value)?;
        if variants.len() + of_build.len() > MOST_VARIANTS {
            return Err(Diagnostic::error(source, span, too_many()));
        }
        for variant in of_build {
            let place =
                |one: &Variant| (one.options.output.clone(), one.options.output_dir.clone());
            let double = variants.iter().find(|other| {
                other.name == variant.name
                    || variant.options.output.is_some() && place(other) == place(&variant)
            });
            if let Some(double) = double {
                let message = format!(
                    "two variants would be written as one: `{}` of [build.{}], and `{}` of this build",
                    double.name, double.build, variant.name
                );
                let help = "let the name, or the key of the build, hold what is different: name = \"web-${release}\"";
                return Err(Diagnostic::error(source, span, message).help(help));
            }
            variants.push(variant);
        }
    }
    Ok(variants)
}

/// What all builds of a file have in common.
struct File<'a> {
    source: Source<'a>,
    set: &'a [Setting],
    declared: Declarations,
    defaults: Table<'a>,
    matrix: Matrix,
}

impl File<'_> {
    /// The variants of a build.
    fn variants(
        &self,
        key: &str,
        span: Range<usize>,
        value: Found<'_>,
    ) -> Result<Vec<Variant>, Diagnostic> {
        let source = self.source;
        let wrong = |message: String| Diagnostic::error(source, span.clone(), message);
        let mut defaults = self.defaults.clone();
        let mut build = table(source, "build", Some(value))?;
        let own = Matrix::read(source, build.remove("matrix"))?;
        own.check_excluded(source, self.matrix.names())?;
        let matrix = self.matrix.clone().with(own);
        let mut declared = self.declared.clone();
        let mut own_values = scalars(source, defaults.remove("variables"))?;
        own_values.extend(scalars(source, build.remove("variables"))?);
        let of_matrix = matrix.axes.iter().map(|(name, values)| {
            let texts = values.iter().map(|value| value.text.clone()).collect();
            let kind = match values.first().map(|value| value.kind.clone()) {
                Some(Kind::Text) | None => Kind::OneOf(texts),
                Some(kind) => kind,
            };
            (name.clone(), kind)
        });
        let of_own = own_values
            .iter()
            .map(|(name, value)| (name.clone(), value.kind.clone()));
        for (name, kind) in of_matrix.chain(of_own) {
            declared.0.entry(name).or_insert(Variable {
                kind,
                default: None,
                secret: None,
            });
        }
        let fixed = |setting: &&Setting| matrix.axes.iter().any(|(name, _)| *name == setting.name);
        if let Some(setting) = self.set.iter().find(fixed) {
            let name = &setting.name.0;
            return Err(wrong(format!(
                "--set {name}: its values are those of the matrix: choose builds with --only"
            )));
        }
        let choices = matrix.choices().ok_or_else(|| {
            wrong(format!(
                "the matrix has more than {MOST_COMBINATIONS} combinations"
            ))
        })?;
        if choices.len() > MOST_VARIANTS {
            return Err(wrong(too_many()));
        }
        choices
            .into_iter()
            .map(|choice| {
                let setting = |(name, value): (&Name, &Scalar)| Setting {
                    name: name.clone(),
                    value: value.text.clone(),
                };
                let chosen = choice.iter().map(|(name, value)| (name, value));
                let mut set: Vec<Setting> = own_values.iter().map(setting).collect();
                set.extend(chosen.map(setting));
                let values = set
                    .iter()
                    .map(|set| (set.name.0.clone(), set.value.clone()))
                    .collect();
                set.extend(self.set.iter().cloned());
                let told = InstallOptions {
                    set,
                    variables: declared.clone(),
                    ..InstallOptions::default()
                };
                let filler = Filler {
                    source,
                    kinds: &declared,
                    values: Values::of(&told).map_err(|error| wrong(format!("{error:#}")))?,
                };
                let mut template = None;
                let mut read = |table: &Table<'_>| -> Result<InstallOptions, Diagnostic> {
                    let mut table = table.clone();
                    filler.table(&mut table)?;
                    if let Some(named) = table.remove("template") {
                        template = Some(self::read::<PathBuf>(source, named)?);
                    }
                    let root = Spanned::new(span.clone(), table);
                    InstallOptions::deserialize(Deserializer::from(root))
                        .map_err(|error| config::refusal(source, &error, &OWN_KEYS))
                };
                let below = read(&defaults)?;
                let mut options = read(&build)?.over(below);
                options = told.over(options);
                let name = match &options.name {
                    Some(name) => name.clone(),
                    None => filler.name_of(key, span.clone(), &choice)?,
                };
                tdl::check_name(&name).map_err(|why| wrong(format!("the name `{name}`: {why}")))?;
                options.name = Some(name.clone());
                // What is filled here is not filled again where all layers are known.
                let escaped = filler.values.escape_outputs(&mut options);
                escaped.map_err(|error| wrong(format!("{error:#}")))?;
                let template = template.ok_or_else(|| {
                    wrong(format!("the build `{key}` has no template"))
                        .help("write template = \"FILE\" into its table, or into [defaults]")
                })?;
                Ok(Variant {
                    name,
                    build: key.to_owned(),
                    template,
                    values,
                    options,
                    used: filler.values.used(),
                })
            })
            .collect()
    }
}

fn too_many() -> String {
    format!("there are more than {MOST_VARIANTS} variants")
}

/// Fills the texts of tables.
struct Filler<'a> {
    source: Source<'a>,
    kinds: &'a Declarations,
    values: Values,
}

impl Filler<'_> {
    fn text(&self, what: &str, span: Range<usize>, text: &str) -> Result<String, Diagnostic> {
        let filled = self.values.fill_name(what, text);
        filled.map_err(|error| Diagnostic::error(self.source, span, format!("{error:#}")))
    }

    fn table(&self, table: &mut Table<'_>) -> Result<(), Diagnostic> {
        for (key, value) in table.iter_mut() {
            let key = key.get_ref().to_string();
            self.value(&key, value)?;
        }
        Ok(())
    }

    fn value(&self, key: &str, value: &mut Found<'_>) -> Result<(), Diagnostic> {
        let span = value.span();
        let filled = match value.get_mut() {
            DeValue::String(text) => {
                let filled = self.text(key, span, text)?;
                let whole = fill::places(text).find(|place| place.span == (0..text.len()));
                let kind = whole
                    .filter(|place| !place.escaped)
                    .and_then(|place| self.kinds.0.get(&Name(place.name.to_owned())));
                match kind.map(|variable| &variable.kind) {
                    // What is nothing but a number or a switch is one.
                    Some(Kind::Integer | Kind::Bool) => match DeValue::parse(&filled) {
                        Ok(typed) => {
                            let mut typed = typed.into_inner();
                            typed.make_owned();
                            into_owned(typed)
                        }
                        Err(_) => DeValue::String(filled.into()),
                    },
                    _ => DeValue::String(filled.into()),
                }
            }
            DeValue::Array(all) => return all.iter_mut().try_for_each(|one| self.value(key, one)),
            DeValue::Table(table) => return self.table(table),
            _ => return Ok(()),
        };
        *value.get_mut() = filled;
        Ok(())
    }

    /// The name of a variant that does not say it: the key of its build; what it does not say of the matrix is
    /// added to it.
    fn name_of(
        &self,
        key: &str,
        span: Range<usize>,
        choice: &[(Name, Scalar)],
    ) -> Result<String, Diagnostic> {
        let mut name = self.text("the name", span, key)?;
        if fill::places(key).next().is_none() {
            for (_, value) in choice {
                name.push('-');
                name.push_str(&value.text);
            }
        }
        Ok(name)
    }
}

/// A number or a switch, which borrows nothing.
fn into_owned<'i>(value: DeValue<'_>) -> DeValue<'i> {
    match value {
        DeValue::Boolean(is) => DeValue::Boolean(is),
        other => DeValue::String(
            other
                .as_integer()
                .map_or_else(String::new, ToString::to_string)
                .into(),
        ),
    }
}

/// Values of variables, of which each variant has one of each.
#[derive(Debug, Clone, Default)]
struct Matrix {
    axes: Vec<(Name, Vec<Scalar>)>,
    exclude: Vec<Spanned<BTreeMap<Name, Scalar>>>,
}

impl Matrix {
    fn read(source: Source<'_>, found: Option<Found<'_>>) -> Result<Matrix, Diagnostic> {
        let mut matrix = Matrix::default();
        for (key, value) in in_order(table(source, "matrix", found)?) {
            let span = value.span();
            if &**key.get_ref() == EXCLUDE {
                matrix.exclude = read(source, value)?;
                continue;
            }
            let name = Name::try_from(key.get_ref().to_string())
                .map_err(|why| Diagnostic::error(source, key.span(), why))?;
            let values: Vec<Scalar> = read(source, value)?;
            let wrong = |message: &str| Err(Diagnostic::error(source, span.clone(), message));
            let texts: BTreeSet<&str> = values.iter().map(|value| &*value.text).collect();
            match values.len() {
                0 => return wrong("a variable of the matrix has at least one value"),
                values if values > texts.len() => {
                    return wrong("a variable of the matrix has each value once");
                }
                _ => matrix.axes.push((name, values)),
            }
        }
        Ok(matrix)
    }

    /// This one, with what a build has of its own.
    fn with(mut self, own: Matrix) -> Matrix {
        for (name, values) in own.axes {
            match self.axes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = values,
                None => self.axes.push((name, values)),
            }
        }
        self.exclude.extend(own.exclude);
        self
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().map(|(name, _)| &*name.0)
    }

    /// Refuses to exclude what there is no variable for, neither here nor among `more`: nothing would be excluded.
    fn check_excluded<'a>(
        &'a self,
        source: Source<'_>,
        more: impl Iterator<Item = &'a str>,
    ) -> Result<(), Diagnostic> {
        let known: Vec<&str> = self.names().chain(more).collect();
        for combination in &self.exclude {
            let mut names = combination.get_ref().keys();
            let Some(name) = names.find(|name| !known.contains(&&*name.0)) else {
                continue;
            };
            let name = &name.0;
            let near = input::nearest(name, &known);
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let message = format!("the matrix has no `{name}` that could be excluded{near}");
            return Err(Diagnostic::error(source, combination.span(), message));
        }
        Ok(())
    }

    /// Every combination that is not excluded: the first variable changes last. None if they are too many.
    fn choices(&self) -> Option<Vec<Vec<(Name, Scalar)>>> {
        let mut counts = self.axes.iter().map(|(_, values)| values.len());
        let count = counts.try_fold(1_usize, |all, count| all.checked_mul(count));
        count.filter(|count| *count <= MOST_COMBINATIONS)?;
        let mut all = vec![Vec::new()];
        for (name, values) in &self.axes {
            let longer = all.iter().flat_map(|choice: &Vec<(Name, Scalar)>| {
                values.iter().map(move |value| {
                    let mut longer = choice.clone();
                    longer.push((name.clone(), value.clone()));
                    longer
                })
            });
            all = longer.collect();
        }
        let is = |choice: &[(Name, Scalar)], name: &Name, value: &Scalar| {
            choice
                .iter()
                .any(|(known, chosen)| known == name && chosen.text == value.text)
        };
        all.retain(|choice| {
            let fits = |combination: &BTreeMap<Name, Scalar>| {
                !combination.is_empty()
                    && combination
                        .iter()
                        .all(|(name, value)| is(choice, name, value))
            };
            let mut excluded = self.exclude.iter().map(Spanned::get_ref);
            !excluded.any(fits)
        });
        Some(all)
    }
}

/// A table that may not be there.
fn table<'i>(
    source: Source<'_>,
    what: &str,
    found: Option<Found<'i>>,
) -> Result<Table<'i>, Diagnostic> {
    let Some(found) = found else {
        return Ok(Table::new());
    };
    let span = found.span();
    match found.into_inner() {
        DeValue::Table(table) => Ok(table),
        _ => {
            let message = format!("`{what}` is a table");
            Err(Diagnostic::error(source, span, message))
        }
    }
}

/// Values of variables.
fn scalars(
    source: Source<'_>,
    found: Option<Found<'_>>,
) -> Result<BTreeMap<Name, Scalar>, Diagnostic> {
    found.map_or_else(|| Ok(BTreeMap::new()), |found| read(source, found))
}

fn read<T: serde::de::DeserializeOwned>(
    source: Source<'_>,
    found: Found<'_>,
) -> Result<T, Diagnostic> {
    let span = found.span();
    T::deserialize(ValueDeserializer::from(found)).map_err(|error| {
        let mut finding = config::refusal(source, &error, &[]);
        if error.span().is_none() {
            finding = Diagnostic::error(source, span, finding.message);
        }
        finding
    })
}

/// What a table has, as it is written.
fn in_order<'i>(table: Table<'i>) -> Vec<(Spanned<toml::de::DeString<'i>>, Found<'i>)> {
    let mut all: Vec<_> = table.into_iter().collect();
    all.sort_by_key(|(key, _)| key.span().start);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Firmware;
    use crate::options::Mebibytes;

    const NIGHTLY: &str = r#"
cache-dir = "cache"

[variables]
zone = "UTC"
token = { secret = "env:TOKEN" }

[matrix]
release = [9, 8]
firmware = ["bios", "uefi"]
exclude = [{ release = 8, firmware = "uefi" }]

[defaults]
template = "t-${release}.tdl"
kickstart = ["base.ks"]
firmware = "${firmware}"
memory = "${mem}"
tpm = "${tpm}"
variables = { mem = 2048, tpm = true }
output-dir = "out/${zone}"

[build.web]
kickstart = ["base.ks", "web.ks"]
variables = { role = "web" }

[build."db-${release}"]
matrix = { firmware = ["uefi"], release = [10, 9] }
"#;

    #[test]
    fn a_matrix_makes_variants_in_the_order_of_the_file() {
        let variants = parse(NIGHTLY, "ozr.toml", &[]).unwrap();
        let names: Vec<&str> = variants.iter().map(|variant| &*variant.name).collect();
        assert_eq!(
            names,
            ["web-9-bios", "web-9-uefi", "web-8-bios", "db-10", "db-9"]
        );
        let web = &variants[1];
        assert_eq!(web.template, PathBuf::from("t-9.tdl"));
        assert_eq!(web.options.firmware, Some(Firmware::Uefi));
        assert_eq!(web.options.memory, Some(Mebibytes(2048)));
        assert!(web.options.tpm);
        assert_eq!(web.options.kickstart.len(), 2);
        assert_eq!(web.options.output_dir, Some("out/UTC".into()));
        assert_eq!(web.values["role"], "web");
        assert_eq!(variants[3].options.kickstart.len(), 1);
        assert!(web.used.contains("zone") && !web.used.contains("role"));
        // All of it reaches the install, where texts are filled.
        let values = Values::of(&web.options).unwrap();
        let text = "${role} ${release} ${zone} ${x}";
        let filled = values.fill(
            Source { name: "t", text },
            super::super::variables::Writing::Plain,
        );
        assert_eq!(filled.unwrap(), "web 9 UTC ${x}");
    }

    #[test]
    fn what_is_set_reaches_every_variant_and_leaves_the_matrix_alone() {
        let set = ["zone=CET".parse().unwrap()];
        let variants = parse(NIGHTLY, "ozr.toml", &set).unwrap();
        assert_eq!(variants[4].options.output_dir, Some("out/CET".into()));
        let set = ["release=9".parse().unwrap()];
        let finding = parse(NIGHTLY, "ozr.toml", &set).unwrap_err();
        assert!(finding.message.contains("--only"), "{finding}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let with = |more: &str| format!("[defaults]\ntemplate = \"t\"\n{more}");
        for (text, line, says) in [
            (with("[build.a]\nmemmory = 1\n"), 4, "did you mean `memory`"),
            (
                with("[build.a]\ntemplat = 1\n"),
                4,
                "did you mean `template`",
            ),
            (with("[build.a]\nmemory = \"${x}\"\n"), 4, "${x}"),
            (with("[build.\"a/b\"]\n"), 3, "the name `a/b`"),
            (
                with("[build.a]\nname = \"x\"\n[build.b]\nname = \"x\"\n"),
                5,
                "written as one",
            ),
            (
                with("[build.a]\nmatrix = { r = [] }\n"),
                4,
                "at least one value",
            ),
            (
                with("[build.a]\nmatrix = { r = [1, 1] }\n"),
                4,
                "each value once",
            ),
            (with("[build.a]\nmatrix = { r = 1 }\n"), 4, "sequence"),
            (
                with("[build.a]\nmatrix = { role = [1, 2], exclude = [{ rol = 1 }] }\n"),
                4,
                "did you mean `role`",
            ),
            (
                with("[matrix]\nexclude = [{ r = 1 }]\n[build.a]\n"),
                4,
                "no `r` that could be excluded",
            ),
            (with("[build]\na = 1\n"), 4, "`build` is a table"),
            (
                with("[build.a]\nname = \"x\"\nmatrix = { r = [1, 2] }\n"),
                3,
                "written as one",
            ),
            ("[build.a]\n".to_owned(), 1, "has no template"),
            (
                with("[variables]\ns = { secret = \"env:S\" }\n[build.a]\nname = \"a-${s}\"\n"),
                6,
                "is a secret",
            ),
            (
                with(
                    "[variables]\nr = { one-of = [\"1\"] }\n[build.a]\nmatrix = { r = [\"2\"] }\n",
                ),
                5,
                "must be one of 1",
            ),
        ] {
            let finding = parse(&text, "ozr.toml", &[]).unwrap_err();
            assert!(finding.message.contains(says), "{text}: {finding}");
            assert_eq!(finding.line, line, "{text}: {finding}");
        }
        let many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let many = many.join(", ");
        let text = with(&format!(
            "[build.a]\nmatrix = {{ a = [{many}], b = [{many}] }}\n"
        ));
        let finding = parse(&text, "ozr.toml", &[]).unwrap_err();
        assert!(finding.message.contains("more than 1000"), "{finding}");
    }

    #[test]
    fn none_is_lost_of_a_large_matrix_of_which_much_is_excluded() {
        let many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let of = |more: &str| {
            let many = many.join(", ");
            let text = format!(
                "[defaults]\ntemplate = \"t\"\n[build.a]\nmatrix = {{ a = [{many}], b = [{many}]{more} }}\n"
            );
            parse(&text, "ozr.toml", &[])
        };
        let excluded: Vec<String> = (0..20)
            .map(|number| format!("{{ b = {number} }}"))
            .collect();
        let excluded = format!(", exclude = [{}]", excluded.join(", "));
        assert_eq!(of(&excluded).unwrap().len(), 40 * 20);
        let finding = of(&format!(", c = [{}]", many.join(", "))).unwrap_err();
        assert!(finding.message.contains("more than 1000 "), "{finding}");
        let more = format!(", c = [{0}], d = [{0}]", many.join(", "));
        let finding = of(&more).unwrap_err();
        assert!(finding.message.contains("more than 100000 "), "{finding}");
    }

    #[test]
    fn what_was_filled_into_names_of_outputs_is_not_filled_again() {
        let text = "[defaults]\ntemplate = \"t\"\n[build.x]\nvariables = { o = \"a/${b}\", b = \"1\" }\noutput-dir = \"${o}/$${b}/${b}\"\n";
        let mut variants = parse(text, "ozr.toml", &[]).unwrap();
        let options = &mut variants[0].options;
        let values = Values::of(options).unwrap();
        values.fill_outputs(options).unwrap();
        assert_eq!(options.output_dir, Some("a/${b}/${b}/1".into()));
    }
}

//! Variables as they are declared, in `[variables]` of the configuration, and set, by `--set`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::fill;
use crate::options::{Layer, SecretSource};

/// The keys of a variable's table, for messages.
pub const KEYS: [&str; 4] = ["type", "one-of", "default", "secret"];

/// Most bytes of a value: more is a text, which belongs into a file.
const LONGEST_VALUE: usize = 4096;

/// The name of a variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(pub String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match fill::is_name(&text) {
            true => Ok(Name(text)),
            false => Err(format!(
                "`{text}` is no name of a variable: write a letter, then letters, digits, `_` and `-`"
            )),
        }
    }
}

/// The variables that are declared. [`Layer`] lays one set over another, name by name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Declarations(pub BTreeMap<Name, Variable>);

impl Layer for Declarations {
    fn over(self, mut below: Declarations) -> Declarations {
        below.0.extend(self.0);
        below
    }
}

/// A variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// What its values are.
    pub kind: Kind,
    /// Its value, unless another one is set.
    pub default: Option<String>,
    /// Where its value is, which nobody may see.
    pub secret: Option<SecretSource>,
}

/// What the values of a variable are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A line of text.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Bool,
    /// One of these.
    OneOf(Vec<String>),
}

impl Kind {
    /// Whether a value is one of this kind.
    ///
    /// # Errors
    /// Why not, as the end of a sentence.
    pub fn check(&self, value: &str) -> Result<(), String> {
        if value.contains(char::is_control) {
            return Err("has several lines or control characters: one line is wanted".to_owned());
        }
        if value.len() > LONGEST_VALUE {
            return Err(format!("has more than {LONGEST_VALUE} bytes"));
        }
        match self {
            Kind::Integer if value.parse::<i64>().is_err() => {
                Err(format!("is `{value}`, and must be a whole number"))
            }
            Kind::Bool if !["true", "false"].contains(&value) => {
                Err(format!("is `{value}`, and must be true or false"))
            }
            Kind::OneOf(values) if !values.iter().any(|one| one == value) => Err(format!(
                "is `{value}`, and must be one of {}",
                values.join(", ")
            )),
            _ => Ok(()),
        }
    }
}

/// A value as it is written in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// What it says of the kind.
    pub kind: Kind,
    /// The value in text.
    pub text: String,
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a whole number, true or false")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        let text = text.to_owned();
        let kind = Kind::Text;
        kind.check(&text)
            .map_err(|why| E::custom(format!("the value {why}")))?;
        Ok(Scalar { kind, text })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        let (kind, text) = (Kind::Integer, number.to_string());
        Ok(Scalar { kind, text })
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Scalar, E> {
        let (kind, text) = (Kind::Bool, is.to_string());
        Ok(Scalar { kind, text })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// A variable's table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    r#type: Option<TypeName>,
    #[serde(default)]
    one_of: Vec<Scalar>,
    default: Option<Scalar>,
    secret: Option<SecretSource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TypeName {
    String,
    Integer,
    Bool,
}

impl TryFrom<Written> for Variable {
    type Error = String;

    fn try_from(written: Written) -> Result<Variable, String> {
        let named = written.r#type.map(|name| match name {
            TypeName::String => Kind::Text,
            TypeName::Integer => Kind::Integer,
            TypeName::Bool => Kind::Bool,
        });
        let of_default = written.default.as_ref().map(|default| default.kind.clone());
        let values: Vec<String> = written.one_of.into_iter().map(|one| one.text).collect();
        let kind = match (named, values.is_empty()) {
            (Some(named), true) => named,
            (None, true) => of_default.unwrap_or(Kind::Text),
            (named, false) => {
                for value in &values {
                    let kind = named.as_ref().unwrap_or(&Kind::Text);
                    kind.check(value)
                        .map_err(|why| format!("one of the values {why}"))?;
                }
                Kind::OneOf(values)
            }
        };
        if written.secret.is_some() && (written.default.is_some() || kind != Kind::Text) {
            return Err("a secret is a string, and has no default".to_owned());
        }
        let default = written.default.map(|default| default.text);
        if let Some(default) = &default {
            kind.check(default)
                .map_err(|why| format!("the default {why}"))?;
        }
        Ok(Variable {
            kind,
            default,
            secret: written.secret,
        })
    }
}

struct VariableVisitor;

impl<'de> Visitor<'de> for VariableVisitor {
    type Value = Variable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or a table with type, one-of, default or secret")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Variable, E> {
        ScalarVisitor.visit_str(text).map(Variable::from)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Variable, E> {
        ScalarVisitor.visit_i64(number).map(Variable::from)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Variable, E> {
        ScalarVisitor.visit_bool(is).map(Variable::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Variable, A::Error> {
        let written = Written::deserialize(MapAccessDeserializer::new(map))?;
        Variable::try_from(written).map_err(A::Error::custom)
    }
}

impl From<Scalar> for Variable {
    fn from(scalar: Scalar) -> Variable {
        Variable {
            kind: scalar.kind,
            default: Some(scalar.text),
            secret: None,
        }
    }
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VariableVisitor)
    }
}

/// `NAME=VALUE`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Setting {
    /// The variable.
    pub name: Name,
    /// Its value, or where it is.
    pub value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("write NAME=VALUE, such as release=9")?;
        Ok(Setting {
            name: Name::try_from(name.to_owned())?,
            value: value.to_owned(),
        })
    }
}

impl TryFrom<String> for Setting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Declarations, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn variables_are_declared_by_a_value_or_a_table() {
        let text = "zone = \"UTC\"\nport = 22\ndebug = false\nfree = {}\n\
            [release]\none-of = [\"8\", 9]\ndefault = \"9\"\n\
            [token]\nsecret = \"env:TOKEN\"\n[key]\nsecret = [\"vault\", \"read\"]\n";
        let declared = parse(text).unwrap().0;
        let of = |name: &str| &declared[&Name(name.to_owned())];
        assert_eq!(
            (&of("zone").kind, of("zone").default.as_deref()),
            (&Kind::Text, Some("UTC"))
        );
        assert_eq!(of("port").kind, Kind::Integer);
        assert_eq!(of("debug").kind, Kind::Bool);
        assert_eq!(of("free").default, None);
        assert_eq!(
            of("release").kind,
            Kind::OneOf(vec!["8".to_owned(), "9".to_owned()])
        );
        assert_eq!(
            of("token").secret,
            Some(SecretSource::Env("TOKEN".to_owned()))
        );
        let command = vec!["vault".to_owned(), "read".to_owned()];
        assert_eq!(of("key").secret, Some(SecretSource::Command(command)));
    }

    #[test]
    fn what_is_no_declaration_is_refused() {
        for (text, says) in [
            (
                "a = { type = \"integer\", default = \"x\" }",
                "whole number",
            ),
            ("a = { type = \"float\" }", "float"),
            ("a = { one-of = [\"x\"], default = \"y\" }", "one of x"),
            ("a = { secret = \"hunter2\" }", "not the secret"),
            ("a = { secret = \"env:X\", default = \"y\" }", "no default"),
            ("a = { defualt = 1 }", "defualt"),
            ("a = [1]", "a value, or a table"),
            ("a = 1.5", "a value, or a table"),
            ("\"1a\" = 1", "no name of a variable"),
            ("a = \"x\\ny\"", "one line"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn settings_have_a_name() {
        let setting: Setting = "a=b=c".parse().unwrap();
        assert_eq!((&*setting.name.0, &*setting.value), ("a", "b=c"));
        for wrong in ["a", "=b", "a b=c"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }
}

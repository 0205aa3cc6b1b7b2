//! `comps.xml`: groups and environments (read by dnf through libcomps).

use std::io::BufRead;

use super::primary::Query;
use super::xml::Step::{Begin, End};
use super::xml::{self, attribute};

/// A group or an environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Its id, such as `minimal-environment`.
    pub id: String,
    /// Its name in English, such as `Minimal Install`.
    pub name: String,
}

/// Groups and environments of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comps {
    /// The groups.
    pub groups: Vec<Named>,
    /// The environments (EL 7 and later).
    pub environments: Vec<Named>,
}

impl Named {
    /// Whether a kickstart's `@spec` means it. dnf compares id and name, and where neither is
    /// the same it ignores case (dnf/comps.py, `_by_pattern`).
    pub fn is_meant_by(&self, spec: &str) -> bool {
        let same = |text: &str| text == spec || text.to_lowercase() == spec.to_lowercase();
        same(&self.id) || same(&self.name)
    }
}

/// Reads a `comps.xml`.
///
/// # Errors
/// Why it cannot be used.
pub fn parse(input: impl BufRead, query: &Query) -> Result<Comps, String> {
    let mut comps = Comps::default();
    let mut at = Named::default();
    let mut translated = false;
    xml::read(input, "comps", |path, step| {
        let below = path.strip_prefix("comps/").unwrap_or_default();
        let (outer, inner) = below.split_once('/').unwrap_or((below, ""));
        let all = match outer {
            "group" => &mut comps.groups,
            "environment" => &mut comps.environments,
            _ => return Ok(()),
        };
        match (inner, step) {
            (_, Begin(tag)) => translated = attribute(tag, "xml:lang").is_some(),
            ("id", End(text)) => at.id = text.to_string(),
            ("name", End(text)) if !translated => at.name = text.to_string(),
            ("", End(_)) => {
                query.keep(&at.id)?;
                query.keep(&at.name)?;
                all.push(std::mem::take(&mut at));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(comps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_of_groups_and_environments() {
        let text = r#"<?xml version="1.0"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
 <group><id>core</id><name>Core &amp; more</name><name xml:lang="de">Kern</name>
  <packagelist><packagereq type="mandatory">bash</packagereq></packagelist></group>
 <category><id>c</id><name>C</name></category>
 <environment><id>minimal-environment</id><name>Minimal Install</name>
  <grouplist><groupid>core</groupid></grouplist>
  <optionlist><groupid><id>not-this</id></groupid></optionlist></environment>
</comps>"#;
        let comps = parse(text.as_bytes(), &Query::default()).unwrap();
        let [core] = &comps.groups[..] else {
            panic!("{comps:?}")
        };
        assert_eq!(
            (core.id.as_str(), core.name.as_str()),
            ("core", "Core & more")
        );
        let [minimal] = &comps.environments[..] else {
            panic!("{comps:?}")
        };
        for spec in ["minimal-environment", "Minimal Install", "minimal install"] {
            assert!(minimal.is_meant_by(spec), "{spec}");
        }
        assert!(!minimal.is_meant_by("minimal"));
        for text in ["<comps><group></comps>", "<comps>", "", "<html></html>"] {
            assert!(parse(text.as_bytes(), &Query::default()).is_err(), "{text}");
        }
    }
}

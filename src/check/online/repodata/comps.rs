//! `comps.xml`: groups and environments (read by dnf through libcomps).

use std::io::BufRead;

use quick_xml::events::Event;

use super::primary::Query;
use super::xml::{attribute, gather, next, reader};

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
    let mut reader = reader(input);
    let mut buffer = Vec::new();
    let mut comps = Comps::default();
    let mut path: Vec<String> = Vec::new();
    let mut at = Named::default();
    let mut text = String::new();
    let mut translated = false;
    let mut is_whole = false;
    loop {
        let event = next(&mut reader, &mut buffer)?;
        match &event {
            Event::Start(tag) => {
                text.clear();
                translated = attribute(tag, "xml:lang").is_some();
                path.push(tag.local_name().as_ref().to_string());
                if path.len() == 2 {
                    at = Named::default();
                }
            }
            Event::End(_) => {
                let outer = path.get(1).map(String::as_str);
                match (path.len(), outer, path.last().map(String::as_str)) {
                    (3, _, Some("id")) => at.id = text.trim().to_string(),
                    (3, _, Some("name")) if !translated => at.name = text.trim().to_string(),
                    (2, Some("group" | "environment"), _) => {
                        query.keep(&at.id)?;
                        query.keep(&at.name)?;
                        let all = match outer {
                            Some("group") => &mut comps.groups,
                            _ => &mut comps.environments,
                        };
                        all.push(std::mem::take(&mut at));
                    }
                    (1, None, Some("comps")) => is_whole = true,
                    _ => {}
                }
                path.pop();
            }
            // quick-xml does not mind a text that ends too early.
            Event::Eof if !is_whole => return Err("it does not end with </comps>".to_string()),
            Event::Eof => return Ok(comps),
            other => gather(&mut text, other),
        }
    }
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

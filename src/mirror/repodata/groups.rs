//! The groups and environments of a `comps.xml`, with their members.

use std::io::BufRead;

use sha2::{Digest, Sha256};

use super::Named;
use super::xml::Step::{Begin, End};
use super::xml::{self, attribute};
use crate::hex;

/// Most bytes of names that are kept; Fedora's list has some 300 KB.
const MAX_TEXT: usize = 16 << 20;

/// A group, or an environment.
#[derive(Debug, Default)]
pub struct Group {
    /// What it is called.
    pub named: Named,
    /// Whether its members are groups.
    pub is_environment: bool,
    /// Its packages, or the groups of an environment.
    pub members: Vec<String>,
    /// The SHA-256 of all that it says, in hexadecimal.
    pub digest: String,
}

/// Reads a `comps.xml`.
///
/// # Errors
/// Why it cannot be used.
pub fn parse(input: impl BufRead) -> Result<Vec<Group>, String> {
    let mut groups = Vec::new();
    let mut group = Group::default();
    let mut digest = Sha256::new();
    let mut translated = false;
    let mut kept = 0;
    xml::read(input, "comps", |path, step| {
        let below = path.strip_prefix("comps/").unwrap_or_default();
        let (outer, inner) = below.split_once('/').unwrap_or((below, ""));
        if !matches!(outer, "group" | "environment") {
            return Ok(());
        }
        match step {
            Begin(tag) => {
                translated = attribute(tag, "xml:lang").is_some();
                // The kind of a member, and on what it depends.
                for name in ["type", "requires", "arch", "default"] {
                    let value = attribute(tag, name).unwrap_or_default();
                    digest.update(format!("{name}={value};"));
                }
                return Ok(());
            }
            // What it is called elsewhere changes nothing.
            End(_) if translated => return Ok(()),
            End(text) => {
                if inner != "description" {
                    digest.update(format!("{inner}:{text}\n"));
                }
                kept += text.len();
                if kept > MAX_TEXT {
                    return Err("it has more members than ozr keeps".to_owned());
                }
                match inner {
                    "id" => group.named.id = text.to_owned(),
                    "name" => group.named.name = text.to_owned(),
                    "packagelist/packagereq" | "grouplist/groupid" | "optionlist/groupid" => {
                        group.members.push(text.to_owned());
                    }
                    "" => {
                        group.is_environment = outer == "environment";
                        group.digest = hex::encode(digest.finalize_reset());
                        groups.push(std::mem::take(&mut group));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    })?;
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"<comps>
 <group><id>core</id><name>Core</name><name xml:lang="de">Kern</name><description>d</description>
  <packagelist><packagereq type="mandatory">bash</packagereq>
   <packagereq type="optional">zsh</packagereq></packagelist></group>
 <category><id>c</id></category>
 <environment><id>min</id><name>Minimal</name><grouplist><groupid>core</groupid></grouplist>
  <optionlist><groupid>more</groupid></optionlist></environment>
</comps>"#;

    #[test]
    fn members_are_read_and_every_change_of_them_shows() {
        let groups = parse(TEXT.as_bytes()).unwrap();
        let [core, min] = &groups[..] else {
            panic!("{groups:?}")
        };
        assert_eq!(
            (core.named.id.as_str(), core.is_environment),
            ("core", false)
        );
        assert_eq!(core.members, ["bash", "zsh"]);
        assert_eq!(
            (min.named.name.as_str(), min.is_environment),
            ("Minimal", true)
        );
        assert_eq!(min.members, ["core", "more"]);
        for (change, into, differs) in [
            ("optional", "default", true),
            (">zsh<", ">ksh<", true),
            ("Kern", "Inti", false),
            (">d<", ">another<", false),
            ("<category><id>c", "<category><id>d", false),
        ] {
            let other = parse(TEXT.replace(change, into).as_bytes()).unwrap();
            assert_eq!(other[0].digest != core.digest, differs, "{change}");
            assert_eq!(other[1].digest, min.digest, "{change}");
        }
    }
}

//! ICICLE, Oz's list of packages: as Oz 0.17 writes it (`oz/Guest.py`, `_output_icicle_xml`, by lxml), but
//! sorted; Oz has the order of RPM's database.

use std::fmt::Write as _;

use crate::packages::Package;

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The line of `rpm -qa`.
    pub name: String,
    /// What the template's command says of it.
    pub extra: Option<String>,
}

impl Entry {
    /// Of a package, as `rpm -qa` names it.
    pub fn of(package: &Package) -> Entry {
        let (name, version, release) = (&package.name, &package.version, &package.release);
        let arch = package.arch.iter().map(|arch| format!(".{arch}"));
        let arch: String = arch.collect();
        Entry {
            name: format!("{name}-{version}-{release}{arch}"),
            extra: None,
        }
    }
}

/// The text.
pub fn write(description: Option<&str>, mut entries: Vec<Entry>) -> String {
    entries.sort();
    let mut text = String::from("<icicle>\n");
    // Writing into a string does not fail.
    if let Some(description) = description {
        let description = escaped(description, false);
        let _ = writeln!(text, "  <description>{description}</description>");
    }
    if entries.is_empty() {
        text += "  <packages/>\n";
    } else {
        text += "  <packages>\n";
        for Entry { name, extra } in entries {
            let name = escaped(&name, true);
            let _ = match extra.as_deref().map(|extra| escaped(extra, false)) {
                None => writeln!(text, "    <package name=\"{name}\"/>"),
                Some(extra) => writeln!(
                    text,
                    "    <package name=\"{name}\">\n      <extra>{extra}</extra>\n    </package>"
                ),
            };
        }
        text += "  </packages>\n";
    }
    text + "</icicle>\n"
}

/// A text as libxml2 writes it; what XML cannot hold is replaced.
fn escaped(text: &str, is_attribute: bool) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\r' => escaped += "&#13;",
            '"' if is_attribute => escaped += "&quot;",
            '\n' if is_attribute => escaped += "&#10;",
            '\t' if is_attribute => escaped += "&#9;",
            '\n' | '\t' => escaped.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Oz 0.17 writes of the same, by its own function.
    #[test]
    fn it_is_what_oz_writes() {
        let entry = |name: &str, extra: Option<&str>| Entry {
            name: name.to_owned(),
            extra: extra.map(str::to_owned),
        };
        assert_eq!(write(None, Vec::new()), NOTHING);
        let plain = vec![
            entry("bash-5.2-1.x86_64", None),
            entry("acl-2.3.1-4.el9.x86_64", None),
            entry("odd\"<&>-1-1.noarch", None),
        ];
        assert_eq!(write(None, plain), PLAIN);
        let extra = vec![
            entry("a-1-1.noarch", Some("a,\"<&>,\ttab")),
            entry("b-1-1.noarch", Some("")),
            entry("gpg-pubkey-b5536c08-6b0ca521", Some(" x ")),
        ];
        assert_eq!(write(Some("A & B\n  second line, ünï"), extra), EXTRA);
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let text = write(Some("a\u{1b}[31m"), Vec::new());
        assert!(text.contains("a\u{fffd}[31m"), "{text}");
    }

    #[test]
    fn packages_are_named_as_rpm_names_them() {
        let mut package = crate::packages::sample("a", Some(1));
        assert_eq!(Entry::of(&package).name, "a-1.2~rc1+git^4-3.el9.x86_64");
        package.arch = None;
        assert_eq!(Entry::of(&package).name, "a-1.2~rc1+git^4-3.el9");
    }

    const NOTHING: &str = r#"<icicle>
  <packages/>
</icicle>
"#;
    const PLAIN: &str = r#"<icicle>
  <packages>
    <package name="acl-2.3.1-4.el9.x86_64"/>
    <package name="bash-5.2-1.x86_64"/>
    <package name="odd&quot;&lt;&amp;&gt;-1-1.noarch"/>
  </packages>
</icicle>
"#;
    const EXTRA: &str = r#"<icicle>
  <description>A &amp; B
  second line, ünï</description>
  <packages>
    <package name="a-1-1.noarch">
      <extra>a,"&lt;&amp;&gt;,	tab</extra>
    </package>
    <package name="b-1-1.noarch">
      <extra></extra>
    </package>
    <package name="gpg-pubkey-b5536c08-6b0ca521">
      <extra> x </extra>
    </package>
  </packages>
</icicle>
"#;
}

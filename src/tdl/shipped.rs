//! The templates that come with ozr: the files of `templates/`, with the distributions' public mirrors.

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped {
            name: $name,
            text: include_str!(concat!("../../templates/", $name, ".tdl")),
        }),*]
    };
}

const SHIPPED: &[Shipped] = shipped![
    "almalinux-10",
    "almalinux-8",
    "almalinux-9",
    "centos-7",
    "centos-stream-10",
    "centos-stream-8",
    "centos-stream-9",
    "fedora-43",
    "fedora-44",
    "oracle-8",
    "oracle-9",
    "rhel-10",
    "rhel-7",
    "rhel-8",
    "rhel-9",
    "rocky-10",
    "rocky-8",
    "rocky-9",
];

/// A template that comes with `ozr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// `FAMILY-RELEASE`, such as `rocky-9`: the name in the template, too.
    pub name: &'static str,
    /// The template.
    pub text: &'static str,
}

/// All of them, by name.
pub fn all() -> &'static [Shipped] {
    SHIPPED
}

impl Shipped {
    /// The template under another name.
    pub fn named(&self, name: &str) -> String {
        let old = format!("<name>{}</name>", self.name);
        let name = quick_xml::escape::escape(name);
        self.text.replacen(&old, &format!("<name>{name}</name>"), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_file_is_shipped_and_can_be_renamed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let names: Vec<String> = all().iter().map(|t| format!("{}.tdl", t.name)).collect();
        assert_eq!(files, names);
        for shipped in all() {
            let template = crate::tdl::parse(&shipped.named("a<&\"b"), "t").unwrap();
            assert_eq!(template.name, "a<&\"b");
        }
    }
}

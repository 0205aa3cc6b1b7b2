//! Every address of a kickstart and a template, with what must be there and where it stands.
//! Pure.

use std::ops::Range;

use url::Url;

use super::Text;
use super::variables::{Known, Untried, resolve};
use crate::kickstart::outline::{
    Command, Include, Item, Outline, Section, SectionKind, SourceKind,
};
use crate::tdl::{Install, Payload, Template};

/// What must be at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The tree whose kernel is booted.
    InstallTree,
    /// A tree or repository that the installer takes packages from (`url`).
    Source,
    /// A repository of packages.
    Repository,
    /// A repository of OSTree commits.
    OsTree,
    /// One file: what it is.
    File(&'static str),
}

/// How an address leads there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// It is the place itself.
    Direct,
    /// It is yum's list of mirrors.
    MirrorList,
    /// It is a metalink.
    MetaLink,
}

/// Under which conditions an address is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// Certificates are checked; not with `--noverifyssl`.
    pub verified: bool,
    /// The guest gets there in ways that this host has not: a proxy, certificates of its own.
    pub own_ways: bool,
    /// ozr itself fetches it, which follows no redirect to another scheme.
    pub ours: bool,
}

/// What is to be tried. The same target may stand in several places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// What must be there.
    pub role: Role,
    /// How the address leads there.
    pub via: Via,
    /// The address; several where a variable leaves a choice, one of which must be right.
    pub urls: Vec<Url>,
    /// Under which conditions.
    pub terms: Access,
}

/// A place in one of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which text: an index, the template's behind the last kickstart's.
    pub text: usize,
    /// Which bytes of it.
    pub span: Range<usize>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct References {
    /// What is to be tried, and where it stands.
    pub targets: Vec<(Target, Vec<Place>)>,
    /// What cannot be tried: where, and why.
    pub untried: Vec<(Place, Untried)>,
    /// Why the repositories that are known are not all that there are.
    pub hidden: Vec<(Place, String)>,
    /// The kickstart installs an image: packages mean nothing.
    pub is_image: bool,
}

/// Long options of the commands that name addresses (pykickstart 3.78), to tell abbreviations.
const URL: &[&str] = &[
    "url",
    "proxy",
    "noverifyssl",
    "mirrorlist",
    "metalink",
    "sslcacert",
    "sslclientcert",
    "sslclientkey",
];
const REPO: &[&str] = &[
    "name",
    "baseurl",
    "mirrorlist",
    "cost",
    "excludepkgs",
    "includepkgs",
    "ignoregroups",
    "proxy",
    "noverifyssl",
    "install",
    "metalink",
    "sslcacert",
    "sslclientcert",
    "sslclientkey",
];
const LIVEIMG: &[&str] = &["url", "proxy", "noverifyssl", "checksum"];
const OSTREESETUP: &[&str] = &["osname", "remote", "url", "ref", "nogpg"];
const DRIVERDISK: &[&str] = &["source", "biospart", "type"];

/// The add-ons of the OpenSCAP installer plug-in (EL 7; EL 8 and later), which fetch a file.
const OSCAP_ADDONS: [&str; 2] = ["org_fedora_oscap", "com_redhat_oscap"];

/// Whether `given` is the option `option` of a command with the options `all`, perhaps
/// abbreviated as argparse allows.
pub fn is_option(given: &str, option: &str, all: &[&str]) -> bool {
    given == option
        || (option.starts_with(given)
            && !all.contains(&given)
            && all.iter().filter(|other| other.starts_with(given)).count() == 1)
}

/// Finds everything in kickstarts and a template.
pub fn collect(
    texts: &[Text<'_>],
    template: Option<(&Template, &str)>,
    known: &Known,
) -> References {
    let mut collector = Collector {
        known,
        found: References::default(),
        text: 0,
        raw: "",
        in_template: false,
    };
    for (index, text) in texts.iter().enumerate() {
        collector.text = index;
        collector.raw = text.text;
        collector.kickstart(text.outline);
    }
    if let Some((template, raw)) = template {
        collector.text = texts.len();
        collector.raw = raw;
        collector.in_template = true;
        collector.template(template);
    }
    collector.found
}

struct Collector<'a> {
    known: &'a Known,
    found: References,
    text: usize,
    raw: &'a str,
    in_template: bool,
}

impl Collector<'_> {
    fn kickstart(&mut self, outline: &Outline) {
        if let Some((SourceKind::Image, _)) = outline.source() {
            self.found.is_image = true;
        }
        for item in &outline.items {
            match item {
                Item::Command(command) => self.command(command),
                Item::Include(include) => self.include(include),
                Item::Section(section) => self.section(section),
                Item::Nothing(_) | Item::Broken(_) => {}
            }
        }
    }

    fn command(&mut self, command: &Command) {
        let place = self.place(command.words[0].span.clone());
        match command.name() {
            "url" => {
                self.option(command, URL, "url", Role::Source, Via::Direct);
                self.option(command, URL, "mirrorlist", Role::Source, Via::MirrorList);
                self.option(command, URL, "metalink", Role::Source, Via::MetaLink);
            }
            "repo" => {
                let named = [
                    ("baseurl", Via::Direct),
                    ("mirrorlist", Via::MirrorList),
                    ("metalink", Via::MetaLink),
                ]
                .map(|(option, via)| self.option(command, REPO, option, Role::Repository, via));
                if !named.contains(&true) {
                    let why = "the installer's own configuration says where this repository is";
                    self.found.hidden.push((place, why.to_string()));
                }
            }
            "liveimg" => {
                self.option(command, LIVEIMG, "url", Role::File("an image"), Via::Direct);
            }
            "ostreesetup" => {
                self.option(command, OSTREESETUP, "url", Role::OsTree, Via::Direct);
            }
            "driverdisk" => {
                let role = Role::File("a driver disk");
                self.option(command, DRIVERDISK, "source", role, Via::Direct);
            }
            "updates" => {
                if let Some(word) = command.words.get(1)
                    && word.text.contains("://")
                {
                    let role = Role::File("an updates image");
                    let terms = terms(command, &[]);
                    self.address(&word.text, word.span.clone(), role, Via::Direct, terms);
                }
            }
            "nfs" | "cdrom" | "harddrive" | "hmc" | "rhsm" => {
                let why = format!("packages come from `{}`", command.name());
                self.found.hidden.push((place, why));
            }
            _ => {}
        }
    }

    /// Takes the address of one option; whether the command has it.
    fn option(
        &mut self,
        command: &Command,
        all: &[&str],
        option: &str,
        role: Role,
        via: Via,
    ) -> bool {
        let mut last = None;
        for (index, word) in command.words.iter().enumerate().skip(1) {
            let Some(given) = word.option_name() else {
                continue;
            };
            if !is_option(given, option, all) {
                continue;
            }
            last = match word.option_value() {
                Some(value) => Some((value, within(self.raw, &word.span, value))),
                None => command
                    .words
                    .get(index + 1)
                    .map(|next| (next.text.as_str(), next.span.clone())),
            };
        }
        let Some((value, span)) = last else {
            return false;
        };
        self.address(value, span, role, via, terms(command, all));
        true
    }

    fn include(&mut self, include: &Include) {
        if include.target.contains("://") {
            let span = within(self.raw, &include.span, &include.target);
            let role = Role::File("an included kickstart");
            self.address(&include.target, span, role, Via::Direct, PLAIN);
        }
    }

    fn section(&mut self, section: &Section) {
        for include in &section.includes {
            self.include(include);
        }
        let is_oscap = section.kind == SectionKind::Addon
            && section
                .header
                .get(1)
                .is_some_and(|name| OSCAP_ADDONS.contains(&name.text.as_str()));
        if !is_oscap {
            return;
        }
        let raw = self.raw;
        for line in raw[section.body.clone()].lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            if key.trim() == "content-url" && !value.is_empty() {
                let role = Role::File("security content");
                self.address(value, span_of(raw, value), role, Via::Direct, PLAIN);
            }
        }
    }

    fn template(&mut self, template: &Template) {
        let ours = Access {
            ours: true,
            ..PLAIN
        };
        if let Install::Url(url) = &template.os.install {
            let span = self.find(url.as_str());
            self.address(url.as_str(), span, Role::InstallTree, Via::Direct, ours);
        }
        for repository in &template.repositories {
            let span = self.find(repository.url.as_str());
            let terms = Access {
                verified: repository.sslverify,
                ..PLAIN
            };
            let text = repository.url.as_str();
            self.address(text, span, Role::Repository, Via::Direct, terms);
        }
        let files = template.files.iter().map(|file| &file.content);
        let commands = template.precommands.iter().chain(&template.commands);
        for payload in files.chain(commands.map(|command| &command.script)) {
            if let Payload::Remote(url) = payload {
                let span = self.find(url.as_str());
                let role = Role::File("a file for the image");
                self.address(url.as_str(), span, role, Via::Direct, ours);
            }
        }
    }

    /// Where an address stands in the template, whose model has no places.
    fn find(&self, text: &str) -> Range<usize> {
        find_value(self.raw, text).unwrap_or(0..0)
    }

    fn address(&mut self, text: &str, span: Range<usize>, role: Role, via: Via, terms: Access) {
        let place = self.place(span);
        // A `file:` address of a template is a directory of this host.
        match resolve(text, self.known, self.in_template) {
            Ok(urls) => {
                let target = Target {
                    role,
                    via,
                    urls,
                    terms,
                };
                match self.found.targets.iter_mut().find(|(t, _)| *t == target) {
                    Some((_, places)) => places.push(place),
                    None => self.found.targets.push((target, vec![place])),
                }
            }
            Err(why) => {
                if matches!(role, Role::InstallTree | Role::Source | Role::Repository) {
                    let why = match &why {
                        Untried::GuestOnly => "only the guest can look there".to_string(),
                        Untried::Unknown(why) | Untried::Wrong(why) => why.clone(),
                    };
                    self.found.hidden.push((place.clone(), why));
                }
                self.found.untried.push((place, why));
            }
        }
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place {
            text: self.text,
            span,
        }
    }
}

const PLAIN: Access = Access {
    verified: true,
    own_ways: false,
    ours: false,
};

fn terms(command: &Command, all: &[&str]) -> Access {
    let has = |option: &str| {
        command.words[1..]
            .iter()
            .filter_map(|word| word.option_name())
            .any(|given| is_option(given, option, all))
    };
    Access {
        verified: !has("noverifyssl"),
        own_ways: has("proxy") || has("sslcacert") || has("sslclientcert"),
        ours: false,
    }
}

/// Where `value` stands within `span`; all of it where quotes hide it.
fn within(text: &str, span: &Range<usize>, value: &str) -> Range<usize> {
    match text[span.clone()].rfind(value) {
        Some(at) if !value.is_empty() => span.start + at..span.start + at + value.len(),
        _ => span.clone(),
    }
}

/// Where a part of a text stands in it.
fn span_of(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

/// Where a whole value stands in XML, as it is or escaped.
pub fn find_value(xml: &str, value: &str) -> Option<Range<usize>> {
    let escaped = value.replace('&', "&amp;").replace('<', "&lt;");
    let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'');
    [value, &escaped].into_iter().find_map(|needle| {
        xml.match_indices(needle)
            .map(|(at, _)| at..at + needle.len())
            .find(|span| xml[..span.start].ends_with(ends) && xml[span.end..].starts_with(ends))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::Arch;
    use crate::kickstart::scan::scan_all;
    use crate::language::Version;

    fn known() -> Known {
        Known {
            release: None,
            version: Some(Version::Rhel(9)),
            arch: Some(Arch::X86_64),
            user_network: false,
        }
    }

    fn of_kickstart(raw: &str) -> References {
        let (outline, _) = scan_all(raw, "t.ks");
        let text = Text {
            name: "t.ks",
            text: raw,
            outline: &outline,
            chain: &[],
        };
        collect(&[text], None, &known())
    }

    #[test]
    fn every_address_of_a_kickstart() {
        let raw = "url --url=http://m/os/ --noverify\n\
                   url --mirrorl 'http://m/list?r=$releasever'\n\
                   repo --name=a --base=\"http://m/a\" --proxy=http://p/\n\
                   repo --name=b --metalink=http://m/b\n\
                   liveimg --url http://m/i\n\
                   ostreesetup --url=http://m/o --ref=x --osname=y\n\
                   driverdisk --source=http://m/d\n\
                   updates http://m/u\n\
                   %include http://m/k\n\
                   %include /tmp/x\n\
                   %addon com_redhat_oscap\n  content-url = http://m/c\n%end\n\
                   %post\n%include http://m/k\n%end\n";
        let found = of_kickstart(raw);
        let seen: Vec<(Role, Via, String, &str)> = found
            .targets
            .iter()
            .map(|(target, places)| {
                let url = target.urls[0].to_string();
                (target.role, target.via, url, &raw[places[0].span.clone()])
            })
            .collect();
        let file = Role::File;
        let expected = [
            (Role::Source, Via::Direct, "http://m/os/", "http://m/os/"),
            (
                Role::Source,
                Via::MirrorList,
                "http://m/list?r=9",
                "'http://m/list?r=$releasever'",
            ),
            (Role::Repository, Via::Direct, "http://m/a", "http://m/a"),
            (Role::Repository, Via::MetaLink, "http://m/b", "http://m/b"),
            (file("an image"), Via::Direct, "http://m/i", "http://m/i"),
            (Role::OsTree, Via::Direct, "http://m/o", "http://m/o"),
            (
                file("a driver disk"),
                Via::Direct,
                "http://m/d",
                "http://m/d",
            ),
            (
                file("an updates image"),
                Via::Direct,
                "http://m/u",
                "http://m/u",
            ),
            (
                file("an included kickstart"),
                Via::Direct,
                "http://m/k",
                "http://m/k",
            ),
            (
                file("security content"),
                Via::Direct,
                "http://m/c",
                "http://m/c",
            ),
        ]
        .map(|(role, via, url, place)| (role, via, url.to_string(), place));
        assert_eq!(seen, expected);
        assert!(!found.targets[0].0.terms.verified);
        assert!(found.targets[2].0.terms.own_ways);
        let include = found.targets.iter().find(|(t, _)| t.urls[0].path() == "/k");
        assert_eq!(include.unwrap().1.len(), 2);
        assert!(found.is_image);
        assert!(found.hidden.is_empty() && found.untried.is_empty());
    }

    #[test]
    fn what_hides_repositories_is_told() {
        for (raw, why) in [
            ("nfs --server=a --dir=b\n", "`nfs`"),
            ("cdrom\n", "`cdrom`"),
            ("repo --name=updates\n", "own configuration"),
            ("repo --name=a --baseurl=http://$x/\n", "`$x`"),
            ("repo --name=a --baseurl=file:///mnt/a\n", "only the guest"),
            ("url --url=@URL@\n", "`@URL@`"),
        ] {
            let found = of_kickstart(raw);
            assert!(found.targets.is_empty(), "{raw}");
            assert!(found.hidden[0].1.contains(why), "{raw}: {:?}", found.hidden);
        }
        assert!(of_kickstart("ostreecontainer --url=quay.io/a:b\n").is_image);
    }

    #[test]
    fn addresses_of_a_template_stand_where_they_stand() {
        let raw = "<template version='1.0'><name>x</name><os><name>Rocky-9</name><version>4</version>\
                   <arch>x86_64</arch><install type='url'><url>http://m/os</url></install></os>\
                   <repositories><repository name='a'><url>http://m/os/a?b&amp;c</url>\
                   <sslverify>no</sslverify></repository></repositories>\
                   <files><file name='/a' type='url'>http://m/f</file></files></template>";
        let template = crate::tdl::parse(raw, "t.tdl").unwrap();
        let found = collect(&[], Some((&template, raw)), &known());
        let seen: Vec<(Role, &str)> = found
            .targets
            .iter()
            .map(|(target, places)| (target.role, &raw[places[0].span.clone()]))
            .collect();
        assert_eq!(
            seen,
            [
                (Role::InstallTree, "http://m/os"),
                (Role::Repository, "http://m/os/a?b&amp;c"),
                (Role::File("a file for the image"), "http://m/f"),
            ]
        );
        assert!(!found.targets[1].0.terms.verified);
        assert!(found.targets[0].0.terms.ours);
    }

    #[test]
    fn options_may_be_abbreviated_as_far_as_they_are_one() {
        assert!(is_option("mi", "mirrorlist", URL));
        assert!(!is_option("m", "mirrorlist", URL));
        assert!(!is_option("m", "metalink", URL));
        assert!(is_option("url", "url", URL));
        assert!(!is_option("urls", "url", URL));
    }
}

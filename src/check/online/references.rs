//! Every address of a kickstart and a template, with what must be there and where it stands.
//! Pure.

use std::ops::Range;

use url::Url;

use super::variables::{Known, Untried, resolve};
use crate::check::shell::{self, Command};
use crate::distro::CDROM;
use crate::kickstart::outline::SectionKind;
use crate::language::Reading;
use crate::language::reading::{Entry, SectionEntry};
use crate::mirror::Access;
pub use crate::mirror::Via;
use crate::tdl::{Install, IsoAddress, Payload, SourceUrl, Template};

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
    /// One file that a script fetches, perhaps only in a case that does not come.
    Download,
}

/// The ISO image that is installed from.
pub const ISO: Role = Role::File("an ISO image");

/// A text that a kickstart includes.
pub const INCLUDED: &str = "an included kickstart";

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
    pub access: Access,
}

impl Target {
    /// What our server can pass on in the place of an address, as it is `written`: the part before
    /// anything that is filled in, and for a file its directory; and the part that stays. None
    /// where the address has a query, or leads to other addresses.
    pub fn relayable<'w>(&self, written: &'w str) -> Option<(Url, &'w str)> {
        let is_file = matches!(self.role, Role::File(_));
        if self.via != Via::Direct || self.role == Role::Download || written.contains(['?', '#']) {
            return None;
        }
        let variable = written.find('$');
        let fixed = &written[..variable.unwrap_or(written.len())];
        let path = written.find("://")? + 3;
        let end = match fixed[path..].rfind('/') {
            Some(slash) if is_file || variable.is_some() => path + slash + 1,
            None if is_file || variable.is_some() => return None,
            _ => written.len(),
        };
        Some((Url::parse(&written[..end]).ok()?, &written[end..]))
    }
}

/// A place in one of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which text of the kickstart; none for the template.
    pub text: Option<usize>,
    /// Which bytes of it.
    pub span: Range<usize>,
}

impl Place {
    /// A place in a text of the kickstart.
    pub fn of(text: usize, span: &Range<usize>) -> Place {
        Place {
            text: Some(text),
            span: span.clone(),
        }
    }
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
    /// Where it says that packages come from the disc that is booted, and how.
    pub on_disc: Vec<(Place, String)>,
    /// The kickstart installs an image: packages mean nothing.
    pub is_image: bool,
}

impl References {
    /// Whether packages come from the disc that is booted, as far as is known.
    pub fn takes_disc(&self) -> bool {
        let mut targets = self.targets.iter();
        !self.on_disc.is_empty() && !targets.any(|(target, _)| target.role == Role::Source)
    }
}

/// Most addresses that are tried, all at once; the largest public kickstarts name fifty.
const MAX_TARGETS: usize = 256;

/// Options of commands that hold addresses, what must be there, and how they lead there.
const ADDRESSES: [(&str, &str, Role, Via); 9] = [
    ("url", "--url", Role::Source, Via::Direct),
    ("url", "--mirrorlist", Role::Source, Via::MirrorList),
    ("url", "--metalink", Role::Source, Via::MetaLink),
    ("repo", "--baseurl", Role::Repository, Via::Direct),
    ("repo", "--mirrorlist", Role::Repository, Via::MirrorList),
    ("repo", "--metalink", Role::Repository, Via::MetaLink),
    ("liveimg", "--url", Role::File("an image"), Via::Direct),
    ("ostreesetup", "--url", Role::OsTree, Via::Direct),
    (
        "driverdisk",
        "--source",
        Role::File("a driver disk"),
        Via::Direct,
    ),
];

/// Programs of scripts that fetch what is named by an address.
const FETCHERS: [&str; 5] = ["curl", "wget", "dnf", "yum", "rpm"];

/// Options of those after which an address is not one of a file that is there for everybody:
/// something is sent there, or it is a repository's or a proxy's.
const OTHER_MEANING: [&str; 18] = [
    "-d",
    "-F",
    "-T",
    "-X",
    "-x",
    "-e",
    "-u",
    "-H",
    "--data",
    "--form",
    "--upload-file",
    "--request",
    "--proxy",
    "--referer",
    "--user",
    "--header",
    "--post",
    "--repofrompath",
];

/// The add-ons of the OpenSCAP installer plug-in (EL 7; EL 8 and later), which fetch a file.
const OSCAP_ADDONS: [&str; 2] = ["org_fedora_oscap", "com_redhat_oscap"];

/// Finds everything in a kickstart and a template.
pub fn collect(
    reading: Option<&Reading>,
    template: Option<&Template>,
    known: &Known,
) -> References {
    let mut collector = Collector {
        known,
        found: References::default(),
    };
    if let Some(reading) = reading {
        collector.kickstart(reading);
    }
    if let Some(template) = template {
        collector.template(template);
    }
    collector.found
}

struct Collector<'a> {
    known: &'a Known,
    found: References,
}

impl Collector<'_> {
    fn kickstart(&mut self, reading: &Reading) {
        for entry in &reading.commands {
            self.command(reading, entry);
        }
        for section in &reading.sections {
            self.section(reading, section);
        }
        for (number, text) in reading.texts.iter().enumerate() {
            for include in text.outline.includes() {
                if include.target.contains("://") {
                    let place = within(reading, number, &include.span, &include.target);
                    self.file(&include.target, place, INCLUDED);
                }
            }
        }
    }

    fn command(&mut self, reading: &Reading, entry: &Entry) {
        let words = entry.arguments();
        let own_ways = ["--proxy", "--sslcacert", "--sslclientcert"];
        let access = Access {
            verified: !words.has("--noverifyssl"),
            own_ways: own_ways.iter().any(|option| words.has(option)),
            ours: false,
        };
        let mut has_address = false;
        for (command, option, role, via) in ADDRESSES {
            if command == entry.name
                && let Some(given) = words.given(option)
            {
                let value = given.value.as_deref().unwrap_or_default();
                let place = within(reading, entry.text, &given.span, value);
                self.address(value, place, role, via, access);
                has_address = true;
            }
        }
        if entry.name == "updates"
            && let Some(word) = words.positionals().next()
            && word.text.contains("://")
        {
            let place = Place::of(entry.text, &word.span);
            let role = Role::File("an updates image");
            self.address(&word.text, place, role, Via::Direct, access);
        }
        let why = match entry.name {
            "nfs" | "cdrom" | "harddrive" | "hmc" | "rhsm" => {
                format!("packages come from `{}`", entry.name)
            }
            "url" | "repo" if entry.arguments.is_none() => format!("`{}` is refused", entry.name),
            "repo" if !has_address => {
                "the installer's own configuration says where this repository is".to_string()
            }
            "liveimg" | "ostreesetup" | "ostreecontainer" | "bootc" => {
                self.found.is_image = true;
                return;
            }
            _ => return,
        };
        let place = Place::of(entry.text, &entry.command.words[0].span);
        match entry.name {
            CDROM => self.found.on_disc.push((place, why)),
            _ => self.found.hidden.push((place, why)),
        }
    }

    fn section(&mut self, reading: &Reading, entry: &SectionEntry) {
        let section = &entry.section;
        let body = &reading.texts[entry.text].text[section.body.clone()];
        let start = section.body.start;
        let place = |part: &str| {
            // Every part of the body is a slice of it.
            let at = start + part.as_ptr().addr() - body.as_ptr().addr();
            Place::of(entry.text, &(at..at + part.len()))
        };
        let addon = section.header.get(1).map_or("", |name| &name.text);
        if section.kind == SectionKind::Addon && OSCAP_ADDONS.contains(&addon) {
            for line in body.lines() {
                let (key, value) = line.split_once('=').unwrap_or_default();
                let value = value.trim().trim_matches('"');
                if key.trim() == "content-url" && !value.is_empty() {
                    self.file(value, place(value), "security content");
                }
            }
        }
        if section.kind.is_script() {
            for command in shell::commands(body, start) {
                for address in downloads(&command) {
                    let role = Role::Download;
                    self.address(address, place(address), role, Via::Direct, Access::PLAIN);
                }
            }
        }
    }

    fn template(&mut self, template: &Template) {
        let ours = Access {
            ours: true,
            ..Access::PLAIN
        };
        match &template.os.install {
            Install::Url(url) => self.written(url, Role::InstallTree, ours),
            Install::Iso(iso) => {
                if let IsoAddress::Url(url) = &iso.address {
                    self.written(url, ISO, ours);
                }
                if let Some((_, list)) = &iso.sum {
                    self.written(list, Role::File("a list of checksums"), ours);
                }
                let why = "packages are on an ISO image".to_owned();
                self.found.on_disc.push((
                    Place {
                        text: None,
                        span: 0..0,
                    },
                    why,
                ));
            }
        }
        for repository in &template.repositories {
            let access = Access {
                verified: repository.sslverify,
                ..Access::PLAIN
            };
            self.written(&repository.url, Role::Repository, access);
        }
        for (_, _, payload) in template.payloads() {
            if let Payload::Remote(url) = payload {
                self.written(url, Role::File("a file for the image"), ours);
            }
        }
    }

    /// Takes an address of the template.
    fn written(&mut self, url: &SourceUrl, role: Role, access: Access) {
        let place = Place {
            text: None,
            span: url.span(),
        };
        self.address(url.as_str(), place, role, Via::Direct, access);
    }

    /// Takes the address of one file, which nothing else is said of.
    fn file(&mut self, text: &str, place: Place, what: &'static str) {
        self.address(text, place, Role::File(what), Via::Direct, Access::PLAIN);
    }

    fn address(&mut self, text: &str, place: Place, role: Role, via: Via, access: Access) {
        // A `file:` address of a template is a directory of this host.
        let in_template = place.text.is_none();
        match resolve(text, self.known, in_template) {
            Ok(urls) => {
                let target = Target {
                    role,
                    via,
                    urls,
                    access,
                };
                let targets = &mut self.found.targets;
                match targets.iter().position(|(known, _)| *known == target) {
                    Some(index) => targets[index].1.push(place),
                    None if targets.len() < MAX_TARGETS => targets.push((target, vec![place])),
                    None => {
                        let why = format!("{MAX_TARGETS} others are tried already");
                        self.found.hidden.push((place.clone(), why.clone()));
                        self.found.untried.push((place, Untried::Unknown(why)));
                    }
                }
            }
            Err(_) if role == Role::Download => {}
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
}

/// The addresses that a command fetches as they are: written out, without a variable. What only a
/// condition asks for need not be there.
fn downloads<'a>(command: &Command<'a>) -> impl Iterator<Item = &'a str> {
    let is_sending = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        let mut options = OTHER_MEANING.into_iter();
        options.any(|option| name == option || option.len() > 2 && name.starts_with(option))
    };
    let fetches = FETCHERS.contains(&command.name())
        && !command.is_condition
        && !command.arguments().any(is_sending);
    let words = command.words.iter().filter(move |_| fetches);
    words.filter_map(|word| {
        let address = word.split(['<', '>']).next()?.trim_matches(['"', '\'']);
        let is_plain = address.starts_with("http://") || address.starts_with("https://");
        let is_written_out = !address.contains(['$', '`', '*', '{', '[', '\\', '"', '\'']);
        (is_plain && is_written_out).then_some(address)
    })
}

/// Where `value` stands within `span` of a text; all of it where quotes hide it.
fn within(reading: &Reading, text: usize, span: &Range<usize>, value: &str) -> Place {
    let raw = &reading.texts[text].text[span.clone()];
    match raw.rfind(value) {
        Some(at) if !value.is_empty() => {
            let start = span.start + at;
            Place::of(text, &(start..start + value.len()))
        }
        _ => Place::of(text, span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::Arch;
    use crate::language::{NoIncludes, Version};

    fn known() -> Known {
        Known {
            release: None,
            version: Some(Version::Rhel(9)),
            arch: Some(Arch::X86_64),
            user_network: None,
        }
    }

    fn of_kickstart(raw: &str) -> References {
        let reading = Reading::new(raw, "t.ks", Version::Rhel(9), &NoIncludes);
        collect(Some(&reading), None, &known())
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
                "http://m/list?r=$releasever",
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
                file("security content"),
                Via::Direct,
                "http://m/c",
                "http://m/c",
            ),
            (
                file("an included kickstart"),
                Via::Direct,
                "http://m/k",
                "http://m/k",
            ),
        ]
        .map(|(role, via, url, place)| (role, via, url.to_string(), place));
        assert_eq!(seen, expected);
        assert!(!found.targets[0].0.access.verified);
        assert!(found.targets[2].0.access.own_ways);
        let include = found.targets.iter().find(|(t, _)| t.urls[0].path() == "/k");
        assert_eq!(include.unwrap().1.len(), 2);
        assert!(found.is_image);
        assert!(found.hidden.is_empty() && found.untried.is_empty());
    }

    #[test]
    fn what_our_server_can_stand_for() {
        for (raw, expected) in [
            ("url --url=http://h/os", Some(("http://h/os", ""))),
            ("url --url=http://h", Some(("http://h/", ""))),
            (
                "repo --name=a --baseurl=http://h/a/v$releasever/os/",
                Some(("http://h/a/", "v$releasever/os/")),
            ),
            (
                "liveimg --url=http://h/a/b.img",
                Some(("http://h/a/", "b.img")),
            ),
            ("%include http://h/a.ks", Some(("http://h/", "a.ks"))),
            ("repo --name=a --baseurl=http://h/?a=b", None),
            ("url --mirrorlist=http://h/list", None),
            ("%post\ncurl http://h/x\n%end", None),
        ] {
            let found = of_kickstart(&format!("{raw}\n"));
            let (target, places) = &found.targets[0];
            let relayable = target.relayable(&raw[places[0].span.clone()]);
            let seen = relayable.map(|(base, rest)| (base.to_string(), rest));
            let expected = expected.map(|(base, rest)| (base.to_string(), rest));
            assert_eq!(seen, expected, "{raw}");
        }
    }

    #[test]
    fn what_hides_repositories_is_told() {
        for (raw, why) in [
            ("nfs --server=a --dir=b\n", "`nfs`"),
            ("repo --name=updates\n", "own configuration"),
            ("repo --name=a --baseurl=http://$x/\n", "`$x`"),
            ("repo --name=a --baseurl=file:///mnt/a\n", "only the guest"),
            ("url --url=@URL@\n", "`@URL@`"),
        ] {
            let found = of_kickstart(raw);
            assert!(found.targets.is_empty(), "{raw}");
            assert!(found.hidden[0].1.contains(why), "{raw}: {:?}", found.hidden);
        }
        let disc = of_kickstart("cdrom\n");
        assert!(disc.hidden.is_empty() && disc.takes_disc());
        assert!(disc.on_disc[0].1.contains("`cdrom`"));
        assert!(!of_kickstart("url --url=http://h/os\n").takes_disc());
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
        let found = collect(None, Some(&template), &known());
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
        assert!(!found.targets[1].0.access.verified);
        assert!(found.targets[0].0.access.ours);
    }

    #[test]
    fn addresses_that_scripts_fetch_as_they_are() {
        for (line, expected) in [
            ("curl -fsSL https://m/a.sh | bash", &["https://m/a.sh"][..]),
            ("sudo /usr/bin/wget -q 'http://m/b'; true", &["http://m/b"]),
            (
                "dnf -y install https://m/c.rpm http://m/d.rpm",
                &["https://m/c.rpm", "http://m/d.rpm"],
            ),
            ("rpm -Uvh \"https://m/e.rpm\"", &["https://m/e.rpm"]),
            ("curl -d x=1 http://m/ping", &[]),
            ("curl --data-binary @f http://m/ping", &[]),
            ("curl https://m/$name", &[]),
            ("# curl https://m/a", &[]),
            ("echo https://m/a", &[]),
            (
                "cd /x && curl -fO \"https://m/a?b=1&c=2\"",
                &["https://m/a?b=1&c=2"],
            ),
            ("curl -f https://m/a>b", &["https://m/a"]),
            ("if curl -f https://m/a; then b; fi", &[]),
            ("cat <<E >x\ncurl https://m/a\nE", &[]),
        ] {
            let raw = format!("%post\n{line}\n%end\n");
            let found = of_kickstart(&raw);
            let seen: Vec<&str> = found
                .targets
                .iter()
                .map(|(target, places)| {
                    assert_eq!(target.role, Role::Download);
                    &raw[places[0].span.clone()]
                })
                .collect();
            assert_eq!(seen, expected, "{line}");
        }
    }

    #[test]
    fn no_more_are_tried_than_a_kickstart_can_mean() {
        let lines = (0..20_000).map(|n| format!("repo --name=a{n} --baseurl=http://m/{n}\n"));
        let found = of_kickstart(&lines.collect::<String>());
        assert_eq!(found.targets.len(), MAX_TARGETS);
        assert_eq!(found.untried.len(), 20_000 - MAX_TARGETS);
    }
}

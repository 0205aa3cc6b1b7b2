//! The language, rule by rule.

use std::path::{Path, PathBuf};

use super::*;
use crate::distro::Arch;

const NAME: &str = "<name>guest</name>";
const OS: &str = "<os><name>Rocky-9</name><version>9.4</version><arch>x86_64</arch>\
                  <install type='url'><url>http://mirror/os/</url></install></os>";

/// A template with `more` behind a name and an operating system.
fn with(more: &str) -> String {
    format!("<template>{NAME}{OS}{more}</template>")
}

/// A template with this `<os>`.
fn with_os(os: &str) -> String {
    format!("<template>{NAME}<os>{os}</os></template>")
}

/// A template with this `<install>` in its `<os>`.
fn with_install(install: &str) -> String {
    with_os(&format!(
        "<name>Rocky-9</name><version>9.4</version><arch>x86_64</arch>{install}"
    ))
}

fn accept(text: &str) -> Template {
    match parse(text, "t.tdl") {
        Ok(template) => template,
        Err(errors) => panic!("{text}\n{}", show(&errors)),
    }
}

fn show(findings: &[Diagnostic]) -> String {
    findings.iter().map(|f| format!("{f}\n")).collect()
}

/// All findings of a template that must be refused.
fn refuse(text: &str) -> String {
    match parse(text, "t.tdl") {
        Ok(_) => panic!("accepted: {text}"),
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in &errors {
                assert!(error.help.is_some(), "no help: {error}");
            }
            show(&errors)
        }
    }
}

#[test]
fn everything_at_once() {
    let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment -->
<template version="1.0">
  <disk><size> 20 GB </size></disk>
  <commands>
    <command name="second" position="2">
      echo two
    </command>
    <command name="first" position="1" type="base64">ZWNobyBv
      bmUK</command>
  </commands>
  <precommands><command name="pre" type="url">file://./pre.sh</command></precommands>
  <files>
    <file name="/etc/motd">
hello &lt;there&gt;
    </file>
    <file name="/etc/empty"/>
    <file name="/etc/bin" type="base64">AP8=</file>
    <file name="/etc/far" type="url">https://h/far</file>
    <file name="/etc/motd" type="raw"><![CDATA[last <wins>]]></file>
  </files>
  <repositories>
    <repository name="extra"><url>http://h/$basearch/</url></repository>
    <repository name="local one">
      <url>http://localhost:8080/r</url><persisted>No</persisted><signed>TRUE</signed><sslverify>yes</sslverify>
    </repository>
  </repositories>
  <packages><package name="vim"/><package name="@Development Tools"></package></packages>
  <os>
    <install type=" url "><url>
      http://127.0.0.1:8000/os/
    </url></install>
    <arch> x86_64 </arch>
    <version>9.4</version>
    <name>Rocky-9</name>
    <kernelparam>
      net.ifnames=0
      quiet="a  b"
    </kernelparam>
    <rootpw>s3cret</rootpw>
  </os>
  <description>
    My image
  </description>
  <name> guest </name>
</template>
"#;
    let template = accept(text);
    assert_eq!(template.name, "guest");
    assert_eq!(template.os.name, "Rocky-9");
    assert_eq!(template.os.version, "9.4");
    assert_eq!(template.os.arch, Arch::X86_64);
    assert!(
        matches!(&template.os.install, Install::Url(url) if url.as_str() == "http://127.0.0.1:8000/os/")
    );
    assert_eq!(
        template.os.kernelparam.as_deref(),
        Some("net.ifnames=0 quiet=\"a  b\"")
    );
    assert_eq!(template.os.rootpw.as_ref().unwrap().reveal(), "s3cret");
    assert_eq!(template.release().unwrap().to_string(), "Rocky Linux 9.4");
    let packages: Vec<&str> = template.packages.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(packages, ["vim", "@Development Tools"]);

    let [extra, local] = &template.repositories[..] else {
        panic!("{:?}", template.repositories)
    };
    assert_eq!(
        (extra.signed, extra.persisted, extra.sslverify),
        (false, true, false)
    );
    assert_eq!(extra.url.as_str(), "http://h/$basearch/");
    assert_eq!(
        (local.signed, local.persisted, local.sslverify),
        (true, false, true)
    );
    assert_eq!(local.id(), "local_one");

    let files: Vec<(&str, &Payload)> = template
        .files
        .iter()
        .map(|file| (file.path.as_str(), &file.content))
        .collect();
    assert_eq!(files[0], ("/etc/empty", &Payload::Inline(Vec::new())));
    assert_eq!(files[1], ("/etc/bin", &Payload::Inline(vec![0, 255])));
    assert!(
        matches!(files[2], ("/etc/far", Payload::Remote(url)) if url.as_str() == "https://h/far")
    );
    assert_eq!(
        files[3],
        ("/etc/motd", &Payload::Inline(b"last <wins>".to_vec()))
    );
    assert_eq!(template.warnings.len(), 1, "{}", show(&template.warnings));

    assert_eq!(
        template.precommands[0].script.local_path(Path::new("/dir")),
        Some(PathBuf::from("/dir/./pre.sh"))
    );
    let commands: Vec<(&str, &Payload)> = template
        .commands
        .iter()
        .map(|command| (command.name.as_str(), &command.script))
        .collect();
    assert_eq!(
        commands,
        [
            ("first", &Payload::Inline(b"echo one\n".to_vec())),
            ("second", &Payload::Inline(b"echo two".to_vec())),
        ]
    );
    assert_eq!(template.disks, [Some(20_000_000_000)]);
}

#[test]
fn a_finding_shows_place_line_caret_and_help() {
    let text =
        "<template>\n  <name>a</name>\n  <os>\n    <arch>x86-64</arch>\n  </os>\n</template>";
    let shown = refuse(text);
    assert!(
        shown.contains(
            "error: unknown architecture\n --> t.tdl:4:11\n  |\n4 |     <arch>x86-64</arch>\n  |           ^^^^^^\n  = help: allowed architectures: i386, x86_64"
        ),
        "{shown}"
    );
    // All that is wrong, at once.
    for missing in ["no <name>", "no <version>", "no <install>"] {
        assert!(shown.contains(missing), "{shown}");
    }
}

#[test]
fn structure() {
    for (text, words) in [
        ("<template/>".into(), &["no <name>", "no <os>"][..]),
        (format!("<template>{NAME}</template>"), &["no <os>"]),
        (format!("<template>{OS}</template>"), &["no <name>"]),
        (
            format!("<templ>{NAME}{OS}</templ>"),
            &["root element is <templ>"],
        ),
        (with(NAME), &["a second <name>"]),
        (with(OS), &["a second <os>"]),
        (
            with("<pakages/>"),
            &["unknown element <pakages>", "did you mean `packages`"],
        ),
        (with("text"), &["text stands in <template>"]),
        (
            with("<packages>vim</packages>"),
            &["text stands in <packages>"],
        ),
        (
            with("<files><file name='/a'><b/></file></files>"),
            &["unknown element <b>"],
        ),
        (
            with("<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='a'/>"),
            &["merge them"],
        ),
        (
            with("").replace("<template>", "<template version='2.0'>"),
            &["only version is 1.0"],
        ),
        (
            with("").replace("<template>", "<template version='0.9'>"),
            &["only version is 1.0"],
        ),
        (
            with("").replace("<template>", "<template ver='1.0'>"),
            &["unknown attribute `ver`"],
        ),
        (
            with("").replace("<template>", "<template xmlns='urn:x'>"),
            &["unknown attribute"],
        ),
        (
            format!(
                "<!DOCTYPE template [<!ENTITY a 'b'>]>{}",
                with("<description>&a;</description>")
            ),
            &["DOCTYPE", "t.tdl:1:1"],
        ),
        (with("<description>&a;</description>"), &["unknown entity"]),
        (
            format!("<template>{}</template>", "<os>".repeat(200)),
            &["nested"],
        ),
    ] {
        let shown = refuse(&text);
        for word in words {
            assert!(shown.contains(word), "{word:?} is not in\n{text}\n{shown}");
        }
    }
    for text in [
        with("<packages/><repositories> </repositories><files/><commands/><precommands/>"),
        with("<disk/><description/>"),
        with("<!-- <name>b</name> --><?pi x?>"),
        format!("\u{feff}{}", with("")),
    ] {
        accept(&text);
    }
}

#[test]
fn names_of_guests() {
    for name in [
        "",
        "  ",
        "../../x",
        "/x",
        "a/b",
        ".",
        "..",
        "a\nb",
        "&#9;x&#10;y",
        "a&#x85;b",
    ] {
        let text = format!("<template><name>{name}</name>{OS}</template>");
        let shown = refuse(&text);
        assert!(shown.contains("the name"), "{shown}");
    }
    let long = format!("<template><name>{}</name>{OS}</template>", "x".repeat(201));
    assert!(refuse(&long).contains("more than 200"));
}

#[test]
fn operating_systems() {
    let url = "<install type='url'><url>http://h/</url></install>";
    for (os, words) in [
        (
            format!("<version>9</version><arch>x86_64</arch>{url}"),
            "<os> has no <name>",
        ),
        (
            format!("<name>Rocky</name><arch>x86_64</arch>{url}"),
            "<os> has no <version>",
        ),
        (
            format!("<name>Rocky</name><version>9</version>{url}"),
            "<os> has no <arch>",
        ),
        (
            "<name>Rocky</name><version>9</version><arch>x86_64</arch>".into(),
            "<os> has no <install>",
        ),
        (
            format!("<name/><version>9</version><arch>x86_64</arch>{url}"),
            "<name> is empty",
        ),
        (
            format!("<name>R</name><version>9</version><arch>arm</arch>{url}"),
            "unknown architecture",
        ),
        (
            format!("<name>R</name><version>9</version><arch>x86_64</arch>{url}{url}"),
            "a second <install>",
        ),
        (
            format!("<name>R</name><version>9</version><arch>x86_64</arch>{url}<icicle/>"),
            "<icicle> has no <extra_command>",
        ),
        (
            format!("<name>R</name><version>9</version><arch>x86_64</arch>{url}<rootpw/>"),
            "<rootpw> is empty",
        ),
        (
            format!(
                "<name>R</name><version>9</version><arch>x86_64</arch>{url}<kernelparam>a&#x7f;</kernelparam>"
            ),
            "control character",
        ),
    ] {
        let shown = refuse(&with_os(&os));
        assert!(shown.contains(words), "{shown}");
    }
    // What only other systems have: accepted, with a warning.
    let template = accept(&with_os(&format!(
        "<name>Windows</name><version>2016</version><arch>x86_64</arch>{url}<key>K</key>\
         <icicle><extra_command>rpm -qa</extra_command></icicle>"
    )));
    assert_eq!(template.warnings.len(), 1, "{}", show(&template.warnings));
    assert_eq!(template.os.extra_command.as_deref(), Some("rpm -qa"));
}

#[test]
fn install_sources() {
    for (install, words) in [
        (
            "<install><url>http://h/</url></install>",
            "no attribute `type`",
        ),
        (
            "<install type='foo'><url>http://h/</url></install>",
            "allowed types: url, iso",
        ),
        ("<install type='url'/>", "<install> has no <url>"),
        ("<install type='url'><url/></install>", "<url> is empty"),
        (
            "<install type='url'><url>mirror/os</url></install>",
            "no scheme",
        ),
        (
            "<install type='url'><url>http://</url></install>",
            "does not parse",
        ),
        (
            "<install type='url'><url>http://a b/</url></install>",
            "white space",
        ),
        (
            "<install type='url'><url>gopher://h/</url></install>",
            "scheme `gopher`",
        ),
        (
            "<install type='url'><iso>http://h/</iso></install>",
            "unknown element <iso>",
        ),
        (
            "<install type='url'><url>http://h/</url><iso>http://h/</iso></install>",
            "unknown element <iso>",
        ),
        (
            "<install type='url'><url>http://h/</url><url>file:///h/</url></install>",
            "scheme `file`",
        ),
        (
            "<install type='url'><url>http://h/</url><md5sum>http://h/</md5sum></install>",
            "unknown element <md5sum>",
        ),
        (
            "<install type='url'><url>http://h/</url><extras/></install>",
            "unknown element <extras>",
        ),
        ("<install type='iso'/>", "<install> has no <iso>"),
        (
            "<install type='iso'><url>http://h/</url></install>",
            "unknown element <url>",
        ),
        (
            "<install type='iso'><iso>http://h/</iso><md5sum>http://h/</md5sum><sha1sum>http://h/</sha1sum></install>",
            "a second checksum",
        ),
        (
            "<install type='iso'><iso>http://h/</iso><sha1sum>http://h/</sha1sum><sha256sum>http://h/</sha256sum></install>",
            "a second checksum",
        ),
        (
            "<install type='iso'><iso>http://h/</iso><sha1sum/></install>",
            "<sha1sum> is empty",
        ),
        (
            "<install type='iso'><iso>http://h/</iso><extras/></install>",
            "<extras> is empty",
        ),
        (
            "<install type='iso'><iso>http://h/</iso><extras><file source='http://h/'/></extras></install>",
            "no attribute `destination`",
        ),
        (
            "<install type='iso'><iso>http://h/</iso><extras><directory source='http://h/' destination='/a'/></extras></install>",
            "scheme `http`",
        ),
        (
            "<install type='iso'><iso>http://h/</iso><extras><file source='http://h/' destination='/../a'/></extras></install>",
            "`..`",
        ),
        (
            "<install type='iso'><iso>http://h/</iso><extras><link source='http://h/' destination='/a'/></extras></install>",
            "unknown element <link>",
        ),
    ] {
        let shown = refuse(&with_install(install));
        assert!(shown.contains(words), "{words}\n{shown}");
    }

    let template = accept(&with_install(
        "<install type='iso'><iso>file:///a.iso</iso><sha256sum>http://h/S</sha256sum><extras>\
         <file source='file:///x' destination='/x'/><directory source='ftp://h/d' destination='d'/>\
         </extras></install>",
    ));
    let Install::Iso(iso) = &template.os.install else {
        panic!("{:?}", template.os.install);
    };
    assert!(matches!(&iso.address, IsoAddress::Url(url) if url.as_str() == "file:///a.iso"));
    let (kind, list) = iso.sum.as_ref().unwrap();
    assert_eq!((*kind, list.as_str()), ("sha256", "http://h/S"));
    assert!(template.release().is_ok());
    let warnings = &template.warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.contains("<extras>"), "{warnings:?}");
    for (text, path) in [("a b.iso", "a b.iso"), ("/srv/x.iso", "/srv/x.iso")] {
        let install = format!("<install type='iso'><iso>{text}</iso></install>");
        let Install::Iso(iso) = accept(&with_install(&install)).os.install else {
            panic!("{text}");
        };
        assert_eq!(iso.address, IsoAddress::Path(path.into()));
        assert_eq!(iso.sum, None);
    }
}

#[test]
fn what_the_language_allows_and_ozr_cannot_install() {
    for (text, line, words) in [
        (
            with_install("<install type='iso'><iso>ftp://h/a.iso</iso></install>"),
            1,
            "ftp",
        ),
        (
            with_install(
                "<install type='iso'><iso>a.iso</iso><md5sum>ftp://h/sum</md5sum></install>",
            ),
            1,
            "ftp",
        ),
        (
            with_install("<install type='url'><url>nfs://h/os</url></install>"),
            1,
            "nfs",
        ),
        (
            with("").replace("Rocky-9", "\nWindows"),
            2,
            "does not install `Windows`",
        ),
        (with("").replace("Rocky-9", "Roky-9"), 1, "`Rocky-9`"),
        (with("").replace("9.4", "\n\n8.4"), 3, "contradicts"),
        (
            with("").replace("x86_64", "i386"),
            1,
            "does not exist for i386",
        ),
    ] {
        let template = accept(&text);
        let refused = template.release().expect_err(&text);
        assert_eq!(refused[0].line, line, "{}", show(refused));
        assert!(show(refused).contains(words), "{}", show(refused));
    }
}

#[test]
fn packages() {
    for (package, words) in [
        ("<package/>", "no attribute `name`"),
        ("<package name=''/>", "is empty"),
        ("<package name='a&#10;%end'/>", "control character"),
        ("<package name='%end'/>", "cannot begin"),
        ("<package name='-vim'/>", "cannot begin"),
        (
            "<package name='a'><file/><file/></package>",
            "a second <file>",
        ),
        (
            "<package name='a'><repo/></package>",
            "unknown element <repo>",
        ),
        (
            "<package name='a' version='1'/>",
            "unknown attribute `version`",
        ),
        ("<pkg/>", "unknown element <pkg>"),
    ] {
        let shown = refuse(&with(&format!("<packages>{package}</packages>")));
        assert!(shown.contains(words), "{shown}");
    }
    let template = accept(&with(
        "<packages><package name='a'><arguments>x</arguments><file>f</file><repository>r</repository></package>\
         <package name='b'><file/></package></packages>",
    ));
    assert_eq!(template.packages[0].name, "a");
    assert_eq!(template.warnings.len(), 1, "{}", show(&template.warnings));
}

#[test]
fn repositories() {
    let url = "<url>http://h/</url>";
    for (repository, words) in [
        (
            "<repository name='a'/>".to_string(),
            "<repository> has no <url>",
        ),
        (
            format!("<repository>{url}</repository>"),
            "no attribute `name`",
        ),
        (
            format!("<repository name=''>{url}</repository>"),
            "name of its file",
        ),
        (
            format!("<repository name='../a'>{url}</repository>"),
            "name of its file",
        ),
        (
            format!("<repository name='a]&#10;b'>{url}</repository>"),
            "name of its file",
        ),
        (
            format!("<repository name='a'>{url}{url}</repository>"),
            "a second <url>",
        ),
        (
            format!("<repository name='a'>{url}<signed>foo</signed></repository>"),
            "allowed: yes, no",
        ),
        (
            format!("<repository name='a'>{url}<signed/></repository>"),
            "allowed: yes, no",
        ),
        (
            format!("<repository name='a'>{url}<persisted>1</persisted></repository>"),
            "allowed: yes, no",
        ),
        (
            format!("<repository name='a'>{url}<enabled>yes</enabled></repository>"),
            "unknown element <enabled>",
        ),
        (
            format!(
                "<repository name='a b'>{url}</repository><repository name='a_b'>{url}</repository>"
            ),
            "a_b.repo",
        ),
        (
            "<repository name='a'><url>nfs://h/p</url></repository>".into(),
            "scheme `nfs`",
        ),
    ] {
        let shown = refuse(&with(&format!("<repositories>{repository}</repositories>")));
        assert!(shown.contains(words), "{shown}");
    }
    for host in [
        "localhost",
        "localhost:8080",
        "127.0.0.1",
        "localhost.localdomain:80",
        "[::1]",
    ] {
        let repository = |more: &str| {
            with(&format!(
                "<repositories><repository name='a'><url>http://{host}/r</url>{more}</repository></repositories>"
            ))
        };
        assert!(refuse(&repository("")).contains("<persisted>no</persisted>"));
        assert!(refuse(&repository("<persisted>Yes</persisted>")).contains("this machine"));
        accept(&repository("<persisted>NO</persisted>"));
    }
    let template = accept(&with(&format!(
        "<repositories><repository name='a'>{url}</repository><repository name='b'>{url}</repository>\
         <repository name='a'><url>http://last/</url></repository></repositories>"
    )));
    let urls: Vec<&str> = template
        .repositories
        .iter()
        .map(|r| r.url.as_str())
        .collect();
    assert_eq!(urls, ["http://h/", "http://last/"]);
    assert_eq!(template.warnings.len(), 1);
}

#[test]
fn files() {
    for (file, words) in [
        ("<file>a</file>", "no attribute `name`"),
        ("<file name='a'/>", "not absolute"),
        ("<file name=''/>", "not absolute"),
        ("<file name='/'/>", "directory"),
        ("<file name='/a/'/>", "directory"),
        ("<file name='/a/../etc/passwd'/>", "`..`"),
        ("<file name='/a&#10;b'/>", "control character"),
        ("<file name='/a' type='foo'>b</file>", "allowed types"),
        ("<file name='/a' type=''>b</file>", "allowed types"),
        (
            "<file name='/a' type='base64'>ab-</file>",
            "`-` is not a base64 character",
        ),
        ("<file name='/a' type='base64'>abc</file>", "cut off"),
        ("<file name='/a' type='url'/>", "URL is empty"),
        (
            "<file name='/a' type='url'>ftp://h/a</file>",
            "scheme `ftp`",
        ),
        (
            "<file name='/a' mode='0644'>b</file>",
            "unknown attribute `mode`",
        ),
    ] {
        let shown = refuse(&with(&format!("<files>{file}</files>")));
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    let part = format!("<files><file name='/{}'/></files>", "a".repeat(256));
    assert!(refuse(&with(&part)).contains("longer than Linux allows"));
    let large = format!(
        "<files><file name='/a'>{}</file></files>",
        "a".repeat(MAX_PAYLOAD_BYTES + 1)
    );
    assert!(refuse(&with(&large)).contains("larger than 16 MiB"));

    // The caret is under the bad character.
    let text = with("\n<files><file name='/a' type='base64'>\n  abc-\n</file></files>");
    let error = &parse(&text, "t").unwrap_err()[0];
    assert_eq!((error.line, error.column), (3, 6), "{error}");
}

#[test]
fn commands_and_their_positions() {
    let list = |positions: &[&str]| {
        let commands: String = positions
            .iter()
            .enumerate()
            .map(|(index, position)| format!("<command name='{index}' {position}>x</command>"))
            .collect();
        with(&format!("<commands>{commands}</commands>"))
    };
    for (positions, order) in [
        (&[][..], ""),
        (&["", "", ""], "012"),
        (&["position='3'", "position='1'", "position='2'"], "120"),
        (&["position=' 2 '", "position='01'"], "10"),
    ] {
        let template = accept(&list(positions));
        let names: String = template.commands.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, order);
    }
    for (positions, words) in [
        (&["position='1'", ""][..], "this command has no position"),
        (&["", "position='2'"], "this command has no position"),
        (
            &["position='1'", "position='1'"],
            "another command has this position",
        ),
        (&["position='1'", "position='3'"], "not between 1 and 2"),
        (&["position='2'"], "not between 1 and 1"),
        (&["position='0'", "position='1'"], "not between 1 and 2"),
        (&["position=''"], "not a number"),
        (&["position='-1'"], "not a number"),
        (&["position='one'"], "not a number"),
        (&["position='99999999999999999999999'"], "not between"),
    ] {
        let shown = refuse(&list(positions));
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    for (command, words) in [
        ("<command>x</command>", "no attribute `name`"),
        ("<command name='a'/>", "the command is empty"),
        ("<command name='a'> \n </command>", "the command is empty"),
        (
            "<command name='a' type='base64'></command>",
            "the command is empty",
        ),
        ("<command name='a' type='url'/>", "the command is empty"),
        ("<command name='a' type='foo'>x</command>", "allowed types"),
        (
            "<command name='a' type='base64'>-</command>",
            "not a base64",
        ),
        ("<command name='a&#10;b'>x</command>", "control character"),
        ("<cmd/>", "unknown element <cmd>"),
    ] {
        for parent in ["commands", "precommands"] {
            let shown = refuse(&with(&format!("<{parent}>{command}</{parent}>")));
            assert!(shown.contains(words), "{words}\n{shown}");
        }
    }
    // Names may repeat, and the two lists count for themselves.
    let template = accept(&with(
        "<precommands><command name='a' position='1'>x</command></precommands>\
         <commands><command name='a'>x</command><command name='a'>y</command></commands>",
    ));
    assert_eq!(
        (template.precommands.len(), template.commands.len()),
        (1, 2)
    );
}

#[test]
fn contents_by_url_are_not_fetched() {
    let template = accept(&with(
        "<files><file name='/a' type='url'>file://does/not/exist</file>\
         <file name='/b' type='url'>http://192.0.2.1/never</file></files>",
    ));
    assert_eq!(
        template.files[0].content.local_path(Path::new("/base")),
        Some(PathBuf::from("/base/does/not/exist"))
    );
}

#[test]
fn disks() {
    for (size, bytes) in [
        ("<size/>", None),
        ("<size>0</size>", None),
        ("<size>2EiB</size>", Some(1 << 61)),
    ] {
        assert_eq!(
            accept(&with(&format!("<disk>{size}</disk>"))).disks,
            [bytes]
        );
    }
    let several = "<disk/><disk><size>1T</size></disk><disk><size>5</size></disk>";
    let several = accept(&with(several)).disks;
    assert_eq!(several, [None, Some(1 << 40), Some(5 << 30)]);
    for (size, words) in [
        ("10E", "no known unit"),
        ("T10", "begin with a digit"),
        ("10ZB", "2 EiB"),
        ("3EiB", "2 EiB"),
    ] {
        let shown = refuse(&with(&format!("<disk><size>{size}</size></disk>")));
        assert!(shown.contains(words), "{shown}");
    }
    assert!(refuse(&with("<disk><size unit='G'>1</size></disk>")).contains("unknown attribute"));
}

#[test]
fn secrets_are_not_shown() {
    let os = OS.replace("</os>", "<rootpw>hunter2</rootpw><bogus/></os>");
    let shown = refuse(&format!("<template>{NAME}{os}</template>"));
    assert!(
        shown.contains("<bogus>") && !shown.contains("hunter2"),
        "{shown}"
    );
    let shown = refuse(&format!("<template>{NAME}<rootpw>hunter2&</rootpw>"));
    assert!(!shown.contains("hunter2"), "{shown}");
    let shown = refuse(&with_install(
        "<install type='url'><url>gopher://u:hunter2@h/</url></install>",
    ));
    assert!(
        shown.contains("gopher") && !shown.contains("hunter2"),
        "{shown}"
    );

    let os = OS
        .replace("</os>", "<rootpw>hunter2</rootpw></os>")
        .replace("mirror", "u:hunter2@mirror");
    let more = "<files><file name='/a'>hunter2</file></files>";
    let template = accept(&format!("<template>{NAME}{os}{more}</template>"));
    assert!(!format!("{template:?}").contains("hunter2"));
}

#[test]
fn findings_are_limited() {
    let many = "<x/>".repeat(10_000);
    assert_eq!(parse(&with(&many), "t").unwrap_err().len(), 50);
}

/// Nothing takes quadratic time in the size of the template.
#[test]
fn large_hostile_templates_are_read_at_once() {
    let count = 20_000;
    let files: String = (0..count).map(|n| format!("<file name='/{n}'/>")).collect();
    let template = accept(&with(&format!("<files>{files}</files>")));
    assert_eq!(template.files.len(), count);
    let repositories: String = (0..count)
        .map(|n| format!("<repository name='r{n}'><url>http://h/</url></repository>"))
        .collect();
    let template = accept(&with(&format!(
        "<repositories>{repositories}</repositories>"
    )));
    assert_eq!(template.repositories.len(), count);
    let unknown = format!("{}{}", "<x/>".repeat(count), "<disk/>".repeat(count));
    assert!(parse(&with(&unknown), "t").is_err());
    for text in ["<rootpw ", "<rootpw", "://", "<rootpw>", "&", "<!--"] {
        assert!(parse(&text.repeat(300_000), "t").is_err());
    }
}

#[test]
fn names_stay_in_the_output_directory() {
    for name in [
        "a",
        "rocky-9",
        "My image",
        "..a",
        ".a",
        "ä",
        &"x".repeat(200),
        "a\\b",
    ] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    for (name, part) in [
        ("", "empty"),
        (".", "directory"),
        ("..", "directory"),
        ("../../x", "/"),
        ("/x", "/"),
        ("a/b", "/"),
        ("a\nb", "U+000A"),
        ("a\u{9b}b", "U+009B"),
        (&"x".repeat(201), "201 bytes"),
        (&"ä".repeat(101), "202 bytes"),
    ] {
        let message = check_name(name).unwrap_err();
        assert!(message.contains(part), "{name:?}: {message}");
    }
}

#[test]
fn every_unit_in_bytes() {
    for (text, bytes) in [
        ("10", 10 << 30),
        ("10G", 10 << 30),
        ("10 g", 10 << 30),
        (" 007  T\n", 7 << 40),
        ("1t", 1 << 40),
        ("512b", 512),
        ("3B", 3),
        ("2kb", 2000),
        ("2KiB", 2048),
        ("2MB", 2_000_000),
        ("512M", 512 << 20),
        ("512k", 512 << 10),
        ("2mIb", 2 << 20),
        ("20 GB", 20_000_000_000),
        ("20GiB", 20 << 30),
        ("2TB", 2_000_000_000_000),
        ("2TiB", 2 << 40),
        ("1PB", 1_000_000_000_000_000),
        ("1PiB", 1 << 50),
        ("2EB", 2_000_000_000_000_000_000),
        ("2EiB", 1 << 61),
        ("10240", 10240 << 30),
        ("2305843009213693952b", QCOW2_MAX),
    ] {
        assert_eq!(parse_size(text), Ok(Some(bytes)), "{text}");
    }
    for unset in ["", " \n", "0", "0b", "000 G", "0YB"] {
        assert_eq!(parse_size(unset), Ok(None), "{unset}");
    }
}

#[test]
fn everything_else_is_refused() {
    for text in [
        "10E", "T10", "G", "b", "10p", "10z", "10y", "10i", "10ib", "10Gi", "10XB", "1.5G", "1,5",
        "-1", "+1", "1e3", "10 G B", "10\tG", "10GBB", "0x10", "١٠", "10é",
    ] {
        let message = parse_size(text).unwrap_err();
        assert!(message.contains(text), "{text}: {message}");
    }
    for text in [
        "3EB",
        "3EiB",
        "2305843009213693953b",
        "18446744073709551616b",
        "1ZB",
        "10ZB",
        "1YiB",
        &"9".repeat(1000),
    ] {
        let message = parse_size(text).unwrap_err();
        assert!(
            message.contains("2 EiB") && message.len() < 200,
            "{message}"
        );
    }
}

//! `<os>`: what to install, and from where.

use std::ops::Range;

use super::findings::{Findings, Form, child};
use super::model::{Install, IsoAddress, IsoInstall, Os, SourceUrl};
use super::xml::Element;
use crate::diagnostic::Diagnostic;
use crate::distro::{Arch, Release, ReleaseField};
use crate::secrets::Secret;

/// Reads `<os>`; with it, the release that it names, or why ozr cannot install that.
pub fn read(
    os: &Element,
    findings: &mut Findings<'_>,
) -> Option<(Os, Result<Release, Vec<Diagnostic>>)> {
    let once = [
        "name",
        "version",
        "arch",
        "install",
        "kernelparam",
        "rootpw",
        "key",
        "icicle",
    ];
    findings.check(os, Form::once(&once));
    let name = findings.required_text(os, "name");
    let version = findings.required_text(os, "version");
    let arch = findings.required_text(os, "arch").and_then(|(text, span)| {
        let arch = text.parse::<Arch>().ok();
        if arch.is_none() {
            let known = Arch::names();
            findings.error(
                &span,
                "unknown architecture",
                &format!("allowed architectures: {known}"),
            );
        }
        Some((arch?, span))
    });
    let install = findings
        .required_child(os, "install")
        .and_then(|element| Some((read_install(element, findings)?, element.tag.clone())));
    let mirrors = child(os, "install");
    let mirrors = mirrors.map(|element| read_mirrors(element, findings));
    let mirrors = mirrors.unwrap_or_default();
    let kernelparam = findings
        .text(os, "kernelparam")
        .and_then(|(text, span)| one_line(text, &span, "kernelparam", findings));
    let rootpw = secret(os, "rootpw", findings);
    let key = secret(os, "key", findings);
    let extra_command = child(os, "icicle").and_then(|icicle| {
        findings.check(icicle, Form::once(&["extra_command"]));
        let (command, _) = findings.required_text(icicle, "extra_command")?;
        Some(command.to_string())
    });
    if let Some(unused) = child(os, "key") {
        let why = "only Windows has product keys";
        findings.warn(&unused.tag, "<key> is not used", why);
    }

    let ((name, name_span), (version, version_span)) = (name?, version?);
    let ((arch, arch_span), (install, install_span)) = (arch?, install?);
    let release = release(
        findings,
        (name, &name_span),
        (version, &version_span),
        (arch, &arch_span),
        (&install, &install_span),
    );
    Some((
        Os {
            name: name.to_string(),
            version: version.to_string(),
            arch,
            install,
            mirrors,
            kernelparam,
            rootpw,
            key,
            extra_command,
        },
        release,
    ))
}

/// What ozr can install of what the language can say.
fn release(
    findings: &Findings<'_>,
    (name, name_span): (&str, &Range<usize>),
    (version, version_span): (&str, &Range<usize>),
    (arch, arch_span): (Arch, &Range<usize>),
    (install, install_span): (&Install, &Range<usize>),
) -> Result<Release, Vec<Diagnostic>> {
    let mut refused = Vec::new();
    let release = match Release::from_names(name, version) {
        Ok(release) => {
            if !release.architectures().contains(&arch) {
                let known = release.architectures().iter().map(|arch| arch.name());
                refused.push(findings.finding(
                    arch_span,
                    format!("{release} does not exist for {arch}"),
                    &format!(
                        "its architectures: {}",
                        known.collect::<Vec<_>>().join(", ")
                    ),
                ));
            }
            Some(release)
        }
        Err(error) => {
            let span = match error.field {
                ReleaseField::Name => name_span,
                ReleaseField::Version => version_span,
            };
            refused.push(findings.finding(span, error.message, &error.help));
            None
        }
    };
    for url in install.addresses() {
        let scheme = url.url().scheme();
        if !["http", "https", "file"].contains(&scheme) {
            refused.push(findings.finding(
                install_span,
                format!("ozr cannot fetch from {scheme} addresses"),
                "use the mirror's http, https or file address",
            ));
        }
    }
    match release {
        Some(release) if refused.is_empty() => Ok(release),
        _ => Err(refused),
    }
}

fn read_install(install: &Element, findings: &mut Findings<'_>) -> Option<Install> {
    let (kind, kind_span) = findings.required_attribute(install, "type")?;
    match kind {
        "url" => {
            findings.check(install, Form::many(&["url"]).with(&["type"]));
            let schemes = ["http", "https", "ftp", "file", "nfs"];
            address(install, "url", &schemes, findings).map(Install::Url)
        }
        "iso" => read_iso(install, findings).map(Install::Iso),
        _ => {
            findings.error(
                &kind_span,
                "unknown type of installation",
                "allowed types: url, iso",
            );
            None
        }
    }
}

/// Further addresses of an install tree: mirrors of it.
fn read_mirrors(install: &Element, findings: &mut Findings<'_>) -> Vec<SourceUrl> {
    let is_tree = install
        .attribute("type")
        .is_some_and(|kind| kind.value.trim() == "url");
    let all = install.children.iter().filter(|child| child.name == "url");
    let mut mirrors = Vec::new();
    for url in all.skip(1).filter(|_| is_tree) {
        findings.check(url, Form::TEXT);
        let (text, span) = url.trimmed_text();
        mirrors.extend(checked_address(text, &span, &["http", "https"], findings));
        if mirrors.len() >= MOST_MIRRORS {
            let help = format!("{MOST_MIRRORS} beside the first are enough");
            findings.error(&span, "there are too many <url>s".to_owned(), &help);
            break;
        }
    }
    mirrors
}

/// Most further addresses of a tree: all are asked at once.
const MOST_MIRRORS: usize = 8;

fn read_iso(install: &Element, findings: &mut Findings<'_>) -> Option<IsoInstall> {
    const SCHEMES: &[&str] = &["http", "https", "ftp", "file"];
    const CHECKSUMS: [&str; 3] = ["md5sum", "sha1sum", "sha256sum"];
    let once = ["iso", "md5sum", "sha1sum", "sha256sum", "extras"];
    findings.check(install, Form::once(&once).with(&["type"]));
    let (text, span) = findings.required_text(install, "iso")?;
    let address_of = match text.contains("://") {
        true => checked_address(text, &span, SCHEMES, findings).map(IsoAddress::Url),
        // Oz knows addresses only.
        false if text.contains(char::is_control) => {
            findings.error(
                &span,
                "<iso> holds a control character",
                "write a path or an address on one line",
            );
            None
        }
        false => Some(IsoAddress::Path(text.into())),
    };
    let mut list = None;
    let sums = CHECKSUMS
        .iter()
        .filter_map(|name| Some((*name, child(install, name)?)));
    for (number, (name, sum)) in sums.enumerate() {
        let kind = name.trim_end_matches("sum");
        let url = address(install, &sum.name, SCHEMES, findings);
        list = list.or(url.map(|url| (kind, url)));
        if number > 0 {
            findings.error(
                &sum.tag,
                "a second checksum in <install>",
                "write one of md5sum, sha1sum, sha256sum",
            );
        }
    }
    if let Some(extras) = child(install, "extras") {
        findings.check(extras, Form::many(&["file", "directory"]));
        if extras.children.is_empty() {
            findings.error(
                &extras.tag,
                "<extras> is empty",
                "add <file source=\"...\" destination=\"...\"/> or <directory .../>",
            );
        }
        for extra in &extras.children {
            check_extra(extra, findings);
        }
        let why =
            "ozr attaches the image as it is: put files into the installed system with <files>";
        findings.warn(&extras.tag, "<extras> is not used", why);
    }
    Some(IsoInstall {
        address: address_of?,
        sum: list,
    })
}

fn check_extra(extra: &Element, findings: &mut Findings<'_>) {
    // What each kind can be fetched from (Oz 0.19).
    let schemes: &[&str] = match extra.name.as_str() {
        "file" => &["file", "http", "https", "ftp"],
        "directory" => &["file", "ftp"],
        _ => return,
    };
    findings.check(extra, Form::EMPTY.with(&["source", "destination"]));
    if let Some((source, span)) = findings.required_attribute(extra, "source") {
        checked_address(source, &span, schemes, findings);
    }
    if let Some((destination, span)) = findings.required_attribute(extra, "destination")
        && (destination.is_empty() || destination.split('/').any(|part| part == ".."))
    {
        findings.error(
            &span,
            "the destination is empty or holds `..`",
            "name a path in the ISO image",
        );
    }
}

/// The address in the child `name`, which must be there.
pub fn address(
    element: &Element,
    name: &str,
    schemes: &[&str],
    findings: &mut Findings<'_>,
) -> Option<SourceUrl> {
    let (text, span) = findings.required_text(element, name)?;
    checked_address(text, &span, schemes, findings)
}

fn checked_address(
    text: &str,
    span: &Range<usize>,
    schemes: &[&str],
    findings: &mut Findings<'_>,
) -> Option<SourceUrl> {
    SourceUrl::parse(text, schemes, span)
        .map_err(|message| {
            let forms = schemes.iter().map(|scheme| match *scheme {
                "file" => "file:///path".to_string(),
                scheme => format!("{scheme}://host/path"),
            });
            let help = format!("write {}", forms.collect::<Vec<_>>().join(" or "));
            findings.error(span, message, &help);
        })
        .ok()
}

/// A text for one line: line breaks and tabs become blanks, other control characters are errors.
fn one_line(
    text: &str,
    span: &Range<usize>,
    name: &str,
    findings: &mut Findings<'_>,
) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        findings.error(
            span,
            format!("<{name}> holds a control character"),
            "write printable characters on one line",
        );
        return None;
    }
    // Blanks inside a line stay as they are: a quoted value may need them.
    let lines = text.split(|c: char| c.is_control()).map(str::trim);
    Some(
        lines
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
    )
}

fn secret(os: &Element, name: &str, findings: &mut Findings<'_>) -> Option<Secret> {
    let (text, span) = findings.text(os, name)?;
    if text.is_empty() {
        findings.error(
            &span,
            format!("<{name}> is empty"),
            "fill it in or remove it",
        );
        return None;
    }
    if text.contains(char::is_control) {
        findings.error(
            &span,
            format!("<{name}> holds a control character or a line break"),
            "write it on one line",
        );
        return None;
    }
    Some(Secret::new(text))
}

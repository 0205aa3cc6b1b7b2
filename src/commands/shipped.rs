//! `ozr template` and `ozr kickstart`: what comes with ozr, to start from.

use crate::distro::Release;
use crate::error::{Kind, failed};
use crate::input;
use crate::kickstart::builtin::{self, Builtin};
use crate::tdl::shipped::{self, Shipped};
use crate::ui::printer;

/// Examples of `ozr template`.
pub const TEMPLATE_EXAMPLES: &[(&str, &str)] = &[(
    "ozr template rocky-9 > web.tdl",
    "Begin a template of your own with the one for Rocky Linux 9.",
)];

/// Examples of `ozr kickstart`.
pub const KICKSTART_EXAMPLES: &[(&str, &str)] = &[(
    "ozr kickstart rocky-9 > web.ks",
    "Begin a kickstart of your own with the built-in one for Rocky Linux 9.",
)];

/// `ozr template [NAME]`
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples_of(TEMPLATE_EXAMPLES))]
pub struct TemplateArgs {
    /// Which, such as rocky-9; without it the names are listed
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// `ozr kickstart [NAME]`
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples_of(KICKSTART_EXAMPLES))]
pub struct KickstartArgs {
    /// Which, such as rocky-9; without it the names are listed
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Prints a template that comes with ozr, or the names of all.
///
/// # Errors
/// Input: there is none of this name.
pub fn template(args: &TemplateArgs) -> anyhow::Result<()> {
    printer::print_text(&match &args.name {
        Some(name) => find_template(name)?.text.to_owned(),
        None => list(shipped::all().iter().map(|template| template.name)),
    });
    Ok(())
}

/// Prints a built-in kickstart, or the names of all.
///
/// # Errors
/// Input: there is none of this name.
pub fn kickstart(args: &KickstartArgs) -> anyhow::Result<()> {
    printer::print_text(&match &args.name {
        Some(name) => find_kickstart(name)?.to_start_from(),
        None => list(builtin::all().iter().map(|kickstart| kickstart.name)),
    });
    Ok(())
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("{name}\n")).collect()
}

/// The template of this name.
///
/// # Errors
/// Input: there is none.
pub fn find_template(name: &str) -> anyhow::Result<&'static Shipped> {
    let all = shipped::all();
    let names: Vec<&str> = all.iter().map(|template| template.name).collect();
    find("template", name, &names).map(|at| &all[at])
}

/// The built-in kickstart of this name.
///
/// # Errors
/// Input: there is none.
pub fn find_kickstart(name: &str) -> anyhow::Result<&'static Builtin> {
    let all = builtin::all();
    let names: Vec<&str> = all.iter().map(|kickstart| kickstart.name).collect();
    find("kickstart", name, &names).map(|at| &all[at])
}

/// Where in `names` the one is that somebody means: by its own name, or by any name of a release.
fn find(what: &str, name: &str, names: &[&str]) -> anyhow::Result<usize> {
    let lower = name.to_lowercase();
    let of_release = || {
        let release = Release::from_label(name).ok()?;
        let candidates = release.builtin_kickstart_candidates();
        let own = candidates.first()?;
        names.iter().position(|known| known == own)
    };
    let found = names.iter().position(|known| *known == lower);
    found.or_else(of_release).ok_or_else(|| {
        let near = match input::nearest(&lower, names) {
            Some(near) => format!("did you mean `{near}`? "),
            None => String::new(),
        };
        failed!(
            Kind::Input,
            "there is no {what} `{name}`; {near}`ozr {what}` lists all"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_found_by_the_names_that_they_have() {
        for (name, found) in [
            ("rocky-9", "rocky-9"),
            ("Rocky-9", "rocky-9"),
            ("Rocky-9.4", "rocky-9"),
            ("RHEL9", "rhel-9"),
            ("Fedora 43", "fedora-43"),
        ] {
            assert_eq!(find_template(name).unwrap().name, found);
            assert_eq!(find_kickstart(name).unwrap().name, found);
        }
        for (name, says) in [
            ("rokcy-9", "did you mean `rocky-9`?"),
            ("debian-12", "`ozr template` lists all"),
            ("fedora-42", "did you mean `fedora-43`?"),
        ] {
            let error = find_template(name).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(find_kickstart("fedora").unwrap().name, "fedora");
    }
}

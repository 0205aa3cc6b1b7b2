//! `ozr releases`

use serde::Serialize;

use super::ListFormat;
use crate::distro::{Product, Release};
use crate::language::Version;
use crate::language::table::{Language, Status, Syntax};
use crate::ui::printer;

/// `ozr releases`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How the table is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: ListFormat,
}

/// What is known of a version of the kickstart language.
#[derive(Debug, Serialize)]
struct Row {
    release: String,
    anaconda: Option<u32>,
    products: Vec<String>,
    commands: usize,
    deprecated: usize,
    removed: usize,
    options: usize,
}

/// Prints the table of the releases whose kickstart language is known.
///
/// # Errors
/// None.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let rows = Version::all().map(row).collect::<Vec<_>>();
    let text = match args.format {
        ListFormat::Json => super::json_lines(&rows),
        ListFormat::Human => table(&rows),
    };
    printer::print_text(&text);
    Ok(())
}

fn row(version: Version) -> Row {
    let mut commands: Vec<&Syntax> = Language::of(version)
        .all()
        .filter(|syntax| !syntax.name.starts_with('%'))
        .collect();
    // A command with two names is one command.
    commands.sort_unstable_by_key(|syntax| syntax.name);
    commands.dedup_by_key(|syntax| syntax.name);
    let count = |status| commands.iter().filter(|c| c.status == status).count();
    let options = commands
        .iter()
        .filter(|command| command.status == Status::Active)
        .map(|command| command.options.len());
    Row {
        release: version.to_string(),
        anaconda: Release::from_label(&version.to_string())
            .ok()
            .map(|release| release.generation().anaconda()),
        products: products(version),
        commands: count(Status::Active),
        deprecated: count(Status::Deprecated),
        removed: count(Status::Removed),
        options: options.sum(),
    }
}

fn products(version: Version) -> Vec<String> {
    match version {
        Version::Fedora(number) => vec![format!("{} {number}", Product::Fedora)],
        Version::Rhel(number) => Product::of_rhel(number.into())
            .map(|product| format!("{product} {number}"))
            .collect(),
    }
}

fn table(rows: &[Row]) -> String {
    let head = [
        "RELEASE",
        "ANACONDA",
        "COMMANDS",
        "DEPRECATED",
        "REMOVED",
        "OPTIONS",
        "PRODUCTS",
    ];
    let body = rows.iter().map(|row| {
        let anaconda = row
            .anaconda
            .map_or("-".to_string(), |number| number.to_string());
        let products = if row.products.is_empty() {
            "-".to_string()
        } else {
            row.products.join(", ")
        };
        [
            row.release.clone(),
            anaconda,
            row.commands.to_string(),
            row.deprecated.to_string(),
            row.removed.to_string(),
            row.options.to_string(),
            products,
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head.map(str::to_string))
        .chain(body)
        .collect();
    super::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_tell_what_is_known() {
        let nine = row(Version::Rhel(9));
        assert_eq!((nine.release.as_str(), nine.anaconda), ("RHEL9", Some(34)));
        assert_eq!(
            nine.products,
            [
                "RHEL 9",
                "CentOS Stream 9",
                "Rocky Linux 9",
                "AlmaLinux 9",
                "Oracle Linux 9"
            ]
        );
        assert!(nine.commands > 50 && nine.options > 300, "{nine:?}");
        assert!(nine.removed >= 5, "{nine:?}");
        assert_eq!(row(Version::Fedora(43)).products, ["Fedora 43"]);
        assert_eq!(row(Version::Rhel(11)).anaconda, None);
    }
}

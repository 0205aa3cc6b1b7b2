//! Network cards that a kickstart names.

use super::{Lint, Linter};
use crate::diagnostic::Severity::Warning;
use crate::language::values;

/// KS159.
pub const LINTS: &[Lint] = &[no_such_card];

/// Options of `network` that name cards, with several separated by commas; those of teams have
/// settings behind each name (pykickstart's `network.py`).
const NAMING: [&str; 4] = ["--device", "--bondslaves", "--teamslaves", "--bridgeslaves"];

/// The number of a card that is called by what the kernel itself calls it.
fn number(name: &str) -> Option<usize> {
    let rest = name.trim().strip_prefix("eth")?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest[..digits].parse().ok()
}

fn no_such_card(linter: &mut Linter<'_>) {
    let count = linter.setting.nics;
    if count == 0 {
        return;
    }
    let has = match count {
        1 => "one card".to_owned(),
        more => format!("{more} cards"),
    };
    for entry in linter.running("network") {
        for option in NAMING {
            let names = values::list(entry.arguments().value(option).unwrap_or_default());
            let missing = names
                .into_iter()
                .find(|name| number(name).is_some_and(|number| number >= count));
            if let Some(name) = missing {
                let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next();
                let name = name.unwrap_or_default();
                let message = format!("`network` names the card `{name}`, and the guest has {has}");
                let help =
                    "give the guest one more with a further `--network`, or correct the name";
                linter.at((entry, option), Warning, "KS159", message, help);
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, severity};
    use crate::check::Setting;
    use crate::diagnostic::Severity::Warning;
    use crate::language::Version::Rhel;

    #[test]
    fn cards_are_counted() {
        for (text, cards, expected) in [
            ("network --device=eth1 --bootproto=dhcp\n", 1, Some(Warning)),
            ("network --device=eth1 --bootproto=dhcp\n", 2, None),
            ("network --device=eth0 --bootproto=dhcp\n", 1, None),
            ("network --device=link --bootproto=dhcp\n", 1, None),
            ("network --device=ens3 --bootproto=dhcp\n", 1, None),
            (
                "network --device=bond0 --bondslaves=eth0,eth1\n",
                1,
                Some(Warning),
            ),
            ("network --device=bond0 --bondslaves=eth0,eth1\n", 2, None),
        ] {
            let setting = Setting {
                nics: cards,
                ..Setting::alone(Rhel(9))
            };
            assert_eq!(severity(text, &setting, "KS159"), expected, "{text}");
            assert_eq!(alone(text, Rhel(9), "KS159"), None, "{text}");
        }
    }
}

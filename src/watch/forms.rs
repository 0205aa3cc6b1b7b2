//! The forms with numbers in them: version, packages, download.

use super::read::Signal;

/// Reads the form that a console line's body has.
pub fn read(body: &str) -> Option<Signal> {
    started(body)
        .or_else(|| package(body))
        .or_else(|| download(body))
        .or_else(|| copied(body))
}

/// `anaconda 34.25.7.19-1.el9 for Rocky Linux 9.4 started.` (EL 7 and later, startup_utils.py),
/// `Running anaconda 13.21, the X system installer - please wait.` (EL 6, loader.c).
fn started(body: &str) -> Option<Signal> {
    let named = |version: &str, product: &str| Signal::Started {
        version: version.to_owned(),
        product: product.to_owned(),
    };
    if let Some(rest) = body.strip_prefix("Running anaconda ") {
        let (version, rest) = rest.split_once(", the ")?;
        let (product, _) = rest.split_once(" system installer")?;
        return Some(named(version, product));
    }
    let rest = body.strip_prefix("anaconda ")?;
    let (version, rest) = rest.split_once(" for ")?;
    let product = rest.strip_suffix(" started.")?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| named(version, product.trim_end_matches(" (pre-release)")))
}

/// `Installing NAME.ARCH (3/47)`, `Configuring NAME`, `Verifying NAME.ARCH (3/47)`
/// (transaction_progress.py; EL 7: yumpayload.py).
fn package(body: &str) -> Option<Signal> {
    let (verb, rest) = body.split_once(' ')?;
    let verifying = match verb {
        "Installing" | "Upgrading" => false,
        "Verifying" => true,
        _ => return None,
    };
    let (name, _) = rest.split_once(" (")?;
    let (done, total) = fraction(rest)?;
    (!name.contains(' ')).then(|| Signal::Package {
        done,
        total,
        name: name.to_owned(),
        verifying,
    })
}

/// `Downloading 471 RPMs, 330.8 MiB / 378.27 MiB (87%) done.` (EL 8 and later,
/// download_progress.py).
fn download(body: &str) -> Option<Signal> {
    let at = body.find("Downloading ")?;
    let (packages, rest) = body[at + "Downloading ".len()..].split_once(" RPMs, ")?;
    let (sizes, percent) = rest.split_once(" (")?;
    let (percent, _) = percent.split_once("%)")?;
    let (done, total) = sizes.split_once(" / ").unwrap_or((sizes, ""));
    Some(Signal::Download {
        packages: packages.parse().ok()?,
        percent: a_percent(percent)?,
        bytes: size(done),
        total: size(total),
    })
}

/// `Installing software 42%` (live images, EL 7 and later, livepayload.py),
/// `Receiving objects: 42% (1/2)` (ostree, EL 7 and later, rpmostreepayload.py).
fn copied(body: &str) -> Option<Signal> {
    let rest = body
        .strip_prefix("Installing software ")
        .or_else(|| body.strip_prefix("Receiving objects: "))?;
    let (percent, _) = rest.split_once('%')?;
    Some(Signal::Copied {
        percent: a_percent(percent.trim())?,
    })
}

fn a_percent(text: &str) -> Option<u8> {
    text.parse().ok().filter(|percent| *percent <= 100)
}

/// `330.8 MiB` (blivet's `Size`, EL 8 and later) in bytes.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let factor: f64 = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    // What no disk holds is no size; the rest fits.
    (0.0..1e9)
        .contains(&number)
        .then_some((number * factor) as u64)
}

/// The `(done/total)` in a text.
pub fn fraction(text: &str) -> Option<(u64, u64)> {
    text.match_indices('(').find_map(|(at, _)| {
        let (inside, _) = text[at + 1..].split_once(')')?;
        let (done, total) = inside.split_once('/')?;
        let (done, total) = (done.parse().ok()?, total.parse().ok()?);
        (total > 0 && done <= total).then_some((done, total))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(version: &str, product: &str) -> Signal {
        Signal::Started {
            version: version.to_owned(),
            product: product.to_owned(),
        }
    }

    fn package(name: &str, done: u64, total: u64, verifying: bool) -> Signal {
        Signal::Package {
            done,
            total,
            name: name.to_owned(),
            verifying,
        }
    }

    #[test]
    fn each_form_is_read() {
        for (body, signal) in [
            (
                "anaconda 40.22.3-1.el10 for Rocky Linux 10.0 started.",
                started("40.22.3-1.el10", "Rocky Linux 10.0"),
            ),
            (
                "anaconda 21.48.22-1 for X 7 (pre-release) started.",
                started("21.48.22-1", "X 7"),
            ),
            (
                "Running anaconda 13.21.263, the CentOS system installer - please wait.",
                started("13.21.263", "CentOS"),
            ),
            (
                "Installing bash.x86_64 (2/47)",
                package("bash.x86_64", 2, 47, false),
            ),
            (
                "Verifying bash.x86_64 (2/47)",
                package("bash.x86_64", 2, 47, true),
            ),
            (
                "Downloading 12 RPMs, 3.5 MiB / 7 MiB (50%) done.",
                Signal::Download {
                    packages: 12,
                    percent: 50,
                    bytes: Some(3_670_016),
                    total: Some(7 << 20),
                },
            ),
            ("Installing software 42%", Signal::Copied { percent: 42 }),
            (
                "Receiving objects: 7% (7/100)",
                Signal::Copied { percent: 7 },
            ),
        ] {
            assert_eq!(read(body), Some(signal), "{body:?}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for body in [
            "Installing something we like",
            "Installing a b (1/2)",
            "Installing bash (9/2)",
            "Verifying (1/0)",
            "Downloading 12 RPMs, 3.5 MiB / 7 MiB (150%) done.",
            "Installing software 942%",
            "anaconda for X started.",
        ] {
            assert_eq!(read(body), None, "{body:?}");
        }
    }
}

//! What every image has to have right, read from the overlay of a boot that was shut down.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::denials::{self, AUDIT_LOG};
use super::plan::BootPlan;
use super::report::Check;
use crate::image::look::{Answer, Request, look};
use crate::image::reader::{Image, OWN_PROGRAM};
use crate::options::declared::What;
use crate::packages::version;

/// Where installed kernels are, by their releases.
const KERNELS: &str = "/boot";
const KERNEL: &str = "vmlinuz-";

/// How names of rescue kernels go on; those are not the newest.
const RESCUE: &str = "0-rescue";

/// Most bytes of an audit log that are looked at; auditd begins another at 8 MB.
const MOST_LOG: u64 = 16 << 20;

/// How a system is whose boot is over.
#[derive(Debug)]
pub struct Health {
    /// What was checked.
    pub checks: Vec<Check>,
    /// What SELinux denied and may not.
    pub denials: Vec<String>,
}

/// Checks the overlays of a boot in which the kernel `running` ran, and what is declared of its files.
///
/// # Errors
/// They hold no system that can be read.
pub async fn check(
    images: &[Image<'_>],
    plan: &BootPlan,
    running: Option<&str>,
    journal: &[u8],
) -> anyhow::Result<Health> {
    let program = Path::new(OWN_PROGRAM);
    let log = || Request::Read {
        path: AUDIT_LOG.into(),
        most: MOST_LOG,
    };
    let mut requests = vec![Request::List(KERNELS.into()), log()];
    requests.extend(files(plan).map(|(_, path, _)| Request::Digest(path.clone())));
    let answers = look(program, images, requests).await?;
    let mut answers = answers.into_iter();
    let mut checks = vec![match answers.next() {
        Some(Answer::Entries(entries)) => {
            let names = entries.iter().map(|entry| entry.path.as_str());
            of_kernels(names.filter_map(|name| name.strip_prefix(KERNEL)), running)
        }
        Some(Answer::Unknown(why)) => kernel_check(None, why),
        _ => kernel_check(None, format!("there is no directory {KERNELS}")),
    }];
    let after = content(answers.next());
    let before = match after.is_empty() {
        true => Vec::new(),
        false => {
            let files = plan
                .images()
                .map(File::open)
                .collect::<Result<Vec<_>, _>>()?;
            let keys = images.first().map_or(&[][..], |image| image.keys);
            let looked = look(program, &Image::opened(&files, keys), vec![log()]).await;
            content(looked.ok().and_then(|answers| answers.into_iter().next()))
        }
    };
    checks.extend(files(plan).zip(answers).map(|((name, _, wanted), answer)| {
        let (passed, found) = match answer {
            Answer::Digest(sha256) => (sha256 == wanted, format!("its SHA-256 is {sha256}")),
            Answer::Unknown(why) => (false, why),
            _ => (false, "there is no such file on the disk".to_owned()),
        };
        Check {
            name: name.to_owned(),
            passed: Some(passed),
            found,
        }
    }));
    let patterns = plan.options.allow_denied.iter();
    let allowed: Vec<_> = patterns.map(|pattern| pattern.0.clone()).collect();
    let new = denials::new_of(&after, &before);
    Ok(Health {
        checks,
        denials: denials::find(&[new, journal], &allowed),
    })
}

fn content(answer: Option<Answer>) -> Vec<u8> {
    match answer {
        Some(Answer::Content(content)) => content,
        _ => Vec::new(),
    }
}

/// The files that are declared: the check's name, the path, the digest.
fn files(plan: &BootPlan) -> impl Iterator<Item = (&str, &PathBuf, &str)> {
    let checks = plan.wanted.checks.iter();
    checks.filter_map(|check| match &check.what {
        What::File(path, sha256) => Some((check.name.as_str(), path, sha256.as_str())),
        _ => None,
    })
}

/// What is declared of files, where the disk was not read.
pub fn files_not_read(plan: &BootPlan, why: &str) -> Vec<Check> {
    let checks = files(plan).map(|(name, ..)| Check {
        name: name.to_owned(),
        passed: Some(false),
        found: format!("not looked at: {why}"),
    });
    checks.collect()
}

fn kernel_check(passed: Option<bool>, found: String) -> Check {
    Check {
        name: "the newest kernel runs".to_owned(),
        passed,
        found,
    }
}

fn of_kernels<'a>(installed: impl Iterator<Item = &'a str>, running: Option<&str>) -> Check {
    let installed = installed.filter(|release| !release.starts_with(RESCUE));
    let Some(newest) = installed.max_by(|one, other| version::compare(one, other)) else {
        return kernel_check(None, format!("there is no {KERNEL}* in {KERNELS}"));
    };
    match running {
        None => kernel_check(
            None,
            format!("{newest} is the newest, and the console does not name the one that runs"),
        ),
        Some(running) if running == newest => kernel_check(Some(true), running.to_owned()),
        Some(running) => kernel_check(
            Some(false),
            format!("{running} runs, and {newest} is installed, too"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_must_be_the_newest() {
        let installed = ["5.14.0-70.el9", "5.14.0-427.el9", "0-rescue-abc"];
        for (running, passed) in [
            (Some("5.14.0-427.el9"), Some(true)),
            (Some("5.14.0-70.el9"), Some(false)),
            (None, None),
        ] {
            assert_eq!(of_kernels(installed.into_iter(), running).passed, passed);
        }
        assert_eq!(of_kernels([].into_iter(), Some("1")).passed, None);
    }
}

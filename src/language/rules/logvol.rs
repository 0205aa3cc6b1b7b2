//! LVM logical volumes: `logvol`.

use super::{Call, Rule, contradiction, filesystem, number, unexpected};
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "logvol" => Some(&[
            unexpected,
            resize_of_new,
            filesystem::resize_to_size,
            thin_and_pool,
            thin_in_pool,
            pool_sizes,
            size,
            percentage,
            size_and_percentage,
            cache_on_existing,
            cache_on_thin,
            cache_devices,
            cache_size,
            cache_mode,
            filesystem::options_without_format,
            filesystem::options_and_profile,
            filesystem::key_cost,
            btrfs,
        ]),
        _ => None,
    }
}

/// Only an existing volume can be resized. Since RHEL 7, which has the option.
fn resize_of_new(call: &Call<'_>) -> Option<Problem> {
    if !call.arguments.has("--resize") || filesystem::exists(call) {
        return None;
    }
    let problem = Problem::error(
        id::CONTRADICTION,
        "`--resize` of `logvol` is only for a volume that exists",
    );
    Some(
        problem
            .at(call.arguments.span("--resize"))
            .help("add `--useexisting`, or remove it"),
    )
}

/// A volume is thin, or the pool of thin ones.
fn thin_and_pool(call: &Call<'_>) -> Option<Problem> {
    let both = call.arguments.has("--thin") && call.arguments.has("--thinpool");
    both.then(|| contradiction(call, "--thinpool", "--thin"))
}

/// A thin volume lies in a pool.
fn thin_in_pool(call: &Call<'_>) -> Option<Problem> {
    if !call.arguments.has("--thin") || call.arguments.filled("--poolname").is_some() {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "`--thin` of `logvol` needs the pool that the volume lies in",
    );
    Some(
        problem
            .at(call.arguments.span("--thin"))
            .help("add `--poolname=NAME`"),
    )
}

/// Chunks and metadata are of pools.
fn pool_sizes(call: &Call<'_>) -> Option<Problem> {
    let mut sizes = ["--chunksize", "--metadatasize"].into_iter();
    let size = sizes.find(|size| number(call, size).is_some())?;
    if call.arguments.has("--thinpool") {
        return None;
    }
    let problem = Problem::error(
        id::CONTRADICTION,
        format!("`{size}` of `logvol` is only for pools of thin volumes"),
    );
    Some(
        problem
            .at(call.arguments.span(size))
            .help("add `--thinpool`, or remove it"),
    )
}

/// A new volume has a size, in one of the ways to say it. Since RHEL 7.
fn size(call: &Call<'_>) -> Option<Problem> {
    let numbers = ["--percent", "--size"];
    let flags = ["--recommended", "--hibernation"];
    let given = filesystem::exists(call)
        || numbers.iter().any(|name| number(call, name).is_some())
        || flags.iter().any(|name| call.arguments.has(name));
    if given || !call.version.since(7, 0) {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`logvol` needs a size for a new volume");
    Some(problem.help("add `--size=MIB`, `--percent=N`, `--recommended` or `--hibernation`, or `--useexisting` for one that exists"))
}

/// A share of the group. Since RHEL 7.
fn percentage(call: &Call<'_>) -> Option<Problem> {
    let percent = call.arguments.integer("--percent")?;
    if (0..=100).contains(&percent) || !call.version.since(7, 0) {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!("`--percent` of `logvol` is from 0 to 100, and has {percent}"),
    );
    Some(
        problem
            .at(call.arguments.span("--percent"))
            .help("write a share of the volume group, such as `--percent=50`"),
    )
}

/// A size, or a share. Since RHEL 7.
fn size_and_percentage(call: &Call<'_>) -> Option<Problem> {
    number(call, "--size")?;
    number(call, "--percent")?;
    let since = call.version.since(7, 0);
    since.then(|| contradiction(call, "--size", "--percent"))
}

/// The option that asks for a cache, if one does. Since RHEL 8, which has them.
fn cache<'a>(call: &Call<'_>) -> Option<&'a str> {
    if number(call, "--cachesize").is_some() {
        Some("--cachesize")
    } else if call.arguments.filled("--cachemode").is_some() {
        Some("--cachemode")
    } else if call.arguments.list("--cachepvs").is_empty() {
        None
    } else {
        Some("--cachepvs")
    }
}

/// Only a new volume gets a cache.
fn cache_on_existing(call: &Call<'_>) -> Option<Problem> {
    let option = cache(call)?;
    let problem = Problem::error(
        id::CONTRADICTION,
        format!("`{option}` of `logvol` cannot add a cache to a volume that exists"),
    );
    let problem = problem
        .at(call.arguments.span(option))
        .help("make the volume new, or remove the cache");
    filesystem::exists(call).then_some(problem)
}

/// A thin volume gets no cache.
fn cache_on_thin(call: &Call<'_>) -> Option<Problem> {
    let option = cache(call)?;
    let problem = contradiction(call, "--thin", option);
    call.arguments.has("--thin").then_some(problem)
}

/// A cache lies on devices.
fn cache_devices(call: &Call<'_>) -> Option<Problem> {
    let option = cache(call)?;
    if !call.arguments.list("--cachepvs").is_empty() {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "the cache of a `logvol` needs the fast devices that it lies on",
    );
    Some(
        problem
            .at(call.arguments.span(option))
            .help("add `--cachepvs=pv.02`, for example"),
    )
}

/// A cache has a size.
fn cache_size(call: &Call<'_>) -> Option<Problem> {
    let option = cache(call)?;
    if number(call, "--cachesize").is_some() {
        return None;
    }
    let problem = Problem::error(id::MISSING, "the cache of a `logvol` needs a size");
    Some(
        problem
            .at(call.arguments.span(option))
            .help("add `--cachesize=MIB`"),
    )
}

/// What the cache does with what is written.
fn cache_mode(call: &Call<'_>) -> Option<Problem> {
    let mode = call.arguments.filled("--cachemode")?;
    if ["writeback", "writethrough"].contains(&mode) {
        return None;
    }
    let problem = Problem::error(id::BAD_VALUE, format!("`{mode}` is no mode of a cache"));
    Some(
        problem
            .at(call.arguments.span("--cachemode"))
            .help("write `writeback` or `writethrough`"),
    )
}

/// RHEL has no btrfs since 8.
fn btrfs(call: &Call<'_>) -> Option<Problem> {
    let without = call.version.is_rhel() && call.version.since(8, 0);
    without.then(|| filesystem::btrfs(call)).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn volumes() {
        hold(&[
            ("logvol / --name=a --vgname=b --size=1", "A all"),
            ("logvol / --name=a --vgname=b --size=1 c", "R all"),
            ("logvol / --name=a --vgname=b", "A RHEL6, R RHEL7+ F29+"),
            (
                "logvol / --name=a --vgname=b --size=0",
                "A RHEL6, R RHEL7+ F29+",
            ),
            ("logvol / --name=a --vgname=b --recommended", "A all"),
            ("logvol swap --name=a --vgname=b --hibernation", "A all"),
            ("logvol / --name=a --vgname=b --useexisting", "A all"),
            ("logvol / --name=a --vgname=b --noformat", "A all"),
            ("logvol / --name=a --vgname=b --percent=100", "A all"),
            (
                "logvol / --name=a --vgname=b --percent=101",
                "A RHEL6, R RHEL7+ F29+",
            ),
            (
                "logvol / --name=a --vgname=b --percent=-1",
                "A RHEL6, R RHEL7+ F29+",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --percent=1",
                "A RHEL6, R RHEL7+ F29+",
            ),
            ("logvol / --name=a --vgname=b --size=1 --percent=0", "A all"),
            ("logvol / --name=a --vgname=b --resize --size=1", "R all"),
            (
                "logvol / --name=a --vgname=b --resize --useexisting --size=1",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --resize --noformat --size=1",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --resize --useexisting",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --useexisting --mkfsoptions=a",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --noformat --mkfsoptions=a",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --fsprofile=a --mkfsoptions=a",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --pbkdf-time=1 --pbkdf-iterations=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --fstype=btrfs",
                "A RHEL6-RHEL7 F29+, R RHEL8+",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --fstype=BTRFS",
                "A all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --bytes-per-inode=1",
                "D RHEL6, R RHEL7+ F29+",
            ),
        ]);
    }

    #[test]
    fn thin_volumes() {
        hold(&[
            (
                "logvol none --name=a --vgname=b --thinpool --size=1",
                "A all",
            ),
            (
                "logvol / --name=a --vgname=b --thin --poolname=c --size=1",
                "A all",
            ),
            ("logvol / --name=a --vgname=b --thin --size=1", "R all"),
            (
                "logvol / --name=a --vgname=b --thin --poolname= --size=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --thin --thinpool --poolname=c --size=1",
                "R all",
            ),
            (
                "logvol none --name=a --vgname=b --thinpool --size=1 --chunksize=1 --metadatasize=1",
                "A all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --chunksize=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --metadatasize=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --metadatasize=0",
                "A all",
            ),
        ]);
    }

    #[test]
    fn caches() {
        hold(&[
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1 --cachepvs=c",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1 --cachepvs=c --cachemode=writeback",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1 --cachepvs=c --cachemode=none",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1 --cachepvs=,",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachepvs=c",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachemode=writeback",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=0 --cachepvs=, --cachemode=",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --useexisting --cachesize=1 --cachepvs=c",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --thin --poolname=d --cachesize=1 --cachepvs=c",
                "R all",
            ),
        ]);
    }
}

//! Disks elsewhere and of other kinds: `iscsiname`, `zfcp`, `nvdimm`, `device`, `multipath`.
//! (`iscsi`, `fcoe` and `dmraid` have no rules.)

use super::{Call, Rule, contradiction, number, unexpected};
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "iscsiname" => Some(&[unexpected]),
        "zfcp" => Some(&[lun]),
        "nvdimm" => Some(&[
            unexpected,
            namespace_and_devices,
            needs_namespace,
            needs_sector_size,
            needs_device,
        ]),
        "device" => Some(&[one_module]),
        "multipath" => Some(&[path_in_use]),
        _ => None,
    }
}

/// What a path of a multipath device is noted as.
pub const PATH: &str = "path of a multipath device";

/// A LUN is named by all three, or found by the adapter alone. Since RHEL 8 and Fedora 37; before
/// that all three are required.
fn lun(call: &Call<'_>) -> Option<Problem> {
    let filled = |name: &str| call.arguments.filled(name).is_some();
    let (adapter, port, lun) = (filled("--devnum"), filled("--wwpn"), filled("--fcplun"));
    if !call.version.since(8, 37) || (adapter && port == lun) {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "`zfcp` needs `--devnum` alone, or together with both `--wwpn` and `--fcplun`",
    );
    Some(problem.help("add what is missing, or remove the other"))
}

fn action<'a>(call: &Call<'a>) -> &'a str {
    call.arguments.first().unwrap_or_default()
}

fn has_namespace(call: &Call<'_>) -> bool {
    call.arguments.filled("--namespace").is_some()
}

fn has_devices(call: &Call<'_>) -> bool {
    !call.arguments.list("--blockdevs").is_empty()
}

/// Devices are named in one of two ways.
fn namespace_and_devices(call: &Call<'_>) -> Option<Problem> {
    let both = has_namespace(call) && has_devices(call);
    both.then(|| contradiction(call, "--namespace", "--blockdevs"))
}

/// What is reconfigured is a namespace.
fn needs_namespace(call: &Call<'_>) -> Option<Problem> {
    if action(call) != "reconfigure" || has_namespace(call) {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`nvdimm reconfigure` needs `--namespace`");
    Some(problem.help("add `--namespace=namespace0.0`, for example"))
}

/// The sector mode, which is meant if none is named, needs the size.
fn needs_sector_size(call: &Call<'_>) -> Option<Problem> {
    let sectors = call
        .arguments
        .value("--mode")
        .is_none_or(|mode| mode == "sector");
    let sized = number(call, "--sectorsize").is_some();
    if action(call) != "reconfigure" || !sectors || sized {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "`nvdimm reconfigure` needs `--sectorsize` in the mode `sector`",
    );
    let place = call.arguments.span("--mode");
    Some(
        problem
            .at(place)
            .help("add `--sectorsize=512`, for example"),
    )
}

/// What is used is named.
fn needs_device(call: &Call<'_>) -> Option<Problem> {
    if action(call) != "use" || has_namespace(call) || has_devices(call) {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "`nvdimm use` needs `--namespace` or `--blockdevs`",
    );
    Some(problem.help("add `--namespace=namespace0.0` or `--blockdevs=pmem0`, for example"))
}

/// The only argument is the module. Before RHEL 8, which ignores the command.
fn one_module(call: &Call<'_>) -> Option<Problem> {
    let words = &call.arguments.leftovers;
    if words.len() == 1 {
        return None;
    }
    let (id, message) = if words.is_empty() {
        (id::MISSING, "`device` needs the name of a kernel module")
    } else {
        (
            id::UNEXPECTED,
            "`device` takes the name of one kernel module",
        )
    };
    let place = words.get(1).map(|word| word.span.clone());
    let help = "write `device MODULE --opts=\"OPTIONS\"`";
    Some(Problem::error(id, message).at(place).help(help))
}

/// A path belongs to one device. Before RHEL 8, which ignores the command.
fn path_in_use(call: &Call<'_>) -> Option<Problem> {
    let path = call.arguments.value("--device")?;
    if !call.declared.has(PATH, path) {
        return None;
    }
    let problem = Problem::error(
        id::DUPLICATE,
        format!("`{path}` is a path of a multipath device already"),
    );
    Some(
        problem
            .at(call.arguments.span("--device"))
            .help("remove one of the lines"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn networks() {
        hold(&[
            ("iscsiname iqn.2000-01.a:b", "A all"),
            ("iscsiname a b", "R all"),
            ("iscsi --ipaddr=1\niscsi --ipaddr=1", "A all"),
            ("fcoe --nic=a\nfcoe --nic=a", "D all"),
            ("fcoe --nic=a\nfcoe --nic=b", "A all"),
            ("zfcp --devnum=a", "A RHEL8+ F37+, R RHEL6-RHEL7 F29-F36"),
            ("zfcp --devnum=a --wwpn=b --fcplun=c", "A all"),
            ("zfcp --devnum=a --wwpn=b", "R all"),
            ("zfcp --devnum=a --fcplun=c", "R all"),
            ("zfcp --devnum=", "R all"),
            ("zfcp --devnum=a --wwpn= --fcplun=", "A all"),
            (
                "zfcp --devnum=a --wwpn=b --fcplun=c\nzfcp --devnum=a --wwpn=b --fcplun=c",
                "D all",
            ),
            (
                "zfcp --devnum=a --wwpn=b --fcplun=c\nzfcp --devnum=a --wwpn=b --fcplun=d",
                "A all",
            ),
        ]);
    }

    #[test]
    fn nvdimm() {
        hold(&[
            (
                "nvdimm use --namespace=a",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm use --blockdevs=a",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm use --blockdevs=,",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            ("nvdimm use", "D F40-F44, R RHEL6+ F29-F39 F45+"),
            (
                "nvdimm use --namespace=a --blockdevs=b",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm use --namespace=a b",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a --sectorsize=512",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a --sectorsize=0",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a --mode=memory",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a --mode=sector",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --blockdevs=a --sectorsize=512",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm use --namespace=a\nnvdimm use --namespace=a",
                "D RHEL7-RHEL9 F29-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm use --blockdevs=a,b\nnvdimm use --blockdevs=b",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm use --namespace=a\nnvdimm reconfigure --namespace=a --sectorsize=512",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
        ]);
    }

    #[test]
    fn modules_and_paths() {
        hold(&[
            (
                "device e1000",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "device e1000 --opts=a",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            ("device", "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+"),
            (
                "device scsi e1000",
                "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+",
            ),
            (
                "device e1000\ndevice e1000",
                "D RHEL6-RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "dmraid --name=a --dev=b",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "dmraid --name=/x/a --dev=b\ndmraid --name=a --dev=b",
                "D RHEL6-RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "dmraid --name=a --dev=b --dev=c\ndmraid --name=a --dev=b",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "multipath --name=a --device=b --rule=c",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "multipath --name=a --device=b --rule=c\nmultipath --name=d --device=b --rule=c",
                "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+",
            ),
            (
                "multipath --name=a --device=b --rule=c\nmultipath --name=d --device=e --rule=c",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
        ]);
    }
}

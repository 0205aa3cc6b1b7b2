//! Network interfaces: `network`.

use super::super::Version;
use super::super::problem::{Problem, id};
use super::super::values;
use super::{Call, Rule};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "network" => Some(&[
            interface_name,
            bridge_options_need_ports,
            bridge_options,
            bind_to_mac,
            dns_needs_device,
        ]),
        _ => None,
    }
}

/// The highest number of a VLAN (IEEE 802.1Q has twelve bits for it).
const MAX_VLAN: i64 = 4095;

/// RHEL 7 alone looks at `--interfacename`: behind a dot, or behind `vlan`, stands the number of
/// a VLAN.
fn interface_name(call: &Call<'_>) -> Option<Problem> {
    if call.version != Version::Rhel(7) {
        return None;
    }
    let name = call.arguments.filled("--interfacename")?;
    let refuse = |message: String| {
        Some(
            Problem::error(id::BAD_VALUE, message)
                .at(call.arguments.span("--interfacename"))
                .help("write a name such as `vlan10` or `eth0.10`"),
        )
    };
    let mut vlan = None;
    if let Some((prefix, number)) = name.split_once('.') {
        if prefix == "vlan" {
            return refuse(format!(
                "`{name}` puts a dot behind `vlan`, which RHEL 7 refuses"
            ));
        }
        vlan = values::integer(number);
        if vlan.is_none() {
            return refuse(format!("`{name}` has no VLAN number behind its dot"));
        }
    }
    if let Some(number) = name.strip_prefix("vlan") {
        vlan = values::integer(number);
        if vlan.is_none() {
            return refuse(format!("`{name}` has no VLAN number behind `vlan`"));
        }
    }
    match vlan {
        Some(number) if !(0..=MAX_VLAN).contains(&number) => refuse(format!(
            "the VLAN number of `{name}` is not between 0 and {MAX_VLAN}"
        )),
        _ => None,
    }
}

/// Since RHEL 7, `--bridgeopts` needs `--bridgeslaves`.
fn bridge_options_need_ports(call: &Call<'_>) -> Option<Problem> {
    call.arguments.filled("--bridgeopts")?;
    if call.arguments.filled("--bridgeslaves").is_some() {
        return None;
    }
    Some(
        Problem::error(id::MISSING, "`--bridgeopts` needs `--bridgeslaves`")
            .at(call.arguments.span("--bridgeopts"))
            .help("name the bridge's interfaces with `--bridgeslaves`"),
    )
}

/// Since RHEL 7, `--bridgeopts` is `key=value` pairs between commas.
fn bridge_options(call: &Call<'_>) -> Option<Problem> {
    let options = call.arguments.filled("--bridgeopts")?;
    let pair = |option: &str| {
        let value = option.split_once('=').map_or("", |(_, value)| value);
        !value.is_empty() && !value.contains('=')
    };
    let bad = options.split(',').find(|option| !pair(option))?;
    Some(
        Problem::error(
            id::BAD_VALUE,
            format!("`{bad}` in `--bridgeopts` is not of the form key=value"),
        )
        .at(call.arguments.span("--bridgeopts"))
        .help("write `--bridgeopts=key=value,key=value`"),
    )
}

/// Since RHEL 7, `--bindto=mac` is not for a VLAN that is on no bond.
fn bind_to_mac(call: &Call<'_>) -> Option<Problem> {
    let arguments = call.arguments;
    let bound = arguments.value("--bindto") == Some("mac");
    let vlan = arguments.filled("--vlanid").is_some();
    if !bound || !vlan || arguments.filled("--bondopts").is_some() {
        return None;
    }
    Some(
        Problem::error(
            id::CONTRADICTION,
            "a VLAN cannot be bound to a MAC address: `--bindto=mac` and `--vlanid` contradict each other",
        )
        .at(arguments.span("--bindto"))
        .help("remove `--bindto=mac`"),
    )
}

/// Since RHEL 9 and Fedora 39, the options for name servers need `--device`.
fn dns_needs_device(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.filled("--device").is_some() {
        return None;
    }
    let needing = [
        "--ipv4-dns-search",
        "--ipv6-dns-search",
        "--ipv4-ignore-auto-dns",
        "--ipv6-ignore-auto-dns",
    ];
    let option = super::used(call, &needing).into_iter().next()?;
    Some(
        Problem::error(id::MISSING, format!("`{option}` needs `--device`"))
            .at(call.arguments.span(option))
            .help("name the interface with `--device`"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn network() {
        hold(&[
            (
                "network --device=eth0 --bootproto=dhcp",
                "A RHEL6 RHEL7 RHEL10 F29 F46",
            ),
            ("network --bootproto=auto", "R RHEL6 RHEL10 F46"),
            (
                "network --interfacename=eth0.5",
                "R RHEL6, A RHEL7 RHEL8 F29",
            ),
            ("network --interfacename=vlan.5", "R RHEL7, A RHEL8 F29"),
            ("network --interfacename=eth0.x", "R RHEL7, A RHEL8 F29"),
            ("network --interfacename=vlanx", "R RHEL7, A RHEL8 F29"),
            ("network --interfacename=vlan4095", "A RHEL7 RHEL8"),
            ("network --interfacename=vlan4096", "R RHEL7, A RHEL8"),
            ("network --interfacename=eth0.-1", "R RHEL7, A RHEL8"),
            ("network --interfacename=my-vlan", "A RHEL7"),
            (
                "network --bridgeopts=stp=yes",
                "R RHEL6 RHEL7 RHEL8 F29 F46",
            ),
            (
                "network --bridgeopts=stp=yes --bridgeslaves=",
                "R RHEL7 F46",
            ),
            (
                "network --bridgeopts=a=b,c=d --bridgeslaves=eth0",
                "A RHEL7 RHEL9 F29 F46",
            ),
            (
                "network --bridgeopts=a=b, --bridgeslaves=eth0",
                "R RHEL7 RHEL9 F29 F46",
            ),
            (
                "network --bridgeopts=a=b=c --bridgeslaves=eth0",
                "R RHEL7 RHEL9 F29 F46",
            ),
            (
                "network --bridgeopts= --bridgeslaves=eth0",
                "A RHEL7 RHEL9 F29 F46",
            ),
            (
                "network --bindto=mac --vlanid=5",
                "R RHEL6 RHEL7 RHEL10 F29 F46",
            ),
            (
                "network --bindto=mac --vlanid=5 --bondopts=mode=1",
                "A RHEL7 RHEL10 F29",
            ),
            ("network --bindto=mac", "R RHEL6, A RHEL7 F46"),
            (
                "network --ipv4-dns-search=a.b",
                "R RHEL8 RHEL9 RHEL10 F38 F39 F46",
            ),
            (
                "network --ipv4-dns-search=a.b --device=eth0",
                "R F38, A RHEL8 RHEL9 F39",
            ),
            ("network --ipv6-dns-search=", "A RHEL9 F39"),
            ("network --ipv6-dns-search=a", "R RHEL9 F39"),
            ("network --ipv4-ignore-auto-dns", "R RHEL9 F39"),
            ("network --ipv6-ignore-auto-dns", "R RHEL9 F39"),
            ("network --ipv6-ignore-auto-dns --device=e", "A RHEL9 F39"),
            (
                "network --teamslaves=\"p3p1'{\\\"prio\\\": 5}',p3p2\"",
                "R RHEL6, A RHEL7 RHEL9 F46, D RHEL10",
            ),
        ]);
    }
}

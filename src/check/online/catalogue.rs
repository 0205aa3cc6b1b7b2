//! The rules of the checks that ask the network, each with what `ozr explain` says.

use crate::check::rules::Rule;

/// The rules whose findings say that the mirror cannot be used, though the input may be right.
const OF_THE_MIRROR: [&str; 9] = [
    "KS201", "KS202", "KS203", "KS204", "KS205", "KS206", "KS207", "KS209", "KS213",
];

/// Whether a rule's findings are about the mirror, not about what was written.
pub fn is_of_mirror(id: &str) -> bool {
    OF_THE_MIRROR.contains(&id)
}

/// The rules whose findings may be gone a moment later: a mirror that comes back, or is being
/// synchronised. Another release, another architecture and a refused certificate stay.
const OF_A_MOMENT: [&str; 6] = ["KS201", "KS202", "KS203", "KS204", "KS209", "KS213"];

/// Whether a rule's finding may be gone a moment later.
pub fn may_pass(id: &str) -> bool {
    OF_A_MOMENT.contains(&id)
}

/// The rules, in the order of their ids.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS201",
        title: "an address is dead",
        explanation: "\
The server of this address cannot be reached from here: its name is not known to DNS, it refuses
connections, the connection breaks, or the address is none at all. The installer would stop at it
after minutes, often with nothing but \"error setting up the base repository\".
Check the spelling, host and port. Where only the guest can reach it (`--proxy`, certificates of
its own), this is a warning. If the guest has another network than this host, silence it with
`# ozr: allow KS201`.",
    },
    Rule {
        id: "KS202",
        title: "the server does not give it out",
        explanation: "\
The server answers, but not with what was asked for: 404 (not there), 403 or 401 (not for us), or
5xx (its own trouble). The installer fails on the same answer.
Mirrors drop minor releases when the next one appears and whole releases at their end: those are
in archives (vault, archive). 401 and 403 may mean that a client certificate or a subscription is
needed: see --client-cert.",
    },
    Rule {
        id: "KS203",
        title: "no install tree",
        explanation: "\
There is something at the address, but no install tree: neither `.treeinfo` (or `treeinfo`) nor
kernel and initrd in the usual places, or `.treeinfo` cannot be read, or a file that it names is
missing. Without kernel, initrd and stage 2 there is nothing to boot.
The tree is the directory in which `images` lies: `…/BaseOS/x86_64/os/` since EL 8, and not
AppStream; `…/os/x86_64/` before; `…/Everything/x86_64/os/` or `…/Server/x86_64/os/` of Fedora.",
    },
    Rule {
        id: "KS204",
        title: "no repository",
        explanation: "\
There is no `repodata/repomd.xml` at the address (for OSTree: no `config`), or the metadata that
it names cannot be read or has another checksum. The installer sets up no such repository, and
stops.
The repository is the directory in which `repodata` lies. A wrong checksum mostly means a mirror
that is being updated: try again later, or take another one.",
    },
    Rule {
        id: "KS205",
        title: "another release",
        explanation: "\
The tree or repository is of another release than the template or the kickstart's `#version=`
names. The install would run: the image would have the wrong system in it, or packages that do
not fit each other.
Compared are the version in `.treeinfo` and that of the release package. Another minor release is
a warning: `…/9/` moves on from 9.5 to 9.6.",
    },
    Rule {
        id: "KS206",
        title: "another architecture",
        explanation: "\
The tree or repository is for another processor architecture than the guest. A kernel of another
architecture does not start; packages of another one are not installed.
Take the tree of the guest's architecture, or give the guest that of the tree (`<arch>` in the
template). `$basearch` in a repository's address always fits.",
    },
    Rule {
        id: "KS207",
        title: "a certificate that is not accepted",
        explanation: "\
The server's certificate has expired (or is not valid yet), is signed by nobody whom this host
trusts, is for another name, or the server wants a certificate of ours. The installer refuses the
connection too.
Check the clock. A private authority is named with --cacert; the guest needs it as well:
`--sslcacert`, or let ozr pass the tree on (--relay). `--noverifyssl` turns the check off, and
with it all protection.",
    },
    Rule {
        id: "KS208",
        title: "an address that has moved",
        explanation: "\
The server redirects for good (301, 308): it asks everybody to use the new address from now on.
It works today; such redirects are switched off sooner or later. Redirects for a single request
(302, 307), as mirror networks use them, are no finding.
From a template's tree to another scheme (http to https) ozr does not follow, so that nobody is
sent elsewhere unseen: there it is an error. Write the new address.",
    },
    Rule {
        id: "KS209",
        title: "no answer in time",
        explanation: "\
All addresses are tried at once, and together they get a few seconds. This one did not answer in
that time, or its metadata was not complete. That says little: a slow mirror can serve a whole
install, so this is only a warning.
If it comes again, look for a firewall that drops packets, or take a mirror that is nearer. What
was fetched so far is kept, and the next check goes on from there.",
    },
    Rule {
        id: "KS210",
        title: "a package that does not exist",
        explanation: "\
No repository of this kickstart has a package of this name: not in the tree, its variants, `repo`
lines or the template. The installer asks whether to go on without it, and an unattended install
ends there.
Names change from release to release (`yum-utils`, `python-*`), and many are in repositories that
are not enabled at install time (EPEL, CRB). Correct the name, add the repository, or put
`--ignoremissing` behind %packages.",
    },
    Rule {
        id: "KS211",
        title: "a group or environment that does not exist",
        explanation: "\
No repository of this kickstart has a group (`@name`) or environment (`@^name`) of this id or
name. The installer stops as for a missing package.
The ids are in the repository's comps: `dnf group list --ids` shows them. Environments came with
EL 7; `@base` went with EL 8. Modules (`@name:stream`) are not looked up.",
    },
    Rule {
        id: "KS212",
        title: "names could not be looked up",
        explanation: "\
Packages and groups were not compared with the repositories, because not all of those could be
read: one is dead or slow, is named by something that only the guest knows (`nfs`, `cdrom`,
variables, the installer's own configuration), or comes from an include that was not read.
A name that is missing here may be there, so nothing is said of any name.",
    },
    Rule {
        id: "KS213",
        title: "a mirror list that leads nowhere",
        explanation: "\
The mirror list or metalink can be fetched, but lists no mirror, or none of the first few that it
lists can be used. Mirror lists answer with a sentence instead of addresses when they do not know
the release, repository or architecture that they are asked for.
Check those three in the address. The lists of CentOS 6, 7 and 8 have ended: write the address of
an archive with --baseurl.",
    },
    Rule {
        id: "KS214",
        title: "an address that was not tried",
        explanation: "\
The address could not be tried from here: it holds a placeholder that something else replaces, a
variable whose value is not known, a scheme that ozr does not speak (ftp), or an address that
only a guest can reach (10.0.2.2). This is a note.
Name the release and architecture to have `$releasever` and `$basearch` filled in.",
    },
    Rule {
        id: "KS215",
        title: "an address that only this host gets to",
        explanation: "\
This host reaches the address, the guest does not: it is on this host's loopback, its name is known
to this host's /etc/hosts or search domain only, its certificate is signed by an authority of this
host's own, or it is in the network that the guest has for itself (see --network).
In a kickstart `ozr install` puts an address of its own server in its place. It cannot in texts
that are included, lists of mirrors, addresses with a query, scripts, and with --verbatim or
--relay never. An error where no guest could get there. Write an address that the guest reaches.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::rules::find;

    #[test]
    fn every_rule_is_explained_and_found() {
        for (place, rule_of) in RULES.iter().enumerate() {
            assert_eq!(rule_of.id, format!("KS2{:02}", place + 1));
            assert_eq!(find(rule_of.id), Some(rule_of));
            let lines = rule_of.explanation.lines().count();
            assert!((3..=8).contains(&lines), "{}: {lines} lines", rule_of.id);
            assert!(
                rule_of
                    .explanation
                    .lines()
                    .all(|line| line.chars().count() <= 100)
            );
        }
        assert!(RULES.iter().all(|rule| rule.id != "KS101"));
    }
}

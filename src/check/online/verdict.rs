//! What came of trying an address, in the words of a finding.

use super::references::Role;
use crate::diagnostic::Severity;
use crate::mirror::{Access, Fault};

/// A finding that has no place yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The rule.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence that names the cause; without credentials.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Verdict {
    /// Something that stops the install.
    pub fn error(id: &'static str, message: impl Into<String>, help: &str) -> Verdict {
        Verdict::of(Severity::Error, id, message, help)
    }

    /// Something that is probably not as meant.
    pub fn warning(id: &'static str, message: impl Into<String>, help: &str) -> Verdict {
        Verdict::of(Severity::Warning, id, message, help)
    }

    /// A finding of the given severity. Without a help, `help` is empty.
    pub fn of(
        severity: Severity,
        id: &'static str,
        message: impl Into<String>,
        help: &str,
    ) -> Verdict {
        Verdict {
            id,
            severity,
            message: message.into(),
            help: (!help.is_empty()).then(|| help.to_string()),
        }
    }

    /// Whether it stops the install.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// What a failed request means for an address with that role; nothing where the kickstart has
/// agreed to it.
pub fn of_fault(fault: &Fault, role: Role, access: Access) -> Option<Verdict> {
    let is_certificate = matches!(
        fault,
        Fault::CertificateTime { .. }
            | Fault::UnknownAuthority { .. }
            | Fault::CertificateName { .. }
    );
    if is_certificate && !access.verified {
        return None;
    }
    let mut verdict = describe(fault, role);
    let depends_on_ways = matches!(verdict.id, "KS201" | "KS202" | "KS207");
    if access.own_ways && depends_on_ways && verdict.is_error() {
        verdict.severity = Severity::Warning;
        verdict.help = Some(
            "the guest gets there by a proxy or with certificates of its own, which this host \
             did not use: look whether it can be reached that way"
                .to_string(),
        );
    }
    // A script may fetch it in a case that does not come, or go on without it.
    if role == Role::Download && verdict.is_error() {
        verdict.severity = Severity::Warning;
    }
    Some(verdict)
}

fn describe(fault: &Fault, role: Role) -> Verdict {
    let another = "try again later, or take another mirror";
    let content = match role {
        Role::InstallTree | Role::Source => "KS203",
        Role::Repository | Role::OsTree => "KS204",
        Role::File(_) | Role::Download => "KS202",
    };
    match fault {
        Fault::Dns { url, host } => Verdict::error(
            "KS201",
            format!("the name `{host}` is not known to DNS (for {url})"),
            "check the spelling, and the resolver of this host",
        ),
        Fault::Refused { url, host } => Verdict::error(
            "KS201",
            format!("{host} refuses connections (for {url})"),
            "nothing listens there: check host and port",
        ),
        Fault::Unreachable { url, reason } => Verdict::error(
            "KS201",
            format!("no connection to {url}: {reason}"),
            "check the address, and the network of this host",
        ),
        Fault::Broken { url, reason, .. } => Verdict::error(
            "KS201",
            format!("the connection broke while {url} was asked for: {reason}"),
            another,
        ),
        // Of images that are obtained, not asked for.
        Fault::Implanted { .. }
        | Fault::ListedChecksum { .. }
        | Fault::ShortImage { .. }
        | Fault::NotListed { .. }
        | Fault::Unsigned { .. }
        | Fault::UnsignedRepository { .. }
        | Fault::NoList { .. }
        | Fault::Disc { .. } => Verdict::error(content, fault.to_string(), another),
        Fault::Truncated { url, .. } => Verdict::error(
            "KS201",
            format!("{url} ended before its announced length"),
            another,
        ),
        Fault::Tls { url, reason } => Verdict::error(
            "KS201",
            format!("no TLS connection for {url}: {reason}"),
            "check whether the address is one of https",
        ),
        Fault::Redirects { url, limit } => Verdict::error(
            "KS201",
            format!("{url} redirects more than {limit} times"),
            "the server sends in circles: take another mirror",
        ),
        Fault::Timeout { url, seconds, .. } => no_answer(url, *seconds as f64),
        Fault::CertificateTime { url, host } => Verdict::error(
            "KS207",
            format!("the certificate of {host} has expired or is not valid yet (for {url})"),
            "check this host's clock, or tell the mirror's administrator",
        ),
        Fault::UnknownAuthority { url, host } => Verdict::error(
            "KS207",
            format!("the certificate of {host} is signed by nobody this host trusts (for {url})"),
            "name the signer's certificate with --cacert; the guest must trust it too",
        ),
        Fault::CertificateName { url, host } => Verdict::error(
            "KS207",
            format!("the certificate of {host} is for another name (for {url})"),
            "use the name that the certificate holds",
        ),
        Fault::ClientCertificate { url, host } => Verdict::error(
            "KS207",
            format!("{host} wants a client certificate that it trusts (for {url})"),
            "give one with --client-cert and --client-key; the guest needs one too",
        ),
        Fault::Unauthorized { url } => Verdict::error(
            "KS202",
            format!("the server wants a user name and password for {url} (401)"),
            "write them into the address, or use a client certificate",
        ),
        Fault::Forbidden { url } => Verdict::error(
            "KS202",
            format!("the server does not give out {url} (403)"),
            "check the address, and whether it needs a client certificate or subscription",
        ),
        Fault::NotFound { url } => Verdict::error(
            "KS202",
            format!("there is no {url} (404)"),
            "check the address; old releases move to archives such as a vault",
        ),
        Fault::Status { url, status } => Verdict::error(
            "KS202",
            format!("the server answers {status} for {url}"),
            "check the address",
        ),
        Fault::Server { url, status, .. } => Verdict::error(
            "KS202",
            format!("the server answers {status} for {url}"),
            another,
        ),
        Fault::Redirect { from, to, reason } => Verdict::error(
            "KS208",
            format!("{from} redirects to {to}, which is not followed"),
            reason,
        ),
        Fault::TreeInfo { url, finding } => Verdict::error(
            "KS203",
            format!(
                "{url} cannot be read: line {}: {}",
                finding.line, finding.message
            ),
            "take another mirror, or tell who made the tree",
        ),
        // Each names its file and its remedy.
        Fault::WebPage { .. }
        | Fault::WrongContent { .. }
        | Fault::TooLarge { .. }
        | Fault::Packed { .. }
        | Fault::Changed { .. }
        | Fault::Metadata { .. }
        | Fault::Outdated { .. }
        | Fault::Checksum { .. } => Verdict::error(content, fault.to_string(), ""),
        Fault::Slow { .. } | Fault::TooLong { .. } => {
            Verdict::warning("KS209", fault.to_string(), "")
        }
        Fault::Outside { .. } => Verdict::error("KS216", fault.to_string(), ""),
        Fault::Proxy { .. }
        | Fault::ProxyAuthorization { .. }
        | Fault::Address { .. }
        | Fault::DiskFull { .. }
        | Fault::Offline { .. }
        | Fault::NotLocked { .. }
        | Fault::Local { .. } => Verdict::error("KS201", fault.to_string(), ""),
    }
}

/// Something did not answer in time, which a slow mirror may do and still serve an install.
pub fn no_answer(what: &str, seconds: f64) -> Verdict {
    Verdict::warning(
        "KS209",
        format!("{what} did not answer within {seconds} s"),
        "check the address; if it is right, the mirror is slow or a firewall drops the request",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expired() -> Fault {
        Fault::CertificateTime {
            url: "https://m/".to_string(),
            host: "m".to_string(),
        }
    }

    #[test]
    fn what_the_kickstart_agreed_to_is_no_finding() {
        let access = Access {
            verified: false,
            ..Access::PLAIN
        };
        assert_eq!(of_fault(&expired(), Role::Repository, access), None);
        let strict = of_fault(&expired(), Role::Repository, Access::PLAIN).unwrap();
        assert_eq!((strict.id, strict.severity), ("KS207", Severity::Error));
    }

    #[test]
    fn what_a_script_fetches_is_only_a_warning() {
        let missing = Fault::NotFound {
            url: "http://m/a".to_string(),
        };
        let of = |role| of_fault(&missing, role, Access::PLAIN).unwrap().severity;
        assert_eq!(of(Role::Download), Severity::Warning);
        assert_eq!(of(Role::File("an image")), Severity::Error);
    }

    #[test]
    fn ways_that_only_the_guest_has_make_it_a_warning() {
        let access = Access {
            own_ways: true,
            ..Access::PLAIN
        };
        let verdict = of_fault(&expired(), Role::Source, access).unwrap();
        assert_eq!(verdict.severity, Severity::Warning);
        let web_page = Fault::WebPage {
            url: "http://m/".to_string(),
            what: "a repomd.xml",
        };
        let verdict = of_fault(&web_page, Role::Source, access).unwrap();
        assert_eq!((verdict.id, verdict.severity), ("KS203", Severity::Error));
    }
}

//! What boot loaders read: which kernel, with which words.

use anyhow::{Result, ensure};
use url::Url;

use super::files::{INITRD, KERNEL};
use super::job::IMAGE_WORD;

/// Seconds in which a person at the machine can stop it.
const TIMEOUT: u32 = 5;

/// What the kernel is always told: what is on the disks is not put together, which would hold them
/// (dracut.cmdline(7)); no splash screen hides what is said.
const WORDS: &str =
    "quiet rd.plymouth=0 plymouth.enable=0 rd.lvm=0 rd.md=0 rd.dm=0 rd.luks=0 rd.multipath=0";

/// What brings the network up in the initramfs.
const NETWORK: &str = "rd.neednet=1 ip=dhcp";

/// Characters that mean something to GRUB, iPXE or the kernel in the middle of a word.
const SPECIAL: &str = "\"'\\$;|&<>{}#`";

/// Refuses words that a boot loader would read as something else.
///
/// # Errors
/// It is named.
pub fn check_words(option: &str, words: &str) -> Result<()> {
    let wrong = words
        .chars()
        .find(|c| SPECIAL.contains(*c) || c.is_control());
    ensure!(
        wrong.is_none(),
        "{option}: the boot loader would take {:?} for its own: leave it out, or write the boot loader's configuration yourself",
        wrong.unwrap_or_default()
    );
    Ok(())
}

/// The kernel's words: those of every medium, the address if the image has one, those of the user.
pub fn arguments(address: Option<&str>, append: &str) -> String {
    let mut words = WORDS.to_owned();
    if let Some(address) = address {
        words.push_str(&format!(" {NETWORK} {IMAGE_WORD}{address}"));
    }
    if !append.is_empty() {
        words.push_str(&format!(" {append}"));
    }
    words
}

/// What GRUB begins with that is made here: it looks for the disc of that label.
pub fn begin_on_disc(label: &str) -> String {
    format!("search --no-floppy --set=root --label {label}\nset prefix=($root)/boot/grub\n")
}

/// What GRUB begins with that is made here and came over the network: its configuration lies beside it. GRUB
/// 2.06 does not know where it is when UEFI has fetched it by HTTP: it brings the network up itself then.
pub fn begin_on_network(address: &Url) -> String {
    let mut begin = "set prefix=$cmdpath\nconfigfile $cmdpath/grub.cfg\n".to_owned();
    if let (Some(host), "http") = (address.host_str(), address.scheme()) {
        let port = address
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        let path = address.path().trim_end_matches('/');
        begin.push_str(&format!(
            "net_bootp\nset prefix=(http,{host}{port}){path}\nconfigfile $prefix/grub.cfg\n"
        ));
    }
    begin
}

/// GRUB's configuration.
#[derive(Debug)]
pub struct Menu<'a> {
    /// What is written, for people.
    pub title: &'a str,
    /// The disc's label; from the network files lie beside GRUB.
    pub label: Option<&'a str>,
    /// The kernel's words.
    pub arguments: &'a str,
    /// Whether GRUB's commands that start a kernel have the names of RHEL's UEFI builds up to 9.
    pub efi_commands: bool,
}

impl Menu<'_> {
    /// Its text.
    pub fn text(&self) -> String {
        let (search, place) = match self.label {
            Some(label) => (
                format!("search --no-floppy --set=root --label {label}\n"),
                String::new(),
            ),
            // Where this text is, for entries, too, which see what is exported only.
            None => (
                "set place=$config_directory\n\
                 if [ -z \"$place\" ]; then\n    set place=$prefix\nfi\nexport place\n"
                    .to_owned(),
                "$place".to_owned(),
            ),
        };
        let (linux, initrd) = match self.efi_commands {
            true => ("linuxefi", "initrdefi"),
            false => ("linux", "initrd"),
        };
        let plain = |c: &char| !SPECIAL.contains(*c) && !c.is_control();
        let title: String = self.title.chars().filter(plain).collect();
        let arguments = self.arguments;
        format!(
            "set default=0\nset timeout={TIMEOUT}\n{search}\
             menuentry 'Put {title} on this machine' {{\n    \
             {linux} {place}/{KERNEL} {arguments}\n    \
             {initrd} {place}/{INITRD}\n}}\n\
             menuentry 'Leave this machine as it is' {{\n    exit\n}}\n"
        )
    }
}

/// iPXE's script; its addresses are relative to its own.
pub fn ipxe(arguments: &str) -> String {
    format!("#!ipxe\nkernel {KERNEL} initrd={INITRD} {arguments}\ninitrd {INITRD}\nboot\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grub_starts_the_kernel_from_where_it_came() {
        let menu = |label, efi_commands| Menu {
            title: "web's {1}",
            label,
            arguments: "quiet a=b",
            efi_commands,
        };
        let disc = menu(Some("OZR_1"), false).text();
        assert!(disc.contains("--label OZR_1\n"), "{disc}");
        assert!(disc.contains("'Put webs 1 on this machine'"), "{disc}");
        assert!(disc.contains("    linux /vmlinuz quiet a=b\n    initrd /initrd.img\n"));
        let network = menu(None, true).text();
        assert!(network.contains("    linuxefi $place/vmlinuz quiet a=b\n"));
        assert!(!network.contains("search"), "{network}");
        let begin = |address: &str| begin_on_network(&Url::parse(address).unwrap());
        let begin = (begin("http://h:81/a/b/"), begin("https://h/a"));
        assert!(begin.0.contains("\nset prefix=(http,h:81)/a/b\n"));
        assert!(!begin.1.contains("net_bootp"));
        let script = ipxe("quiet");
        assert!(script.starts_with("#!ipxe\nkernel vmlinuz initrd=initrd.img quiet\n"));
    }

    #[test]
    fn words_are_the_kernels_alone() {
        check_words("--append", "console=ttyS0,115200n8 ip=[fd00::1]").unwrap();
        for words in ["a;b", "a'b", "$x", "a\nb"] {
            check_words("--append", words).unwrap_err();
        }
        let words = arguments(Some("http://h/i"), "a");
        assert!(words.ends_with("rd.neednet=1 ip=dhcp ozr.image=http://h/i a"));
        assert!(!arguments(None, "").contains("neednet"));
    }
}

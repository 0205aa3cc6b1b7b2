//! Another host with libvirt, behind an ssh daemon: in namespaces of this one, with a network, a mount tree and processes
//! of its own, and a link to it that can be cut.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::site::set_mode;
use super::tls::Authority;

/// Longest wait for the other host to be there: libvirtd asks QEMU what it can do.
const PATIENCE: Duration = Duration::from_secs(240);

/// Programs that it is made of, where Debian and Fedora have them.
const PROGRAMS: [&str; 4] = ["sshd", "libvirtd", "virtlogd", "ip"];

/// What the other host does first, in its namespaces: `DIR` is ours, `FAR` its address, `LINK` its end of the link.
const BOOT: &str = r#"
set -eu
mount --make-rprivate /
ip link set lo up
until ip link show "$LINK" >/dev/null 2>&1; do sleep 0.05; done
ip address add "$FAR/30" dev "$LINK"
ip link set "$LINK" up
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd /run/lock /run/libvirt
for place in lib log cache; do
    mkdir -p "$DIR/$place"
    mount --bind "$DIR/$place" /var/$place/libvirt
done
mkdir -p /var/lib/libvirt/images /var/lib/libvirt/qemu
cp -a /etc/libvirt "$DIR/etc"
rm -rf "$DIR/etc/storage"
mount --bind "$DIR/etc" /etc/libvirt
for kind in ca cert key; do
    file=server$kind.pem
    [ "$kind" != ca ] || file=cacert.pem
    echo "${kind}_file = \"$DIR/pki/$file\"" >> /etc/libvirt/libvirtd.conf
done
virtlogd -d
libvirtd --listen -d
exec "$(command -v sshd)" -D -f /dev/null -h "$DIR/host-key" -E "$DIR/sshd.log" -o ListenAddress="$FAR" \
    -o AuthorizedKeysFile="$DIR/key.pub" -o StrictModes=no -o PermitRootLogin=prohibit-password -o PidFile=none
"#;

/// The other host; it goes with this value, and with this process.
pub struct Far {
    dir: tempfile::TempDir,
    /// The first of its processes is its only child.
    unshare: Child,
    link: String,
    address: String,
}

impl Far {
    /// Starts it; none, and says why, where it cannot be.
    pub fn start() -> Option<Far> {
        if !super::is_root() {
            return None;
        }
        let sbin = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
        let there = |name: &str| sbin.iter().any(|dir| Path::new(dir).join(name).is_file());
        if let Some(missing) = PROGRAMS.iter().find(|name| !there(name)) {
            // Where `scripts/install-deps` has installed it.
            assert!(std::env::var_os("CI").is_none(), "there is no {missing}");
            eprintln!("skipped: there is no {missing} for another host in namespaces");
            return None;
        }
        let namespaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc"];
        let mut probe = Command::new("unshare");
        let probe = probe.args(namespaces).arg("true").output().unwrap();
        if !probe.status.success() {
            let why = String::from_utf8_lossy(&probe.stderr).into_owned();
            eprintln!("skipped: there can be no namespaces here: {why}");
            return None;
        }
        let number = std::process::id();
        // RFC 2544's network, which leads nowhere else.
        let network = format!("198.18.{}", number % 251);
        let (near, address) = (format!("{network}.1"), format!("{network}.2"));
        let (link, end) = (format!("ozrn{number}"), format!("ozrf{number}"));
        ip(&["link", "add", &link, "type", "veth", "peer", "name", &end])?;
        let dir = tempfile::Builder::new()
            .prefix("ozr-far-")
            .tempdir_in("/var/tmp")
            .unwrap();
        // QEMU's own user passes through.
        set_mode(dir.path(), 0o755);
        for key in ["host-key", "key"] {
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.path().join(key))
                .status();
            assert!(status.unwrap().success());
        }
        write_certificates(&dir.path().join("pki"), &address);
        let out = std::fs::File::create(dir.path().join("boot.log")).unwrap();
        let unshare = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--kill-child"])
            .args(namespaces)
            .args(["sh", "-c", BOOT])
            .env("DIR", dir.path())
            .env("FAR", &address)
            .env("LINK", &end)
            .env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let far = Far {
            dir,
            unshare,
            link,
            address,
        };
        far.connect(&near, &end);
        Some(far)
    }

    fn connect(&self, near: &str, end: &str) {
        let deadline = Instant::now() + PATIENCE;
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", self.unshare.id());
        while std::fs::read_link(&theirs).unwrap() == ours {
            assert!(Instant::now() < deadline, "no namespace");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let there = self.unshare.id().to_string();
        ip(&["link", "set", end, "netns", &there]).unwrap();
        ip(&["address", "add", &format!("{near}/30"), "dev", &self.link]).unwrap();
        self.mend();
        self.write_ssh();
        while !self.ssh("virsh -c qemu:///system version").1 {
            let boot = std::fs::read_to_string(self.dir.path().join("boot.log")).unwrap();
            assert!(Instant::now() < deadline, "no other host: {boot}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
        self.virsh("pool-create-as default dir --target /var/lib/libvirt/images");
    }

    /// ssh as a user's configuration would have it: libvirt and ozr are told of it by the connection's `command`.
    fn write_ssh(&self) {
        use std::os::unix::fs::PermissionsExt;
        let dir = self.dir.path().display();
        let text = format!(
            "#!/bin/sh\nexec ssh -F /dev/null -i {dir}/key -o UserKnownHostsFile={dir}/known -o StrictHostKeyChecking=accept-new -o ConnectTimeout=10 \"$@\"\n"
        );
        let path = self.dir.path().join("ssh");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Its connection.
    pub fn uri(&self) -> String {
        let ssh = self.dir.path().join("ssh");
        format!(
            "qemu+ssh://root@{}/system?command={}",
            self.address,
            ssh.display()
        )
    }

    /// The same by TLS, with a client's certificate.
    pub fn uri_by_tls(&self) -> String {
        let pki = self.dir.path().join("pki");
        format!(
            "qemu+tls://{}/system?pkipath={}",
            self.address,
            pki.display()
        )
    }

    /// Cuts the link.
    pub fn cut(&self) {
        ip(&["link", "set", &self.link, "down"]).unwrap();
    }

    /// Mends it.
    pub fn mend(&self) {
        ip(&["link", "set", &self.link, "up"]).unwrap();
    }

    /// Runs a command there: what it says, and whether it succeeded.
    fn ssh(&self, command: &str) -> (String, bool) {
        let ssh = self.dir.path().join("ssh");
        let output = Command::new(ssh)
            .args(["-o", "BatchMode=yes", "-T"])
            .arg(format!("root@{}", self.address))
            .arg(command)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (said, output.status.success())
    }

    /// `virsh` there; its output.
    pub fn virsh(&self, arguments: &str) -> String {
        let (said, done) = self.ssh(&format!("virsh -q -c qemu:///system {arguments}"));
        assert!(done, "virsh {arguments}: {said}");
        said
    }

    /// The files in its pool.
    pub fn volumes(&self) -> Vec<String> {
        let images: PathBuf = self.dir.path().join("lib/images");
        let entries = std::fs::read_dir(images).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// Its guests.
    pub fn guests(&self) -> String {
        self.virsh("list --all --name").trim().to_owned()
    }

    /// Waits until none of its guests is there.
    pub fn wait_for_no_guest(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.guests().is_empty() {
            assert!(Instant::now() < deadline, "{} is left", self.guests());
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // With it goes the first process of its namespace, and all others with that.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let _ = ip(&["link", "delete", &self.link]);
    }
}

/// Certificates by libvirt's names for them, of the server at `address` and of a client.
fn write_certificates(dir: &Path, address: &str) {
    let authority = Authority::new("another host's");
    let (server, client) = (authority.server(address, false), authority.client());
    std::fs::create_dir(dir).unwrap();
    for (name, text) in [
        ("cacert", &authority.pem),
        ("servercert", &server.pem),
        ("serverkey", &server.key_pem),
        ("clientcert", &client.pem),
        ("clientkey", &client.key_pem),
    ] {
        std::fs::write(dir.join(name).with_extension("pem"), text).unwrap();
    }
}

/// Runs `ip`; none, and says why, if it may not.
fn ip(arguments: &[&str]) -> Option<()> {
    let output = Command::new("ip").args(arguments).output().unwrap();
    if output.status.success() {
        return Some(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    eprintln!("skipped: ip {arguments:?}: {why}");
    None
}

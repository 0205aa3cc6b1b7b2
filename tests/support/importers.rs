/// Which importer takes which file that `ozr convert --name i` makes.
pub const TAKEN: [(&str, &str); 14] = [
    ("azure", "i.vhd"),
    ("gcp", "i.tar.gz"),
    ("aws", "i.raw"),
    ("aws", "i.vmdk"),
    ("vmware", "i.vmdk"),
    ("vmware", "i.ova"),
    ("ovirt", "i.ovirt.ova"),
    ("vagrant", "i.libvirt.box"),
    ("vagrant", "i.virtualbox.box"),
    ("vagrant", "i.vmware.box"),
    ("vagrant", "i.hyperv.box"),
    ("kubevirt", "i.containerdisk.tar"),
    ("kubevirt", "i.qcow2"),
    ("kubevirt", "i.raw"),
];

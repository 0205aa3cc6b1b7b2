//! OVF 1 descriptors (DMTF DSP0243 1.1), each as its importer wants it.
//!
//! VMware's is what image-builder's and open-vmdk's `template-hw20.ovf` have; VirtualBox's what it
//! exports itself; oVirt's what `OvfOvaReader` of its engine reads, as Oracle's `mk-envelope.py`
//! writes it.

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use super::hardware::Hardware;

/// The disk of an appliance.
#[derive(Debug, Clone)]
pub struct Disk<'a> {
    /// Its file in the archive.
    pub file: &'a str,
    /// The length of that in bytes.
    pub size: u64,
    /// The size that the guest sees, in bytes.
    pub capacity: u64,
    /// How much of it holds data, in bytes.
    pub populated: u64,
    /// Its UUID.
    pub uuid: &'a str,
}

const ENVELOPE: &str = "http://schemas.dmtf.org/ovf/envelope/1";
const RASD: &str =
    "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData";
const VSSD: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData";
const STREAM_OPTIMIZED: &str =
    "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// A text as XML holds it.
fn escaped(text: impl Display) -> String {
    quick_xml::escape::escape(text.to_string()).into_owned()
}

/// An item of hardware: elements of CIM in the alphabetical order that its schema has.
fn item(attributes: &str, elements: &[(&str, &str)], extra: &str) -> String {
    let elements: String = elements
        .iter()
        .map(|(name, value)| format!("        <rasd:{name}>{}</rasd:{name}>\n", escaped(value)))
        .collect();
    format!("      <Item{attributes}>\n{elements}{extra}      </Item>\n")
}

/// Processors and memory.
fn processors_and_memory(hardware: &Hardware) -> String {
    let (vcpus, memory) = (hardware.vcpus.to_string(), hardware.memory_mib.to_string());
    let processors = item(
        "",
        &[
            ("AllocationUnits", "hertz * 10^6"),
            ("Description", "Number of Virtual CPUs"),
            ("ElementName", &format!("{vcpus} virtual CPU(s)")),
            ("InstanceID", "1"),
            ("ResourceType", "3"),
            ("VirtualQuantity", &vcpus),
        ],
        "",
    );
    let memory = item(
        "",
        &[
            ("AllocationUnits", "byte * 2^20"),
            ("Description", "Memory Size"),
            ("ElementName", &format!("{memory} MB of memory")),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", &memory),
        ],
        "",
    );
    processors + &memory
}

fn config(key: &str, value: impl Display) -> String {
    format!("<vmw:Config ovf:required=\"false\" vmw:key=\"{key}\" vmw:value=\"{value}\"/>\n")
}

/// vSphere's: a paravirtual disk controller's place is taken by LSI Logic's, as each kernel of the
/// family that has not VMware's own finds it; VMXNET3.
pub fn vmware(name: &str, hardware: &Hardware, disks: &[Disk<'_>]) -> String {
    let name = escaped(name);
    let (mut files, mut sections, mut drives) = (String::new(), String::new(), String::new());
    for (disk, number) in disks.iter().zip(1_u32..) {
        let (file, size) = (escaped(disk.file), disk.size);
        let _ = writeln!(
            files,
            r#"    <File ovf:href="{file}" ovf:id="file{number}" ovf:size="{size}"/>"#
        );
        let (capacity, populated) = (disk.capacity, disk.populated);
        let _ = writeln!(
            sections,
            r#"    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk{number}" ovf:fileRef="file{number}" ovf:format="{STREAM_OPTIMIZED}" ovf:populatedSize="{populated}"/>"#
        );
        // The controller itself is at 7. The others' numbers stand behind those of all else.
        let address = if number <= 7 { number - 1 } else { number };
        let instance = if number == 1 { 4 } else { 5 + number };
        drives += &item(
            "",
            &[
                ("AddressOnParent", &address.to_string()),
                ("ElementName", &format!("Hard disk {number}")),
                ("HostResource", &format!("ovf:/disk/vmdisk{number}")),
                ("InstanceID", &instance.to_string()),
                ("Parent", "3"),
                ("ResourceType", "17"),
            ],
            "",
        );
    }
    let controller = item(
        "",
        &[
            ("Address", "0"),
            ("Description", "SCSI Controller"),
            ("ElementName", "SCSI Controller 0"),
            ("InstanceID", "3"),
            ("ResourceSubType", "VirtualSCSI"),
            ("ResourceType", "6"),
        ],
        "",
    );
    let nic = item(
        "",
        &[
            ("AddressOnParent", "7"),
            ("AutomaticAllocation", "true"),
            ("Connection", "VM Network"),
            ("Description", "VmxNet3 ethernet adapter"),
            ("ElementName", "Network adapter 1"),
            ("InstanceID", "5"),
            ("ResourceSubType", "VmxNet3"),
            ("ResourceType", "10"),
        ],
        "",
    );
    let video = item(
        " ovf:required=\"false\"",
        &[
            ("AutomaticAllocation", "false"),
            ("ElementName", "Video card"),
            ("InstanceID", "6"),
            ("ResourceType", "24"),
        ],
        "",
    );
    let firmware = if hardware.is_uefi() { "efi" } else { "bios" };
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="{ENVELOPE}" xmlns:ovf="{ENVELOPE}" xmlns:rasd="{RASD}" xmlns:vssd="{VSSD}" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
{files}  </References>
  <DiskSection>
    <Info>Virtual disk information</Info>
{sections}  </DiskSection>
  <NetworkSection>
    <Info>The list of logical networks</Info>
    <Network ovf:name="VM Network">
      <Description>The network of the first adapter</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="{os}" vmw:osType="{guest}">
      <Info>The kind of installed guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-{version}</vssd:VirtualSystemType>
      </System>
{basics}{controller}{drives}{nic}{video}      {firmware}      {secure_boot}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#,
        os = hardware.cim_os(),
        guest = hardware.vmware_guest(),
        version = hardware.vmware_version(),
        basics = processors_and_memory(hardware),
        firmware = config("firmware", firmware),
        secure_boot = config("bootOptions.efiSecureBootEnabled", false),
    )
}

/// VirtualBox's, for a Vagrant box: SATA, as its guests have it; the first adapter is Vagrant's.
/// No item is of ResourceType 32768 (NVRAM), which Vagrant's import stumbles over (AlmaLinux's
/// `fix-vagrant-virtualbox-ovf.sh`).
pub fn virtualbox(name: &str, hardware: &Hardware, disk: &Disk<'_>, machine: &str) -> String {
    let name = escaped(name);
    let controller = item(
        "",
        &[
            ("Address", "0"),
            ("Caption", "sataController0"),
            ("Description", "SATA Controller"),
            ("ElementName", "sataController0"),
            ("InstanceID", "3"),
            ("ResourceSubType", "AHCI"),
            ("ResourceType", "20"),
        ],
        "",
    );
    let nic = item(
        "",
        &[
            ("AutomaticAllocation", "true"),
            ("Caption", "Ethernet adapter on 'NAT'"),
            ("Connection", "NAT"),
            ("ElementName", "Ethernet adapter on 'NAT'"),
            ("InstanceID", "4"),
            ("ResourceSubType", "E1000"),
            ("ResourceType", "10"),
        ],
        "",
    );
    let drive = item(
        "",
        &[
            ("AddressOnParent", "0"),
            ("Caption", "disk1"),
            ("Description", "Disk Image"),
            ("ElementName", "disk1"),
            ("HostResource", "/disk/vmdisk1"),
            ("InstanceID", "5"),
            ("Parent", "3"),
            ("ResourceType", "17"),
        ],
        "",
    );
    let (os, guest) = (hardware.cim_os(), hardware.virtualbox_guest());
    let firmware = if hardware.is_uefi() { "EFI" } else { "BIOS" };
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="{ENVELOPE}" xmlns:ovf="{ENVELOPE}" xmlns:rasd="{RASD}" xmlns:vssd="{VSSD}" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References>
    <File ovf:href="{file}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>List of the virtual disks used in the package</Info>
    <Disk ovf:capacity="{capacity}" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="{STREAM_OPTIMIZED}" vbox:uuid="{uuid}"/>
  </DiskSection>
  <NetworkSection>
    <Info>Logical networks used in the package</Info>
    <Network ovf:name="NAT">
      <Description>Logical network used by this appliance.</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <OperatingSystemSection ovf:id="{os}">
      <Info>The kind of installed guest operating system</Info>
      <Description>{guest}</Description>
      <vbox:OSType ovf:required="false">{guest}</vbox:OSType>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements for a virtual machine</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
{basics}{controller}{nic}{drive}    </VirtualHardwareSection>
    <vbox:Machine ovf:required="false" version="1.16-linux" uuid="{{{machine}}}" name="{name}" OSType="{guest}">
      <ovf:Info>Complete VirtualBox machine configuration in VirtualBox format</ovf:Info>
      <Hardware>
        <CPU count="{vcpus}">
          <PAE enabled="true"/>
          <LongMode enabled="true"/>
        </CPU>
        <Memory RAMSize="{memory}"/>
        <Firmware type="{firmware}"/>
        <Boot>
          <Order position="1" device="HardDisk"/>
          <Order position="2" device="None"/>
          <Order position="3" device="None"/>
          <Order position="4" device="None"/>
        </Boot>
        <Display controller="VMSVGA" VRAMSize="16"/>
        <BIOS>
          <IOAPIC enabled="true"/>
        </BIOS>
        <Network>
          <Adapter slot="0" enabled="true" type="82540EM">
            <NAT/>
          </Adapter>
        </Network>
        <RTC localOrUTC="UTC"/>
      </Hardware>
      <StorageControllers>
        <StorageController name="SATA Controller" type="AHCI" PortCount="1" useHostIOCache="false" Bootable="true">
          <AttachedDevice type="HardDisk" hotpluggable="false" port="0" device="0">
            <Image uuid="{{{uuid}}}"/>
          </AttachedDevice>
        </StorageController>
      </StorageControllers>
    </vbox:Machine>
  </VirtualSystem>
</Envelope>
"#,
        file = escaped(disk.file),
        size = disk.size,
        capacity = disk.capacity,
        uuid = disk.uuid,
        basics = processors_and_memory(hardware),
        vcpus = hardware.vcpus,
        memory = hardware.memory_mib,
    )
}

/// oVirt's: each disk is a qcow2 whose file is called by a UUID of its own.
pub fn ovirt(name: &str, hardware: &Hardware, disks: &[Disk<'_>], machine: &str) -> String {
    let name = escaped(name);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    // 2026/11/29 12:00:00
    let now = now.replace('-', "/").replace('T', " ").replace('Z', "");
    // Of oVirt's BIOS types (`BiosType` of its engine): Q35 with SeaBIOS, Q35 with OVMF.
    let bios_type = if hardware.is_uefi() { 3 } else { 2 };
    // `osinfo-defaults.properties`: RHEL 8 and later, x86_64; other Linux.
    let os = match hardware.release {
        Some(release) if release.major() == 8 => 33,
        Some(_) => 34,
        None => 5,
    };
    let (vcpus, memory) = (hardware.vcpus, hardware.memory_mib);
    let (mut files, mut sections, mut drives) = (String::new(), String::new(), String::new());
    for (disk, number) in disks.iter().zip(1_u32..) {
        let (file, uuid, size) = (escaped(disk.file), disk.uuid, disk.size);
        let (alias, kind, boot) = match number {
            1 => (name.clone(), "System", "true"),
            more => (format!("{name}-{more}"), "Data", "false"),
        };
        let order = if number == 1 { 1 } else { 0 };
        let _ = writeln!(
            files,
            r#"    <File ovf:href="{file}" ovf:id="{file}" ovf:size="{size}"/>"#
        );
        let (capacity, populated) = (disk.capacity, disk.populated);
        let _ = writeln!(
            sections,
            r#"    <Disk ovf:diskId="{uuid}" ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:populatedSize="{populated}" ovf:fileRef="{file}" ovf:parentRef="" ovf:format="http://www.gnome.org/~markmc/qcow-image-format.html" ovf:volume-format="COW" ovf:volume-type="Sparse" ovf:disk-interface="VirtIO_SCSI" ovf:boot="{boot}" ovf:disk-type="{kind}" ovf:disk-alias="{alias}"/>"#
        );
        let _ = writeln!(
            drives,
            r#"      <Item>
        <rasd:Caption>{alias}</rasd:Caption>
        <rasd:InstanceId>{file}</rasd:InstanceId>
        <rasd:ResourceType>17</rasd:ResourceType>
        <Type>disk</Type>
        <rasd:HostResource>ovf:disk/{uuid}</rasd:HostResource>
        <rasd:Parent>00000000-0000-0000-0000-000000000000</rasd:Parent>
        <rasd:Template>00000000-0000-0000-0000-000000000000</rasd:Template>
        <rasd:ApplicationList/>
        <rasd:StorageId>00000000-0000-0000-0000-000000000000</rasd:StorageId>
        <rasd:StoragePoolId>00000000-0000-0000-0000-000000000000</rasd:StoragePoolId>
        <rasd:CreationDate>{now}</rasd:CreationDate>
        <rasd:LastModified>{now}</rasd:LastModified>
        <rasd:last_modified_date>{now}</rasd:last_modified_date>
        <Device>disk</Device>
        <BootOrder>{order}</BootOrder>
        <IsPlugged>true</IsPlugged>
        <IsReadOnly>false</IsReadOnly>
      </Item>"#
        );
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ovf:Envelope xmlns="{ENVELOPE}" xmlns:ovf="{ENVELOPE}" xmlns:rasd="{RASD}" xmlns:vssd="{VSSD}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:ovirt="http://www.ovirt.org/ovf" ovf:version="4.4.0.0">
  <References>
{files}  </References>
  <NetworkSection>
    <Info>List of networks</Info>
    <Network ovf:name="ovirtmgmt"/>
  </NetworkSection>
  <DiskSection>
    <Info>List of Virtual Disks</Info>
{sections}  </DiskSection>
  <VirtualSystem ovf:id="{machine}">
    <Name>{name}</Name>
    <Description/>
    <Comment/>
    <CreationDate>{now}</CreationDate>
    <ExportDate>{now}</ExportDate>
    <DeleteProtected>false</DeleteProtected>
    <TimeZone>Etc/GMT</TimeZone>
    <BiosType>{bios_type}</BiosType>
    <ClusterCompatibilityVersion>4.4</ClusterCompatibilityVersion>
    <VmType>1</VmType>
    <MinAllocatedMem>{memory}</MinAllocatedMem>
    <IsStateless>false</IsStateless>
    <IsRunAndPause>false</IsRunAndPause>
    <AutoStartup>false</AutoStartup>
    <Priority>1</Priority>
    <MigrationSupport>0</MigrationSupport>
    <MaxMemorySizeMb>{memory}</MaxMemorySizeMb>
    <MultiQueuesEnabled>true</MultiQueuesEnabled>
    <Origin>0</Origin>
    <DefaultDisplayType>2</DefaultDisplayType>
    <TrustedService>false</TrustedService>
    <TemplateId>00000000-0000-0000-0000-000000000000</TemplateId>
    <TemplateName>Blank</TemplateName>
    <UseLatestVersion>false</UseLatestVersion>
    <StopTime>{now}</StopTime>
    <OperatingSystemSection ovf:id="{machine}" ovirt:id="{os}" ovf:required="false">
      <Info>Guest Operating System</Info>
      <Description>Linux</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>{vcpus} CPU, {memory} Memory</Info>
      <System>
        <vssd:VirtualSystemType>ENGINE 4.4.0.0</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:Caption>{vcpus} virtual cpu</rasd:Caption>
        <rasd:Description>Number of virtual CPU</rasd:Description>
        <rasd:InstanceId>1</rasd:InstanceId>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:num_of_sockets>{vcpus}</rasd:num_of_sockets>
        <rasd:cpu_per_socket>1</rasd:cpu_per_socket>
        <rasd:threads_per_cpu>1</rasd:threads_per_cpu>
        <rasd:VirtualQuantity>{vcpus}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Caption>{memory} MB of memory</rasd:Caption>
        <rasd:Description>Memory Size</rasd:Description>
        <rasd:InstanceId>2</rasd:InstanceId>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits>
        <rasd:VirtualQuantity>{memory}</rasd:VirtualQuantity>
      </Item>
{drives}      <Item>
        <rasd:Caption>Ethernet adapter on ovirtmgmt</rasd:Caption>
        <rasd:InstanceId>3</rasd:InstanceId>
        <rasd:ResourceType>10</rasd:ResourceType>
        <rasd:OtherResourceType>ovirtmgmt</rasd:OtherResourceType>
        <rasd:ResourceSubType>3</rasd:ResourceSubType>
        <rasd:Connection>ovirtmgmt</rasd:Connection>
        <rasd:Linked>true</rasd:Linked>
        <rasd:Name>nic1</rasd:Name>
        <rasd:ElementName>nic1</rasd:ElementName>
        <Type>interface</Type>
        <Device>bridge</Device>
        <IsPlugged>true</IsPlugged>
        <IsReadOnly>false</IsReadOnly>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</ovf:Envelope>
"#
    )
}

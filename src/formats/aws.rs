//! What imports a plain image into AWS: the command lines, to be copied.
//!
//! The way of Rocky's `import-snapshot-publish-aws.sh`: S3, `import-snapshot`, `register-image`
//! (AWS CLI Command Reference, `ec2`).

use std::fmt::Write;

use super::hardware::Hardware;
use crate::distro::Arch;
use crate::machine::letter;
use crate::process::quote;

/// The text for the image called `name` whose disks are in these files and have so many bytes, the
/// system's first.
pub fn text(name: &str, disks: &[(String, u64)], hardware: &Hardware) -> String {
    let arch = match hardware.arch {
        Arch::Aarch64 => "arm64",
        Arch::I386 => "i386",
        other => other.name(),
    };
    let boot_mode = if hardware.is_uefi() {
        "uefi"
    } else {
        "legacy-bios"
    };
    let sizes: Vec<String> = disks
        .iter()
        .map(|(_, size)| format!("{} GiB", size.div_ceil(1 << 30)))
        .collect();
    let size = match sizes.as_slice() {
        [only] => format!("disk has {only}"),
        several => format!("disks have {}", several.join(", ")),
    };
    let (mut import, mut mappings, mut removal) = (String::new(), String::new(), String::new());
    for (index, (file, _)) in disks.iter().enumerate() {
        let file = quote(file);
        let number = match index {
            0 => String::new(),
            more => (more + 1).to_string(),
        };
        let device = match index {
            0 => "/dev/sda1".to_owned(),
            more => format!("/dev/sd{}", letter(more)),
        };
        let _ = write!(
            import,
            r#"FILE{number}={file}
aws s3 cp "$FILE{number}" "s3://$BUCKET/$FILE{number}"
TASK{number}=$(aws ec2 import-snapshot \
    --description "$NAME" \
    --disk-container "Format=RAW,UserBucket={{S3Bucket=$BUCKET,S3Key=$FILE{number}}}" \
    --query ImportTaskId --output text)
aws ec2 wait snapshot-imported --import-task-ids "$TASK{number}"
SNAPSHOT{number}=$(aws ec2 describe-import-snapshot-tasks --import-task-ids "$TASK{number}" \
    --query 'ImportSnapshotTasks[0].SnapshotTaskDetail.SnapshotId' --output text)

"#
        );
        let _ = write!(
            mappings,
            r#" \
        "DeviceName={device},Ebs={{SnapshotId=$SNAPSHOT{number},VolumeType=gp3,DeleteOnTermination=true}}""#
        );
        let _ = writeln!(removal, r#"aws s3 rm "s3://$BUCKET/$FILE{number}""#);
    }
    let name = quote(name);
    format!(
        r#"# Imports a plain image as an AMI. Set BUCKET to an S3 bucket of the region; the account needs the
# role `vmimport` (AWS, "Required permissions for VM Import/Export").
# The {size}, the machine starts by {boot_mode} and is for {arch}.
set -e
NAME={name}

{import}aws ec2 register-image \
    --name "$NAME" \
    --architecture {arch} \
    --virtualization-type hvm \
    --boot-mode {boot_mode} \
    --ena-support \
    --imds-support v2.0 \
    --root-device-name /dev/sda1 \
    --block-device-mappings{mappings}

{removal}"#
    )
}

//! What imports a plain image into AWS: the command lines, to be copied.
//!
//! The way of Rocky's `import-snapshot-publish-aws.sh`: S3, `import-snapshot`, `register-image`
//! (AWS CLI Command Reference, `ec2`).

use super::hardware::Hardware;
use crate::distro::Arch;
use crate::process::quote;

/// The text for the image called `name` in the file `file`, whose disk has `size` bytes.
pub fn text(name: &str, file: &str, size: u64, hardware: &Hardware) -> String {
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
    let gib = size.div_ceil(1 << 30);
    let (name, file) = (quote(name), quote(file));
    format!(
        r#"# Imports a plain image as an AMI. Set BUCKET to an S3 bucket of the region; the account needs the
# role `vmimport` (AWS, "Required permissions for VM Import/Export").
# The disk has {gib} GiB, starts by {boot_mode} and is for {arch}.
set -e
NAME={name}
FILE={file}

aws s3 cp "$FILE" "s3://$BUCKET/$FILE"

TASK=$(aws ec2 import-snapshot \
    --description "$NAME" \
    --disk-container "Format=RAW,UserBucket={{S3Bucket=$BUCKET,S3Key=$FILE}}" \
    --query ImportTaskId --output text)
aws ec2 wait snapshot-imported --import-task-ids "$TASK"
SNAPSHOT=$(aws ec2 describe-import-snapshot-tasks --import-task-ids "$TASK" \
    --query 'ImportSnapshotTasks[0].SnapshotTaskDetail.SnapshotId' --output text)

aws ec2 register-image \
    --name "$NAME" \
    --architecture {arch} \
    --virtualization-type hvm \
    --boot-mode {boot_mode} \
    --ena-support \
    --imds-support v2.0 \
    --root-device-name /dev/sda1 \
    --block-device-mappings "DeviceName=/dev/sda1,Ebs={{SnapshotId=$SNAPSHOT,VolumeType=gp3,DeleteOnTermination=true}}"

aws s3 rm "s3://$BUCKET/$FILE"
"#
    )
}

//! What an install would have around a kickstart: for the check before it, and for a check of the
//! same template and kickstart without one.

use crate::check::setting::Setting;
use crate::install::plan;
use crate::kickstart::outline::Outline;
use crate::options::InstallOptions;
use crate::tdl::Template;

/// An install that may come.
#[derive(Debug, Clone, Copy)]
pub struct Install<'a> {
    /// Of this template.
    pub template: &'a Template,
    /// With a kickstart of this content.
    pub outline: &'a Outline,
    /// With these options.
    pub options: &'a InstallOptions,
}

impl Install<'_> {
    /// Its setting; none where the template's release is not known, or its kickstart language is
    /// not.
    ///
    /// # Errors
    /// Input: the size of the disk is none.
    pub fn setting(&self) -> anyhow::Result<Option<Setting>> {
        let (template, options) = (self.template, self.options);
        let Ok(release) = template.release() else {
            return Ok(None);
        };
        let kernelparam = template.os.kernelparam.as_deref();
        let Some(booted) = Setting::of_boot(*release, self.outline, kernelparam) else {
            return Ok(None);
        };
        let arch = template.os.arch;
        Ok(Some(Setting {
            arch: Some(arch),
            firmware: Some(plan::firmware(options, *release, arch)),
            disk_bus: Some(plan::disk_bus(options, *release)),
            disk_bytes: Some(plan::disk_bytes(options, template)?),
            disks: Some(1),
            deliver: Some(options.deliver.unwrap_or_default()),
            adds_ending: !options.verbatim,
            ..booted
        }))
    }
}

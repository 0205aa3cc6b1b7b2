//! Any bytes as a template: an answer, no panic, and no secret in what is printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::tdl;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = tdl::decode(bytes, "fuzz.tdl") else {
        return;
    };
    match tdl::parse(&text, "fuzz.tdl") {
        Ok(template) => {
            // What later layers rely on.
            tdl::check_name(&template.name).expect("the name was checked");
            let mut sizes = template.disks.iter().flatten();
            assert!(sizes.all(|size| *size <= tdl::QCOW2_MAX));
            for file in &template.files {
                assert!(file.path.starts_with('/') && !file.path.contains('\n'));
            }
            for repository in &template.repositories {
                assert!(!repository.id().is_empty() && !repository.id().contains('/'));
            }
            if let Err(findings) = template.release() {
                assert!(!findings.is_empty());
            }
            let _ = format!("{template:?}");
        }
        Err(findings) => {
            assert!(!findings.is_empty());
            for finding in findings {
                assert!(finding.to_string().contains(':') && finding.help.is_some());
            }
        }
    }
});

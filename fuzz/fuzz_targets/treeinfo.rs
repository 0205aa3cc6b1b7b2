//! Any text is a tree or a finding, never a panic; what is accepted never leads out of the tree.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match ozr::mirror::treeinfo::parse(text, "fuzz") {
        Ok(info) => {
            for path in [&info.kernel, &info.initrd, &info.stage2].into_iter().flatten() {
                assert!(!path.starts_with('/'));
                assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
        Err(finding) => assert!(!finding.to_string().is_empty()),
    }
});

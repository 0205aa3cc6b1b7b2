//! RPM databases of a hostile guest: packages or an error, never a panic. The first byte says which kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::packages::of_file;

fuzz_target!(|data: &[u8]| {
    let Some((kind, content)) = data.split_first() else {
        return;
    };
    let names = ["rpmdb.sqlite", "Packages.db", "Packages"];
    let name = names[usize::from(*kind) % names.len()];
    let _ = of_file(name, content.to_vec(), &[]);
    // And as a log.
    let _ = of_file(name, Vec::new(), content);
});

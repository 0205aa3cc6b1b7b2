//! Any text is read under any version without a panic, and every finding has a place in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::language::{Included, Includes, Reading, Version};

/// An include named after itself, and one that holds the rest of the text.
struct Circle<'a>(&'a str);

impl Includes for Circle<'_> {
    fn find(&self, target: &str, _from: &str) -> Option<Included> {
        (target.len() % 3 == 2).then(|| Included {
            name: target.to_string(),
            text: self.0.to_string(),
        })
    }
}

fuzz_target!(|input: (u8, &str)| {
    let (choice, text) = input;
    let version = Version::all().nth(usize::from(choice) % Version::COUNT).unwrap();
    // What is included is short, so that a circle ends soon.
    let included: String = text.chars().take(200).collect();
    let reading = Reading::new(text, "fuzz", version, &Circle(&included));
    for finding in &reading.findings {
        assert!(finding.line >= 1 && finding.column >= 1);
        assert!(finding.id.is_some());
        assert!(!finding.to_string().is_empty());
    }
    for section in &reading.sections {
        for package in &section.packages {
            assert!(reading.texts[package.text].text.get(package.line.span.clone()).is_some());
        }
    }
});

//! Any text is scanned without a panic, and every byte is in one item.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::kickstart::outline::Item;
use ozr::kickstart::scan;

fuzz_target!(|bytes: &[u8]| {
    let text = scan::decode(bytes.to_vec());
    let (outline, findings) = scan::scan_all(&text, "fuzz");
    let items = outline.items.iter().map(|item| &text[item.span()]);
    assert_eq!(items.collect::<String>(), text);
    for item in &outline.items {
        match item {
            Item::Command(command) => {
                for word in &command.words {
                    assert!(text.get(word.span.clone()).is_some());
                }
            }
            Item::Section(section) => {
                assert!(text.get(section.body.clone()).is_some());
                assert!(section.span.start <= section.body.start);
                assert!(section.body.end <= section.span.end);
            }
            _ => {}
        }
    }
    for finding in findings {
        assert!(!finding.to_string().is_empty());
    }
});

//! Whatever a text is, the maskers take it without a panic, leave its lines where they are, and what
//! is known to be secret stands in nothing that they give out, however a stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::install::evidence;
use ozr::kickstart::mask;
use ozr::secrets::Secrets;

/// A secret that no text has by chance.
const SECRET: &str = "hunter2-of-the-fuzzer";

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.matches('\n').count();
    let masked = mask::mask(&text);
    assert_eq!(masked.matches('\n').count(), lines);
    let template = ozr::tdl::mask(&text);
    assert_eq!(template.len(), text.len());
    let mut secrets = Secrets::default();
    mask::add_secrets(&text, &mut secrets);
    secrets.add(SECRET);
    let half = text.floor_char_boundary(text.len() / 2);
    let planted = format!("{}{SECRET}{}", &text[..half], &text[half..]);
    assert!(!secrets.hide(&planted).contains(SECRET));
    let mut copied = Vec::new();
    evidence::copy_masked(&mut planted.as_bytes(), &mut copied, &secrets).unwrap();
    assert_eq!(copied.len(), planted.len());
    assert!(!String::from_utf8_lossy(&copied).contains(SECRET));
});

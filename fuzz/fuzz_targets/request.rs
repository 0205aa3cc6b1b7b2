//! Heads of requests: no panic, and what passes is written so that it reads as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozr::serve::{catalogue, head, relay};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fuzz_target!(|data: &[u8]| {
    let Ok(Some(end)) = head::end_of_head(data) else {
        return;
    };
    let Ok(request) = head::check(&data[..end]) else {
        return;
    };
    let canonical = request.canonical(1);
    assert!(canonical.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')));
    assert_eq!(canonical.matches("\r\n\r\n").count(), 1);
    let again = head::check(canonical.as_bytes()).expect("a canonical head passes");
    assert_eq!(again.method, request.method);
    assert_eq!(again.target, request.target);
    assert_eq!(again.range, request.range);

    for length in [0, 1, 1000, u64::MAX] {
        if let relay::Part::Bytes { first, last } = relay::part(request.range.as_deref(), length) {
            assert!(first <= last && last < length);
        }
    }
    let below = format!("/{TOKEN}{}", request.target);
    if let Some(catalogue::Route::Tree(path) | catalogue::Route::Repository { path, .. }) =
        catalogue::route(&below, TOKEN)
    {
        assert!(!path.starts_with('/') && !path.contains("//"));
        assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
        // What is clean stays as it is.
        let again = catalogue::route(&format!("/{TOKEN}/tree/{path}"), TOKEN);
        assert_eq!(again, Some(catalogue::Route::Tree(path)));
    }
});

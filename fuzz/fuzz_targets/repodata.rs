//! Repository metadata, packed and unpacked: an answer or an error, whatever a mirror sends.
#![no_main]

use std::io::Cursor;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use ozr::mirror::repodata::{Query, parse_comps, primary, repomd, stream};

/// Most bytes that an input is unpacked to here.
const LIMIT: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let query = Query::new(["bash", "b*", "bash.x86_64"]);
    let _ = repomd::parse(bytes);
    let deadline = Instant::now() + Duration::from_secs(60);
    let open = || stream(Cursor::new(bytes.to_vec()), LIMIT, deadline);
    if let Ok(input) = open() {
        let _ = primary::parse(input, &query);
    }
    if let Ok(input) = open() {
        let _ = parse_comps(input, &query);
    }
});

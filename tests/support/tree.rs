//! The install tree that the tests install from.

use std::path::PathBuf;

/// The tree that `fixtures/tree/build` made, from `OZR_TREE`. Without one the caller's test has
/// nothing to do and says so; where all tests are asked for (`OZR_TEST_ALL`), that is a failure.
pub fn tree() -> Option<PathBuf> {
    match std::env::var_os("OZR_TREE").map(PathBuf::from) {
        Some(tree) => {
            assert!(
                tree.join("os/.treeinfo").exists(),
                "OZR_TREE={} is no install tree",
                tree.display()
            );
            Some(tree)
        }
        None if std::env::var_os("OZR_TEST_ALL").is_some() => {
            panic!("OZR_TREE is not set: run `make test`")
        }
        None => {
            eprintln!("skipped: OZR_TREE names no install tree (`make test` builds one)");
            None
        }
    }
}

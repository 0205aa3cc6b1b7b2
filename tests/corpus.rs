//! Agreement with inputs that nobody on this project wrote.
//!
//! Each test reads one set of the corpus, prints `SET: agree N of M` and the first disagreements,
//! and fails below the agreement that has been reached. Without the corpus a test prints
//! `SET: skipped, no corpus` and passes. The corpus is in the directory that `OZR_CORPUS` names,
//! else in `../shared/corpus` beside the project.
//!
//! `cargo test --release --test corpus -- --nocapture [SET]`

// The scores are this target's product.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::PathBuf;

/// Agreement of one set.
struct Score {
    set: &'static str,
    agreed: usize,
    total: usize,
    disagreements: Vec<String>,
}

impl Score {
    /// Most disagreements that are printed.
    const SHOWN: usize = 20;

    fn new(set: &'static str) -> Self {
        Self {
            set,
            agreed: 0,
            total: 0,
            disagreements: Vec::new(),
        }
    }

    /// Counts one case; `why` describes it where it disagrees.
    fn count(&mut self, agrees: bool, why: impl FnOnce() -> String) {
        self.total += 1;
        if agrees {
            self.agreed += 1;
        } else if self.disagreements.len() < Self::SHOWN {
            self.disagreements.push(why());
        }
    }

    /// Prints the score and fails if it is below `floor`, a share of all cases.
    fn finish(self, floor: f64) {
        println!("{}: agree {} of {}", self.set, self.agreed, self.total);
        for disagreement in &self.disagreements {
            println!("  {disagreement}");
        }
        assert!(self.total > 0, "{}: the set is empty", self.set);
        let share = self.agreed as f64 / self.total as f64;
        assert!(share >= floor, "{}: {share:.4} is below {floor}", self.set);
    }
}

/// The file or folder `name` of the corpus, if there is one.
fn corpus(set: &str, name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("OZR_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join(name);
    if !path.exists() {
        println!("{set}: skipped, no corpus");
        return None;
    }
    Some(path)
}

/// Templates of Oz's own tests: the same verdict for each.
#[test]
fn tdl() {
    const FLOOR: f64 = 1.0;
    let Some(folder) = corpus("tdl", "tdl") else {
        return;
    };
    let mut score = Score::new("tdl");
    let expected = fs::read_to_string(folder.join("EXPECT.tsv")).expect("EXPECT.tsv");
    for line in expected.lines().filter(|line| !line.trim().is_empty()) {
        let mut fields = line.split('\t');
        let (Some(file), Some(verdict)) = (fields.next(), fields.next()) else {
            panic!("EXPECT.tsv: {line}");
        };
        let bytes = fs::read(folder.join(file)).expect(file);
        let result = ozr::tdl::read(&bytes, file);
        let ours = if result.is_ok() { "accept" } else { "reject" };
        score.count(ours == verdict, || match result {
            Ok(_) => format!("{file}: accepted, expected {verdict}"),
            Err(findings) => format!("{file}: expected {verdict}\n{}", findings[0]),
        });
    }
    score.finish(FLOOR);
}

// The other sets, each as one test like the one above:
// treeinfo (ozr::mirror::treeinfo), kickstart_lines and kickstarts (ozr::kickstart),
// console (ozr::watch).

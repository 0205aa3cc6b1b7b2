//! "Did you mean ...": known words that are close to one that is not known.

/// How similar two words must be (Jaro-Winkler, 0 to 1) to be worth a suggestion: clap suggests
/// from 0.7; names of releases differ in little, so they ask for a little more.
const MIN_SIMILARITY: f64 = 0.75;

/// The known word closest to `word`, if one is close.
pub fn one<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    some(word, known, 1).first().copied()
}

/// Up to `limit` known words that are close to `word`, the closest first.
pub fn some<'a>(word: &str, known: &[&'a str], limit: usize) -> Vec<&'a str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    let mut near: Vec<(f64, &str)> = known
        .iter()
        .map(|known| (strsim::jaro_winkler(&word, &known.to_lowercase()), *known))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter()
        .take(limit)
        .map(|(_, known)| known)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_words_are_found_and_others_are_not() {
        let known = ["name", "description", "os", "packages", "repositories"];
        assert_eq!(one("package", &known), Some("packages"));
        assert_eq!(one("Nmae", &known), Some("name"));
        assert_eq!(one("zzz", &known), None);
        assert_eq!(one("", &known), None);
        assert_eq!(one(&"x".repeat(1 << 20), &known), None);
    }
}

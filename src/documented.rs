//! Whether a document names every field of what ozr writes as JSON, and no other. For tests.

use serde::Serialize;

/// Compares the fields of a value, in which nothing is absent, with the rows of a document's table.
pub fn compare(value: &impl Serialize, documentation: &str) {
    let mut all = Vec::new();
    fields("", &serde_json::to_value(value).unwrap(), &mut all);
    let mut documented: Vec<&str> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    documented.sort_unstable();
    all.sort_unstable();
    assert_eq!(all, documented);
}

fn fields(prefix: &str, value: &serde_json::Value, all: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{prefix}{name}");
                all.push(path.clone());
                fields(&format!("{path}."), value, all);
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                fields(&format!("{}[].", prefix.trim_end_matches('.')), item, all);
            }
        }
        _ => {}
    }
}

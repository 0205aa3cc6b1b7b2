//! The hub of text mode: a numbered list of what must be known, in two columns, whose texts are
//! wrapped (anaconda: ui/tui/hubs/summary.py; simpleline: render/containers.py; EL 7 and later).
//!
//! ```text
//! 3) [!] Installation source               4) [!] Software selection
//!        (Error setting up software               (Error checking software
//!        source)                                  selection)
//! ```

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// More items than any hub has.
const MAX_ITEMS: usize = 40;

/// A cell of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Whether it must be completed: `[!]`.
    pub incomplete: bool,
    /// What it is called.
    pub title: String,
    /// What stands below the title, without its brackets.
    pub state: String,
    /// Where its cell begins, in characters.
    column: usize,
}

impl Item {
    /// Title and state, on one line.
    pub fn text(&self) -> String {
        match self.state.as_str() {
            "" => self.title.clone(),
            state => format!("{} ({state})", self.title),
        }
    }
}

/// The hub, as it is drawn.
#[derive(Debug, Default)]
pub struct Hub {
    items: Vec<Item>,
    /// How many of the last items stand on the row that is being drawn.
    in_row: usize,
}

impl Hub {
    /// Takes a line of the console; whether it belongs to the hub.
    pub fn line(&mut self, line: &str) -> bool {
        let cells = cells(line);
        if let Some((first, ..)) = cells.first() {
            if *first == 1 {
                // It is drawn anew.
                self.items.clear();
            }
            self.in_row = cells.len();
            self.items.extend(cells.into_iter().map(|(_, item)| item));
            if self.items.len() > MAX_ITEMS {
                self.items.clear();
                self.in_row = 0;
            }
            return true;
        }
        if self.in_row == 0 || !line.starts_with(' ') {
            self.in_row = 0;
            return false;
        }
        let row = self.items.len() - self.in_row;
        let characters: Vec<char> = line.chars().collect();
        let mut end = characters.len();
        for item in self.items[row..].iter_mut().rev() {
            let start = item.column.min(end);
            let part: String = characters[start..end].iter().collect();
            let part = part.trim();
            if !item.state.is_empty() && !part.is_empty() {
                item.state.push(' ');
            }
            item.state
                .push_str(part.trim_start_matches('(').trim_end_matches(')'));
            end = start;
        }
        true
    }

    /// What must still be completed, in the order of the list.
    pub fn incomplete(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.incomplete)
    }
}

/// The cells that begin on a line: `N) [x] TITLE`, with their numbers.
fn cells(line: &str) -> Vec<(u32, Item)> {
    static CELL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:^| )(([0-9]{1,2})\) \[(.)\] )").expect("a pattern of ours")
    });
    let found: Vec<Captures<'_>> = CELL.captures_iter(line).collect();
    let start = |cell: &Captures<'_>| cell.get(1).map_or(0, |cell| cell.start());
    if found
        .first()
        .is_none_or(|first| !line[..start(first)].trim().is_empty())
    {
        return Vec::new();
    }
    let ends = found.iter().skip(1).map(start).chain([line.len()]);
    let cells = found.iter().zip(ends).map(|(cell, end)| {
        let item = Item {
            incomplete: &cell[3] == "!",
            title: line[start(cell) + cell[1].len()..end].trim_end().to_owned(),
            state: String::new(),
            column: line[..start(cell)].chars().count(),
        };
        (cell[2].parse().unwrap_or(0), item)
    });
    cells.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(screen: &str) -> Vec<String> {
        let mut hub = Hub::default();
        for line in screen.lines() {
            hub.line(line);
        }
        hub.incomplete().map(Item::text).collect()
    }

    const SCREEN: &str = "
Installation
1) [x] Language settings                 2) [x] Time settings
       (English (United States))                (Etc/UTC timezone)
3) [!] Installation source               4) [!] Software selection
       (Error setting up software               (Error checking software
       source)                                  selection)
5) [x] Installation Destination          6) [x] Network configuration
       (Automatic partitioning                  (Connected: enp1s0)
       selected)
7) [!] Root password
       (Root account is disabled)
Please make a selection from the above";

    #[test]
    fn two_wrapped_columns_are_read() {
        let incomplete = [
            "Installation source (Error setting up software source)",
            "Software selection (Error checking software selection)",
            "Root password (Root account is disabled)",
        ];
        assert_eq!(read(SCREEN), incomplete);
        // Drawn again, and completed meanwhile.
        let again = SCREEN
            .replace("3) [!]", "3) [x]")
            .replace("4) [!]", "4) [x]");
        assert_eq!(read(&format!("{SCREEN}\n{again}")), incomplete[2..]);
    }

    #[test]
    fn one_column_is_read_too() {
        let screen =
            " 1) [!] Timezone settings\n        (Timezone is not set.)\nsomething else\n   (no)";
        assert_eq!(read(screen), ["Timezone settings (Timezone is not set.)"]);
    }

    #[test]
    fn what_is_no_hub_says_nothing() {
        for text in [
            "1) Start VNC",
            "see 1) [!] x",
            "1) [!",
            "99999) [!] x",
            "1\u{e9}) [!] x 2) [\u{e9}",
        ] {
            assert_eq!(read(text), [""; 0], "{text}");
        }
        let flood = "2) [!] x\n".repeat(10_000);
        assert!(read(&flood).len() <= MAX_ITEMS);
    }
}

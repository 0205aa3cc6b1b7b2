//! The text in which LVM2 keeps what a volume group is: sections in braces, `key = value` lines, lists
//! in brackets.

use std::iter::Peekable;
use std::str::CharIndices;

use anyhow::{Context, Result, bail, ensure};

/// How deep sections may stand in one another; LVM writes four.
const DEEPEST: usize = 16;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number that is not negative and has no fraction; any other is as if it were 0.
    Number(u64),
    /// A text, in quotes.
    Text(String),
    /// A list of numbers and texts.
    List(Vec<Value>),
    /// A section.
    Section(Section),
}

/// A section: its entries, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section(Vec<(String, Value)>);

impl Section {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, v)| v)
    }

    /// The number of a key.
    ///
    /// # Errors
    /// There is none.
    pub fn number(&self, key: &str) -> Result<u64> {
        match self.get(key) {
            Some(Value::Number(number)) => Ok(*number),
            _ => bail!("LVM's metadata lacks `{key}`"),
        }
    }

    /// The text of a key.
    ///
    /// # Errors
    /// There is none.
    pub fn text(&self, key: &str) -> Result<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => bail!("LVM's metadata lacks `{key}`"),
        }
    }

    /// The section of a key.
    ///
    /// # Errors
    /// There is none.
    pub fn section(&self, key: &str) -> Result<&Section> {
        match self.get(key) {
            Some(Value::Section(section)) => Ok(section),
            _ => bail!("LVM's metadata lacks `{key}`"),
        }
    }

    /// All sections with their names.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }
}

/// Reads a text.
///
/// # Errors
/// It is no such text.
pub fn parse(text: &str) -> Result<Section> {
    let mut reader = Reader {
        text,
        rest: text.char_indices().peekable(),
    };
    reader.section(0)
}

struct Reader<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
}

impl<'a> Reader<'a> {
    /// The next character that is neither white space nor in a comment.
    fn peek(&mut self) -> Option<char> {
        let blank = |c: char| c.is_whitespace() || c == '#' || c == '\0';
        while let Some((_, c)) = self.rest.next_if(|(_, c)| blank(*c)) {
            if c == '#' {
                while self.rest.next_if(|(_, c)| *c != '\n').is_some() {}
            }
        }
        self.rest.peek().map(|(_, c)| *c)
    }

    fn take(&mut self, expected: char) -> bool {
        let there = self.peek() == Some(expected);
        if there {
            self.rest.next();
        }
        there
    }

    /// A run of characters that are none of the syntax.
    fn word(&mut self) -> Result<&'a str> {
        self.peek();
        let fits = |c: char| !c.is_whitespace() && !"={}[],\"#\0".contains(c);
        let start = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        while self.rest.next_if(|(_, c)| fits(*c)).is_some() {}
        let end = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        ensure!(end > start, "LVM's metadata is broken");
        Ok(&self.text[start..end])
    }

    /// Entries up to the brace that ends them, or to the end of the text.
    fn section(&mut self, depth: usize) -> Result<Section> {
        ensure!(depth < DEEPEST, "LVM's metadata is broken");
        let mut section = Section::default();
        while let Some(c) = self.peek() {
            if c == '}' {
                ensure!(depth > 0, "LVM's metadata is broken");
                self.rest.next();
                return Ok(section);
            }
            let name = self.word()?.to_owned();
            let value = if self.take('{') {
                Value::Section(self.section(depth + 1)?)
            } else if self.take('=') {
                self.value()?
            } else {
                bail!("LVM's metadata is broken");
            };
            section.0.push((name, value));
        }
        ensure!(depth == 0, "LVM's metadata ends too early");
        Ok(section)
    }

    fn value(&mut self) -> Result<Value> {
        if !self.take('[') {
            return self.scalar();
        }
        let mut list = Vec::new();
        while !self.take(']') {
            list.push(self.scalar()?);
            self.take(',');
        }
        Ok(Value::List(list))
    }

    fn scalar(&mut self) -> Result<Value> {
        if !self.take('"') {
            let number = self.word()?.parse();
            return Ok(Value::Number(number.unwrap_or(0)));
        }
        let mut text = String::new();
        loop {
            match self.rest.next().context("LVM's metadata ends too early")?.1 {
                '"' => return Ok(Value::Text(text)),
                '\\' => text.extend(self.rest.next().map(|(_, c)| c)),
                c => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_lists_and_comments_are_read() {
        let text = "rl {\nid = \"a-b\"\nstatus = [\"RESIZEABLE\", \"READ\"]\nflags = []\n# {\nlv { n = 5 }\n}\nversion = 1\n\0";
        let text = parse(text).unwrap();
        let group = text.section("rl").unwrap();
        assert_eq!(group.text("id").unwrap(), "a-b");
        assert_eq!(group.section("lv").unwrap().number("n").unwrap(), 5);
        assert_eq!(text.number("version").unwrap(), 1);
        let Some(Value::List(list)) = group.get("status") else {
            panic!("no list");
        };
        assert_eq!(list[1], Value::Text("READ".to_owned()));
    }

    #[test]
    fn broken_texts_are_errors() {
        for text in ["a {", "}", "a = ", "a = \"b", "a b", "= 1", "a = [\"b\" {"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"a {".repeat(100_000)).is_err());
        assert!(parse("").unwrap().sections().next().is_none());
    }
}

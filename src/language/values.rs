//! Values of options, as the functions read them that pykickstart gives to argparse.

use super::arguments::in_words;
use super::problem::{Problem, id};
use super::table::{Argument, ValueType};
use crate::kickstart::words;

/// A whole number as Python's `int()` reads it, if it is one: white space around it, a sign, and
/// single `_` between digits are allowed. Numbers past 64 bits are taken for the nearest that fits.
pub fn integer(text: &str) -> Option<i64> {
    let text = words::trim(text);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse().unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

/// A whole number as Python 2's optparse reads it: `0x10` and `0b1` are numbers, too, and a leading
/// zero means octal.
pub fn integer_of_optparse(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let radix = |digits: &str, radix| {
        let digits = if digits.is_empty() { "0" } else { digits };
        i64::from_str_radix(digits, radix).ok()
    };
    if let Some(digits) = lower.strip_prefix("0x") {
        radix(digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        radix(digits, 2)
    } else if let Some(digits) = lower.strip_prefix('0') {
        radix(digits, 8)
    } else {
        integer(text)
    }
}

/// Whether argparse takes the word for a number and not for an option: `-5`, `-.5`, `-1.5`.
pub fn is_negative_number(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('-') else {
        return false;
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match rest.split_once('.') {
        None => !rest.is_empty() && digits(rest),
        Some((whole, fraction)) => digits(whole) && !fraction.is_empty() && digits(fraction),
    }
}

/// The items between commas, trimmed, without empty ones.
pub fn list(text: &str) -> Vec<&str> {
    let items = text.split(',').map(words::trim);
    items.filter(|item| !item.is_empty()).collect()
}

/// A truth value in any of its spellings.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "on" | "yes" | "true" | "1" => Some(true),
        "off" | "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// Whether a value is of the argument's type and choices.
///
/// # Errors
/// What is wrong with it, without a place.
pub fn check(argument: &Argument, value: &str, optparse: bool) -> Result<(), Problem> {
    let name = argument.name();
    let number = match optparse {
        true => integer_of_optparse,
        false => integer,
    };
    match argument.kind {
        ValueType::Integer if number(value).is_none() => Err(Problem::error(
            id::BAD_VALUE,
            format!("`{name}` needs a whole number, and `{value}` is none"),
        )),
        ValueType::Boolean if boolean(value).is_none() => Err(Problem::error(
            id::BAD_VALUE,
            format!("`{name}` needs `yes` or `no`, and has `{value}`"),
        )),
        _ if !argument.choices.is_empty() && !argument.choices.contains(&value) => Err(
            Problem::error(id::BAD_VALUE, format!("`{value}` is no value of `{name}`")).help(
                format!("write one of {}", in_words(&argument.choices, "or")),
            ),
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The right column is what Python 3.11's `int()` answered.
    #[test]
    fn integers_are_those_of_python() {
        for (text, value) in [
            ("5", Some(5)),
            (" 5 ", Some(5)),
            ("+5", Some(5)),
            ("-5", Some(-5)),
            ("1_000", Some(1000)),
            ("007", Some(7)),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("", None),
            ("-", None),
            ("5.0", None),
            ("0x10", None),
            ("5M", None),
            ("99999999999999999999", Some(i64::MAX)),
        ] {
            assert_eq!(integer(text), value, "{text:?}");
        }
    }

    #[test]
    fn negative_numbers_are_those_of_argparse() {
        for yes in ["-5", "-.5", "-1.5", "-0"] {
            assert!(is_negative_number(yes), "{yes}");
        }
        for no in ["5", "-", "-5.", "-a", "-1e3", "--5"] {
            assert!(!is_negative_number(no), "{no}");
        }
    }

    #[test]
    fn lists_and_booleans() {
        assert_eq!(list(" a, b,,c ,"), ["a", "b", "c"]);
        assert_eq!(boolean("YES"), Some(true));
        assert_eq!(boolean("off"), Some(false));
        assert_eq!(boolean("y"), None);
    }
}

//! A kickstart into its [`Outline`].
//!
//! This follows pykickstart's state machine (3.78, `parser.py`), with one difference: it reads
//! on after a finding, where the installer gives up, so that all findings come at once.

use std::ops::Range;

use super::mask;
use super::outline::{Command, Include, Item, Outline, Section, SectionKind};
use super::words::{self, Comments, SplitError, Word, split};
use crate::diagnostic::{self, Diagnostic, Severity, Source};

/// The UTF-8 byte order mark.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Stands for byte 0 of a file that is not UTF-8, the 255 others behind it: characters of private
/// use that nobody has a use for.
const FIRST_BYTE: u32 = 0x10_fe00;

/// The byte that a character of [`decode`] stands for.
fn byte_of(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(FIRST_BYTE)?).ok()
}

/// The bytes of a kickstart as text. What is not UTF-8 becomes one character for each byte, and
/// [`encode`] gives it back: RHEL 6 and 7 take bytes as they are, and scripts must keep theirs.
pub fn decode(bytes: Vec<u8>) -> String {
    let stands_for_byte = |text: &str| text.chars().any(|c| byte_of(c).is_some());
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if !stands_for_byte(&text) => return text,
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        let numbers = bytes.iter().map(|byte| FIRST_BYTE + u32::from(*byte));
        text.extend(numbers.filter_map(char::from_u32));
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match byte_of(c) {
                Some(_) => escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => text.push(c),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// The bytes that [`decode`] made a text of.
pub fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// The first byte that is not UTF-8, which only RHEL 6 and 7 read.
pub fn undecodable(text: &str, name: &str) -> Option<Diagnostic> {
    let (at, byte) = text
        .char_indices()
        .find_map(|(at, c)| Some((at, byte_of(c)?)))?;
    let message =
        format!("byte {at} (0x{byte:02x}) is not UTF-8, and the installer reads nothing else");
    Some(
        Diagnostic::error(Source { name, text }, at..at + 1, message)
            .help("save the file as UTF-8, for example with `iconv -t UTF-8`"),
    )
}

/// Scans a kickstart.
///
/// # Errors
/// Everything that would make any installer refuse the text as a whole: unclosed quotes, `%end`
/// outside of a section, `%include` without a file. Commands and sections are not checked.
pub fn scan(text: &str, name: &str) -> Result<Outline, Vec<Diagnostic>> {
    let (outline, findings) = scan_all(text, name);
    if findings.iter().any(|f| f.severity == Severity::Error) {
        return Err(findings);
    }
    Ok(outline)
}

/// Scans a kickstart and returns what was understood beside the findings.
pub fn scan_all(text: &str, name: &str) -> (Outline, Vec<Diagnostic>) {
    let mut scanner = Scanner {
        source: Source { name, text },
        index: diagnostic::Lines::of(text),
        lines: Lines {
            text,
            offset: 0,
            number: 0,
        },
        items: Vec::new(),
        findings: Vec::new(),
    };
    let byte_order_mark = text.starts_with(BYTE_ORDER_MARK);
    if byte_order_mark {
        scanner.lines.offset = BYTE_ORDER_MARK.len();
        scanner.items.push(Item::Nothing(0..BYTE_ORDER_MARK.len()));
    }
    while let Some(line) = scanner.lines.next() {
        let item = scanner.line(&line);
        scanner.items.push(item);
    }
    let outline = Outline {
        items: scanner.items,
        byte_order_mark,
    };
    let mut findings = scanner.findings;
    if !findings.is_empty() {
        let places = mask::secret_places(text, &outline);
        for finding in &mut findings {
            mask::hide(finding, text, &scanner.index, &places);
        }
    }
    (outline, findings)
}

/// One line, with its line end.
#[derive(Clone)]
struct Line<'a> {
    text: &'a str,
    span: Range<usize>,
    number: usize,
}

impl Line<'_> {
    fn is_blank_or_comment(&self) -> bool {
        let start = words::trim_start(self.text);
        start.is_empty() || start.starts_with('#')
    }

    /// The span of the first word of the line, as white space delimits it.
    fn first_word(&self) -> Range<usize> {
        let start = self.span.start + self.text.len() - words::trim_start(self.text).len();
        start..start + words::first_word(self.text).len()
    }

    /// Whether the text of a file stands in place of this line before anything else is looked at.
    fn is_ksappend(&self) -> bool {
        words::trim_start(self.text).starts_with("%ksappend")
    }
}

struct Lines<'a> {
    text: &'a str,
    offset: usize,
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.text[self.offset..];
        let length = words::first_line(rest)?;
        let span = self.offset..self.offset + length;
        self.offset = span.end;
        self.number += 1;
        Some(Line {
            text: &rest[..length],
            span,
            number: self.number,
        })
    }
}

struct Scanner<'a> {
    source: Source<'a>,
    index: diagnostic::Lines,
    lines: Lines<'a>,
    items: Vec<Item>,
    findings: Vec<Diagnostic>,
}

impl Scanner<'_> {
    /// One line outside of any section.
    fn line(&mut self, line: &Line<'_>) -> Item {
        if line.is_blank_or_comment() {
            return Item::Nothing(line.span.clone());
        }
        if line.is_ksappend() {
            return match self.ksappend(line) {
                Some(include) => Item::Include(include),
                None => Item::Broken(line.span.clone()),
            };
        }
        let Some(words) = self.words(line, Comments::Allowed) else {
            return Item::Broken(line.span.clone());
        };
        let tag = match words.first() {
            Some(first) if !first.text.is_empty() => first.text.clone(),
            _ => {
                self.error(
                    line.first_word(),
                    "a line starts with an empty word",
                    "start the line with the name of a command, or remove it",
                );
                return Item::Broken(line.span.clone());
            }
        };
        match tag.as_str() {
            // Quoted, and so not replaced by a file.
            "%ksappend" => Item::Nothing(line.span.clone()),
            "%include" => match self.include(line, &words) {
                Some(include) => Item::Include(include),
                None => Item::Broken(line.span.clone()),
            },
            "%end" => {
                self.error(
                    line.first_word(),
                    "`%end` closes nothing here",
                    "remove it, or add the section header that it should close",
                );
                Item::Broken(line.span.clone())
            }
            _ if tag.starts_with('%') => self.section(line, words),
            _ => Item::Command(Command {
                words,
                span: line.span.clone(),
                line: line.number,
            }),
        }
    }

    fn section(&mut self, header_line: &Line<'_>, header: Vec<Word>) -> Item {
        let kind = SectionKind::from_tag(&header[0].text);
        let start = header_line.span.end;
        let mut section = Section {
            kind,
            header,
            line: header_line.number,
            body: start..start,
            includes: Vec::new(),
            span: header_line.span.clone(),
            closed: false,
        };
        loop {
            let (offset, number) = (self.lines.offset, self.lines.number);
            let Some(line) = self.lines.next() else {
                break;
            };
            if line.is_ksappend() {
                let include = self.ksappend(&line);
                section.includes.extend(include);
            }
            // Comments count as lines of a script; elsewhere a tag in a comment means nothing
            // either, because it does not stand at the start of the line.
            let first = words::first_word(line.text);
            let is_tag = |word: &str| SectionKind::from_tag(word) != SectionKind::Unknown;
            if matches!(first, "%end" | "%include") || is_tag(first) {
                // The line is split without comments: an apostrophe behind `%end` stops the
                // installer. A word that ends in white space of which the splitter knows nothing
                // is none of those below, and the line is lost.
                let words = if is_tag(first) {
                    split(line.text, line.span.start, Comments::Literal).ok()
                } else {
                    self.words(&line, Comments::Literal)
                };
                let word = words.as_ref().map_or(first, |words| &words[0].text);
                match word {
                    "%end" => {
                        section.body.end = line.span.start;
                        section.span.end = line.span.end;
                        section.closed = true;
                        return Item::Section(section);
                    }
                    "%include" => {
                        let include = words.and_then(|words| self.include(&line, &words));
                        section.includes.extend(include);
                    }
                    other if is_tag(other) => {
                        // The next section starts here: go back, and read it as one.
                        self.lines.offset = offset;
                        self.lines.number = number;
                        break;
                    }
                    _ => {}
                }
            }
            section.body.end = line.span.end;
            section.span.end = line.span.end;
        }
        Item::Section(section)
    }

    fn include(&mut self, line: &Line<'_>, words: &[Word]) -> Option<Include> {
        let target = words.get(1).map(|word| word.text.clone());
        self.including(line, target, false)
    }

    /// `%ksappend` is looked for with other means than the words of a line: the file's name is
    /// what stands between the first two spaces.
    fn ksappend(&mut self, line: &Line<'_>) -> Option<Include> {
        let target = words::trim(line.text).split(' ').nth(1);
        self.including(line, target.map(str::to_string), true)
    }

    fn including(
        &mut self,
        line: &Line<'_>,
        target: Option<String>,
        ksappend: bool,
    ) -> Option<Include> {
        let Some(target) = target.filter(|target| !target.is_empty()) else {
            let tag = if ksappend { "%ksappend" } else { "%include" };
            self.error(
                line.first_word(),
                format!("`{tag}` names no file"),
                "write the path or the URL after it, behind one space",
            );
            return None;
        };
        Some(Include {
            target,
            ksappend,
            span: line.span.clone(),
        })
    }

    fn words(&mut self, line: &Line<'_>, comments: Comments) -> Option<Vec<Word>> {
        match split(line.text, line.span.start, comments) {
            Ok(words) => Some(words),
            Err(SplitError::UnclosedQuote(span)) => {
                self.error(
                    span,
                    "a quote is opened here and not closed on this line",
                    "close the quote, or write `\\` before it to mean the character",
                );
                None
            }
            Err(SplitError::NothingEscaped(span)) => {
                self.error(
                    span,
                    "the backslash at the end of the file escapes nothing",
                    "remove it; lines of a kickstart cannot be continued",
                );
                None
            }
        }
    }

    fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: &str) {
        let (source, index) = (self.source, &self.index);
        let finding = Diagnostic::within(Severity::Error, source, index, span, message);
        self.findings.push(finding.help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::super::outline::{EndAction, SourceKind};
    use super::*;

    fn outline(text: &str) -> Outline {
        scan(text, "t.ks").unwrap_or_else(|findings| panic!("{findings:?}"))
    }

    fn refusals(text: &str) -> Vec<(usize, usize, String)> {
        scan(text, "t.ks")
            .expect_err(text)
            .into_iter()
            .map(|finding| (finding.line, finding.column, finding.message))
            .collect()
    }

    #[test]
    fn no_byte_is_lost() {
        let texts = [
            "",
            "text",
            "text\r\n\r\n# c\r\n%post --nochroot\r\nfoo\r\n%end\r\nreboot",
            "\u{feff}text\n%packages\n@core\n%end # done\n\n%include /tmp/x\n",
            "%post\nunclosed\n%pre\n%end\n%end\n%foo\nbar\n",
            "a 'b\n\u{2028}%end\u{c}x\ry\u{85}",
            "%ksappend\n%post\n%include\n",
        ];
        for text in texts {
            let (outline, _) = scan_all(text, "t.ks");
            let mut at = 0;
            for item in &outline.items {
                assert_eq!(item.span().start, at, "{text:?}: {:?}", outline.items);
                at = item.span().end;
            }
            assert_eq!(at, text.len(), "{text:?}");
        }
    }

    #[test]
    fn answers_what_the_build_asks() {
        let text = "url --url=http://m/os/\nrepo --name=a --baseurl http://m/a\ntext\ngraphical\n\
                    rootpw x\nrootpw --lock\nreboot\nshutdown --eje\n%packages\n@core\n%end\n\
                    %post\n# %end in a comment\n %endless\n%end\nhalt\npoweroff --kexec\n";
        let outline = outline(text);
        let (kind, source) = outline.source().unwrap();
        assert_eq!((kind, source.line), (SourceKind::Packages, 1));
        assert_eq!(source.option("url"), Some("http://m/os/"));
        let repo = outline.last("repo").unwrap();
        assert_eq!(repo.option("name"), Some("a"));
        assert_eq!(repo.option("baseurl"), Some("http://m/a"));
        assert_eq!(outline.last("rootpw").unwrap().line, 6);
        let ending = outline.ending().unwrap();
        assert_eq!(ending.action, EndAction::PowerOff);
        assert!(ending.kexec);
        let post = outline.sections().last().unwrap();
        assert_eq!(&text[post.body.clone()], "# %end in a comment\n %endless\n");
        assert!(!outline.has_includes());
    }

    #[test]
    fn includes_are_seen_everywhere() {
        for text in [
            "%include /tmp/x\n",
            "%ksappend /x\n",
            "%packages\n%include /p\n%end\n",
            "%post\n  %include /p\n%end\n",
        ] {
            assert!(outline(text).has_includes(), "{text}");
        }
        assert!(!outline("%post\necho %include x\n%end\n").has_includes());
    }

    // What pykickstart's own state machine made of each.
    #[test]
    fn white_space_is_that_of_python() {
        for text in [
            "%post\n\u{a0}\n%end\rtext\n",
            "\u{1f}# comment\n\u{a0}\n",
            "%post\n%end\u{a0}x\n%end\n",
            "%packages\n%post\u{a0}x\n%end\n",
            "%post\n%end\"x\"\n%foo\n%end\n",
            "\"%ksappend\"\n",
        ] {
            outline(text);
        }
        // The splitter of commands does not know this white space, so that the tag is none.
        let text = "\u{1f}%post\n\u{2003}%end\n%end\n";
        assert_eq!(refusals(text)[0].2, "`%end` closes nothing here");
        let open = outline("%post\n%end\u{2028}");
        assert!(matches!(&open.items[..], [Item::Section(section)] if !section.closed));
    }

    #[test]
    fn ksappend_is_read_before_all_else() {
        let text = "%ksappend a'b c\n%post\n  %ksappend  x\n%end\n%ksappend\tx\n";
        let (outline, findings) = scan_all(text, "t.ks");
        let Item::Include(include) = &outline.items[0] else {
            panic!("{outline:?}");
        };
        assert_eq!((include.target.as_str(), include.ksappend), ("a'b", true));
        let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [3, 5], "{findings:?}");
    }

    #[test]
    fn line_ends_and_marks_do_not_matter() {
        let outline = outline("\u{feff}text\r\nreboot");
        assert!(outline.byte_order_mark);
        let names: Vec<&str> = outline.commands().map(Command::name).collect();
        assert_eq!(names, ["text", "reboot"]);
        assert_eq!(outline.last("reboot").unwrap().line, 2);
    }

    #[test]
    fn refusals_name_the_place() {
        assert_eq!(
            refusals("%foo\n%end\n%end\n%include\nuser --gecos=\"a\n"),
            [
                (3, 1, "`%end` closes nothing here".to_string()),
                (4, 1, "`%include` names no file".to_string()),
                (
                    5,
                    14,
                    "a quote is opened here and not closed on this line".to_string()
                ),
            ]
        );
        assert_eq!(refusals("%post\nx\n%end # don't\n")[0].0, 3);
        assert_eq!(refusals("'' x\n")[0].2, "a line starts with an empty word");
    }

    #[test]
    fn other_encodings_are_kept_and_named_with_the_place() {
        let text = decode(b"text\nuser --gecos=J\xf6rg\n".to_vec());
        let finding = undecodable(&text, "l.ks").unwrap();
        assert_eq!((finding.line, finding.column), (2, 15));
        assert!(finding.message.starts_with("byte 19 (0xf6)"), "{finding}");
        assert_eq!(decode("ö".into()), "ö");
        assert_eq!(undecodable("ö", "u.ks"), None);
        // Whatever the bytes are, none is lost, not even those that look like ours.
        let strange = "\u{10fe00}a\u{10feff}".as_bytes().to_vec();
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [strange, all, b"\xc3\xe4\xf6 \xc3\xa4".to_vec()] {
            assert_eq!(encode(&decode(bytes.clone())), bytes);
        }
    }
}

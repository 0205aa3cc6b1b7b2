use super::*;

fn lines_in_chunks(stream: &[u8], size: usize) -> Vec<String> {
    let mut console = Console::new(None);
    let mut out: Vec<Output> = stream.chunks(size).flat_map(|c| console.feed(c)).collect();
    out.extend(console.settle());
    out.into_iter()
        .map(|output| match output {
            Output::Line(line) => line,
            Output::Mark => "MARK".to_owned(),
        })
        .collect()
}

/// The lines of a stream, which must be the same however it is cut.
fn lines(stream: &[u8]) -> Vec<String> {
    let whole = lines_in_chunks(stream, stream.len().max(1));
    for size in [1, 2, 7, 80, 81] {
        assert_eq!(lines_in_chunks(stream, size), whole, "chunks of {size}");
    }
    whole
}

/// What tmux sends to append a line to its pane of 23 rows.
fn tmux_line(text: &str) -> String {
    format!("\x1b[1;23r\x1b[23;1H\n\x1b[K\x1b[1;24r\x1b[23;1H{text}")
}

const TMUX_START: &str = "\x1b[r\x1b[H\x1b[J\x1b[m\x1b(B\x1b[1;24r\x1b[1;1H\x1b[K\r\n\x1b[K\r\n\
    \x1b[24;1H\x1b[7m[anaconda]1:main* 2:shell  3:log  4:storage-log\x1b[m\x1b[1;1H";

#[test]
fn plain_lines_come_as_they_are() {
    assert_eq!(
        lines(b"one\r\n\r\ntwo \x1b[1mbold\x1b[0m\r\r\nthree\n"),
        ["one", "two bold", "three"]
    );
}

#[test]
fn every_line_of_a_long_output_comes_once() {
    let stream: String = (0..500).map(|n| format!("line {n}\r\n")).collect();
    let expected: Vec<String> = (0..500).map(|n| format!("line {n}")).collect();
    assert_eq!(lines(stream.as_bytes()), expected);
}

#[test]
fn equal_lines_each_come() {
    let stream = "same\r\n".repeat(60);
    assert_eq!(lines(stream.as_bytes()).len(), 60);
}

#[test]
fn a_line_wrapped_at_80_columns_is_joined() {
    let long = "word ".repeat(50);
    let stream = format!("{long}\r\nnext\r\n");
    assert_eq!(lines(stream.as_bytes()), [long.trim_end(), "next"]);
}

#[test]
fn a_line_longer_than_the_screen_is_joined_and_bounded() {
    let long = "0123456789".repeat(300);
    let stream = format!("{long}\r\nnext\r\n");
    assert_eq!(lines(stream.as_bytes()), [long.as_str(), "next"]);
    let endless = "x".repeat(100_000);
    let got = lines_in_chunks(format!("{endless}\r\nnext\r\n").as_bytes(), 4096);
    assert_eq!(got.last().map(String::as_str), Some("next"));
    assert!(got[0].len() >= MAX_LINE && got[0].len() <= MAX_LINE + 24 * 80);
}

#[test]
fn tmux_output_comes_line_by_line_without_its_status_bar() {
    let mut stream = TMUX_START.to_owned();
    for n in 0..60 {
        stream += &tmux_line(&format!("Installing package{n}.x86_64 ({n}/60)"));
    }
    let expected: Vec<String> = (0..60)
        .map(|n| format!("Installing package{n}.x86_64 ({n}/60)"))
        .collect();
    assert_eq!(lines(stream.as_bytes()), expected);
}

#[test]
fn a_redraw_of_the_whole_screen_is_no_news() {
    let mut stream = TMUX_START.to_owned();
    for n in 0..23 {
        stream += &format!("\x1b[{};1Hrow {n}", n + 1);
    }
    // The same text again, then shifted up by five rows with five new ones below.
    for shift in [0, 5] {
        stream += "\x1b[H";
        for n in 0..23 {
            stream += &format!("row {}\x1b[K\r\n", n + shift);
        }
    }
    let expected: Vec<String> = (0..28).map(|n| format!("row {n}")).collect();
    assert_eq!(lines(stream.as_bytes()), expected);
}

#[test]
fn text_without_a_line_feed_is_not_lost_when_the_screen_is_cleared() {
    assert_eq!(
        lines(b"last words\x1b[H\x1b[J[terminated]\r\n"),
        ["last words", "[terminated]"]
    );
}

#[test]
fn progress_dots_are_not_news() {
    let mut console = Console::new(None);
    let mut got = console.feed(b"Starting automated install");
    got.extend(console.settle());
    got.extend(console.feed(b"..."));
    got.extend(console.settle());
    got.extend(console.feed(b"..\r\n.\r\nNext\r\n"));
    assert_eq!(
        got,
        ["Starting automated install", "Next"].map(|l| Output::Line(l.to_owned()))
    );
}

#[test]
fn a_prompt_comes_when_the_output_pauses() {
    let mut console = Console::new(None);
    assert_eq!(console.feed(b"Press ENTER to continue: "), []);
    let prompt = Output::Line("Press ENTER to continue:".to_owned());
    assert_eq!(console.settle(), [prompt]);
    assert_eq!(console.settle(), []);
}

#[test]
fn an_animation_names_each_job_once() {
    let frame = |stars: &str, job: &str, time: u32| {
        format!("\x1b[K[{stars}] A start job is running for {job} ({time}s / 1min)\r\r\n\x1bM\r")
    };
    let stream = (0..20)
        .map(|n| frame("  *** ", "Anaconda", n) + &frame(" ***  ", "Hostname", n))
        .collect::<String>()
        + "\x1b[K[  OK  ] Started Anaconda.\r\n";
    let got = lines(stream.as_bytes());
    assert_eq!(got.len(), 3, "{got:?}");
    assert_eq!(got[2], "[  OK  ] Started Anaconda.");
}

#[test]
fn text_overwritten_after_a_carriage_return_shows_its_last_state() {
    assert_eq!(lines(b"10%\r20%\r100%\r\n"), ["100%"]);
}

#[test]
fn characters_split_between_chunks_are_whole() {
    assert_eq!(
        lines("Gr\u{fc}\u{df}e \u{2026} \u{4e2d}\u{6587}\r\n".as_bytes()),
        ["Gr\u{fc}\u{df}e \u{2026} \u{4e2d}\u{6587}"]
    );
}

#[test]
fn the_mark_is_found_in_noise_and_in_redraws() {
    let mark = "ozr-8c1d7e";
    for stream in [
        "\x1b[31mozr-8\x1b[0mc1d7e",
        "text ozr-8c1\r\n\x1b[Kd7e",
        "\x1b[1;23r\x1b[23;1H\n\x1b[K\x1b[1;24r\x1b[23;1Hozr-8c1d7e",
    ] {
        for size in [1, 3, 100] {
            let mut console = Console::new(Some(mark));
            let out: Vec<Output> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|c| console.feed(c))
                .collect();
            assert!(out.contains(&Output::Mark), "{stream:?} by {size}");
        }
    }
}

#[test]
fn no_bytes_make_it_panic() {
    // xorshift; biased towards what terminals act on.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let alphabet = b"\x1b[];0123456789?HJKrMSTLPXhlmAB@\n\r\x08\tabc\xc3\xbc\xe4\xb8\xad\xcc\x81 ";
    for round in 0..200 {
        let mut console = Console::new(Some("mark"));
        let bytes: Vec<u8> = (0..3000)
            .map(|_| {
                let n = next();
                if round % 2 == 0 {
                    alphabet[(n >> 8) as usize % alphabet.len()]
                } else {
                    (n >> 8) as u8
                }
            })
            .collect();
        for chunk in bytes.chunks(113) {
            for output in console.feed(chunk) {
                if let Output::Line(line) = output {
                    assert!(!line.is_empty() && line.len() <= 4 * (MAX_LINE + 24 * 80));
                }
            }
        }
        console.settle();
    }
}

#[test]
fn characters_that_come_in_parts_and_bytes_that_are_none() {
    assert_eq!(
        lines(
            b"Gr\xc3\xbcn \xe2\x82\xac \xdf\xabf\xc2ollowing\xb6 \xf0\x9f\x98\xe2\x82\r\n\x82end\xc3"
        ),
        ["Gr\u{fc}n \u{20ac} \u{7eb}following", "end"]
    );
    // At the end of a row, and of what is drawn at one go.
    let long = format!("{}\u{e9}\u{e9}", "x".repeat(79));
    assert_eq!(lines(format!("{long}\n").as_bytes()), [long]);
}

#[test]
fn no_control_character_survives() {
    let all: Vec<u8> = (0..=0xff)
        .flat_map(|byte| [b'a', byte, b'b', b'\n'])
        .collect();
    let c1: String = ('\u{80}'..='\u{9f}').chain(['\u{7f}']).collect();
    for stream in [all, format!("x{c1}y\n").into_bytes()] {
        for line in lines(&stream) {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
}

#[test]
fn a_mark_is_found_once_across_chunks_and_line_breaks() {
    let mut finder = MarkFinder::new("ozr-done-4f6a");
    assert!(!finder.take(b"noise ozr-do"));
    assert!(!finder.take(b"\r\n"));
    assert!(finder.take(b"ne-4f6a"));
    assert!(!finder.take(b"ozr-done-4f6a"), "found already");
}

#[test]
fn nothing_else_is_the_mark() {
    let mut finder = MarkFinder::new("ozr-done-4f6a");
    assert!(!finder.take(b"ozr-done-4f6bozr-done-4f6"));
    assert!(!MarkFinder::new("").take(b"anything"));
}

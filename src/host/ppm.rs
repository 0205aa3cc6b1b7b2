//! Pictures of screens: PNG as QEMU 7.1 and later give them to libvirt 8.5 and later, PPM before.
//! Pure.

use anyhow::{Context, bail, ensure};

/// What a PNG file begins with (PNG specification, section 5.2).
const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Largest side of a screen in pixels. QEMU's cards draw no larger ones; a PPM that claims more is
/// none of QEMU's.
const MAX_SIDE: u32 = 16 * 1024;

/// Most pixels of a screen: 8K is 33 million. What is made of them stays below 200 MB.
const MAX_PIXELS: usize = 64 << 20;

/// The picture as a PNG file, whichever of the two it is.
///
/// # Errors
/// It is neither, or broken.
pub(super) fn to_png(picture: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if picture.starts_with(PNG_MAGIC) {
        return Ok(picture);
    }
    let picture = Ppm::read(&picture).context("reading the picture that QEMU made")?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&picture.rgb))
        .context("writing a PNG")?;
    Ok(file)
}

/// A picture of eight bits a colour.
#[derive(Debug, PartialEq, Eq)]
struct Ppm {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Ppm {
    /// Reads a binary PPM (netpbm's ppm(5), "P6").
    fn read(bytes: &[u8]) -> anyhow::Result<Ppm> {
        let Some(head) = bytes.strip_prefix(b"P6") else {
            bail!("it is neither a PNG nor a binary PPM");
        };
        let (width, rest) = number(head).context("its width")?;
        let (height, rest) = number(rest).context("its height")?;
        let (max, rest) = number(rest).context("its largest value")?;
        ensure!(
            (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height),
            "no screen has {width} by {height} pixels"
        );
        let pixels = width as usize * height as usize;
        ensure!(
            pixels <= MAX_PIXELS,
            "no screen has {width} by {height} pixels"
        );
        ensure!(
            (1..=u32::from(u16::MAX)).contains(&max),
            "its largest value cannot be {max}"
        );
        // One blank, whichever, ends the header.
        let samples = rest.get(1..).unwrap_or_default();
        let width_of_sample = if max < 256 { 1 } else { 2 };
        let wanted = pixels * 3 * width_of_sample;
        let Some(samples) = samples.get(..wanted) else {
            bail!("it has {} of its {wanted} bytes", samples.len());
        };
        let rgb = match (width_of_sample, max) {
            (1, 255) => samples.to_vec(),
            (1, _) => samples
                .iter()
                .map(|&value| scaled(value.into(), max))
                .collect(),
            // The more significant byte first.
            _ => samples
                .chunks_exact(2)
                .map(|pair| scaled(u32::from(pair[0]) << 8 | u32::from(pair[1]), max))
                .collect(),
        };
        Ok(Ppm { width, height, rgb })
    }
}

/// A value of a scale that ends with `max`, on the scale that ends with 255.
fn scaled(value: u32, max: u32) -> u8 {
    u8::try_from((value.min(max) * 255 + max / 2) / max).unwrap_or(u8::MAX)
}

/// The decimal number after blanks and comments, of at most nine digits, and what follows it: a
/// blank at least.
fn number(bytes: &[u8]) -> anyhow::Result<(u32, &[u8])> {
    let mut rest = bytes;
    loop {
        let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
        ensure!(
            blanks > 0 || rest.len() < bytes.len(),
            "is not set off by a blank"
        );
        rest = &rest[blanks..];
        if rest.first() != Some(&b'#') {
            break;
        }
        let comment = rest.iter().take_while(|byte| **byte != b'\n').count();
        rest = &rest[comment..];
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    ensure!(
        (1..=9).contains(&digits) && rest.get(digits).is_some_and(|byte| is_blank(*byte)),
        "is no number"
    );
    let number = rest[..digits]
        .iter()
        .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    Ok((number, &rest[digits..]))
}

/// Blanks as C's isspace(3) has them.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ppm(head: &str, samples: &[u8]) -> Vec<u8> {
        [head.as_bytes(), samples].concat()
    }

    #[test]
    fn pictures_are_read() {
        for (head, samples, size, rgb) in [
            // QEMU's own form (ui/console.c, ppm_save).
            ("P6\n2 1\n255\n", &b"abcdef"[..], (2, 1), &b"abcdef"[..]),
            ("P6 # by hand\n#x\n1\t1\r255 ", b"abc", (1, 1), b"abc"),
            ("P6\n1 1\n15\n", &[0, 15, 200], (1, 1), &[0, 255, 255]),
            (
                "P6\n1 1\n65535\n",
                &[0, 0, 0xff, 0xff, 0x80, 0],
                (1, 1),
                &[0, 255, 128],
            ),
            // A sequence of pictures: the first counts.
            ("P6\n1 1\n255\n", b"abcP6\n", (1, 1), b"abc"),
        ] {
            let read = Ppm::read(&ppm(head, samples)).unwrap();
            assert_eq!((read.width, read.height), size, "{head:?}");
            assert_eq!(read.rgb, rgb, "{head:?}");
        }
    }

    #[test]
    fn hostile_pictures_are_refused() {
        for (bytes, why) in [
            ("", "neither"),
            ("P3\n1 1\n255\n0 0 0\n", "neither"),
            ("\u{89}PNG\r\n", "neither"),
            ("P6", "width"),
            ("P61 1\n255\nabc", "width"),
            ("P6\n1", "width"),
            ("P6\n-1 1\n255\nabc", "width"),
            ("P6\n1\n", "height"),
            ("P6\n1 1\n255", "largest value"),
            ("P6\n1 1 # for ever", "largest value"),
            ("P6\n1 1\n0\nabc", "cannot be 0"),
            ("P6\n1 1\n65536\nabcabc", "cannot be 65536"),
            ("P6\n0 1\n255\n", "0 by 1"),
            ("P6\n16385 1\n255\n", "16385 by 1"),
            ("P6\n16384 16384\n255\n", "16384 by 16384"),
            ("P6\n999999999 999999999\n255\n", "no screen"),
            ("P6\n99999999999999999999 1\n255\n", "width"),
            ("P6\n1 1\n255\nab", "2 of its 3"),
            ("P6\n1 1\n256\nabcab", "5 of its 6"),
            ("P6\n1 1\n255\n", "0 of its 3"),
        ] {
            let error = format!("{:#}", Ppm::read(bytes.as_bytes()).unwrap_err());
            assert!(error.contains(why), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn what_comes_out_is_a_png_of_the_same_pixels() {
        let png = to_png(ppm("P6\n2 1\n255\n", &[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!(to_png(png.clone()).unwrap(), png, "a PNG stays as it is");
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2, 1));
        assert_eq!(pixels, [1, 2, 3, 4, 5, 6]);
    }
}

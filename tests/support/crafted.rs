//! Crafted guests: the install tree's kernel with a first process that plays what an installer
//! would say (`fixtures/crafted`).

use cpio::newc::{Builder, ModeFileType, trailer};

use super::mirror::{INITRD, KERNEL, STAGE2};
use super::site::Site;
use super::tree::tree;

/// The play of a whole install.
pub const INSTALL: &str = include_str!("../../fixtures/crafted/install.sh");

const INIT: &str = include_str!("../../fixtures/crafted/init");
const WORDS: &str = include_str!("../../fixtures/crafted/words.sh");

/// A place whose mirror serves, as the install tree, a guest that plays `play`; none where there
/// is no tree to take the kernel from.
pub fn site(name: &str, play: &str) -> Option<Site> {
    let site = Site::new(name)?;
    let mut initrd = std::fs::read(tree()?.join("os").join(INITRD)).unwrap();
    lay_over(&mut initrd, play);
    site.mirror.exchange("/os", INITRD, initrd);
    // Nobody fetches it; ozr only looks whether it is there.
    site.mirror.put(&format!("/os/{STAGE2}"), "no file system");
    Some(site)
}

/// Puts a second archive behind an initrd, whose files stand above the first one's: the kernel
/// unpacks both, one after the other.
fn lay_over(initrd: &mut Vec<u8>, play: &str) {
    // The kernel looks for an archive at multiples of four bytes.
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    let directory = Builder::new("crafted")
        .mode(0o755)
        .set_mode_file_type(ModeFileType::Directory);
    directory.write(&mut *initrd, 0).finish().unwrap();
    for (name, mode, text) in [
        ("init", 0o755, INIT),
        ("crafted/words.sh", 0o644, WORDS),
        ("crafted/play.sh", 0o644, play),
    ] {
        let file = Builder::new(name)
            .mode(mode)
            .set_mode_file_type(ModeFileType::Regular);
        let mut file = file.write(&mut *initrd, u32::try_from(text.len()).unwrap());
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        file.finish().unwrap();
    }
    trailer(initrd).unwrap();
}

/// Makes the site's kernel one that turns round and round in its first instruction, and says
/// nothing at all.
pub fn silence_kernel(site: &Site) {
    /// Where the boot protocol has the first instruction, a jump over the header
    /// (Documentation/arch/x86/boot.rst).
    const JUMP: usize = 0x200;
    site.serve_packed_kernel();
    let mut kernel = std::fs::read(tree().unwrap().join("os").join(KERNEL)).unwrap();
    assert_eq!(kernel[JUMP], 0xeb, "a short jump");
    // To itself.
    kernel[JUMP + 1] = 0xfe;
    site.mirror.exchange("/os", KERNEL, kernel);
}

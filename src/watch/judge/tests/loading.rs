//! Failures before the installer runs.

use super::*;

#[test]
fn a_kickstart_that_was_never_fetched_says_how_far_the_boot_came() {
    let failed = failure(OVER_HTTP, "<shutdown by guest>");
    assert_eq!(failed.cause, Cause::NoBootOutput);
    assert!(
        failed
            .sentence
            .contains("nothing at all came from its console")
    );
    for (story, far) in [
        ("[ 0.0] Linux version 5", "its kernel started"),
        (BOOT, "it came as far as the initramfs"),
        (
            &format!("{BOOT}\nStarting installer, one moment..."),
            "the installer started without it",
        ),
        (
            &format!(
                "{BOOT}\n[ 9.9] dracut-initqueue[9]: Warning: failed to fetch kickstart from http://192.0.2.1/x"
            ),
            "initramfs: failed to fetch kickstart from http://192.0.2.1/x",
        ),
    ] {
        let failed = failure(OVER_HTTP, &format!("{story}\n<shutdown by guest>"));
        assert_eq!(failed.cause, Cause::KickstartUnreachable);
        assert!(
            failed
                .sentence
                .starts_with("the guest never fetched the kickstart; "),
            "{}",
            failed.sentence
        );
        assert!(failed.sentence.contains(far), "{}", failed.sentence);
    }
}

#[test]
fn a_guest_without_its_second_stage_says_why() {
    let story = format!(
        "{BOOT}<fetched>
        [ 9.0] dracut-initqueue[1]: Warning: Downloading 'http://192.0.2.1/images/install.img' failed!
        [ 9.1] dracut-initqueue[1]: Warning: anaconda: failed to fetch stage2 from http://192.0.2.1/os
        [ 99.1] dracut-initqueue[1]: Warning: Could not boot.
        <quiet>"
    );
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::Stage2Unavailable);
    assert!(
        failed
            .sentence
            .contains("failed to fetch stage2 from http://192.0.2.1/os")
    );
    // The same, and the guest is gone before anything more definite was said.
    let story = format!("{BOOT}<fetched>\n[ 9.0] reboot: Power down\n<gone>");
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::Stage2Unavailable);
    assert!(failed.sentence.contains("the installer never started"));
}

/// With `rd.emergency=poweroff` it shuts down at once, before its failure is decided.
#[test]
fn an_initramfs_that_gives_up_and_shuts_down_says_why() {
    let end = "[ 28.6] dracut-initqueue[1]: Warning: Could not boot.
        Boot has failed. To debug this issue add \"rd.shell rd.debug\" to the kernel command line.
        [ 29.0] reboot: Power down
        <shutdown by guest>";
    let never = failure(
        OVER_HTTP,
        &format!(
            "{BOOT}
            dracut-initqueue[1]: curl: (7) Failed to connect to 192.0.2.1 port 9 after 7 ms
            dracut-initqueue[1]: Warning: anaconda: failed to fetch kickstart from http://192.0.2.1:9/ks
            {end}"
        ),
    );
    assert_eq!(never.cause, Cause::KickstartUnreachable);
    let says = "the guest never fetched the kickstart; it came as far as the initramfs: \
                anaconda: failed to fetch kickstart from http://192.0.2.1:9/ks \
                (curl: (7) Failed to connect to 192.0.2.1 port 9 after 7 ms); check ";
    assert!(never.sentence.starts_with(says), "{}", never.sentence);
    let stage2 = failure(
        OVER_HTTP,
        &format!(
            "{BOOT}<fetched>
            dracut-initqueue[1]: Warning: anaconda: failed to fetch stage2 from http://192.0.2.1/os
            {end}"
        ),
    );
    assert_eq!(stage2.cause, Cause::Stage2Unavailable);
    let says = "the guest could not load the installer: anaconda: failed to fetch stage2 from";
    assert!(stage2.sentence.starts_with(says), "{}", stage2.sentence);
}

#[test]
fn a_kernel_panic_is_named() {
    let story = "[ 1.0] Linux version 5\n[ 2.0] Kernel panic - not syncing: no init found\n<quiet>";
    let failed = failure(OVER_HTTP, story);
    assert_eq!(failed.cause, Cause::KernelPanic);
    assert!(failed.sentence.contains("panicked: no init found;"));
}

#[test]
fn causes_from_the_initramfs_do_not_outlive_it() {
    let story = UP_TO_POST.replace(
        "Installing boot loader",
        "curl: (6) Could not resolve host: in.a.script\nInstalling boot loader",
    );
    let failed = failure(OVER_HTTP, &format!("{story}<timeout>"));
    assert_eq!(failed.cause, Cause::TimedOut);
    let failed = failure(
        OVER_HTTP,
        &format!("{story}<mark>\n[terminated]\n<timeout>"),
    );
    assert_eq!(failed.cause, Cause::TimedOut);
    assert!(
        failed.sentence.contains("did not shut down"),
        "{}",
        failed.sentence
    );
}

#[test]
fn the_first_error_is_the_cause() {
    let story = "[ 1.0] Linux version 5
        [ 1.0] Initramfs unpacking failed: write error
        [ 2.0] Kernel panic - not syncing: VFS: Unable to mount root fs
        <quiet>";
    let failed = failure(OVER_HTTP, story);
    assert_eq!(failed.cause, Cause::OutOfMemory);
    assert_eq!(
        failed.seen[0].text,
        "[ 1.0] Initramfs unpacking failed: write error"
    );
    let story = "<fetched>
        Starting automated install...
        log: 10:00:00,000 ERR anaconda:anaconda: ui.tui.hubs.summary: CmdlineError: The following mandatory spokes are not completed:#012Root password
        The installation was stopped due to an error
        <quiet>";
    assert_eq!(failure(OVER_HTTP, story).cause, Cause::QuestionAsked);
}

#[test]
fn the_server_tells_what_the_guest_could_not_get() {
    let story = format!(
        "{BOOT}<fetched>
        server: tree/images/product.img: status 404
        server: tree/images/install.img: status 403
        <shutdown by guest>"
    );
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::Stage2Unavailable);
    assert_eq!(failed.seen.len(), 2);
    assert_eq!(failed.seen[0].source, Source::ServerLog);
    assert_eq!(failed.seen[0].text, "tree/images/install.img: status 403");
    assert_eq!(failed.seen[1].text, "the guest switched itself off");
    // It has got it elsewhere.
    let story = UP_TO_POST.replace(
        "Starting automated install...",
        "Starting automated install...\nserver: more/repodata/repomd.xml: status 404",
    );
    let failed = failure(OVER_HTTP, &format!("{story}<timeout>"));
    assert_eq!(failed.cause, Cause::TimedOut);
}

#[test]
fn a_kickstart_that_was_asked_for_and_not_had_is_told_from_one_never_asked_for() {
    let story = format!("{BOOT}server: kickstart: cut off after 12 bytes\n<shutdown by guest>");
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::KickstartUnreachable);
    let says = "it came as far as the initramfs: kickstart: cut off after 12 bytes";
    assert!(failed.sentence.contains(says), "{}", failed.sentence);
    assert_eq!(failed.seen[0].source, Source::ServerLog);
    let failed = failure(OVER_HTTP, &format!("{BOOT}<shutdown by guest>"));
    assert_eq!(failed.cause, Cause::KickstartUnreachable);
    assert_eq!(failed.seen.len(), 1);
    assert_eq!(failed.seen[0].source, Source::GuestState);
}

/// What the initramfs writes to is memory.
#[test]
fn an_initramfs_without_room_is_a_guest_without_memory() {
    let story = format!(
        "{BOOT}
        [   31.2] dracut-initqueue[1354]: curl: (23) Failure writing output to destination
        [   33.0] dracut: FATAL: Failed to find a root filesystem in /tmp/curl_fetch_url1/install.img.
        [   33.0] dracut: Refusing to continue
        [   33.1] dracut-initqueue[1392]: /lib/dracut-lib.sh: line 434: echo: write error: No space left on device
        [   33.7] reboot: System halted
        <quiet>"
    );
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::OutOfMemory);
    let says = "the guest has too little memory to load the installer: curl: (23) Failure writing";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
    assert!(!failed.cause.retry());
    // Later it is the disk, or nothing of importance.
    let story = UP_TO_POST.replace("Creating", "x: No space left on device\nCreating");
    let failed = failure(
        OVER_HTTP,
        &format!("{story}x: No space left on device\n<timeout>"),
    );
    assert_eq!(failed.cause, Cause::TimedOut);
}

#[test]
fn the_second_stage_begins_with_its_welcome() {
    let mut judge = Judge::new(OVER_HTTP, Limits::default());
    for (line, phase) in [
        ("Welcome to GRUB!", Phase::Kernel),
        (
            "Welcome to Rocky Linux 9.4 (Blue Onyx) dracut-059-4 (Initramfs)!",
            Phase::Initramfs,
        ),
        (
            "[  OK  ] Started dracut-initqueue.service - dracut initqueue hook.",
            Phase::Initramfs,
        ),
        ("Welcome to Rocky Linux 9.4 (Blue Onyx)!", Phase::Stage2),
        (
            "[  OK  ] Stopped anaconda.service - Anaconda.",
            Phase::ShuttingDown,
        ),
    ] {
        judge.witness(at(1), Witness::Console(line));
        assert_eq!(judge.progress().phase(), phase, "{line}");
    }
}

#[test]
fn a_kickstart_that_the_initramfs_refuses_is_reported_with_the_next_line() {
    let story = format!(
        "{BOOT}<fetched>
        [   49.0] dracut-initqueue[1552]: The following problem occurred on line 10 of the kickstart file:
        [   49.1] systemd[1]: Started x.
        [   49.1] dracut-initqueue[1552]: Unknown command: nosuchcommand
        <quiet>"
    );
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::KickstartRejected);
    let says = "installer reported: The following problem occurred on line 10 of the kickstart file: Unknown command: nosuchcommand; ";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
}

//! Texts that tell that the installer refused the kickstart, or has none.

use super::pattern::{Certainty, Channel, Origin, Pattern, Text, failure, origin};
use crate::watch::cause::Cause::{KickstartRejected, KickstartUnreachable};

const ANACONDA: Origin = origin("anaconda", "EL 7 and later", "kickstart.py");
const CMDLINE6: Origin = origin("anaconda", "EL 6", "cmdline.py");
const STARTUP: Origin = origin("anaconda", "EL 7 and later", "startup_utils.py");
const PYKICKSTART: Origin = origin("pykickstart", "all", "errors.py, parser.py");

use Certainty::Fatal;
use Channel::{Both, Console};
use Text::{Between, Both as Holds, Contains, Starts};

/// The texts.
#[rustfmt::skip]
pub static KICKSTART: &[Pattern] = &[
    failure(Both, Fatal, Contains("An error occurred during reading the kickstart file"), KickstartRejected, ANACONDA, "An error occurred during reading the kickstart file:"),
    failure(Both, Fatal, Holds("The following problem occurred on line ", "of the kickstart file"), KickstartRejected, PYKICKSTART, "The following problem occurred on line 3 of the kickstart file:"),
    failure(Console, Fatal, Contains("error was found while parsing the kickstart configuration file"), KickstartRejected, CMDLINE6, "The following error was found while parsing the kickstart configuration file:"),
    failure(Both, Fatal, Starts("Unable to open input kickstart file"), KickstartRejected, PYKICKSTART, "Unable to open input kickstart file: Error opening file"),
    failure(Console, Fatal, Between("Section %", " does not end with %end."), KickstartRejected, PYKICKSTART, "Section %post does not end with %end."),
    failure(Console, Fatal, Starts("Unknown kickstart section: "), KickstartRejected, PYKICKSTART, "Unknown kickstart section: %frob"),
    failure(Console, Fatal, Contains("pykickstart.errors.Kickstart"), KickstartRejected, PYKICKSTART, "pykickstart.errors.KickstartParseError: The thing on line 3"),
    failure(Both, Fatal, Between("Kickstart file ", " is missing."), KickstartUnreachable, STARTUP, "Kickstart file /run/install/ks.cfg is missing."),
];

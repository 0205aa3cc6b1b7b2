//! What is said on the port between ozr and an installer that waits: lines of JSON (`loader.ks` has the other side).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::host::Port;
use crate::image::base64;

/// The version of these lines.
const VERSION: u32 = 1;

/// Most bytes that a guest says before its line ends. It says some two hundred.
const MAX_LINE: usize = 64 << 10;

/// How long an installer may take to have its disks, to reseed and to answer. A second; on a busy machine whose
/// CPUs are emulated some ten. The loader waits three minutes for a disk.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);

/// Bytes of entropy for the guest's kernel: twice what its generator holds (Linux, drivers/char/random.c).
const ENTROPY: usize = 64;

/// How far the guest's clock may be off when it has been set. Sending a kickstart takes less.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Pause where the port takes nothing: QEMU hands on what the guest has read.
const FULL_PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Serialize)]
struct Order<'a> {
    /// Seconds since 1970.
    time: f64,
    #[serde(serialize_with = "base64::serialize")]
    entropy: &'a [u8],
    #[serde(serialize_with = "base64::serialize")]
    kickstart: &'a [u8],
    /// What the kernel calls the disks.
    disks: &'a [String],
}

/// What the guest says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    ready: Option<u32>,
    taken: Option<u32>,
    failed: Option<String>,
    time: Option<f64>,
    uuid: Option<String>,
}

/// What a guest on the port says, line by line.
#[derive(Debug, Default)]
pub(in crate::install) struct Listener(Vec<u8>);

impl Listener {
    /// Takes what came; whether the guest says that it waits for its kickstart.
    pub(in crate::install) fn is_ready(&mut self, bytes: &[u8]) -> bool {
        let said = self.line(bytes);
        said.is_some_and(|said| said.is_ok_and(|said| said.ready == Some(VERSION)))
    }

    /// The line, once it is whole.
    fn line(&mut self, bytes: &[u8]) -> Option<anyhow::Result<Said>> {
        self.0.extend_from_slice(bytes);
        let end = self.0.iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            let too_long = self.0.len() > MAX_LINE;
            if too_long {
                // It may go on like that.
                self.0.clear();
            }
            return too_long.then(|| Err(anyhow::anyhow!("it says too much")));
        };
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(serde_json::from_slice(&line).context("reading what it says"))
    }
}

/// Hands the kickstart over, with the time and with entropy, and makes sure that it was taken: the guest's kernel is
/// reseeded then, and its clock is right. The first random UUID that the guest made afterwards.
///
/// # Errors
/// The guest does not answer, says that something failed, or its clock is off.
pub(super) async fn hand_over(
    port: &mut Port,
    kickstart: &[u8],
    disks: &[String],
) -> anyhow::Result<String> {
    let handed = async {
        send(port, kickstart, disks).await?;
        let said = answer(port).await?;
        if let Some(why) = said.failed {
            bail!("it says: {why}");
        }
        ensure!(said.taken == Some(VERSION), "its answer is another one");
        let (time, uuid) = said.time.zip(said.uuid).context("its answer is cut")?;
        let off = (time - now()).abs();
        ensure!(
            off <= CLOCK_TOLERANCE.as_secs_f64(),
            "its clock is off by {off:.0} s after it was set"
        );
        Ok(uuid)
    };
    let handed = tokio::time::timeout(PATIENCE, handed).await;
    handed.unwrap_or_else(|_| bail!("it has not answered in {} s", PATIENCE.as_secs()))
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

async fn send(port: &mut Port, kickstart: &[u8], disks: &[String]) -> anyhow::Result<()> {
    let mut entropy = [0; ENTROPY];
    getrandom::fill(&mut entropy).context("reading random bytes")?;
    let order = Order {
        time: now(),
        entropy: &entropy,
        kickstart,
        disks,
    };
    let mut line = serde_json::to_vec(&order)?;
    line.push(b'\n');
    let mut rest = &line[..];
    while !rest.is_empty() {
        let taken = port.write(rest);
        rest = &rest[taken..];
        if taken == 0 {
            tokio::time::sleep(FULL_PAUSE).await;
        }
    }
    Ok(())
}

async fn answer(port: &mut Port) -> anyhow::Result<Said> {
    let mut listener = Listener::default();
    while let Some(bytes) = port.read().await {
        if let Some(said) = listener.line(&bytes) {
            return said;
        }
    }
    bail!("it is gone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_waits_when_its_whole_line_says_so() {
        let mut listener = Listener::default();
        assert!(!listener.is_ready(b"{\"ready"));
        assert!(listener.is_ready(b"\": 1}\n"));
        for other in ["{\"ready\": 2}\n", "nonsense\n", "{\"x\": 1}\n"] {
            assert!(!Listener::default().is_ready(other.as_bytes()), "{other}");
        }
        let flood = vec![b'x'; MAX_LINE + 1];
        assert!(Listener::default().line(&flood).unwrap().is_err());
        for _ in 0..3 {
            assert!(!listener.is_ready(&flood));
            assert!(listener.0.len() <= MAX_LINE);
        }
        assert!(listener.is_ready(b"{\"ready\": 1}\n"));
    }
}

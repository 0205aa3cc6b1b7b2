//! Asks a guest that is up what only it can tell: by its agent, by a login on its console, or by the seed that
//! cloud-init has read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::follow::{Follower, Heard};
use super::plan::{BootPlan, Way};
use super::questions::{self, Answer};
use super::report::Check;
use crate::blocking;
use crate::host::Guest;
use crate::watch::boot::{Judge, Sign, sign_of};

/// How long the agent may need to be there, from the login prompt on: its unit starts beside the prompt's.
const AGENT: Duration = Duration::from_secs(60);

/// How long the agent may take for an answer of its own, in seconds.
const AGENT_ANSWER: i32 = 10;

/// Pause between two looks for the agent, or whether it is done.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a login may take for each of its steps. PAM waits some seconds behind a wrong password.
const STEP: Duration = Duration::from_secs(30);

/// Pause before the prompt is asked for again, and the shell whether it is there.
const AGAIN: Duration = Duration::from_secs(3);

/// How often a login is begun: the kernel and systemd write on the same line as getty and login, which then may
/// not be known again, and what is typed while getty starts login may be lost.
const LOGINS: u32 = 3;

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(120);

/// How long cloud-init may take from the login prompt on: it waits two minutes for a network that does not come,
/// and installs what its user wants.
const CLOUD_INIT: Duration = Duration::from_secs(5 * 60);

/// The answers that came, by the checks' numbers, and why no others did.
#[derive(Debug, Default)]
struct Answers {
    found: BTreeMap<usize, Answer>,
    why_not: String,
}

/// Asks for all declared checks that need the guest; one result for each.
///
/// # Errors
/// Host: QEMU or libvirt failed. Somebody asked to stop.
pub async fn ask(
    follower: &mut Follower<'_>,
    judge: &mut Judge,
    plan: &BootPlan,
) -> anyhow::Result<Vec<Check>> {
    let mark = &follower.mark.clone();
    let lines: Vec<(usize, String)> = lines(plan);
    let slow = plan.slowness();
    let answers = match &plan.wanted.way {
        Way::Agent => by_agent(follower, judge, lines, slow).await?,
        Way::Login { user, password } => {
            let secret = (user.as_str(), password.reveal());
            by_login(follower, judge, &lines, secret, mark, slow).await?
        }
        Way::Seed => by_seed(follower, judge, &lines, mark, slow).await?,
    };
    let inside = plan.wanted.checks.iter().enumerate();
    let inside = inside.filter(|(_, check)| check.what.is_inside());
    let results = inside.map(|(number, check)| {
        let (passed, found) = match answers.found.get(&number) {
            Some(answer) => questions::judge(&check.what, answer),
            None => (false, format!("not run: {}", answers.why_not)),
        };
        Check {
            name: check.name.clone(),
            passed: Some(passed),
            found: plan.secrets.hide(&found),
        }
    });
    Ok(results.collect())
}

fn lines(plan: &BootPlan) -> Vec<(usize, String)> {
    let checks = plan.wanted.checks.iter().enumerate();
    checks
        .filter_map(|(number, check)| Some((number, questions::line(&check.what)?)))
        .collect()
}

async fn by_agent(
    follower: &mut Follower<'_>,
    judge: &mut Judge,
    lines: Vec<(usize, String)>,
    slow: u32,
) -> anyhow::Result<Answers> {
    let asking = ask_agent(Arc::clone(follower.guest), lines, slow);
    tokio::select! {
        answers = asking => Ok(answers),
        // However long it takes: asking has its bounds.
        heard = follower.listen(judge, Duration::MAX, |_| false) => {
            heard?;
            Ok(Answers {
                why_not: "the guest ended".to_owned(),
                ..Answers::default()
            })
        }
    }
}

async fn ask_agent(guest: Arc<Guest>, lines: Vec<(usize, String)>, slow: u32) -> Answers {
    let mut answers = Answers::default();
    let until = Instant::now() + AGENT * slow;
    while let Err(error) = agent(&guest, json!({ "execute": "guest-ping" })).await {
        if Instant::now() >= until {
            answers.why_not = format!(
                "no QEMU guest agent answers ({error:#}): have qemu-guest-agent in the image, \
                 or let a login (--login) or cloud-init (--seed) run the checks"
            );
            return answers;
        }
        sleep(PAUSE).await;
    }
    for (number, line) in lines {
        match timeout(QUESTION * slow, run_by_agent(&guest, &line)).await {
            Ok(Ok(answer)) => drop(answers.found.insert(number, answer)),
            Ok(Err(error)) => {
                answers.why_not = format!(
                    "the QEMU guest agent refuses ({error:#}): allow it guest-exec and guest-exec-status \
                     (/etc/sysconfig/qemu-ga), or let a login (--login) or cloud-init (--seed) run the checks"
                );
                break;
            }
            Err(_) => {
                answers.why_not = not_done(slow);
                break;
            }
        }
    }
    answers
}

fn not_done(slow: u32) -> String {
    format!("no answer came within {} s", (QUESTION * slow).as_secs())
}

/// What the agent answers.
async fn agent(guest: &Arc<Guest>, command: Value) -> anyhow::Result<Value> {
    let guest = Arc::clone(guest);
    // Longer than libvirt's own limit.
    let limit = Duration::from_secs(2 * AGENT_ANSWER.unsigned_abs() as u64);
    let ask = move || guest.ask_agent(&command.to_string(), AGENT_ANSWER);
    let answer = blocking::within_async(limit, ask).await;
    let answer = answer.context("libvirt does not answer")??;
    let answer: Value = serde_json::from_str(&answer).context("its answer is no JSON")?;
    Ok(answer["return"].clone())
}

async fn run_by_agent(guest: &Arc<Guest>, line: &str) -> anyhow::Result<Answer> {
    // What it says goes through the same filter as on a console.
    let script = questions::marked(line, "", 0, "");
    let arguments = json!({ "path": "/bin/sh", "arg": ["-c", script], "capture-output": true });
    let started = agent(
        guest,
        json!({ "execute": "guest-exec", "arguments": arguments }),
    );
    let pid = started.await?["pid"].clone();
    loop {
        let of = json!({ "execute": "guest-exec-status", "arguments": { "pid": pid } });
        let status = agent(guest, of).await?;
        if status["exited"] == true {
            let text = STANDARD.decode(status["out-data"].as_str().unwrap_or_default())?;
            let text = String::from_utf8_lossy(&text);
            let answer = questions::answer(text.trim_end(), "");
            return Ok(answer.context("the shell gave no answer")?.1);
        }
        sleep(PAUSE).await;
    }
}

async fn by_login(
    follower: &mut Follower<'_>,
    judge: &mut Judge,
    lines: &[(usize, String)],
    (user, password): (&str, &str),
    mark: &str,
    slow: u32,
) -> anyhow::Result<Answers> {
    let mut answers = Answers::default();
    let step = STEP * slow;
    let inside = format!("ozr{mark}-in");
    let mut heard = Heard::Nothing;
    let mut refused = false;
    for _ in 0..LOGINS {
        // A fresh prompt: the one that was seen may be a while ago, or be hidden by the kernel's messages.
        // What is typed while getty starts may be lost, so it is asked for again and again.
        let is_prompt = |line: &str| sign_of(line) == Some(Sign::Prompt);
        let until = Instant::now() + step;
        loop {
            follower.type_in(judge, "\r").await?;
            heard = follower.listen(judge, AGAIN * slow, is_prompt).await?;
            if heard != Heard::Nothing || Instant::now() >= until {
                break;
            }
        }
        // Nobody reads what is typed.
        if heard == Heard::Nothing {
            break;
        }
        if heard == Heard::It {
            follower.type_in(judge, &format!("{user}\r")).await?;
            heard = follower.listen(judge, step, asks_for_password).await?;
        }
        if heard == Heard::It {
            follower.type_in(judge, &format!("{password}\r")).await?;
            let until = Instant::now() + step;
            loop {
                // login throws away what is typed before the shell is there. The mark's parts stand apart in what
                // is typed, so that its echo is not taken for it.
                let ready = format!("printf 'ozr%s\\n' {mark}-in\r");
                follower.type_in(judge, &ready).await?;
                heard = follower
                    .listen(judge, AGAIN * slow, |line| {
                        refused =
                            line.contains("Login incorrect") || line.contains("Login timed out");
                        refused || line.contains(&inside)
                    })
                    .await?;
                if heard != Heard::Nothing || Instant::now() >= until {
                    break;
                }
            }
        }
        if heard != Heard::Nothing {
            break;
        }
    }
    match heard {
        Heard::It if refused => {
            answers.why_not = format!("the login as {user} on the console was refused");
            return Ok(answers);
        }
        Heard::It => {}
        Heard::Nothing => {
            answers.why_not = format!("no login as {user} was possible on the serial console");
            return Ok(answers);
        }
        Heard::End => {
            answers.why_not = "the guest ended".to_owned();
            return Ok(answers);
        }
    }
    for (number, line) in lines {
        let typed = questions::marked(line, mark, *number, "") + "\r";
        follower.type_in(judge, &typed).await?;
        let mut found = None;
        let heard = follower
            .listen(judge, QUESTION * slow, |line| {
                found = found.take().or_else(|| questions::answer(line, mark));
                found.is_some()
            })
            .await?;
        match (heard, found) {
            (Heard::It, Some((_, answer))) => drop(answers.found.insert(*number, answer)),
            (Heard::End, _) => {
                answers.why_not = "the guest ended".to_owned();
                break;
            }
            _ => {
                answers.why_not = not_done(slow);
                break;
            }
        }
    }
    Ok(answers)
}

/// Whether login asks for it, in whatever language; the kernel's lines and systemd's begin with a bracket.
fn asks_for_password(line: &str) -> bool {
    // The kernel may write behind it.
    let is_of_login = line.trim_end().ends_with(':') && !line.starts_with('[');
    line.starts_with("Password:") || is_of_login && sign_of(line) != Some(Sign::Prompt)
}

async fn by_seed(
    follower: &mut Follower<'_>,
    judge: &mut Judge,
    lines: &[(usize, String)],
    mark: &str,
    slow: u32,
) -> anyhow::Result<Answers> {
    let mut answers = Answers::default();
    answers.found.clone_from(&follower.answers);
    let limit =
        CLOUD_INIT * slow + Duration::from_secs(questions::WAIT.into()) * lines.len() as u32;
    if answers.found.len() < lines.len() {
        let found = &mut answers.found;
        let heard = follower
            .listen(judge, limit, |line| {
                found.extend(questions::answer(line, mark));
                found.len() >= lines.len()
            })
            .await?;
        answers.why_not = match heard {
            Heard::End => "the guest ended".to_owned(),
            _ => format!(
                "no answer of the seed's script came within {} s: cloud-init must be in the image, and run \
                 vendor-data and scripts of it (/var/log/cloud-init.log); a login (--login) or qemu-guest-agent can run the checks, too",
                limit.as_secs()
            ),
        };
    }
    Ok(answers)
}

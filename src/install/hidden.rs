//! Which texts of a build are secret: what no record of it may hold.

use url::Url;

use super::plan::Plan;
use crate::kickstart::mask;
use crate::secrets::Secrets;
use crate::tdl::Payload;

/// Secrets of a kickstart that are hidden in what the guest prints. Keys and embedded files have
/// lines without end, and every one is looked for in every line of the console.
const MOST: usize = 400;

/// Longer ones are no passwords, and no terminal shows them in one piece.
const LONGEST: usize = 512;

/// Parts of names of kernel parameters with secret values: `inst.vncpassword`.
const SECRET_NAMES: [&str; 3] = ["passw", "secret", "token"];

/// Adds the passwords of the template, the kickstart as served, and their addresses.
pub fn add(secrets: &mut Secrets, plan: &Plan, kickstart: &str) {
    let template = &plan.request.template;
    let known = [&template.os.rootpw, &template.os.key];
    for secret in known.into_iter().flatten() {
        secrets.add_password(secret.reveal().trim());
    }
    let repositories = template.repositories.iter().map(|r| r.url.url());
    let files = template.files.iter().map(|file| &file.content);
    let commands = template.precommands.iter().chain(&template.commands);
    let contents = files.chain(commands.map(|command| &command.script));
    let contents = contents.filter_map(|content| match content {
        Payload::Remote(url) => Some(url.url()),
        _ => None,
    });
    for url in std::iter::once(&plan.tree)
        .chain(repositories)
        .chain(contents)
    {
        add_url(secrets, url);
    }
    for word in template
        .os
        .kernelparam
        .iter()
        .flat_map(|text| text.split_whitespace())
    {
        if let Some((name, value)) = word.split_once('=') {
            let name = name.to_ascii_lowercase();
            if SECRET_NAMES.iter().any(|secret| name.contains(secret)) {
                secrets.add_password(value);
            }
            if let Ok(url) = Url::parse(value) {
                add_url(secrets, &url);
            }
        }
    }
    let literals = mask::literals(kickstart);
    for literal in literals.iter().filter(|l| l.len() <= LONGEST).take(MOST) {
        secrets.add_password(literal);
    }
}

/// A user without a password is mostly a token, and so is what stands behind a `?`.
fn add_url(secrets: &mut Secrets, url: &Url) {
    let hidden = url.password().unwrap_or(url.username());
    let decoded = percent_encoding::percent_decode_str(hidden).decode_utf8_lossy();
    secrets.add_password(&decoded);
    secrets.add_password(hidden);
    for (_, value) in url.query_pairs() {
        secrets.add_password(&value);
    }
    secrets.add_password(url.query().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_addresses_are_hidden() {
        let mut secrets = Secrets::default();
        add_url(
            &mut secrets,
            &Url::parse("https://me:p%40ssw@h/os?auth=t0ken").unwrap(),
        );
        add_url(&mut secrets, &Url::parse("https://ghp_123@h/os").unwrap());
        let text = "https://me:p%40ssw@h/ p@ssw t0ken https://ghp_123@h/ os auth";
        assert_eq!(
            secrets.hide(text),
            "https://me:…@h/ … … https://…@h/ os auth"
        );
    }
}

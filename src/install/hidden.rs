//! Which texts of a build are secret: what no record of it may hold.

use url::Url;

use super::plan::Plan;
use crate::kickstart::mask;
use crate::secrets::Secrets;
use crate::tdl::Payload;

/// Adds the passwords of the template, the kickstart as served, and their addresses.
pub fn add(secrets: &mut Secrets, plan: &Plan, kickstart: &str) {
    let template = &plan.template;
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
        secrets.add_url(url);
    }
    for word in template
        .os
        .kernelparam
        .iter()
        .flat_map(|text| text.split_whitespace())
    {
        secrets.add_text(word);
        if let Some((_, value)) = word.split_once('=')
            && let Ok(url) = Url::parse(value)
        {
            secrets.add_url(&url);
        }
    }
    // A command or a file is packed in the kickstart that is served.
    let files = template.files.iter().map(|file| &file.content);
    let commands = template.precommands.iter().chain(&template.commands);
    for content in files.chain(commands.map(|command| &command.script)) {
        if let Payload::Inline(bytes) = content {
            secrets.add_text(&String::from_utf8_lossy(bytes));
        }
    }
    mask::add_secrets(kickstart, secrets);
}

//! Who may log in, and with what. No password's digest leaves this file.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::text;
use crate::disk::system::System;

/// Shells with which nobody can work.
const NO_SHELLS: [&str; 5] = ["nologin", "false", "sync", "shutdown", "halt"];

/// An account that has a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its home directory.
    pub home: String,
    /// Its shell.
    pub shell: String,
    /// What stands for its password.
    pub password: Password,
    /// How many keys may log in by SSH (`~/.ssh/authorized_keys`).
    pub authorized_keys: usize,
}

/// What stands for a password (shadow(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Password {
    /// A password.
    Set,
    /// None that anybody could give.
    Locked,
    /// No password is asked for.
    Empty,
    /// It is not known: the account is not in `/etc/shadow`.
    Unknown,
}

/// The accounts that have a shell, in their order.
pub fn users(system: &mut System) -> Result<Vec<User>> {
    let accounts = text::read(system, "/etc/passwd")?.unwrap_or_default();
    let shadow = text::read(system, "/etc/shadow")?.unwrap_or_default();
    let mut passwords = HashMap::new();
    for line in shadow.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(password)) = (fields.next(), fields.next()) {
            passwords.insert(name, password_of(password));
        }
    }
    let mut users = Vec::new();
    for line in accounts.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, _, _, home, shell] = fields.as_slice() else {
            continue;
        };
        let Ok(uid) = uid.parse() else { continue };
        let program = shell.rsplit('/').next().unwrap_or_default();
        if NO_SHELLS.contains(&program) {
            continue;
        }
        let keys = Path::new(home).join(".ssh/authorized_keys");
        let keys = text::read(system, &keys.to_string_lossy())?.unwrap_or_default();
        let is_key = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
        users.push(User {
            name: (*name).to_owned(),
            uid,
            home: (*home).to_owned(),
            // Who names none has this.
            shell: if shell.is_empty() { "/bin/sh" } else { shell }.to_owned(),
            password: passwords.get(name).copied().unwrap_or(Password::Unknown),
            authorized_keys: keys.lines().filter(is_key).count(),
        });
    }
    Ok(users)
}

fn password_of(field: &str) -> Password {
    match field.as_bytes().first() {
        None => Password::Empty,
        // `!` before a digest locks it; `*` and `!!` are no digest.
        Some(b'!' | b'*') => Password::Locked,
        Some(_) => Password::Set,
    }
}

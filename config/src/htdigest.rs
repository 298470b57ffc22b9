//! Files of `user:realm:ha1` lines, as Apache's `htdigest` writes them.

use std::fs;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Severity};
use crate::section::{Page, Section};
use crate::users::{Credential, Refused, Users};

/// Findings of one file past this are counted, not listed.
const LISTED_MAX: usize = 20;

/// Reads the users of one domain from `file` into `users`; what is wrong goes to the page.
pub(crate) fn read(file: &Path, domain: &str, users: &mut Users, section: &Section<'_>) {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let remedy = format!("put user:realm:ha1 lines at {}", file.display());
            section.error("users_file", format!("cannot be read: {error}"), remedy);
            return;
        }
    };
    // `name:realm:` and 32 hex digits: names take what is left of a typical line.
    let users_guessed = text.len() / (domain.len() + 40);
    users.reserve(users_guessed, users_guessed * 12);
    let mut wrong = 0;
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err(problem) = read_line(line, domain, users) {
            wrong += 1;
            if wrong <= LISTED_MAX {
                complain(section.page(), file, index + 1, problem);
            }
        }
    }
    if wrong > LISTED_MAX {
        let problem = format!("{} more lines are wrong", wrong - LISTED_MAX);
        complain(section.page(), file, 0, &problem);
    }
}

fn read_line(line: &str, domain: &str, users: &mut Users) -> Result<(), &'static str> {
    let (rest, ha1) = line
        .trim_end()
        .rsplit_once(':')
        .ok_or("is no user:realm:ha1 line")?;
    let (user, realm) = rest.rsplit_once(':').ok_or("is no user:realm:ha1 line")?;
    if user.is_empty() {
        return Err("has no user");
    }
    if !realm.eq_ignore_ascii_case(domain) {
        return Err("has a realm other than its domain");
    }
    let added = if let Some(md5) = hex::<16>(ha1) {
        users.add(
            user,
            domain,
            Credential {
                ha1_md5: Some(&md5),
                ..Credential::default()
            },
        )
    } else if let Some(sha256) = hex::<32>(ha1) {
        users.add(
            user,
            domain,
            Credential {
                ha1_sha256: Some(&sha256),
                ..Credential::default()
            },
        )
    } else {
        return Err("ends in something other than 32 (MD5) or 64 (SHA-256) hex digits");
    };
    added.map_err(|refused| match refused {
        Refused::Twice => "is a user that is already there",
        Refused::Full => "does not fit: too many users, or too long a name",
    })
}

/// The hash is a secret: findings name the line and never quote it.
fn complain(page: &Page, file: &Path, line: usize, problem: &str) {
    page.push(Diagnostic {
        severity: Severity::Error,
        file: Some(file.to_owned()),
        line,
        key: String::new(),
        value: None,
        problem: problem.to_owned(),
        remedy: "one line a user: user:realm:hex of HA1".to_owned(),
    });
}

/// Exactly `N` bytes in hexadecimal.
pub(crate) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

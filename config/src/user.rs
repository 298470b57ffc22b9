//! `[[user]]`: one user written in the file itself.

use std::fs;

use crate::domain::Domain;
use crate::htdigest::hex;
use crate::secret::Secret;
use crate::section::{Misfit, Section};
use crate::users::{Credential, Refused, Users};

/// Reads one `[[user]]` into `users`.
pub(crate) fn read(section: &mut Section<'_>, domains: &[Domain], users: &mut Users) {
    let aor = section.read("aor", |value| {
        let split = value.as_str().and_then(|text| text.split_once('@'));
        split
            .filter(|(user, domain)| {
                !user.is_empty() && !user.contains([':', ' ', '<', '>']) && !domain.is_empty()
            })
            .ok_or_else(|| Misfit::new("is no address", "write it like \"1001@example.test\""))
    });
    if !section.has("aor") {
        section.error(
            "aor",
            "is missing",
            "every [[user]] has an aor like \"1001@example.test\"",
        );
    }
    let (written, from_file) = (section.secret("password"), password_file(section));
    let has_both = written.is_some() && section.has("password_file");
    if has_both {
        section.error(
            "password_file",
            "stands beside a password",
            "keep one of the two",
        );
    }
    let password = written.or(from_file);
    let ha1_md5 = ha1::<16>(section, "ha1_md5");
    let ha1_sha256 = ha1::<32>(section, "ha1_sha256");
    let kinds = ["password", "password_file", "ha1_md5", "ha1_sha256"];
    if !kinds.iter().any(|kind| section.has(kind)) {
        let remedy = "add password, password_file, ha1_md5 or ha1_sha256";
        section.error("", "has no credential", remedy);
    }
    let Some((user, domain)) = aor else {
        return;
    };
    if !domains
        .iter()
        .any(|known| known.name.eq_ignore_ascii_case(domain))
    {
        let names: Vec<&str> = domains.iter().map(|known| &*known.name).collect();
        let remedy = match crate::nearest::nearest(domain, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a [[domain]] with name = {domain:?}"),
        };
        section.error("aor", "is in no domain of this file", remedy);
    }
    let given = Credential {
        password: password.as_ref(),
        ha1_md5: ha1_md5.as_ref(),
        ha1_sha256: ha1_sha256.as_ref(),
    };
    if given == Credential::default() {
        return;
    }
    match users.add(user, domain, given) {
        Ok(()) => {}
        Err(Refused::Twice) => {
            section.error(
                "aor",
                "is a user that is already there",
                "remove one of the two",
            );
        }
        Err(Refused::Full) => {
            section.error(
                "aor",
                "does not fit",
                "shorten the name or have fewer users",
            );
        }
    }
}

fn ha1<const N: usize>(section: &mut Section<'_>, key: &'static str) -> Option<[u8; N]> {
    let secret = section.secret(key)?;
    let bytes = hex(secret.reveal());
    if bytes.is_none() {
        section.error(
            key,
            "is no hash of this kind",
            format!("write {} hex digits", 2 * N),
        );
    }
    bytes
}

/// The first line of the file that `password_file` names.
fn password_file(section: &mut Section<'_>) -> Option<Secret> {
    let path = section.path("password_file")?;
    match fs::read_to_string(&path) {
        Ok(text) => {
            let line = text.lines().next().unwrap_or_default();
            if line.is_empty() {
                section.error(
                    "password_file",
                    "has no first line",
                    "put the password there",
                );
                return None;
            }
            Some(Secret::new(line))
        }
        Err(error) => {
            let remedy = format!("put the password in the first line of {}", path.display());
            section.error("password_file", format!("cannot be read: {error}"), remedy);
            None
        }
    }
}

//! `[[domain]]`: the domains we are responsible for.

use std::path::PathBuf;

use crate::listen::is_host_name;
use crate::node::subject_token;
use crate::section::{Misfit, Section};

/// One `[[domain]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The domain, in lower case; also the realm of its challenges.
    pub name: String,
    /// Who may register.
    pub auth: Auth,
    /// Who may call in without being a trunk.
    pub callers: Auth,
    /// The tenant whose subjects carry the domain's calls.
    pub tenant: String,
}

/// How a request proves its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By digest, against the users of the domain.
    Digest,
    /// Not at all: any user of the domain may be anyone.
    Open,
}

impl Auth {
    const WORDS: [(&'static str, Self); 2] = [("digest", Self::Digest), ("open", Self::Open)];
}

impl Domain {
    pub(crate) fn read(section: &mut Section<'_>) -> (Option<Self>, Option<PathBuf>) {
        let name = section.text_if("name", |text| {
            if is_host_name(text) {
                return Ok(());
            }
            Err(Misfit::new(
                "is no domain",
                "write a host name like \"example.test\"",
            ))
        });
        if !section.has("name") {
            section.error("name", "is missing", "every [[domain]] has a name");
        }
        let auth = if section.text("auth") == Some("upstream") {
            let problem = "a domain whose registrations go to a PBX is not supported yet";
            section.error("auth", problem, "write \"digest\" or \"open\"");
            None
        } else {
            section.word("auth", &Auth::WORDS)
        };
        if section.has("upstream") {
            section.error("upstream", "trunks are not supported yet", "remove the key");
        }
        let auth = auth.unwrap_or(Auth::Digest);
        let callers = section.word("callers", &Auth::WORDS).unwrap_or(auth);
        let tenant = section
            .text_if("tenant", subject_token)
            .unwrap_or("default")
            .to_owned();
        let users_file = section.path("users_file");
        let domain = name.map(|name| Self {
            name: name.to_ascii_lowercase(),
            auth,
            callers,
            tenant,
        });
        (domain, users_file)
    }
}

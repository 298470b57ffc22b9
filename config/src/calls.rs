//! `[calls]`: what is agreed with the parties of a call.

use crate::section::Section;

/// `[calls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    /// The session timer (RFC 4028) that is asked for where no party does, in seconds; 0: none.
    pub session_expires_s: u32,
    /// The shortest session timer that a party is granted, in seconds; a shorter wish gets 422.
    pub session_min_s: u32,
    /// What is done with a callee that answers 3xx.
    pub redirects: Redirects,
    /// Whether requests too large for a datagram are tried over TCP first (RFC 3261 18.1.1).
    pub large_over_tcp: bool,
}

/// What is done with a callee that answers 3xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Its Contacts are rung, where our domains and routes lead to them.
    Follow,
    /// The caller gets the 3xx.
    Pass,
}

impl Redirects {
    const WORDS: [(&'static str, Self); 2] = [("follow", Self::Follow), ("pass", Self::Pass)];
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            session_expires_s: 0,
            session_min_s: 90,
            redirects: Redirects::Follow,
            large_over_tcp: true,
        }
    }
}

impl Calls {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let calls = Self {
            session_expires_s: section
                .number("session_expires_s", 0..=604_800)
                .unwrap_or(default.session_expires_s),
            session_min_s: section
                .number("session_min_s", 90..=86_400)
                .unwrap_or(default.session_min_s),
            redirects: section
                .word("redirects", &Redirects::WORDS)
                .unwrap_or(default.redirects),
            large_over_tcp: section
                .flag("large_over_tcp")
                .unwrap_or(default.large_over_tcp),
        };
        if (1..calls.session_min_s).contains(&calls.session_expires_s) {
            section.error(
                "session_expires_s",
                "is shorter than session_min_s",
                "write 0 for none, or 90 and more (RFC 4028 4); 1800 is usual",
            );
        }
        calls
    }
}

//! The routes of the configuration, compiled.

use bus_schema::Reason;
use regex::Regex;
use sip::Uri;

use super::Refuse;
use super::trace::{Step, Trace};

/// The most bytes a compiled expression may take: a hostile one is refused at loading.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To the bindings of the user.
    Registered,
    /// To a URI.
    Uri(RouteUri),
    /// Nowhere.
    Reject(Refuse),
}

/// The URI of a route: with a user part it is used as it is, without one the called user is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteUri {
    text: Box<str>,
    /// Where the user part goes; none if there is one.
    user_at: Option<usize>,
}

impl RouteUri {
    pub(super) fn with_user(&self, user: &str) -> Box<str> {
        match self.user_at.and_then(|at| self.text.split_at_checked(at)) {
            Some((scheme, rest)) => format!("{scheme}{user}@{rest}").into(),
            None => self.text.clone(),
        }
    }
}

/// A route that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoute {
    /// The expression is not one, or is too large.
    #[error("not a regular expression that can be used: {0}")]
    Expression(String),
    /// The target is none of those there are.
    #[error("not a target: registered, uri:SIP-URI, reject:CODE")]
    Target,
    /// The URI is not a SIP URI.
    #[error("not a SIP URI")]
    Uri,
    /// The code is not a final failure.
    #[error("not a status from 400 to 699")]
    Code,
}

impl Goal {
    /// Reads a target: `registered`, `uri:SIP-URI`, `reject:CODE`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadRoute> {
        if text == "registered" {
            return Ok(Self::Registered);
        }
        if let Some(uri) = text.strip_prefix("uri:") {
            let parsed = Uri::parse(uri).map_err(|_| BadRoute::Uri)?;
            if !parsed.is_sip() || parsed.headers.is_some() {
                return Err(BadRoute::Uri);
            }
            let user_at = parsed.user.is_none().then_some(parsed.scheme.len() + 1);
            return Ok(Self::Uri(RouteUri {
                text: uri.into(),
                user_at,
            }));
        }
        if let Some(code) = text.strip_prefix("reject:") {
            let code = code.parse().ok().filter(|code| (400..700).contains(code));
            return code
                .map(|code| Self::Reject(reject(code)))
                .ok_or(BadRoute::Code);
        }
        Err(BadRoute::Target)
    }
}

fn reject(status: u16) -> Refuse {
    let reason = match status {
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        607 => "Unwanted",
        _ => "Rejected",
    };
    Refuse {
        status,
        reason,
        cause: Reason::from_sip(status),
    }
}

/// One route.
#[derive(Clone, Debug)]
struct Rule {
    name: Box<str>,
    /// On the whole user part; none matches all.
    to: Option<Regex>,
    goal: Goal,
}

/// All routes in order; the first that matches decides, and if none does the user's bindings.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    rules: Vec<Rule>,
}

impl Routes {
    /// Adds a route after the others. `to` must match the whole user part; empty matches all.
    ///
    /// # Errors
    /// The expression or the target cannot be used.
    pub fn add(&mut self, name: &str, to: &str, target: &str) -> Result<(), BadRoute> {
        let to = if to.is_empty() {
            None
        } else {
            Some(whole(to)?)
        };
        let goal = Goal::parse(target)?;
        self.rules.push(Rule {
            name: name.into(),
            to,
            goal,
        });
        Ok(())
    }

    /// The goal of the first route that matches.
    pub(super) fn find(&self, user: &str, trace: &mut Trace) -> &Goal {
        for rule in &self.rules {
            let matches = rule.to.as_ref().is_none_or(|to| to.is_match(user));
            trace.step(|| Step::Route {
                name: rule.name.clone(),
                matches,
            });
            if matches {
                return &rule.goal;
            }
        }
        &Goal::Registered
    }
}

fn whole(to: &str) -> Result<Regex, BadRoute> {
    let bad = |error: regex::Error| BadRoute::Expression(error.to_string());
    // Alone first: two halves such as `a)|(b` must not become one expression by our brackets.
    Regex::new(to).map_err(bad)?;
    regex::RegexBuilder::new(&format!("^(?:{to})$"))
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(bad)
}

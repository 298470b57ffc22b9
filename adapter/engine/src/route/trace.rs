//! How a plan came to be.

use core::fmt::{self, Display};

use super::Refuse;
use crate::location::Aor;

/// One thing that was looked at while a request was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The address is one of ours.
    Local {
        /// In normal form.
        aor: Aor,
    },
    /// The address is not ours.
    Foreign {
        /// Its host.
        host: Box<str>,
    },
    /// A route was held against the user part.
    Route {
        /// Its name.
        name: Box<str>,
        /// Whether it decides.
        matches: bool,
    },
    /// The route leads to this address.
    Rewritten {
        /// The URI.
        uri: Box<str>,
    },
    /// A binding of the user.
    Binding {
        /// Its contact.
        contact: Box<str>,
        /// Its preference in thousandths.
        q: u16,
        /// Whether it can be used for this request.
        usable: bool,
    },
    /// The request goes nowhere.
    Refused(Refuse),
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { aor } => write!(f, "{aor} is ours"),
            Self::Foreign { host } => write!(f, "{host} is not ours: by DNS"),
            Self::Route {
                name,
                matches: true,
            } => write!(f, "route \"{name}\" decides"),
            Self::Route {
                name,
                matches: false,
            } => write!(f, "route \"{name}\" does not match"),
            Self::Rewritten { uri } => write!(f, "goes on to {uri}"),
            Self::Binding {
                contact,
                q,
                usable: true,
            } => {
                write!(f, "registered at {contact}, q {}.{:03}", q / 1000, q % 1000)
            }
            Self::Binding {
                contact,
                usable: false,
                ..
            } => {
                write!(f, "registered at {contact}, which is not encrypted")
            }
            Self::Refused(refuse) => write!(f, "refused: {} {}", refuse.status, refuse.reason),
        }
    }
}

/// Collects steps, or does nothing at no cost.
pub(super) struct Trace(Option<Vec<Step>>);

impl Trace {
    pub(super) fn off() -> Self {
        Self(None)
    }

    pub(super) fn on() -> Self {
        Self(Some(Vec::new()))
    }

    pub(super) fn step(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.0 {
            steps.push(step());
        }
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }
}

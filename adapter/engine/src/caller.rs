//! Who makes a request.

use crate::location::Aor;

/// Who makes a request, and how far that is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A user that proved its password.
    User(Aor),
    /// A user of an open domain, by its own account.
    Claimed(Aor),
    /// Somebody of a domain that is not ours, unproven.
    Foreign,
    /// A peer that is trusted by its address: it vouches for whom it sends.
    Trusted,
}

impl Caller {
    /// The caller's own address, if it is one of our users.
    #[must_use]
    pub fn aor(&self) -> Option<&Aor> {
        match self {
            Self::User(aor) | Self::Claimed(aor) => Some(aor),
            Self::Foreign | Self::Trusted => None,
        }
    }

    /// Whether it may use us to reach foreign domains.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        match self {
            Self::User(_) | Self::Trusted => true,
            Self::Claimed(_) | Self::Foreign => false,
        }
    }
}

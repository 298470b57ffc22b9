//! Offer and answer: whose turn it is. RFC 3264, 3262, 3311 and the table of RFC 6337.
//!
//! [`OfferAnswer`] follows one dialog. It is told which message one of the sides sends and whether
//! a session description is in it, and says what that description is: an offer, an answer, or
//! a repeat. What must not be sent now is refused with the response that says so, which is
//! how glare is settled (RFC 3261 14, RFC 3311 5.2).
//!
//! | offer in | answer in |
//! | --- | --- |
//! | INVITE | reliable 1xx or 2xx; an unreliable 1xx may show it early |
//! | reliable 1xx (INVITE without offer) | PRACK |
//! | 2xx (INVITE without offer) | ACK |
//! | PRACK | 2xx of the PRACK |
//! | UPDATE | 2xx of the UPDATE |

use std::time::Duration;

/// One of the two parties of a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// We.
    Local,
    /// The peer.
    Remote,
}

impl Side {
    /// The one that is not this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

/// A message that may carry a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// INVITE, the first one or a later one.
    Invite,
    /// A 1xx of the INVITE without 100rel.
    Provisional,
    /// A 1xx of the INVITE with 100rel.
    Reliable,
    /// PRACK.
    Prack,
    /// The 2xx of the PRACK.
    PrackSuccess,
    /// The 2xx of the INVITE.
    Success,
    /// The ACK of the 2xx.
    Ack,
    /// UPDATE.
    Update,
    /// The 2xx of the UPDATE.
    UpdateSuccess,
}

/// What a message means to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// It changes nothing, whatever it carries.
    Nothing,
    /// It carries an offer.
    Offer,
    /// It carries the answer: the session is agreed.
    Answer,
    /// It carries the answer ahead of, or again after, the message that is bound to carry it.
    Copy,
    /// It had to carry an offer or an answer and does not: the session cannot be agreed.
    Missing,
}

/// Not now. From the peer: how to respond. From us: wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Both sides at once: respond 491, try again after [`glare_wait`].
    #[error("491 Request Pending")]
    Pending,
    /// The same side twice: respond 500 with Retry-After from [`retry_after`].
    #[error("500 an earlier request is not finished")]
    Overlapping,
}

impl Refusal {
    /// The status to respond with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Pending => 491,
            Self::Overlapping => 500,
        }
    }
}

/// The offer/answer state of one dialog. A fork of an INVITE begins as a clone of the state the
/// INVITE left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfferAnswer {
    invite: Option<Invite>,
    /// Who sent a 2xx whose ACK has not come.
    unacknowledged: Option<Side>,
    /// Whose UPDATE waits for its final response.
    local_update: bool,
    remote_update: bool,
    offer: Option<Offer>,
    agreed: bool,
}

/// An INVITE without a final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Invite {
    by: Side,
    /// An offer was made in the course of it: the 2xx does not bring one.
    offered: bool,
}

/// An offer without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offer {
    by: Side,
    carrier: Carrier,
}

impl OfferAnswer {
    /// Nothing said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `by` sends `carrier`, with a session description in it or not.
    ///
    /// # Errors
    /// [`Refusal`] if it must not be sent now. The state is then as it was.
    pub fn apply(&mut self, by: Side, carrier: Carrier, sdp: bool) -> Result<Meaning, Refusal> {
        match carrier {
            Carrier::Invite => self.invite(by, sdp),
            Carrier::Update => self.update(by, sdp),
            Carrier::Prack => self.prack(by, sdp),
            Carrier::Provisional => Ok(self.provisional(by, sdp)),
            Carrier::Reliable => Ok(self.reliable(by, sdp)),
            Carrier::Success => Ok(self.success(by, sdp)),
            Carrier::Ack => {
                self.unacknowledged = None;
                Ok(self.conclude(by, Carrier::Success, sdp))
            }
            Carrier::PrackSuccess => Ok(self.conclude(by, Carrier::Prack, sdp)),
            Carrier::UpdateSuccess => {
                *self.updating(by.other()) = false;
                Ok(self.conclude(by, Carrier::Update, sdp))
            }
        }
    }

    /// The INVITE, PRACK or UPDATE that `by` sent got a failure response or none, or the ACK of
    /// `by` never came: the session is what it was before (RFC 3261 14.1).
    pub fn fail(&mut self, by: Side, request: Carrier) {
        match request {
            Carrier::Invite => {
                self.invite = None;
                self.withdraw(&[Carrier::Invite, Carrier::Reliable, Carrier::Prack]);
            }
            Carrier::Prack => self.withdraw(&[Carrier::Reliable, Carrier::Prack]),
            Carrier::Update => {
                *self.updating(by) = false;
                self.withdraw(&[Carrier::Update]);
            }
            Carrier::Ack => {
                self.unacknowledged = None;
                self.withdraw(&[Carrier::Success]);
            }
            Carrier::Provisional
            | Carrier::Reliable
            | Carrier::Success
            | Carrier::PrackSuccess
            | Carrier::UpdateSuccess => {}
        }
    }

    /// Whether a session has ever been agreed in this dialog.
    #[must_use]
    pub const fn agreed(&self) -> bool {
        self.agreed
    }

    /// Whose offer waits for its answer.
    #[must_use]
    pub fn offered_by(&self) -> Option<Side> {
        self.offer.map(|offer| offer.by)
    }

    /// Whether we may send an INVITE now (RFC 3261 14.1).
    #[must_use]
    pub const fn may_invite(&self) -> bool {
        self.invite.is_none()
            && self.unacknowledged.is_none()
            && !self.local_update
            && self.offer.is_none()
    }

    /// Whether we may send an UPDATE with an offer now (RFC 3311 5.1).
    #[must_use]
    pub fn may_update(&self) -> bool {
        !self.local_update
            && self.offer.is_none()
            && self.invite.is_none_or(|invite| invite.offered)
    }

    fn invite(&mut self, by: Side, sdp: bool) -> Result<Meaning, Refusal> {
        if let Some(invite) = self.invite {
            return Err(clash(by, invite.by));
        }
        if let Some(offer) = self.offer {
            return Err(clash(by, offer.by));
        }
        // We wait for the ACK of our 2xx; a peer that does not wait has at least seen it.
        if by == Side::Local && self.unacknowledged.is_some() {
            return Err(Refusal::Pending);
        }
        self.invite = Some(Invite { by, offered: sdp });
        Ok(self.offer_if(by, Carrier::Invite, sdp))
    }

    fn update(&mut self, by: Side, sdp: bool) -> Result<Meaning, Refusal> {
        if *self.updating(by) {
            return Err(Refusal::Overlapping);
        }
        if sdp {
            if let Some(offer) = self.offer {
                return Err(clash(by, offer.by));
            }
            // An INVITE without an offer: the 2xx is about to bring one.
            if self.invite.is_some_and(|invite| !invite.offered) {
                return Err(Refusal::Pending);
            }
        }
        *self.updating(by) = true;
        Ok(self.offer_if(by, Carrier::Update, sdp))
    }

    fn prack(&mut self, by: Side, sdp: bool) -> Result<Meaning, Refusal> {
        match self.offer {
            Some(Offer {
                by: offerer,
                carrier: Carrier::Reliable,
            }) if offerer != by => Ok(self.conclude(by, Carrier::Reliable, sdp)),
            Some(offer) if sdp => Err(clash(by, offer.by)),
            Some(_) => Ok(Meaning::Nothing),
            None => Ok(self.offer_if(by, Carrier::Prack, sdp)),
        }
    }

    fn provisional(&self, by: Side, sdp: bool) -> Meaning {
        match (self.invite, self.offer) {
            // The peer that sees it early may use it, but the 2xx must say the same.
            (Some(invite), Some(offer))
                if sdp && by != invite.by && offer.carrier == Carrier::Invite =>
            {
                Meaning::Copy
            }
            _ => Meaning::Nothing,
        }
    }

    fn reliable(&mut self, by: Side, sdp: bool) -> Meaning {
        let Some(invite) = self.invite.filter(|invite| sdp && by != invite.by) else {
            return Meaning::Nothing;
        };
        match self.offer {
            Some(Offer {
                carrier: Carrier::Invite,
                ..
            }) => self.conclude(by, Carrier::Invite, sdp),
            None if !invite.offered => {
                self.invite = Some(Invite {
                    offered: true,
                    ..invite
                });
                self.offer_if(by, Carrier::Reliable, sdp)
            }
            Some(_) | None => Meaning::Copy,
        }
    }

    fn success(&mut self, by: Side, sdp: bool) -> Meaning {
        let Some(invite) = self.invite.filter(|invite| by != invite.by) else {
            return Meaning::Nothing;
        };
        self.invite = None;
        self.unacknowledged = Some(by);
        match self.offer {
            Some(Offer {
                carrier: Carrier::Invite,
                ..
            }) => self.conclude(by, Carrier::Invite, sdp),
            None if !invite.offered && !sdp => Meaning::Missing,
            None if !invite.offered => self.offer_if(by, Carrier::Success, sdp),
            Some(_) | None if sdp => Meaning::Copy,
            Some(_) | None => Meaning::Nothing,
        }
    }

    /// `by` sends the message that must answer an offer made in `offer`, if there is one.
    fn conclude(&mut self, by: Side, offer: Carrier, sdp: bool) -> Meaning {
        if self.offer
            != Some(Offer {
                by: by.other(),
                carrier: offer,
            })
        {
            return Meaning::Nothing;
        }
        self.offer = None;
        if sdp {
            self.agreed = true;
            Meaning::Answer
        } else {
            Meaning::Missing
        }
    }

    fn offer_if(&mut self, by: Side, carrier: Carrier, sdp: bool) -> Meaning {
        if sdp {
            self.offer = Some(Offer { by, carrier });
            Meaning::Offer
        } else {
            Meaning::Nothing
        }
    }

    const fn updating(&mut self, by: Side) -> &mut bool {
        match by {
            Side::Local => &mut self.local_update,
            Side::Remote => &mut self.remote_update,
        }
    }

    fn withdraw(&mut self, carriers: &[Carrier]) {
        if self
            .offer
            .is_some_and(|offer| carriers.contains(&offer.carrier))
        {
            self.offer = None;
        }
    }
}

fn clash(by: Side, earlier: Side) -> Refusal {
    if by == earlier {
        Refusal::Overlapping
    } else {
        Refusal::Pending
    }
}

/// How long to wait before trying again after a 491 (RFC 3261 14.1): the side that made the
/// Call-ID 2.1 to 4 s, the other one 0 to 2 s, in steps of 10 ms.
#[must_use]
pub fn glare_wait(made_call_id: bool, entropy: u64) -> Duration {
    let steps = if made_call_id {
        210 + entropy % 191
    } else {
        entropy % 201
    };
    Duration::from_millis(steps * 10)
}

/// The Retry-After of a 500 for an overlapping request: 0 to 10 seconds (RFC 3261 14.2).
#[must_use]
pub const fn retry_after(entropy: u64) -> u32 {
    (entropy % 11) as u32
}

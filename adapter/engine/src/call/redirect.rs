//! A callee that is elsewhere (3xx): its Contacts are rung in its place, as configured.
//!
//! Only what our own domains and routes lead to is rung: a callee must not send a caller's call,
//! and our bill, wherever it likes. Where none of its Contacts can be rung the 3xx passes to the
//! caller, to follow it itself.

use bus_schema::{Cause, EventName, Reason};
use sip::Now;

use super::hunt::{FORKS_MAX, Hunt, Refusal};
use super::{Call, Stage};
use crate::leg::Output;
use crate::route::Plan;

/// Contacts that one call follows, one after the other or at once.
const FOLLOWED_MAX: usize = 5;

/// What is done with a 3xx of a callee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// It goes to the caller, with its Contacts.
    #[default]
    Pass,
    /// Its Contacts are rung, where we may.
    Follow,
}

/// What has been followed for one caller.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Every URI that was rung or is to be: none is tried twice.
    tried: Vec<Box<str>>,
    /// Ways that have been asked for and are not known yet.
    pub(super) awaited: usize,
    /// The 3xx that named them. Once one is followed it is spent (RFC 3261 16.7 step 4).
    said: Option<Refusal>,
}

impl Call {
    /// Leg `at` says that its user is elsewhere: asks for the ways there. What it said comes back
    /// if there is none to ask for.
    pub(super) fn follow(&mut self, now: Now, at: usize, refusal: Refusal) -> Option<Refusal> {
        let status = refusal.status;
        if self.home.redirects == Redirects::Pass || !(300..=302).contains(&status) {
            return Some(refusal);
        }
        let (Stage::Calling(calling), Some(message)) = (&mut self.stage, &refusal.message) else {
            return Some(refusal);
        };
        let followed = calling.hunt.followed.get_or_insert_default();
        if followed.tried.is_empty() {
            let first = calling.invite.uri().unwrap_or_default();
            followed.tried.push(first.into());
        }
        let mut contacts: Vec<(u16, Box<str>)> = message
            .contacts()
            .filter_map(Result::ok)
            .filter(|contact| contact.uri().is_ok_and(|uri| uri.is_sip()))
            .map(|contact| {
                let (uri, _headers) = contact.uri.split_once('?').unwrap_or((contact.uri, ""));
                (contact.q().unwrap_or(1000), uri.into())
            })
            .collect();
        // Stable: as the callee has ordered them.
        contacts.sort_by_key(|(q, _)| core::cmp::Reverse(*q));
        let mut ways = Vec::new();
        for (_, uri) in contacts {
            if followed.tried.len() > FOLLOWED_MAX {
                break;
            }
            if !followed.tried.contains(&uri) {
                followed.tried.push(uri.clone());
                followed.awaited += 1;
                ways.push(uri);
            }
        }
        if ways.is_empty() {
            return Some(refusal);
        }
        followed.said = Some(refusal);
        let leg = &self.legs[at];
        let cause = Cause::new(leg.party, Reason::Redirected).with_status(status);
        let id = leg.id;
        self.tell(now, EventName::CallUpdated, Some(id), cause);
        for uri in ways {
            let uri = uri.as_ref().into();
            self.push(Output::Plan {
                uri,
                trusted: false,
            });
        }
        if let Some(inviting) = &mut self.legs[at].inviting {
            inviting.over_at = Some(now.unix_ms);
        }
        self.close_as(at, Some(status));
        None
    }

    /// The way to a Contact that is followed: it is rung at once, besides who rings already.
    pub(super) fn followed(&mut self, now: Now, plan: Plan) {
        let Some(hunt) = self.hunt() else { return };
        let Some(followed) = hunt.followed.as_mut().filter(|f| f.awaited > 0) else {
            return;
        };
        followed.awaited -= 1;
        let is_last = followed.awaited == 0;
        let mut groups = match plan {
            Plan::Fork { groups } => groups.into_iter(),
            Plan::Refuse(_) => Vec::new().into_iter(),
        };
        if let Some(first) = groups.next() {
            followed.said = None;
            hunt.add(groups.collect());
            if !self.has_ringing() {
                self.ring_anew(now);
            }
            for target in first.into_iter().take(FORKS_MAX) {
                self.fork(now, target);
            }
        } else if let Some(said) = followed.said.take_if(|_| is_last) {
            hunt.refused(said);
        }
        if !self.is_hunting() {
            self.ring_next_group(now);
        }
    }
}

impl Hunt {
    /// Whether ways are awaited that a 3xx has named.
    pub(super) fn awaits(&self) -> bool {
        self.followed
            .as_ref()
            .is_some_and(|followed| followed.awaited > 0)
    }
}

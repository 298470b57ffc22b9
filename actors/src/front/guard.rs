//! Who is let in at the front: what a source may ask for, and what its passwords come to.

use std::net::IpAddr;

use bus_schema::{Actor as Who, EventName, Reason};
use engine::{Ban, Errand, Failed, Hop};
use sip::Message;

use super::Front;
use crate::{incidents::Details, limit::refused};

impl Front {
    /// Whether its source may ask for this now. If not, it is dropped or answered here, before any
    /// work is done for it.
    pub(super) fn may_ask(&self, request: &Message, hop: Hop) -> bool {
        let Some(source) = self.stranger() else {
            return true;
        };
        let shared = &self.local.shared;
        let now = self.local.clock.now();
        if shared.book.load().defence.is_scanner(request) {
            refused("scanners");
            // Over a connection the address is the sender's own; on a datagram it may be anybody's.
            if hop.is_reliable()
                && let Some(ban) = shared.defences.scanned(now, source)
            {
                self.shut_out(&ban, Reason::NotPermitted, hop);
            }
            return false;
        }
        let Some(errand) = request.method().and_then(Errand::of) else {
            return true;
        };
        if shared.defences.admit(now, source, errand) {
            return true;
        }
        let limit = match errand {
            Errand::Invite => "source_invites_per_s",
            Errand::Register => "source_registers_per_s",
            Errand::Other => "source_requests_per_s",
        };
        refused(limit);
        let (name, reason) = (EventName::SecurityRateLimited, Reason::RateLimited);
        shared.incidents.note(name, reason, source, || Details {
            transport: Some(self.from.1),
            text: Some(limit),
            ..Details::default()
        });
        self.busy(request, hop);
        false
    }

    /// A password was wrong: what comes of it, the defence decides.
    pub(super) fn failed(&self, hop: Hop, failed: &Failed) {
        let source = self.stranger().filter(|_| failed.own || hop.is_reliable());
        let Some(source) = source else { return };
        let defences = &self.local.shared.defences;
        let now = self.local.clock.now();
        if let Some(ban) = defences.failed(now, source, &failed.user) {
            self.shut_out(&ban, Reason::Unauthorized, hop);
        }
    }

    /// A password was right. `false`: too many wrong ones came before it, and it counts for nothing
    /// from there for a while.
    pub(super) fn proved(&self, request: &Message, hop: Hop, user: &str) -> bool {
        let Some(source) = self.stranger() else {
            return true;
        };
        let now = self.local.clock.now();
        let defences = &self.local.shared.defences;
        if defences.is_user_banned(now, source, user) {
            refused("auth_failures");
            self.refuse(request, hop, 403, "Forbidden");
            return false;
        }
        defences.proved(now, source, user);
        true
    }

    fn shut_out(&self, ban: &Ban, reason: Reason, hop: Hop) {
        let shared = &self.local.shared;
        shared.announce_ban(EventName::SecurityBan, ban, Who::System, reason);
        if let (None, Hop::Flow { connection, .. }) = (&ban.user, hop) {
            self.local.hang_up(connection);
        }
    }

    /// Where it comes from, unless that is trusted.
    fn stranger(&self) -> Option<IpAddr> {
        let source = self.from.0.ip();
        (!self.local.shared.book.load().is_trusted(source)).then_some(source)
    }
}

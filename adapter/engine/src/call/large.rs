//! An INVITE too large for a datagram: over TCP first, and over UDP if nobody is there.

use sip::Now;

use super::Call;
use super::leg_state::Inviting;
use crate::hop::Hop;
use crate::large;

impl Call {
    /// Sends leg `at`'s INVITE over TCP if it is too large for `hop`, which comes after that.
    /// `false`: it goes by `hop`.
    pub(super) fn goes_over_tcp(&mut self, now: Now, at: usize, hop: Hop, bytes: usize) -> bool {
        if bytes <= large::DATAGRAM_MAX || !self.home.large_over_tcp {
            return false;
        }
        let Some(inviting) = &mut self.legs[at].inviting else {
            return false;
        };
        if inviting.by_udp == Some(hop) {
            return false;
        }
        let tcp = large::over_tcp(&self.home.listeners, &inviting.target, hop, bytes);
        let Some(tcp) = tcp else { return false };
        inviting.by_udp = Some(hop);
        inviting.spare.push(hop);
        self.send_invite(now, at, tcp);
        true
    }
}

impl Inviting {
    /// Somebody was there, or was silent: only who cannot be connected to gets a datagram.
    pub(super) fn keep_to_tcp(&mut self) {
        let by_udp = self.by_udp;
        self.spare.retain(|hop| Some(*hop) != by_udp);
    }
}

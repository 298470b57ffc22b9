//! Requests that pass between the parties before the answer, in early dialogs that both have.

use sip::offer::{Carrier, OfferAnswer, Side};
use sip::{Fault, Message, Method, Name, Now, ServerId};

use super::Call;
use super::relay::Relay;
use crate::token::LegId;

impl Relay {
    /// What it is to offer and answer in an early dialog, and whose.
    fn carries(&self) -> Option<(Side, Carrier)> {
        let side = match self.from() {
            LegId::CALLER => Side::Remote,
            _ => Side::Local,
        };
        match self.request().method() {
            Some(Method::Prack) => Some((side, Carrier::Prack)),
            Some(Method::Update) => Some((side, Carrier::Update)),
            _ => None,
        }
    }
}

impl Call {
    /// Takes note of a request in early dialog `number`.
    pub(super) fn early_order(
        &mut self,
        number: usize,
        leg: LegId,
        message: &Message,
    ) -> Result<(), Fault> {
        let early = self.hunt().and_then(|hunt| hunt.early.get_mut(number));
        let dialog = early.and_then(|early| early.dialog(leg == LegId::CALLER));
        dialog.map_or(Ok(()), |dialog| dialog.receive(message))
    }

    /// Passes a request in an early dialog that both parties have.
    pub(super) fn pass_early(
        &mut self,
        now: Now,
        at: usize,
        number: usize,
        id: ServerId,
        message: Message,
    ) {
        let from = self.legs[at].id;
        let early = self.hunt().and_then(|hunt| hunt.early.get_mut(number));
        let Some(early) = early.filter(|early| early.is_open()) else {
            return self.lonely_early_request(now, at, id, &message);
        };
        let (side, to) = match from {
            LegId::CALLER => (Side::Remote, early.leg),
            _ => (Side::Local, LegId::CALLER),
        };
        let sdp = !message.body().is_empty();
        if message.method() == Some(Method::Update)
            && let Some(Err(clash)) = early
                .offers()
                .map(|offers| offers.apply(side, Carrier::Update, sdp))
        {
            // RFC 3311 5.2.
            let status = clash.status();
            let later = (status == 500).then_some((Name::RetryAfter, "3"));
            return self.refuse(from, id, &message, status, later);
        }
        match self.leg(to) {
            Some(to) => self.relay_to(now, from, to, Some(number), id, message, |_| {}),
            None => self.refuse(from, id, &message, 481, None),
        }
    }

    pub(super) fn early_relay_succeeded(&mut self, now: Now, number: usize, message: &Message) {
        self.pass_response(now, number, message.status().unwrap_or(200), message);
        let relay = self.relays.remove(number);
        let sdp = !message.body().is_empty();
        if let (Some(offers), Some((side, carrier))) = (self.early_offers(&relay), relay.carries())
        {
            let carrier = match carrier {
                Carrier::Prack => Carrier::PrackSuccess,
                _ => Carrier::UpdateSuccess,
            };
            // An answer is never refused.
            let _meaning = offers.apply(side.other(), carrier, sdp);
        }
    }

    pub(super) fn early_relay_failed(&mut self, relay: &Relay) {
        if let (Some(offers), Some((side, carrier))) = (self.early_offers(relay), relay.carries()) {
            offers.fail(side, carrier);
        }
    }

    fn early_offers(&mut self, relay: &Relay) -> Option<&mut OfferAnswer> {
        self.hunt()?.early.get_mut(relay.early?)?.offers()
    }
}

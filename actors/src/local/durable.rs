//! What an arbiter hands to the journal and the store, and who waits for it.

use std::net::SocketAddr;

use bus_schema::{CallEvent, EventName, Reason};
use bytes::Bytes;
use engine::{CallKey, Hop, Kept, location::Binding};
use sip::Message;

use super::Local;
use crate::{
    ack::Notice as Acknowledge, answered::Before, call::Heard, incidents::Details,
    registry::registration,
};

/// Who waits until something is durable.
pub(super) enum Awaited {
    Call(u64),
    Registration(Box<Registering>),
}

/// A REGISTER that is answered once it is kept.
pub(crate) struct Registering {
    pub(crate) kept: Kept,
    pub(crate) before: Vec<Binding>,
    pub(crate) reply: Bytes,
    /// What is refused if it cannot be kept.
    pub(crate) request: Message,
    pub(crate) way: Hop,
    /// Whose it is.
    pub(crate) remote: SocketAddr,
    /// By which its repeats find the answer.
    pub(crate) transaction: Option<u64>,
}

impl Local {
    pub(crate) fn publish_call(&self, event: CallEvent) {
        let terminal = event.name == EventName::CallEnded;
        log(&event);
        self.shared.publish(event, terminal);
    }

    /// Keeps a call's record. Returns the number by which its acknowledgement is known.
    pub(crate) fn persist_call(&self, key: CallKey, record: Bytes, ahead: bool) -> Option<u64> {
        let notice = ahead.then(|| self.awaiting(Awaited::Call(key.low())));
        let token = notice.as_ref().map(|notice| notice.token);
        if !self.shared.keep_call(key, record, notice)
            && let Some(token) = token
        {
            self.persisted(token, false);
        }
        token
    }

    /// Answers a REGISTER once what it changed is durable.
    pub(crate) fn keep_registration(&self, registering: Registering) {
        let notice = self.awaiting(Awaited::Registration(Box::new(registering)));
        let token = notice.token;
        let kept = match self.acks.borrow().get(&token) {
            Some(Awaited::Registration(registering)) => self
                .shared
                .keep_registration(&registering.kept, Some(notice)),
            Some(Awaited::Call(_)) | None => false,
        };
        if !kept {
            self.persisted(token, false);
        }
    }

    fn awaiting(&self, who: Awaited) -> Acknowledge {
        let token = self.next_ack.get();
        self.next_ack.set(token + 1);
        self.acks.borrow_mut().insert(token, who);
        Acknowledge {
            sink: self.shared.sinks[self.index].clone(),
            token,
        }
    }

    /// Something is durable, or will not be.
    pub(crate) fn persisted(&self, token: u64, kept: bool) {
        let awaited = self.acks.borrow_mut().remove(&token);
        match awaited {
            Some(Awaited::Call(call)) => {
                if let Some(call) = self.calls.borrow().get(&call) {
                    call.do_send(Heard::Persisted { token, kept });
                }
            }
            Some(Awaited::Registration(registering)) => self.registered(*registering, kept),
            None => {}
        }
    }

    fn registered(&self, registering: Registering, durable: bool) {
        let Registering {
            kept,
            before,
            reply,
            request,
            way,
            remote,
            transaction,
        } = registering;
        if durable {
            self.answer_register(transaction, way, reply);
            self.shared.announce_registration(&kept);
        } else {
            self.shared.registry.revert(&kept.aor, before);
            let (name, reason) = (EventName::RegRejected, Reason::TemporaryFailure);
            let incidents = &self.shared.incidents;
            incidents.note(name, reason, remote.ip(), || Details {
                status: Some(500),
                wanted: kept
                    .changes
                    .first()
                    .map(|change| registration(&kept.aor, &change.binding, &self.shared.listeners)),
                ..Details::default()
            });
            let failed = self.refuse(&request, 500, "Server Internal Error");
            self.answer_register(transaction, way, failed);
        }
    }

    /// A REGISTER that was let in is being served.
    pub(crate) fn begin_register(&self, transaction: Option<u64>) {
        if let Some(transaction) = transaction {
            let now = self.clock.mono();
            self.answered.borrow_mut().begin(now, transaction);
        }
    }

    /// Gives it its answer, the last one.
    pub(crate) fn answer_register(&self, transaction: Option<u64>, mut way: Hop, bytes: Bytes) {
        if let Some(transaction) = transaction {
            let mut answered = self.answered.borrow_mut();
            answered.answer(transaction, bytes.clone());
        }
        self.send(&mut way, bytes, None);
    }

    /// Answers the repeat of a REGISTER as before. `false`: it is new.
    pub(crate) fn answer_again(&self, transaction: u64, request: &Message, hop: Hop) -> bool {
        let now = self.clock.mono();
        let before = self.answered.borrow_mut().before(now, transaction).cloned();
        match before {
            None => false,
            Some(Before::Pending) => true,
            Some(Before::Answered(bytes)) => {
                self.reply(request, hop, bytes);
                true
            }
        }
    }
}

/// Writes down what happened to a call. Only its end is worth a line by default: a line costs as
/// much as a tenth of a call.
fn log(event: &CallEvent) {
    let (call, cause) = (&event.data.call, &event.data.cause);
    // The peers' own traces name a leg by its Call-ID; the hash finds it without telling it.
    let leg = |leg: usize| call.legs.get(leg).map(|leg| &*leg.sip_call_id_hash);
    match event.name {
        EventName::CallEnded => {
            metrics::counter!("ifbus_calls_ended_total", "state" => call.state.as_str())
                .increment(1);
            tracing::info!(
                call = %call.call,
                state = call.state.as_str(),
                actor = cause.actor.as_str(),
                reason = cause.reason.as_str(),
                sip_status = cause.sip_status,
                from = &*call.from.uri,
                to = &*call.to.uri,
                lasted_ms = event.stamp.offset_ms,
                a = leg(0),
                b = leg(1),
                "call ended"
            );
        }
        EventName::CallCreated | EventName::CallAnswered | EventName::CallRecovered => {
            tracing::debug!(
                call = %call.call,
                state = call.state.as_str(),
                reason = cause.reason.as_str(),
                a = leg(0),
                b = leg(1),
                "{}", event.name
            );
        }
        name => tracing::trace!(call = %call.call, state = call.state.as_str(), "{name}"),
    }
}

//! The one place where outputs become deeds, for the shells and the simulator alike.

use bus_schema::{CallEvent, Outcome, Text};
use bytes::Bytes;
use sip::{ClientId, Method, Now, ServerId};

use crate::call::Call;
use crate::gate::Gate;
use crate::hop::{Hop, Transport};
use crate::leg::{Output, ReplyToken};
use crate::token::LegId;

/// One method per [`Output`]; their documentation is there.
#[expect(missing_docs, reason = "each is the output of its name")]
pub trait Perform {
    fn open(&mut self, leg: LegId, hop: Hop);
    fn resolve(
        &mut self,
        leg: LegId,
        host: Box<str>,
        port: Option<u16>,
        transport: Option<Transport>,
    );
    fn plan(&mut self, uri: Text, trusted: bool);
    fn request(&mut self, leg: LegId, id: ClientId, method: Method, branch: Box<str>, bytes: Bytes);
    fn respond(&mut self, leg: LegId, id: ServerId, status: u16, bytes: Bytes);
    fn send(&mut self, leg: LegId, bytes: Bytes);
    fn close(&mut self, leg: LegId);
    fn event(&mut self, event: Box<CallEvent>);
    fn persist(&mut self, record: Option<Bytes>, ahead: bool);
    fn reply(&mut self, token: ReplyToken, reply: Box<Outcome>);
    fn ended(&mut self);
}

impl Output {
    /// Has `performer` do it.
    pub fn perform(self, performer: &mut impl Perform) {
        match self {
            Self::Open { leg, hop } => performer.open(leg, hop),
            Self::Resolve {
                leg,
                host,
                port,
                transport,
            } => {
                performer.resolve(leg, host, port, transport);
            }
            Self::Plan { uri, trusted } => performer.plan(uri, trusted),
            Self::Request {
                leg,
                id,
                method,
                branch,
                bytes,
            } => {
                performer.request(leg, id, method, branch, bytes);
            }
            Self::Respond {
                leg,
                id,
                invite: _,
                status,
                bytes,
            } => {
                performer.respond(leg, id, status, bytes);
            }
            Self::Send {
                leg,
                again: _,
                bytes,
            } => performer.send(leg, bytes),
            Self::Close { leg } => performer.close(leg),
            Self::Event(event) => performer.event(event),
            Self::Persist { record, ahead } => performer.persist(record, ahead),
            Self::Reply { token, reply } => performer.reply(token, reply),
            Self::Ended => performer.ended(),
        }
    }
}

impl Call {
    /// Performs everything the call has to say now, as far as the gate lets it through. To be
    /// called after every `handle`, `handle_timeout` and [`Gate::persisted`].
    pub fn perform(&mut self, gate: &mut Gate, now: Now, performer: &mut impl Perform) {
        while let Some(output) = gate.poll_output(now) {
            output.perform(performer);
        }
        while let Some(output) = self.poll_output() {
            if let Some(output) = gate.pass(now, output) {
                output.perform(performer);
            }
        }
    }
}

//! What a restart needs of a call, and what it does with it.
//!
//! The record is bytes in an order of our own: it is written for every call and read once in a
//! thousand. Integers are big-endian; a text is its length in 16 bits and its bytes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bus_schema::{
    Actor, CallSnapshot, CallState, Cause, Direction, EventName, LegState, Party as Named,
    Position, Reason, SessionId, Text, Timestamp,
};
use bytes::{BufMut, Bytes};
use sip::{Dialog, Now, Uri};

use super::compose;
use super::leg_state::{Ack, Leg, Owed};
use super::setup::Home;
use super::story::Story;
use super::{Call, Stage};
use crate::hop::{Hop, Listener, Transport};
use crate::key::CallKey;
use crate::leg::Output;
use crate::speaker::Speaker;
use crate::token::LegId;

const VERSION: u8 = 2;

/// Requests that were sent after the record was written have used numbers that it does not know.
/// Gaps are legal (RFC 3261 12.2.1.1).
const CSEQ_GAP: u32 = 100;

/// What a recovered call begins with.
#[derive(Debug)]
pub struct Recovery {
    /// With the epoch of this start.
    pub home: Arc<Home>,
    /// Random bits, for this call only.
    pub entropy: u64,
    /// The call's last event, from the journal; the record's own if that is not known.
    pub after: Option<Position>,
    /// Whether that was its end. The record was to be forgotten, and it does not end twice.
    pub ended: bool,
}

impl Call {
    /// Keeps the call as it is now.
    pub(super) fn persist(&mut self, ahead: bool) {
        self.story.kept = self.outline();
        let record = Some(self.record());
        self.push(Output::Persist { record, ahead });
    }

    /// Keeps the call if what a restart needs of it is not what was kept: phones refresh their
    /// sessions every few seconds and change nothing by it. Nothing waits for this record.
    pub(super) fn persist_changes(&mut self) {
        if self.outline() != self.story.kept {
            self.persist(false);
        }
    }

    /// What of a record changes while the call is up: where the parties are, and how far our
    /// requests have counted, in steps that [`CSEQ_GAP`] covers.
    fn outline(&self) -> u64 {
        let up = self.legs.iter().filter(|leg| leg.is_up());
        let dialogs = up.filter_map(|leg| leg.dialog.as_ref());
        dialogs.fold(0, |outline, dialog| {
            let steps = dialog.local_seq() / (CSEQ_GAP / 2);
            let parts = [
                &u64::to_be_bytes(outline)[..],
                &steps.to_be_bytes(),
                dialog.target().as_bytes(),
            ];
            self.home.tokens.hash(&parts)
        })
    }

    fn record(&self) -> Bytes {
        let mut out = Vec::with_capacity(768);
        let story = &self.story;
        out.put_u8(VERSION);
        out.put_u8(self.key.shard);
        out.put_u128(self.key.id);
        out.put_u128(story.session.0);
        out.put_u64(story.position.epoch);
        out.put_u64(story.position.seq);
        out.put_u64(story.created_at.0);
        out.put_u64(story.answered_at.map_or(0, |at| at.0));
        put(&mut out, story.direction.as_str().as_bytes());
        for party in [&story.from, &story.to] {
            put(&mut out, party.uri.as_bytes());
            put(
                &mut out,
                party.display.as_deref().unwrap_or_default().as_bytes(),
            );
        }
        for text in [
            &story.agent,
            &story.command_id,
            &story.traceparent,
            &story.trace_id,
        ] {
            put(&mut out, text.as_deref().unwrap_or_default().as_bytes());
        }
        for leg in self.legs.iter().filter(|leg| leg.is_up()) {
            let (Some(hop), Some(dialog)) = (leg.hop, &leg.dialog) else {
                continue;
            };
            out.put_u16(leg.id.0);
            out.put_u8(u8::from(leg.party == Actor::Callee));
            out.put_u64(leg.answered_at.unwrap_or_default());
            put_hop(&mut out, hop);
            put_speaker(&mut out, Speaker::of(&self.home.listeners, &hop));
            out.put_u32(match &leg.ack {
                Ack::Owed(owed) => owed.cseq,
                Ack::None | Ack::Sent { .. } => 0,
            });
            put(&mut out, leg.uri.as_bytes());
            put(&mut out, leg.aor.as_deref().unwrap_or_default().as_bytes());
            put(&mut out, &dialog.record());
        }
        out.into()
    }

    /// Takes up what a call left behind and ends it: `call.recovered`, a BYE to each party that had
    /// answered, `call.ended`. Of a call that had ended nothing is told; its parties get their BYE,
    /// for nobody knows whether they ever did. `None` if the record cannot be read.
    #[must_use]
    pub fn recover(record: &[u8], recovery: Recovery, now: Now) -> Option<Self> {
        let Recovery {
            home,
            entropy,
            after,
            ended,
        } = recovery;
        let mut rest = record;
        let input = &mut rest;
        if take::<1>(input)? != [VERSION] {
            return None;
        }
        let key = CallKey {
            shard: u8::from_be_bytes(take(input)?),
            id: u128::from_be_bytes(take(input)?),
        };
        let mut story = Story::new(key, &home, now);
        story.session = SessionId(u128::from_be_bytes(take(input)?));
        let kept = Position {
            epoch: u64::from_be_bytes(take(input)?),
            seq: u64::from_be_bytes(take(input)?),
        };
        story.created_at = Timestamp(u64::from_be_bytes(take(input)?));
        let answered_at = u64::from_be_bytes(take(input)?);
        story.answered_at = (answered_at > 0).then_some(Timestamp(answered_at));
        story.direction = Direction::from_word(text(input)?).unwrap_or(Direction::Inbound);
        story.from = Named {
            uri: text(input)?.into(),
            display: some_text(input)?,
        };
        story.to = Named {
            uri: text(input)?.into(),
            display: some_text(input)?,
        };
        story.agent = some_text(input)?;
        story.command_id = some_text(input)?;
        story.traceparent = some_text(input)?;
        story.trace_id = some_text(input)?;
        if story.answered_at.is_some() {
            story.state = CallState::InProgress;
        }
        let mut call = Self::with(key, home, entropy, story, Stage::Up, now);
        while !input.is_empty() {
            let leg = call.recover_leg(input)?;
            call.next_leg = call.next_leg.max(leg.id.0 + 1);
            call.legs.push(leg);
        }
        call.open_recovered();
        if ended {
            let reasons = compose::reason_of(&restart());
            call.close_story(now, Reason::Restart);
            call.part_all(now, &reasons);
            call.settle();
        } else {
            call.end_recovered(now, after.unwrap_or(kept));
        }
        Some(call)
    }

    /// Takes up a call that nothing is left of but its events, the last of which had `told` in it:
    /// `call.recovered`, `call.ended`. It had no record, for nobody had answered.
    #[must_use]
    pub fn recover_told(told: CallSnapshot, recovery: Recovery, now: Now) -> Self {
        let key = told.call.into();
        let mut story = Story::new(key, &recovery.home, now);
        story.session = told.session;
        story.direction = told.direction;
        story.from = told.from;
        story.to = told.to;
        story.agent = told.agent;
        story.trace_id = told.trace_id;
        story.state = told.state;
        story.created_at = told.created_at;
        story.ringing_at = told.ringing_at;
        story.answered_at = told.answered_at;
        story.past = told.legs;
        for leg in &mut story.past {
            leg.state = LegState::Terminated;
        }
        let (home, entropy) = (recovery.home, recovery.entropy);
        let mut call = Self::with(key, home, entropy, story, Stage::Up, now);
        let nowhere = call.story.position;
        call.end_recovered(now, recovery.after.unwrap_or(nowhere));
        call
    }

    fn recover_leg(&mut self, input: &mut &[u8]) -> Option<Leg> {
        let id = LegId(u16::from_be_bytes(take(input)?));
        let party = match take::<1>(input)? {
            [0] => Actor::Caller,
            _ => Actor::Callee,
        };
        let answered_at = u64::from_be_bytes(take(input)?);
        let hop = take_hop(input)?;
        let speaker = take_speaker(input)?;
        let hop = way(hop, speaker, &self.home.listeners);
        let owed = u32::from_be_bytes(take(input)?);
        let uri = text(input)?.into();
        let aor = some_text(input)?;
        let mut dialog = Dialog::from_record(bytes(input)?)?;
        dialog.skip_to(dialog.local_seq() + CSEQ_GAP);
        let call_id_hash = self.hash_of(dialog.call_id());
        let mut leg = self.blank_leg(id, party, uri, call_id_hash);
        leg.hop = hop;
        // Whom no listener reaches has lost its call without a word.
        leg.dialog = hop.map(|_| dialog);
        leg.aor = aor;
        leg.answered_at = Some(answered_at);
        leg.state = LegState::Confirmed;
        if owed > 0 {
            leg.ack = Ack::Owed(Box::new(Owed {
                cseq: owed,
                offer: None,
            }));
        }
        Some(leg)
    }

    fn open_recovered(&mut self) {
        for at in 0..self.legs.len() {
            let (leg, hop) = (self.legs[at].id, self.legs[at].hop);
            match hop {
                Some(Hop::Flow { listener, .. }) => self.find(at, listener),
                Some(hop) => self.push(Output::Open { leg, hop }),
                None => {}
            }
        }
    }

    fn end_recovered(&mut self, now: Now, after: Position) {
        let recovered = Cause::new(Actor::System, Reason::Recovered);
        self.tell_after(now, EventName::CallRecovered, None, recovered, Some(after));
        let cause = restart();
        let reasons = compose::reason_of(&cause);
        self.end(now, cause, &reasons);
        self.settle();
    }
}

fn restart() -> Cause {
    Cause::new(Actor::System, Reason::Restart)
}

impl Call {
    /// The connection of leg `at` died with the process, and its number may be another's by now. A
    /// peer on a stream can be connected to; a WebSocket client cannot, and has lost its call.
    fn find(&mut self, at: usize, listener: u16) {
        let leg = &mut self.legs[at];
        leg.hop = None;
        let listener = self.home.listeners.get(usize::from(listener));
        let transport = listener.map(|listener| listener.transport);
        let target = leg
            .dialog
            .as_ref()
            .map(|dialog| Uri::parse(dialog.next_hop()));
        match (transport, target) {
            (Some(Transport::Tcp | Transport::Tls), Some(Ok(uri))) => {
                // As resolvers want it: an IPv6 address without brackets.
                let host = uri.host.host.trim_matches(['[', ']']).into();
                let port = uri.host.port;
                let leg = leg.id;
                self.push(Output::Resolve {
                    leg,
                    host,
                    port,
                    transport,
                });
            }
            _ => leg.dialog = None,
        }
    }

    /// Where a recovered leg is: it gets the BYE that waited for it.
    pub(super) fn found(&mut self, at: usize, hop: Option<Hop>) {
        let leg = &mut self.legs[at];
        let Some(reasons) = leg.bye_due.take_if(|_| leg.hop.is_none()) else {
            return;
        };
        if let Some(hop) = hop {
            leg.hop = Some(hop);
            let leg = leg.id;
            self.push(Output::Open { leg, hop });
            self.bye(at, &reasons);
        }
        self.close(at);
    }
}

/// The same hop by a listener that there is now.
fn way(hop: Hop, speaker: Speaker<'_>, listeners: &[Listener]) -> Option<Hop> {
    Some(match hop {
        Hop::Udp { remote, .. } => Hop::Udp {
            listener: speaker.to(listeners, remote)?,
            remote,
        },
        Hop::Connect {
            transport, remote, ..
        } => Hop::Connect {
            transport,
            listener: speaker.to(listeners, remote)?,
            remote,
        },
        Hop::Flow { connection, .. } => Hop::Flow {
            connection,
            listener: speaker.to_anybody(listeners)?,
        },
    })
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    // Everything kept came in one message, whose limit is below this.
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.put_u16(len);
    out.extend_from_slice(&text[..usize::from(len)]);
}

fn put_hop(out: &mut Vec<u8>, hop: Hop) {
    match hop {
        Hop::Udp { listener, remote } => {
            out.put_u8(0);
            out.put_u16(listener);
            put_remote(out, remote);
        }
        Hop::Flow {
            connection,
            listener,
        } => {
            out.put_u8(1);
            out.put_u16(listener);
            out.put_u64(connection);
        }
        Hop::Connect {
            transport,
            listener,
            remote,
        } => {
            out.put_u8(2);
            out.put_u16(listener);
            put_remote(out, remote);
            put(out, transport.via().as_bytes());
        }
    }
}

fn put_speaker(out: &mut Vec<u8>, speaker: Speaker<'_>) {
    let transport = speaker.transport.map_or("", Transport::via);
    put(out, transport.as_bytes());
    put(out, speaker.name.as_bytes());
}

fn take_speaker<'a>(input: &mut &'a [u8]) -> Option<Speaker<'a>> {
    Some(Speaker {
        transport: Transport::from_param(text(input)?),
        name: text(input)?,
    })
}

fn put_remote(out: &mut Vec<u8>, remote: SocketAddr) {
    let ip = match remote.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    out.put_u128(ip.to_bits());
    out.put_u16(remote.port());
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

fn bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::from(u16::from_be_bytes(take(input)?));
    let (head, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(head)
}

fn text<'a>(input: &mut &'a [u8]) -> Option<&'a str> {
    core::str::from_utf8(bytes(input)?).ok()
}

fn some_text(input: &mut &[u8]) -> Option<Option<Text>> {
    let text = text(input)?;
    Some((!text.is_empty()).then(|| text.into()))
}

fn take_hop(input: &mut &[u8]) -> Option<Hop> {
    let [kind] = take(input)?;
    let listener = u16::from_be_bytes(take(input)?);
    Some(match kind {
        0 => Hop::Udp {
            listener,
            remote: take_remote(input)?,
        },
        1 => Hop::Flow {
            connection: u64::from_be_bytes(take(input)?),
            listener,
        },
        2 => {
            let remote = take_remote(input)?;
            Hop::Connect {
                transport: Transport::from_param(text(input)?)?,
                listener,
                remote,
            }
        }
        _ => return None,
    })
}

fn take_remote(input: &mut &[u8]) -> Option<SocketAddr> {
    let ip = IpAddr::V6(u128::from_be_bytes(take(input)?).into()).to_canonical();
    Some(SocketAddr::new(ip, u16::from_be_bytes(take(input)?)))
}

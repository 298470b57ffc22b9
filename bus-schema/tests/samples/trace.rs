//! What was said in a call.

use bus_schema::{QueryTrace, Traced, TracedMessage};

use super::{CALL, at, t};

pub(super) fn question() -> QueryTrace {
    QueryTrace { call: Some(CALL) }
}

pub(super) fn answer() -> Traced {
    let message = TracedMessage {
        at: at(0),
        offset_us: 0,
        leg: t("a"),
        sent: false,
        peer: t("udp 192.0.2.10:5060"),
        text: t("INVITE sip:1002@example.test SIP/2.0\r\nCall-ID: 1\r\n\r\n"),
    };
    Traced {
        node: t("n1"),
        call: CALL,
        messages: vec![message],
        cut: false,
    }
}

//! A call in words: one line for each thing done.

use std::fmt::Write as _;

use bus_schema::CallEvent;
use sip::Message;

use crate::scene::{ANSWER, OFFER};

/// Contiguous `seq`, one terminal event, and it is the last one.
pub(crate) fn check_events(events: &[CallEvent]) {
    for (event, expected) in events.iter().zip(1..) {
        assert_eq!(event.stamp.position.seq, expected, "{}", describe(event));
    }
    let ended = events
        .iter()
        .filter(|event| event.data.call.state.is_terminal())
        .count();
    assert_eq!(ended, 1);
    assert_eq!(events.last().unwrap().name.as_str(), "call.ended");
}

pub(crate) fn describe(event: &CallEvent) -> String {
    let cause = &event.data.cause;
    let mut line = format!("* {}", event.name);
    if let Some(leg) = event.leg {
        write!(line, " {leg}").unwrap();
    }
    write!(
        line,
        " {} by {} {}",
        event.data.call.state, cause.actor, cause.reason
    )
    .unwrap();
    if let Some(status) = cause.sip_status {
        write!(line, " {status}").unwrap();
    }
    if let Some(timer) = &cause.timer {
        write!(line, " timer {timer}").unwrap();
    }
    line
}

pub(crate) fn summary(message: &Message) -> String {
    let mut line = match message.status() {
        Some(status) => format!("{status} {}", message.cseq().unwrap().text),
        None => message.method_text().to_owned(),
    };
    match message.body() {
        b"" => {}
        body if body == OFFER.as_bytes() => line.push_str(" offer"),
        body if body == ANSWER.as_bytes() => line.push_str(" answer"),
        body if body.windows(10).any(|w| w == b"a=inactive") => line.push_str(" inactive"),
        body if body.windows(14).any(|w| w == b"a=setup:active") => {
            line.push_str(" blank, DTLS client");
        }
        body if body.windows(15).any(|w| w == b"a=setup:passive") => {
            line.push_str(" blank, DTLS server");
        }
        body if body.windows(10).any(|w| w == b"a=sendonly") => line.push_str(" sendonly"),
        body => {
            write!(line, " {} bytes", body.len()).unwrap();
        }
    }
    for (name, word) in [(sip::Name::RSeq, "RSeq"), (sip::Name::RAck, "RAck")] {
        if let Some(number) = message.text(name) {
            write!(line, " {word} {number}").unwrap();
        }
    }
    if let Some(reason) = message.text(sip::Name::Reason) {
        write!(line, " ({reason})").unwrap();
    }
    line
}

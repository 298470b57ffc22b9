//! Every state of the four figures against every event.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is its report"
)]

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use sip::Failure;
use sip::transaction::{
    Inform, InviteClient, InviteServer, NonInviteClient, NonInviteServer, Step,
};

const PATIENCE: Duration = Duration::from_secs(600);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// The state's name, as the figure has it.
fn state(machine: &impl Debug) -> String {
    let text = format!("{machine:?}");
    let (_, rest) = text.split_once("state: ").unwrap();
    rest.chars().take_while(|c| c.is_alphabetic()).collect()
}

/// What a step does, in short: `send:X`, `tell`, `fail:Timeout`, `noack`, joined by a space.
fn said(step: &Step) -> String {
    let sent = step
        .transmit
        .as_ref()
        .map(|b| format!("send:{}", str::from_utf8(b).unwrap()));
    let told = step.inform.map(|news| match news {
        Inform::Message => "tell".to_owned(),
        Inform::Failed(Failure::Timeout) => "fail:Timeout".to_owned(),
        Inform::Failed(Failure::Unreachable) => "fail:Unreachable".to_owned(),
        Inform::Failed(Failure::NoRoom) => "fail:NoRoom".to_owned(),
        Inform::NoAck => "noack".to_owned(),
    });
    [sent, told]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// (state, event, state after, what it says)
type Row = (&'static str, &'static str, &'static str, &'static str);

fn invite_client(reliable: bool, start: &str) -> InviteClient {
    let (mut machine, step) = InviteClient::new(ms(0), bytes("INVITE"), reliable, PATIENCE);
    assert_eq!(said(&step), "send:INVITE");
    match start {
        "Calling" => {}
        "Proceeding" => drop(invite_client_event(&mut machine, "1xx")),
        "Accepted" => drop(invite_client_event(&mut machine, "2xx")),
        "Completed" => drop(invite_client_event(&mut machine, "3-6xx")),
        _ => drop(machine.unreachable()),
    }
    assert_eq!(state(&machine), start);
    machine
}

fn invite_client_event(machine: &mut InviteClient, event: &str) -> Step {
    let ack = |invite: &Bytes| {
        assert_eq!(invite, "INVITE");
        Some(bytes("ACK"))
    };
    match event {
        "1xx" => machine.response(ms(0), 180, ack),
        "2xx" => machine.response(ms(0), 200, ack),
        "3-6xx" => machine.response(ms(0), 486, ack),
        "error" => machine.unreachable(),
        "500ms" => machine.timeout(ms(500)),
        "32s" => machine.timeout(ms(32_000)),
        "patience" => machine.timeout(PATIENCE),
        _ => panic!("{event}"),
    }
}

#[test]
fn figure_5_invite_client() {
    let rows: [Row; 35] = [
        ("Calling", "1xx", "Proceeding", "tell"),
        ("Calling", "2xx", "Accepted", "tell"),
        ("Calling", "3-6xx", "Completed", "send:ACK tell"),
        ("Calling", "error", "Terminated", "fail:Unreachable"),
        ("Calling", "500ms", "Calling", "send:INVITE"),
        ("Calling", "32s", "Terminated", "fail:Timeout"),
        ("Calling", "patience", "Terminated", "fail:Timeout"),
        ("Proceeding", "1xx", "Proceeding", "tell"),
        ("Proceeding", "2xx", "Accepted", "tell"),
        ("Proceeding", "3-6xx", "Completed", "send:ACK tell"),
        ("Proceeding", "error", "Proceeding", ""),
        ("Proceeding", "500ms", "Proceeding", ""),
        ("Proceeding", "32s", "Proceeding", ""),
        ("Proceeding", "patience", "Terminated", "fail:Timeout"),
        ("Accepted", "1xx", "Accepted", ""),
        ("Accepted", "2xx", "Accepted", "tell"),
        ("Accepted", "3-6xx", "Accepted", ""),
        ("Accepted", "error", "Accepted", ""),
        ("Accepted", "500ms", "Accepted", ""),
        ("Accepted", "32s", "Terminated", ""),
        ("Accepted", "patience", "Terminated", ""),
        ("Completed", "1xx", "Completed", ""),
        ("Completed", "2xx", "Completed", ""),
        ("Completed", "3-6xx", "Completed", "send:ACK"),
        ("Completed", "error", "Terminated", "fail:Unreachable"),
        ("Completed", "500ms", "Completed", ""),
        ("Completed", "32s", "Terminated", ""),
        ("Completed", "patience", "Terminated", ""),
        ("Terminated", "1xx", "Terminated", ""),
        ("Terminated", "2xx", "Terminated", ""),
        ("Terminated", "3-6xx", "Terminated", ""),
        ("Terminated", "error", "Terminated", ""),
        ("Terminated", "500ms", "Terminated", ""),
        ("Terminated", "32s", "Terminated", ""),
        ("Terminated", "patience", "Terminated", ""),
    ];
    for (from, event, to, says) in rows {
        let mut machine = invite_client(false, from);
        let step = invite_client_event(&mut machine, event);
        assert_eq!(
            (state(&machine).as_str(), said(&step).as_str()),
            (to, says),
            "{from} {event}"
        );
        assert_eq!(machine.is_terminated(), to == "Terminated");
        assert_eq!(machine.deadline().is_none(), to == "Terminated");
    }
    // Reliable: timer A does not run, timer D is zero, timers B and M are not.
    let mut machine = invite_client(true, "Calling");
    assert_eq!(machine.deadline(), Some(ms(32_000)));
    assert_eq!(
        said(&invite_client_event(&mut machine, "3-6xx")),
        "send:ACK tell"
    );
    assert!(machine.is_terminated());
    assert_eq!(invite_client(true, "Accepted").deadline(), Some(ms(32_000)));
    // A CANCEL limits the wait to 64*T1.
    let mut machine = invite_client(false, "Proceeding");
    machine.cancelled(ms(1_000));
    machine.cancelled(ms(2_000));
    assert_eq!(machine.deadline(), Some(ms(33_000)));
    assert_eq!(said(&machine.timeout(ms(33_000))), "fail:Timeout");
}

#[test]
fn timer_a_doubles_without_a_cap() {
    let mut machine = invite_client(false, "Calling");
    let mut sent = Vec::new();
    while let Some(at) = machine.deadline() {
        if machine.timeout(at).transmit.is_some() {
            sent.push(at.as_millis());
        }
    }
    assert_eq!(sent, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
}

fn non_invite_client(start: &str) -> NonInviteClient {
    let (mut machine, step) = NonInviteClient::new(ms(0), bytes("BYE"), false);
    assert_eq!(said(&step), "send:BYE");
    match start {
        "Trying" => {}
        "Proceeding" => drop(machine.response(ms(0), 100)),
        "Completed" => drop(machine.response(ms(0), 200)),
        _ => drop(machine.unreachable()),
    }
    assert_eq!(state(&machine), start);
    machine
}

#[test]
fn figure_6_non_invite_client() {
    let rows: [Row; 24] = [
        ("Trying", "1xx", "Proceeding", "tell"),
        ("Trying", "2-6xx", "Completed", "tell"),
        ("Trying", "error", "Terminated", "fail:Unreachable"),
        ("Trying", "500ms", "Trying", "send:BYE"),
        ("Trying", "5s", "Trying", "send:BYE"),
        ("Trying", "32s", "Terminated", "fail:Timeout"),
        ("Proceeding", "1xx", "Proceeding", "tell"),
        ("Proceeding", "2-6xx", "Completed", "tell"),
        ("Proceeding", "error", "Terminated", "fail:Unreachable"),
        ("Proceeding", "500ms", "Proceeding", ""),
        ("Proceeding", "5s", "Proceeding", "send:BYE"),
        ("Proceeding", "32s", "Terminated", "fail:Timeout"),
        ("Completed", "1xx", "Completed", ""),
        ("Completed", "2-6xx", "Completed", ""),
        ("Completed", "error", "Completed", ""),
        ("Completed", "500ms", "Completed", ""),
        ("Completed", "5s", "Terminated", ""),
        ("Completed", "32s", "Terminated", ""),
        ("Terminated", "1xx", "Terminated", ""),
        ("Terminated", "2-6xx", "Terminated", ""),
        ("Terminated", "error", "Terminated", ""),
        ("Terminated", "500ms", "Terminated", ""),
        ("Terminated", "5s", "Terminated", ""),
        ("Terminated", "32s", "Terminated", ""),
    ];
    for (from, event, to, says) in rows {
        let mut machine = non_invite_client(from);
        let step = match event {
            "1xx" => machine.response(ms(0), 100),
            "2-6xx" => machine.response(ms(0), 404),
            "error" => machine.unreachable(),
            "500ms" => machine.timeout(ms(500)),
            "5s" => machine.timeout(ms(5_000)),
            _ => machine.timeout(ms(32_000)),
        };
        assert_eq!(
            (state(&machine).as_str(), said(&step).as_str()),
            (to, says),
            "{from} {event}"
        );
        assert_eq!(machine.is_terminated(), to == "Terminated");
        assert_eq!(machine.deadline().is_none(), to == "Terminated");
    }
    let (mut machine, _) = NonInviteClient::new(ms(0), bytes("BYE"), true);
    assert_eq!(machine.deadline(), Some(ms(32_000)), "timer E does not run");
    machine.response(ms(0), 200);
    assert!(machine.is_terminated(), "timer K is zero");
}

#[test]
fn timer_e_doubles_to_t2_and_is_t2_once_heard() {
    let mut machine = non_invite_client("Trying");
    let mut sent = Vec::new();
    while let Some(at) = machine.deadline() {
        if machine.timeout(at).transmit.is_some() {
            sent.push(at.as_millis());
        }
    }
    let all = [
        500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    assert_eq!(sent, all);
    assert_eq!(non_invite_client("Proceeding").deadline(), Some(ms(4_000)));
}

fn invite_server(start: &str) -> InviteServer {
    let mut machine = InviteServer::new(ms(0), false, PATIENCE);
    match start {
        "Proceeding" => drop(machine.respond(ms(0), 180, bytes("180"))),
        "Accepted" => drop(machine.respond(ms(0), 200, bytes("200"))),
        "Completed" => drop(machine.respond(ms(0), 486, bytes("486"))),
        "Confirmed" => {
            machine.respond(ms(0), 486, bytes("486"));
            machine.ack(ms(0));
        }
        _ => drop(machine.timeout(PATIENCE)),
    }
    assert_eq!(state(&machine), start);
    machine
}

#[test]
fn figure_7_invite_server() {
    let rows: [Row; 40] = [
        ("Proceeding", "INVITE", "Proceeding", "send:180"),
        ("Proceeding", "ACK", "Proceeding", ""),
        ("Proceeding", "1xx", "Proceeding", "send:183"),
        ("Proceeding", "2xx", "Accepted", "send:200"),
        ("Proceeding", "3-6xx", "Completed", "send:486"),
        ("Proceeding", "500ms", "Proceeding", ""),
        ("Proceeding", "5s", "Proceeding", ""),
        ("Proceeding", "32s", "Proceeding", ""),
        ("Accepted", "INVITE", "Accepted", ""),
        ("Accepted", "ACK", "Accepted", "tell"),
        ("Accepted", "1xx", "Accepted", ""),
        ("Accepted", "2xx", "Accepted", "send:200"),
        ("Accepted", "3-6xx", "Accepted", ""),
        ("Accepted", "500ms", "Accepted", ""),
        ("Accepted", "5s", "Accepted", ""),
        ("Accepted", "32s", "Terminated", ""),
        ("Completed", "INVITE", "Completed", "send:486"),
        ("Completed", "ACK", "Confirmed", ""),
        ("Completed", "1xx", "Completed", ""),
        ("Completed", "2xx", "Completed", ""),
        ("Completed", "3-6xx", "Completed", ""),
        ("Completed", "500ms", "Completed", "send:486"),
        ("Completed", "5s", "Completed", "send:486"),
        ("Completed", "32s", "Terminated", "noack"),
        ("Confirmed", "INVITE", "Confirmed", ""),
        ("Confirmed", "ACK", "Confirmed", ""),
        ("Confirmed", "1xx", "Confirmed", ""),
        ("Confirmed", "2xx", "Confirmed", ""),
        ("Confirmed", "3-6xx", "Confirmed", ""),
        ("Confirmed", "500ms", "Confirmed", ""),
        ("Confirmed", "5s", "Terminated", ""),
        ("Confirmed", "32s", "Terminated", ""),
        ("Terminated", "INVITE", "Terminated", ""),
        ("Terminated", "ACK", "Terminated", ""),
        ("Terminated", "1xx", "Terminated", ""),
        ("Terminated", "2xx", "Terminated", ""),
        ("Terminated", "3-6xx", "Terminated", ""),
        ("Terminated", "500ms", "Terminated", ""),
        ("Terminated", "5s", "Terminated", ""),
        ("Terminated", "32s", "Terminated", ""),
    ];
    for (from, event, to, says) in rows {
        let mut machine = invite_server(from);
        let step = match event {
            "INVITE" => machine.invite(),
            "ACK" => machine.ack(ms(0)),
            "1xx" => machine.respond(ms(0), 183, bytes("183")),
            "2xx" => machine.respond(ms(0), 200, bytes("200")),
            "3-6xx" => machine.respond(ms(0), 486, bytes("486")),
            "500ms" => machine.timeout(ms(500)),
            "5s" => machine.timeout(ms(5_000)),
            _ => machine.timeout(ms(32_000)),
        };
        assert_eq!(
            (state(&machine).as_str(), said(&step).as_str()),
            (to, says),
            "{from} {event}"
        );
        assert_eq!(machine.is_terminated(), to == "Terminated");
        assert_eq!(machine.deadline().is_none(), to == "Terminated");
    }
    let mut machine = InviteServer::new(ms(0), true, PATIENCE);
    machine.respond(ms(0), 486, bytes("486"));
    assert_eq!(
        machine.deadline(),
        Some(ms(32_000)),
        "timer G does not run, H does"
    );
    machine.ack(ms(0));
    assert!(machine.is_terminated(), "timer I is zero");
}

#[test]
fn figure_8_non_invite_server() {
    let reach = |start: &str| {
        let mut machine = NonInviteServer::new(ms(0), false);
        match start {
            "Trying" => {}
            "Proceeding" => drop(machine.respond(ms(0), 100, bytes("100"))),
            "Completed" => drop(machine.respond(ms(0), 200, bytes("200"))),
            _ => drop(machine.timeout(ms(32_000))),
        }
        assert_eq!(state(&machine), start);
        machine
    };
    let rows: [Row; 20] = [
        ("Trying", "request", "Trying", ""),
        ("Trying", "1xx", "Proceeding", "send:183"),
        ("Trying", "2-6xx", "Completed", "send:404"),
        ("Trying", "5s", "Trying", ""),
        ("Trying", "32s", "Terminated", ""),
        ("Proceeding", "request", "Proceeding", "send:100"),
        ("Proceeding", "1xx", "Proceeding", "send:183"),
        ("Proceeding", "2-6xx", "Completed", "send:404"),
        ("Proceeding", "5s", "Proceeding", ""),
        ("Proceeding", "32s", "Terminated", ""),
        ("Completed", "request", "Completed", "send:200"),
        ("Completed", "1xx", "Completed", ""),
        ("Completed", "2-6xx", "Completed", ""),
        ("Completed", "5s", "Completed", ""),
        ("Completed", "32s", "Terminated", ""),
        ("Terminated", "request", "Terminated", ""),
        ("Terminated", "1xx", "Terminated", ""),
        ("Terminated", "2-6xx", "Terminated", ""),
        ("Terminated", "5s", "Terminated", ""),
        ("Terminated", "32s", "Terminated", ""),
    ];
    for (from, event, to, says) in rows {
        let mut machine = reach(from);
        let step = match event {
            "request" => machine.request(),
            "1xx" => machine.respond(ms(0), 183, bytes("183")),
            "2-6xx" => machine.respond(ms(0), 404, bytes("404")),
            "5s" => machine.timeout(ms(5_000)),
            _ => machine.timeout(ms(32_000)),
        };
        assert_eq!(
            (state(&machine).as_str(), said(&step).as_str()),
            (to, says),
            "{from} {event}"
        );
        assert_eq!(machine.is_terminated(), to == "Terminated");
        assert_eq!(machine.deadline().is_none(), to == "Terminated");
    }
    let mut machine = NonInviteServer::new(ms(0), true);
    machine.respond(ms(0), 200, bytes("200"));
    assert!(machine.is_terminated(), "timer J is zero");
}

//! What a registrar takes back from its records.

use std::net::SocketAddr;

use super::tests::{aor, at, register, registrar, serve_on, source, udp};
use super::*;
use crate::hop::{Hop, Listener, Transport};

fn listener((id, transport): (u16, Transport)) -> Listener {
    Listener {
        id,
        transport,
        ipv6: false,
        loopback: false,
        sent_by: "192.0.2.1:5060".into(),
        contact_host: "192.0.2.1:5060".into(),
    }
}

fn listening(transports: &[Transport]) -> Registrar {
    let mut registrar = registrar(4);
    registrar.listeners = (0..)
        .zip(transports.iter().copied())
        .map(listener)
        .collect();
    registrar
}

#[test]
fn after_a_restart_what_can_be_reached_is_there() {
    // The file has changed meanwhile: UDP is another number now.
    let before = [Transport::Udp, Transport::Tcp, Transport::Ws];
    let after = [Transport::Ws, Transport::Tcp, Transport::Udp];
    let ws = Hop::Flow {
        connection: 5,
        listener: 2,
    };
    let tcp = Hop::Flow {
        connection: 6,
        listener: 1,
    };
    let phone = "Contact: <sip:1@192.0.2.7:40000;transport=tcp>\r\n";
    for (hop, lines, seconds, expected) in [
        (
            udp(),
            "Contact: <sip:1@h>\r\n",
            10,
            Ok(Hop::Udp {
                listener: 2,
                remote: source(),
            }),
        ),
        (
            udp(),
            "Contact: <sip:1@h>\r\n",
            3600,
            Err(ChangeKind::Expired),
        ),
        (
            ws,
            "Contact: <sip:1@a.invalid;transport=ws>\r\n",
            10,
            Err(ChangeKind::Lost),
        ),
        (
            tcp,
            "Contact: <sip:1@a.invalid;transport=tcp>\r\n",
            10,
            Err(ChangeKind::Lost),
        ),
        (
            tcp,
            phone,
            10,
            Ok(Hop::Connect {
                transport: Transport::Tcp,
                listener: 1,
                remote: SocketAddr::from(([192, 0, 2, 7], 40000)),
            }),
        ),
    ] {
        let mut first = listening(&before);
        let (decision, _) = serve_on(&mut first, at(0), hop, &register("c", 1, lines));
        let record = decision.kept.unwrap().record.unwrap();
        let mut again = listening(&after);
        let kept = again.restore(at(seconds), &aor(), &record).unwrap();
        match expected {
            Ok(hop) => assert_eq!(again.locations().all("a@x")[0].hop, hop, "{lines}"),
            Err(kind) => {
                let kept = kept.unwrap();
                assert_eq!((kept.changes[0].kind, kept.record), (kind, None), "{lines}");
                assert_eq!(again.locations().bindings(), 0);
            }
        }
        // The order of the Call-ID survives too.
        if expected.is_ok() {
            let repeated = register("c", 1, lines);
            let (decision, _) = serve_on(&mut again, at(seconds), udp(), &repeated);
            assert_eq!(decision.status, 500);
        }
    }
}

#[test]
fn whom_no_listener_reaches_is_stranded() {
    let phone = "Contact: <sip:1@192.0.2.7:40000;transport=tcp>\r\n";
    let tcp = Hop::Flow {
        connection: 6,
        listener: 1,
    };
    for (hop, lines, left) in [
        (udp(), "Contact: <sip:1@h>\r\n", &[Transport::Tcp][..]),
        (tcp, phone, &[Transport::Udp, Transport::Udp]),
    ] {
        let mut first = listening(&[Transport::Udp, Transport::Tcp]);
        let (decision, _) = serve_on(&mut first, at(0), hop, &register("c", 1, lines));
        let record = decision.kept.unwrap().record.unwrap();
        // Nothing has changed: there is nothing to keep or to tell.
        let mut same = listening(&[Transport::Udp, Transport::Tcp]);
        let kept = same.restore(at(1), &aor(), &record).unwrap();
        assert_eq!(
            kept.is_some(),
            hop == tcp,
            "a connection has become a way to connect"
        );
        let mut again = listening(left);
        let kept = again.restore(at(1), &aor(), &record).unwrap().unwrap();
        assert_eq!(kept.changes[0].kind, ChangeKind::Stranded);
        assert_eq!((kept.record, again.locations().bindings()), (None, 0));
    }
}

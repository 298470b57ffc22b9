//! What a registrar takes back from its records.

use std::net::SocketAddr;

use super::tests::{aor, at, register, registrar, serve_on, source, udp};
use super::*;
use crate::hop::{Hop, Listener, Transport};

fn listener(id: u16, transport: Transport) -> Listener {
    Listener {
        id,
        transport,
        ipv6: false,
        sent_by: "192.0.2.1:5060".into(),
        contact_host: "192.0.2.1:5060".into(),
    }
}

#[test]
fn after_a_restart_what_can_be_reached_is_there() {
    // The file has changed meanwhile: UDP is another number now.
    let listeners = [
        listener(0, Transport::Ws),
        listener(1, Transport::Tcp),
        listener(2, Transport::Udp),
    ];
    let ws = Hop::Flow {
        connection: 5,
        listener: 0,
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
        let (decision, _) = serve_on(&mut registrar(4), at(0), hop, &register("c", 1, lines));
        let record = decision.kept.unwrap().record.unwrap();
        let mut again = registrar(4);
        let kept = again
            .restore(at(seconds), &aor(), &record, &listeners)
            .unwrap();
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

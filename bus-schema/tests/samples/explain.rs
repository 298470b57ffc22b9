//! Where a request would go.

use bus_schema::{Destination, Explained, QueryExplain};

use super::t;

pub(super) fn question() -> QueryExplain {
    QueryExplain {
        to: t("900@example.test"),
        from: Some(t("1001@example.test")),
    }
}

pub(super) fn answer() -> Explained {
    Explained {
        node: t("n1"),
        uri: t("sip:900@example.test"),
        steps: vec![
            t("900@example.test is ours"),
            t("route \"carrier\" decides"),
            t("goes on to sip:900@carrier.example"),
            t("carrier.example is not ours: by DNS"),
        ],
        destinations: vec![Destination {
            uri: t("sip:900@carrier.example"),
            aor: None,
            q_milli: 1000,
            hops: vec![t("udp 192.0.2.1:5060"), t("udp 192.0.2.2:5060")],
        }],
        sip_status: None,
        sip_reason: None,
    }
}

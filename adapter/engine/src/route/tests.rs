use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use crate::domain::Demand;
use crate::location::BindingText;
use crate::seed::Seed;

#[derive(Default)]
struct World {
    users: Vec<&'static str>,
    bound: BTreeMap<&'static str, Vec<Binding>>,
}

impl Whereabouts for World {
    fn exists(&self, aor: &str) -> bool {
        self.users.contains(&aor) || aor.ends_with("@open.test")
    }

    fn bindings(&self, aor: &str, visit: &mut dyn FnMut(&Binding)) {
        self.bound.get(aor).into_iter().flatten().for_each(visit);
    }
}

fn binding(contact: &str, path: &str, q: u16, hop: Hop) -> Binding {
    let text = BindingText {
        contact,
        path,
        ..BindingText::default()
    };
    let mut binding = Binding::new(text, hop, u32::MAX).unwrap();
    binding.q = q;
    binding
}

fn udp() -> Hop {
    Hop::Udp {
        listener: 0,
        remote: SocketAddr::from(([192, 0, 2, 1], 5060)),
    }
}

fn world() -> World {
    let wss = Hop::Flow {
        connection: 3,
        listener: 1,
    };
    let mut world = World {
        users: vec!["1001@x.test", "1002@x.test", "1003@x.test"],
        ..World::default()
    };
    world.bound.insert(
        "1001@x.test",
        vec![
            binding("sip:low@h", "", 300, udp()),
            binding("sip:1@h", "<sip:p1;lr>\n<sip:p2;lr>", 1000, udp()),
            binding("sip:2@a.invalid", "", 1000, wss),
        ],
    );
    world
        .bound
        .insert("1003@x.test", vec![binding("sip:3@h", "", 1000, udp())]);
    world
}

fn routes() -> Routes {
    let mut routes = Routes::default();
    for (name, to, target) in [
        (
            "services",
            "6[0-9]{3}",
            "uri:sip:127.0.0.1:5070;transport=tcp",
        ),
        (
            "fixed",
            "desk",
            "uri:sip:front@pbx.example;maddr=192.0.2.77",
        ),
        ("secure", "vault", "uri:sips:vault.example"),
        ("alias", "boss", "uri:sip:1003@x.test"),
        ("round", "ping", "uri:sip:pong@x.test"),
        ("robin", "pong", "uri:sip:ping@x.test"),
        ("self", "me", "uri:sip:me@sip.x.test:5060"),
        ("none", "0900.*|1900", "reject:603"),
    ] {
        routes.add(name, to, target).unwrap();
    }
    routes
}

fn listeners() -> [Listener; 2] {
    let listener = |id, transport, sent_by: &str| Listener {
        id,
        transport,
        ipv6: false,
        loopback: false,
        sent_by: sent_by.into(),
        contact_host: sent_by.into(),
    };
    [
        listener(0, Transport::Udp, "127.0.0.1:5060"),
        listener(1, Transport::Wss, "sip.x.test:5060"),
    ]
}

fn domains() -> Domains {
    let domain = |name: &str| Domain {
        name: name.into(),
        register: Demand::Open,
        callers: Demand::Open,
    };
    Domains::new(
        vec![domain("x.test"), domain("open.test")],
        ["127.0.0.1"],
        Seed(1),
    )
}

fn planned(caller: &Caller, uri: &str, max_forwards: Option<u8>) -> (Plan, Vec<Step>) {
    let (world, routes, listeners, domains) = (world(), routes(), listeners(), domains());
    let map = Map {
        domains: &domains,
        routes: &routes,
        listeners: &listeners,
        whereabouts: &world,
    };
    let question = Question {
        caller,
        uri,
        max_forwards,
    };
    let (explained, steps) = explain(&map, &question);
    assert_eq!(plan(&map, &question), explained);
    (explained, steps)
}

fn user() -> Caller {
    Caller::User("1002@x.test".into())
}

#[test]
fn refusals() {
    for (caller, uri, max_forwards, status, cause) in [
        (user(), "sip:1004@x.test", None, 404, Reason::InvalidNumber),
        (
            user(),
            "sip:1002@x.test",
            None,
            480,
            Reason::SubscriberAbsent,
        ),
        (
            user(),
            "sip:new@open.test",
            None,
            480,
            Reason::SubscriberAbsent,
        ),
        (user(), "sip:x.test", None, 484, Reason::InvalidNumber),
        (user(), "tel:+4912345", None, 416, Reason::InvalidNumber),
        (user(), "sip:", None, 400, Reason::ProtocolError),
        (
            user(),
            "sip:1001@x.test",
            Some(0),
            483,
            Reason::ProtocolError,
        ),
        (user(), "sip:0900123@x.test", None, 603, Reason::Rejected),
        (user(), "sip:1900@x.test", None, 603, Reason::Rejected),
        (user(), "sip:ping@x.test", None, 482, Reason::NoRoute),
        (user(), "sip:me@x.test", None, 482, Reason::NoRoute),
        (
            user(),
            "sips:1003@x.test",
            None,
            480,
            Reason::SubscriberAbsent,
        ),
        (
            Caller::Foreign,
            "sip:a@elsewhere.example",
            None,
            403,
            Reason::NotPermitted,
        ),
        (
            Caller::Claimed("a@open.test".into()),
            "sip:a@else.example",
            None,
            403,
            Reason::NotPermitted,
        ),
    ] {
        let (plan, steps) = planned(&caller, uri, max_forwards);
        let Plan::Refuse(refuse) = plan else {
            panic!("{uri}: {plan:?}")
        };
        assert_eq!((refuse.status, refuse.cause), (status, cause), "{uri}");
        assert_eq!(steps.last(), Some(&Step::Refused(refuse)));
    }
}

#[test]
fn the_bindings_of_a_user_fork_by_preference() {
    for uri in [
        "sip:1001@x.test",
        "sip:%31001@X.TEST",
        "sip:1001@127.0.0.1:5060",
        "sip:1001@127.0.0.1",
    ] {
        let (plan, _) = planned(&Caller::Foreign, uri, Some(1));
        let Plan::Fork { groups } = plan else {
            panic!("{uri}: {plan:?}")
        };
        let uris: Vec<Vec<&str>> = groups
            .iter()
            .map(|group| group.iter().map(|target| &*target.uri).collect())
            .collect();
        assert_eq!(
            uris,
            [vec!["sip:1@h", "sip:2@a.invalid"], vec!["sip:low@h"]],
            "{uri}"
        );
        assert_eq!(
            groups[0][0].route,
            ["<sip:p1;lr>".into(), "<sip:p2;lr>".into()]
        );
        assert_eq!(groups[0][0].aor.as_deref(), Some("1001@x.test"));
        assert_eq!(groups[1][0].hop, NextHop::Hop(udp()));
    }
}

#[test]
fn sips_takes_encrypted_bindings_only() {
    let (Plan::Fork { groups }, _) = planned(&user(), "sips:1001@x.test", None) else {
        panic!()
    };
    assert_eq!((groups.len(), &*groups[0][0].uri), (1, "sip:2@a.invalid"));
}

#[test]
fn routes_and_foreign_domains_lead_elsewhere() {
    let name = |host: &str, port, transport| NextHop::Name {
        host: host.into(),
        port,
        transport,
    };
    for (caller, uri, target, hop) in [
        (
            Caller::Foreign,
            "sip:6000@x.test",
            "sip:6000@127.0.0.1:5070;transport=tcp",
            name("127.0.0.1", Some(5070), Some(Transport::Tcp)),
        ),
        (
            user(),
            "sip:desk@x.test",
            "sip:front@pbx.example;maddr=192.0.2.77",
            name("192.0.2.77", None, None),
        ),
        (
            user(),
            "sip:vault@x.test",
            "sips:vault@vault.example",
            name("vault.example", None, Some(Transport::Tls)),
        ),
        (user(), "sip:boss@x.test", "sip:3@h", NextHop::Hop(udp())),
        (
            user(),
            "sip:a@else.example:5080;transport=UDP",
            "sip:a@else.example:5080;transport=UDP",
            name("else.example", Some(5080), Some(Transport::Udp)),
        ),
        (
            Caller::Trusted,
            "sip:a@[2001:db8::1]",
            "sip:a@[2001:db8::1]",
            name("2001:db8::1", None, None),
        ),
        // Another server on our address.
        (
            user(),
            "sip:a@127.0.0.1:5070",
            "sip:a@127.0.0.1:5070",
            name("127.0.0.1", Some(5070), None),
        ),
    ] {
        let (plan, _) = planned(&caller, uri, None);
        let Plan::Fork { groups } = plan else {
            panic!("{uri}: {plan:?}")
        };
        assert_eq!(
            (&*groups[0][0].uri, &groups[0][0].hop),
            (target, &hop),
            "{uri}"
        );
    }
}

#[test]
fn only_the_whole_user_part_matches() {
    let routes = routes();
    for (user, goes_on) in [
        ("6000", false),
        ("16000", true),
        ("60001", true),
        ("x1900", true),
    ] {
        let goal = routes.find(user, &mut Trace::off());
        assert_eq!(*goal == Goal::Registered, goes_on, "{user}");
    }
}

#[test]
fn a_plan_is_explained_in_words() {
    let (_, steps) = planned(&user(), "sip:boss@x.test", None);
    let words: Vec<String> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "boss@x.test is ours",
            "route \"services\" does not match",
            "route \"fixed\" does not match",
            "route \"secure\" does not match",
            "route \"alias\" decides",
            "goes on to sip:1003@x.test",
            "1003@x.test is ours",
            "route \"services\" does not match",
            "route \"fixed\" does not match",
            "route \"secure\" does not match",
            "route \"alias\" does not match",
            "route \"round\" does not match",
            "route \"robin\" does not match",
            "route \"self\" does not match",
            "route \"none\" does not match",
            "registered at sip:3@h, q 1.000",
        ]
    );
}

#[test]
fn routes_that_cannot_be_used() {
    for (to, target, error) in [
        ("", "elsewhere", BadRoute::Target),
        ("", "uri:mailto:a@x", BadRoute::Uri),
        ("", "uri:nonsense", BadRoute::Uri),
        ("", "reject:200", BadRoute::Code),
        ("", "reject:soon", BadRoute::Code),
    ] {
        assert_eq!(
            Routes::default().add("r", to, target),
            Err(error),
            "{target}"
        );
    }
    for to in ["(", "a)|(b", "(a{1000}){1000}"] {
        let added = Routes::default().add("r", to, "registered");
        assert!(matches!(added, Err(BadRoute::Expression(_))), "{to}");
    }
}

#[test]
fn preloaded_routes_lead_to_us_or_not_at_all() {
    for (routes, foreign) in [
        ("", false),
        ("Route: <sip:127.0.0.1:5060;lr>\r\n", false),
        (
            "Route: <sip:x.test;lr>, <sip:sip.x.test:5060;lr>\r\n",
            false,
        ),
        (
            "Route: <sip:x.test;lr>\r\nRoute: <sip:victim.example;lr>\r\n",
            true,
        ),
        ("Route: nonsense\r\n", true),
    ] {
        let text = format!("OPTIONS sip:x.test SIP/2.0\r\n{routes}\r\n");
        let request =
            Message::parse_datagram(bytes::Bytes::from(text), &sip::Limits::default()).unwrap();
        assert_eq!(
            has_foreign_route(&request, &domains(), &listeners()),
            foreign,
            "{routes}"
        );
    }
}

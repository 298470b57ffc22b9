//! Where other servers are (RFC 3263), with a name server of our own.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message as Packet, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use sip::{Message, Method};
use tokio::net::UdpSocket;

use crate::phone::Phone;
use crate::stage::Stage;

/// A name server: what it knows and what it was asked.
#[derive(Clone)]
struct Zone {
    at: SocketAddr,
    records: Arc<Mutex<Vec<Record>>>,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
}

impl Zone {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let zone = Self {
            at: socket.local_addr().unwrap(),
            records: Arc::default(),
            asked: Arc::default(),
        };
        tokio::spawn(zone.clone().serve(socket));
        zone
    }

    async fn serve(self, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let asked = Packet::from_vec(&buffer[..length]).unwrap();
            let answer = self.answer(&asked).to_vec().unwrap();
            socket.send_to(&answer, from).await.unwrap();
        }
    }

    fn answer(&self, asked: &Packet) -> Packet {
        let query = asked.queries[0].clone();
        let (name, kind) = (query.name().to_lowercase(), query.query_type());
        self.asked.lock().unwrap().push((name.to_ascii(), kind));
        let mut answer = Packet::response(asked.metadata.id, asked.metadata.op_code);
        answer.add_query(query);
        let records = self.records.lock().unwrap();
        let known = records.iter().filter(|record| record.name == name);
        let found: Vec<_> = known
            .clone()
            .filter(|record| record.record_type() == kind)
            .cloned()
            .collect();
        if known.count() == 0 {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.add_answers(found);
        answer
    }

    fn add(&self, owner: &str, data: RData) {
        let record = Record::from_rdata(name(owner), 60, data);
        self.records.lock().unwrap().push(record);
    }

    fn naptr(&self, owner: &str, order: u16, services: &str, replacement: &str) {
        let text = |text: &str| text.as_bytes().into();
        let pointer = NAPTR::new(
            order,
            10,
            text("s"),
            text(services),
            text(""),
            name(replacement),
        );
        self.add(owner, RData::NAPTR(pointer));
    }

    fn srv(&self, owner: &str, priority: u16, port: u16, target: &str) {
        let server = SRV::new(priority, 1, port, name(target));
        self.add(owner, RData::SRV(server));
    }

    fn a(&self, owner: &str, ip: IpAddr) {
        let IpAddr::V4(ip) = ip else {
            unreachable!("phones speak IPv4")
        };
        self.add(owner, RData::A(A(ip)));
    }

    /// What it was asked about names under `domain`, in order and once each.
    fn questions(&self, domain: &str) -> Vec<(String, RecordType)> {
        let mut questions = Vec::new();
        for (name, kind) in &*self.asked.lock().unwrap() {
            let question = (name.trim_end_matches('.').to_owned(), *kind);
            if question.0.ends_with(domain) && !questions.contains(&question) {
                questions.push(question);
            }
        }
        questions
    }

    /// A node that asks it, with a route to `target` for all that begins with 9.
    async fn stage(&self, target: &str) -> Stage {
        Stage::with(&format!(
            "[dns]\nservers = [\"{}\"]\n[[route]]\nto = \"9.*\"\ntarget = \"uri:{target}\"\n",
            self.at
        ))
        .await
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

async fn arrives(caller: &mut Phone, server: &mut Phone) -> Message {
    let invite = caller.invite("sip:900@open.test");
    caller.say(&invite).await;
    let heard = server.request_of(Method::Invite).await;
    let mut talk = server.accept(&heard).await;
    let ok = caller.expect(200).await;
    caller.ack(&invite, &ok, "").await;
    server.request_of(Method::Ack).await;
    server.hang_up(&mut talk, caller).await;
    heard
}

#[tokio::test]
async fn a_domain_says_by_what_it_is_reached_and_its_next_server_takes_over() {
    let zone = Zone::start().await;
    let stage = zone.stage("sip:door@carrier.test").await;
    let mut caller = stage.tcp("bob").await;
    let (mut first, mut second) = (stage.udp("first").await, stage.udp("second").await);
    let ip = first.wire.local.ip();
    zone.naptr("carrier.test", 20, "SIP+D2T", "_sip._tcp.carrier.test");
    zone.naptr("carrier.test", 10, "SIP+D2U", "front._udp.carrier.test");
    let service = "front._udp.carrier.test";
    zone.srv(service, 2, second.wire.local.port(), "two.carrier.test");
    zone.srv(service, 1, first.wire.local.port(), "one.carrier.test");
    zone.a("one.carrier.test", ip);
    zone.a("two.carrier.test", ip);

    // The first has no room: RFC 3263 4.3.
    let invite = caller.invite("sip:900@open.test");
    caller.say(&invite).await;
    let heard = first.request_of(Method::Invite).await;
    assert_eq!(heard.uri(), Some("sip:door@carrier.test"));
    first.reject(&heard, 503).await;
    let heard = second.request_of(Method::Invite).await;
    let mut talk = second.accept(&heard).await;
    let ok = caller.expect(200).await;
    caller.ack(&invite, &ok, "").await;
    second.request_of(Method::Ack).await;
    second.hang_up(&mut talk, &mut caller).await;

    // What is known is not asked again. (That there is no IPv6 is not: nobody said for how long.)
    let known = |zone: &Zone| {
        let asked = zone.asked.lock().unwrap();
        let known = asked.iter().filter(|(_, kind)| *kind != RecordType::AAAA);
        known.count()
    };
    let before = known(&zone);
    arrives(&mut caller, &mut first).await;
    assert_eq!(known(&zone), before);
    stage.no_calls().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_transport_that_is_named_is_not_looked_for() {
    let zone = Zone::start().await;
    let stage = zone.stage("sip:door@plain.test;transport=udp").await;
    let (mut caller, mut server) = (stage.tcp("bob").await, stage.udp("server").await);
    let at = server.wire.local;
    zone.srv("_sip._udp.plain.test", 1, at.port(), "host.plain.test");
    zone.a("host.plain.test", at.ip());
    arrives(&mut caller, &mut server).await;
    let questions = zone.questions("plain.test");
    assert!(
        questions.iter().all(|(_, kind)| *kind != RecordType::NAPTR),
        "{questions:?}"
    );
    stage.stop().await;
}

#[tokio::test]
async fn a_port_that_is_named_leaves_the_address_alone_to_be_found() {
    let zone = Zone::start().await;
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let stage = zone.stage(&format!("sip:door@host.test:{port}")).await;
    let mut caller = stage.tcp("bob").await;
    zone.a("host.test", server.local_addr().unwrap().ip());
    zone.srv("_sip._udp.host.test", 1, 9, "host.test");
    let invite = caller.invite("sip:900@open.test");
    caller.say(&invite).await;
    let mut buffer = [0; 4096];
    let length = server.recv(&mut buffer).await.unwrap();
    assert!(buffer[..length].starts_with(b"INVITE "));
    let asked = zone.questions("host.test");
    let addresses = |(_, kind): &(_, RecordType)| matches!(kind, RecordType::A | RecordType::AAAA);
    assert!(asked.iter().all(addresses), "{asked:?}");
    caller.say(&invite.cancel()).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_service_that_is_not_offered_is_not_called() {
    let zone = Zone::start().await;
    let stage = zone.stage("sip:door@closed.test;transport=udp").await;
    let mut caller = stage.tcp("bob").await;
    zone.srv("_sip._udp.closed.test", 0, 0, "");
    zone.a("closed.test", "127.0.0.1".parse().unwrap());
    let invite = caller.invite("sip:900@open.test");
    caller.say(&invite).await;
    let refusal = caller.expect(502).await;
    caller.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_name_server_that_says_nothing_costs_a_bounded_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stage = Stage::with(&format!(
        "[dns]\nservers = [\"{}\"]\n[limits]\ndns_ms = 400\n\
         [[route]]\nto = \"9.*\"\ntarget = \"uri:sip:door@silent.test\"\n",
        silent.local_addr().unwrap()
    ))
    .await;
    let mut caller = stage.tcp("bob").await;
    let invite = caller.invite("sip:900@open.test");
    caller.say(&invite).await;
    // Longer than it may look, and far from the 32 s of an INVITE that nobody answers.
    let refused = tokio::time::timeout(Duration::from_secs(20), caller.expect(502));
    let refusal = refused.await.unwrap();
    caller.ack_refusal(&invite, &refusal).await;
    stage.stop().await;
}

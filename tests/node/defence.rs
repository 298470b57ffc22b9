//! Who asks too often, guesses passwords or scans: held off, told of, and nobody else harmed.

use config::Transport;
use serde_json::json;
use sip::{Message, Name};

use crate::{
    meter,
    nats::Nats,
    phone::{Out, Phone, answer},
    stage::Stage,
    wire::{Heard, Wire},
};

const PASSWORD: &str = "secret-of-1001";

fn bind(phone: &mut Phone) -> Out {
    let contact = format!("Contact: {}\r\n", phone.contact());
    phone.registration(&contact)
}

async fn digest_phone(stage: &Stage, user: &str) -> Phone {
    let mut phone = stage.udp(user).await;
    phone.domain = "digest.test".into();
    phone
}

/// The same over IPv6: another source.
async fn neighbour(stage: &Stage, user: &str) -> Phone {
    let wire = Wire::udp(stage.at(Transport::Udp, true)).await;
    Phone::new(wire, user, "digest.test")
}

async fn guess(phone: &mut Phone, times: usize) {
    for _ in 0..times {
        let register = bind(phone);
        let user = phone.user.clone();
        let answer = phone.ask_as(&register, &user, "a guess").await;
        assert_eq!(answer.status(), Some(401));
    }
}

/// What is answered next to a request that is not dropped.
async fn options(phone: &mut Phone) -> Message {
    let options = phone.request("OPTIONS", "sip:open.test");
    phone.ask(&options).await
}

#[tokio::test]
async fn too_many_requests_get_503_and_other_sources_none() {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let limits = "[limits]\nsource_requests_per_s = 1\n";
    let stage = Stage::with(&format!("{}{limits}", nats.bus())).await;
    let before = meter::count("ifbus_limit_total", "limit", "source_requests_per_s");
    let mut phone = stage.udp("alice").await;
    let mut refused = 0;
    while refused < 3 {
        let answer = options(&mut phone).await;
        match answer.status() {
            Some(200) => assert_eq!(refused, 0),
            Some(503) => {
                assert!(answer.header(Name::RetryAfter).is_some());
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    // Registering is another purse, and another source has its own.
    phone.register().await;
    let answer = options(&mut neighbour(&stage, "bob").await).await;
    assert_eq!(answer.status(), Some(200));
    let counted = meter::count("ifbus_limit_total", "limit", "source_requests_per_s");
    assert!(counted >= before + 3);
    // Told once, not three times: the next of its kind comes a minute later.
    let told = loop {
        let event = events.next().await;
        if event.name() == "security.rate_limited" {
            break event;
        }
    };
    assert_eq!(told.reason(), "rate_limited");
    assert_eq!(told.0["data"]["incident"]["source"], "127.0.0.1");
    stage.stop().await;
}

#[tokio::test]
async fn trusted_sources_pay_nothing() {
    let limits =
        "[limits]\nsource_requests_per_s = 1\nauth_failures = 1\ntrusted = [\"127.0.0.0/8\"]\n";
    let stage = Stage::with(limits).await;
    let mut phone = digest_phone(&stage, "1001").await;
    guess(&mut phone, 3).await;
    for _ in 0..30 {
        assert_eq!(options(&mut phone).await.status(), Some(200));
    }
    stage.stop().await;
}

#[tokio::test]
async fn guessing_shuts_a_source_out_until_it_is_let_in() {
    let nats = Nats::start().await;
    let mut events = nats.events().await;
    let limits = "[limits]\nauth_failures = 3\n";
    let stage = Stage::with(&format!("{}{limits}", nats.bus())).await;
    let mut phone = digest_phone(&stage, "1001").await;
    guess(&mut phone, 3).await;
    let ban = loop {
        let event = events.next().await;
        if event.name() == "security.ban" {
            break event;
        }
    };
    assert_eq!(ban.reason(), "unauthorized");
    assert_eq!(ban.0["data"]["incident"]["source"], "127.0.0.1");

    // Dropped unread, on every transport; a neighbour is not.
    let lost = phone.request("OPTIONS", "sip:open.test");
    phone.say(&lost).await;
    let mut stream = Wire::tcp(stage.at(Transport::Tcp, false)).await;
    assert!(matches!(stream.hear().await, Heard::Closed(_)));
    let answer = options(&mut neighbour(&stage, "1002").await).await;
    assert_eq!(answer.status(), Some(200));

    let bans = nats.ask("cmd.query.ops.bans", &json!({ "data": {} })).await;
    assert_eq!(bans["data"]["bans"][0]["source"], "127.0.0.1");
    let order = json!({ "data": { "source": "127.0.0.1" } });
    let lifted = nats.ask("cmd.admin.ops.unban", &order).await;
    assert_eq!(lifted["data"]["bans"].as_array().map(Vec::len), Some(1));
    // What was said meanwhile stays unanswered.
    let again = phone.request("OPTIONS", "sip:open.test");
    let answer = phone.ask(&again).await;
    assert_eq!(answer.call_id(), Some(&*again.call_id));

    let order = json!({ "data": { "source": "::1", "ban_ms": 60_000 } });
    let banned = nats.ask("cmd.admin.ops.ban", &order).await;
    assert_eq!(banned["data"]["bans"][0]["source"], "::");
    let order = json!({ "data": { "source": "nowhere" } });
    let refused = nats.ask("cmd.admin.ops.ban", &order).await;
    assert_eq!(refused["code"], "bad_request");
    stage.stop().await;
}

#[tokio::test]
async fn one_guesser_behind_an_address_harms_nobody_else_there() {
    let stage = Stage::with("[limits]\nauth_failures = 3\n").await;
    let mut honest = digest_phone(&stage, "1001").await;
    let register = bind(&mut honest);
    let answer = honest.ask_as(&register, "1001", PASSWORD).await;
    assert_eq!(answer.status(), Some(200));

    let mut guesser = digest_phone(&stage, "1002").await;
    guess(&mut guesser, 5).await;
    // Not even with the right password: it may have been guessed.
    let register = bind(&mut guesser);
    let answer = guesser.ask_as(&register, "1002", "secret-of-1002").await;
    assert_eq!(answer.status(), Some(403));
    let register = bind(&mut honest);
    let answer = honest.ask_as(&register, "1001", PASSWORD).await;
    assert_eq!(answer.status(), Some(200));
    // From elsewhere it is as good as ever.
    let mut elsewhere = neighbour(&stage, "1002").await;
    let register = bind(&mut elsewhere);
    let answer = elsewhere.ask_as(&register, "1002", "secret-of-1002").await;
    assert_eq!(answer.status(), Some(200));
    stage.stop().await;
}

#[tokio::test]
async fn nobody_is_shut_out_by_a_strangers_nonce() {
    let stage = Stage::with("[limits]\nauth_failures = 3\n").await;
    // Who writes another's address on datagrams never sees a challenge sent there.
    let mut attacker = neighbour(&stage, "1001").await;
    let register = bind(&mut attacker);
    let challenge = attacker.ask(&register).await;
    let mut victim = digest_phone(&stage, "1001").await;
    for _ in 0..10 {
        let register = bind(&mut victim);
        let forged = answer(&register, &challenge, "1001", "a guess");
        assert_eq!(victim.ask(&forged).await.status(), Some(401));
    }
    assert_eq!(options(&mut victim).await.status(), Some(200));
    stage.stop().await;
}

#[tokio::test]
async fn a_scanner_hears_nothing_and_its_connection_is_closed() {
    let stage = Stage::start().await;
    let agent = "User-Agent: friendly-scanner\r\n";
    let mut phone = stage.udp("alice").await;
    let scan = phone.request("OPTIONS", "sip:open.test").plus(agent);
    phone.say(&scan).await;
    // A datagram proves nothing about who sent it: the address is not shut out.
    let honest = phone.request("OPTIONS", "sip:open.test");
    let answer = phone.ask(&honest).await;
    assert_eq!(answer.call_id(), Some(&*honest.call_id));

    let mut scanner = stage.tcp("alice").await;
    let scan = scanner.request("OPTIONS", "sip:open.test").plus(agent);
    scanner.say(&scan).await;
    scanner.expect_end().await;
    let mut again = Wire::tcp(stage.at(Transport::Tcp, false)).await;
    assert!(matches!(again.hear().await, Heard::Closed(_)));
    stage.stop().await;
}

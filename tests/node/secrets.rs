//! The log at its most talkative, over everything a secret passes through.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use sip::Name;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    phone::{answer, client, credentials},
    stage::Stage,
};

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_logged() {
    let log = Log::default();
    // Of this whole process: the more the other tests say meanwhile, the better. The executable
    // never lets the WebSocket library show frames.
    tracing_subscriber::fmt()
        .with_env_filter("trace,tungstenite=warn,tokio_tungstenite=warn")
        .with_writer(log.clone())
        .with_ansi(false)
        .init();
    let password = "secret-of-1001";
    let stage = Stage::start().await;
    let mut secrets = vec![password.to_owned(), "secret-of-1002".to_owned()];
    let mut phones = [stage.udp("1001").await, stage.wss("1001").await];
    for phone in &mut phones {
        phone.domain = "digest.test".into();
        let contact = format!("Contact: {}\r\n", phone.contact());
        let first = phone.registration(&contact);
        let challenge = phone.ask(&first).await;
        let wrong = answer(&first.anew(), &challenge, "1001", "wrong-password");
        assert_eq!(phone.ask(&wrong).await.status(), Some(401));
        let mut client = client(&challenge, "1001", password);
        let mut proven = credentials(&first.anew().anew(), &mut client);
        let ok = phone.ask(&proven).await;
        assert_eq!(ok.status(), Some(200));
        secrets.push(between(&proven.extra, "response=\"").to_owned());
        secrets
            .push(between(challenge.text(Name::WwwAuthenticate).unwrap(), "nonce=\"").to_owned());
        // A message that cannot be read must not be shown with its credentials either.
        proven.cseq = 0;
        let broken = proven.text(phone).replace("Call-ID:", "X-Call-ID:");
        phone.wire.send(broken.as_bytes()).await;
        assert_eq!(phone.final_answer().await.status(), Some(400));
    }
    let [mut udp, mut wss] = phones;
    let mut caller = stage.udp("1002").await;
    caller.domain = "digest.test".into();
    let invite = caller.invite("sip:1001@digest.test");
    let refusal = caller.ask(&invite).await;
    caller.ack_refusal(&invite, &refusal).await;
    let proven = answer(&invite.anew(), &refusal, "1002", "secret-of-1002");
    secrets.push(between(&proven.extra, "response=\"").to_owned());
    caller.say(&proven).await;
    for phone in [&mut udp, &mut wss] {
        let heard = phone.request_of(sip::Method::Invite).await;
        phone.reject(&heard, 486).await;
    }
    let refusal = caller.expect(486).await;
    caller.ack_refusal(&proven, &refusal).await;
    // What was asked so far is answered, whoever of the two was asked first.
    stage.no_calls().await;
    wss.wire
        .send(b"no message at all with secret-of-1001")
        .await;
    wss.expect_end().await;
    stage.stop().await;

    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("listening"), "the log was heard");
    for secret in secrets {
        let line = said.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "a secret is in the log");
    }
}

fn between<'a>(text: &'a str, start: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap();
    rest.split('"').next().unwrap()
}

//! Bytes that are no SIP and peers that are no peers: answered, dropped or cut off.

use config::Transport;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{client_async, tungstenite::Message as Frame};

use crate::{
    limits::reached,
    phone::Phone,
    stage::Stage,
    wire::{Heard, Wire},
};

#[tokio::test]
async fn datagrams_that_are_no_messages_are_passed_over() {
    let stage = Stage::start().await;
    let mut phone = stage.udp("alice").await;
    let long = vec![b'A'; 60_000];
    let noise: [&[u8]; 8] = [
        b"",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff\xfe\x00\x01\x80",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0",
        &long,
    ];
    for bytes in noise {
        phone.wire.send(bytes).await;
    }
    phone.expect_silence().await;
    stage.stop().await;
}

#[tokio::test]
async fn what_can_be_answered_is() {
    let stage = Stage::start().await;
    let mut phone = stage.udp("alice").await;
    let good = phone.request("OPTIONS", "sip:open.test");
    for (from, to, status) in [
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia", 505),
        ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE", 400),
        ("CSeq: 1 OPTIONS", "CSeq: 99999999999 OPTIONS", 400),
        ("To: <sip:open.test>", "X-To: nobody", 400),
        ("Content-Length: 0", "Content-Length: 10", 400),
        ("OPTIONS sip:open.test", "OPTIONS tel:123", 416),
    ] {
        let mut bad = good.text(&phone);
        assert!(bad.contains(from), "{bad}");
        bad = bad
            .replacen(from, to, 1)
            .replace("z9hG4bK", &format!("z9hG4bK{status}"));
        phone.wire.send(bad.as_bytes()).await;
        let refusal = phone.final_answer().await;
        assert_eq!(refusal.status(), Some(status), "{to}: {refusal:?}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_stream_without_frames_is_closed() {
    let stage = Stage::start().await;
    for bytes in [
        &b"\xff\xfe\xfd this is not SIP at all\r\n\r\n"[..],
        b"OPTIONS sip:open.test SIP/2.0\r\nContent-Length: 4000000000\r\n\r\n",
    ] {
        let mut phone = stage.tcp("alice").await;
        phone.wire.send(bytes).await;
        phone.expect_end().await;
    }
    // A head that never ends.
    let mut endless = stage.tcp("alice").await;
    endless
        .wire
        .send(b"OPTIONS sip:open.test SIP/2.0\r\n")
        .await;
    let filler = format!("X-Filler: {}\r\n", "x".repeat(4000));
    for _ in 0..40 {
        if !endless.wire.try_send(filler.as_bytes()).await {
            break;
        }
    }
    endless.expect_end().await;
    let mut fine = stage.tcp("alice").await;
    fine.expect_silence().await;
    stage.stop().await;
}

#[tokio::test]
async fn messages_may_come_in_pieces_and_together() {
    let stage = Stage::start().await;
    let mut phone = stage.tcp("alice").await;
    let one = phone.request("OPTIONS", "sip:open.test");
    let two = phone.request("OPTIONS", "sip:open.test");
    let both = format!("\r\n{}{}", one.text(&phone), two.text(&phone));
    for piece in both.as_bytes().chunks(7) {
        phone.wire.send(piece).await;
    }
    for out in [one, two] {
        let ok = phone.expect(200).await;
        assert_eq!(ok.call_id(), Some(&*out.call_id));
    }
    stage.stop().await;
}

#[tokio::test]
async fn keep_alives_are_answered_where_they_must_be() {
    let stage = Stage::start().await;
    for mut phone in [stage.tcp("a").await, stage.ws("b").await] {
        phone.wire.send(b"\r\n\r\n").await;
        assert!(matches!(phone.wire.hear().await, Heard::KeepAlive));
        phone.wire.send(b"\r\n").await;
        phone.expect_silence().await;
    }
    let mut phone = stage.udp("c").await;
    phone.wire.send(b"\r\n\r\n").await;
    phone.expect_silence().await;
    stage.stop().await;
}

#[tokio::test]
async fn frames_that_are_too_big_or_no_sip_close_with_a_reason() {
    let stage = Stage::start().await;
    let mut big = stage.ws("alice").await;
    big.wire.send(&vec![b'x'; 70_000]).await;
    assert_eq!(big.expect_end().await, Some(1009));
    assert_eq!(reached("frame_bytes"), 1);
    let mut noise = stage.ws("alice").await;
    noise.wire.send(b"hello").await;
    assert_eq!(noise.expect_end().await, Some(1002));
    stage.stop().await;
}

#[tokio::test]
async fn a_binary_frame_is_a_message_too() {
    let stage = Stage::start().await;
    let phone = stage.ws("alice").await;
    let options = phone.request("OPTIONS", "sip:open.test").text(&phone);
    let at = stage.at(Transport::Ws, false);
    let stream = TcpStream::connect(at).await.unwrap();
    let request = Wire::handshake(at);
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    socket
        .send(Frame::binary(options.into_bytes()))
        .await
        .unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert!(answer.to_text().unwrap().starts_with("SIP/2.0 200 "));
    stage.stop().await;
}

/// What the WS port says to an HTTP request.
async fn http(stage: &Stage, request: &str) -> String {
    let mut stream = TcpStream::connect(stage.at(Transport::Ws, false))
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        if length == 0 || heard.contains("</html>") || heard.contains("\r\n\r\n") {
            return heard;
        }
    }
}

#[tokio::test]
async fn the_door_of_a_websocket_is_guarded() {
    let stage = Stage::start().await;
    let open = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let sip = "Sec-WebSocket-Protocol: sip\r\n";
    for (request, status) in [
        (format!("{open}{sip}\r\n"), 101),
        (format!("{open}{sip}Origin: https://app.test\r\n\r\n"), 101),
        (format!("{open}{sip}Origin: https://evil.test\r\n\r\n"), 403),
        (format!("{open}\r\n"), 400),
        (format!("{open}Sec-WebSocket-Protocol: chat\r\n\r\n"), 400),
        (format!("{open}{sip}\r\n").replace("/ws", "/other"), 404),
        ("GET /phone HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 200),
        ("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 426),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let heard = http(&stage, &request).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(heard.starts_with(&expected), "{request}{heard}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let stage =
        Stage::with("[limits]\nidle_ms = 1000\nws_handshake_ms = 500\ntls_handshake_ms = 500\n")
            .await;
    let mut silent = stage.tcp("alice").await;
    silent.expect_end().await;
    for transport in [Transport::Ws, Transport::Wss] {
        let mut stream = TcpStream::connect(stage.at(transport, false))
            .await
            .unwrap();
        let mut buffer = [0; 64];
        assert_eq!(stream.read(&mut buffer).await.unwrap_or(0), 0);
    }
    for limit in ["idle_ms", "ws_handshake_ms", "tls_handshake_ms"] {
        assert_eq!(reached(limit), 1, "{limit}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_browser_that_answers_no_ping_is_gone() {
    let stage = Stage::with("[limits]\nping_ms = 1000\n").await;
    let mut deaf = stage.ws("alice").await;
    deaf.register().await;
    // Its pongs go out when it looks at what came, which it does not.
    stage
        .until(|node| node.readiness().registrations == 0)
        .await;
    assert_eq!(reached("ping_ms"), 1);
    assert_eq!(deaf.expect_end().await, Some(1008));
    stage.stop().await;
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let stage = Stage::with("[limits]\nconnect_ms = 1000\nsend_queue_bytes = 65536\n").await;
    let mut deaf = stage.tcp("alice").await;
    deaf.register().await;
    let mut bob = stage.udp("bob").await;
    let body = "x".repeat(40_000);
    // More than any system buffers for one connection; nobody reads alice's.
    while stage.node.readiness().registrations > 0 {
        let mut message = bob.request("MESSAGE", "sip:alice@open.test");
        message.extra = "Content-Type: text/plain\r\n".into();
        message.body.clone_from(&body);
        bob.say(&message).await;
        tokio::task::yield_now().await;
    }
    assert!(reached("send_queue_bytes") + reached("connect_ms") > 0);
    // Not over UDP, where bob may have left no room.
    let mut carol: Phone = stage.tcp("carol").await;
    let options = carol.request("OPTIONS", "sip:alice@open.test");
    assert_eq!(carol.ask(&options).await.status(), Some(480));
    stage.stop().await;
}

//! The HTTP request that opens a WebSocket (RFC 6455 4.2, RFC 7118 4), or fetches the phone page.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::limit::refused;

/// A file served beside the WebSocket, so that accepting a certificate once covers both.
#[derive(Clone, Debug)]
pub struct Asset {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The file.
    pub body: Bytes,
}

/// Files by path, as the HTTP server knows them.
pub type Assets = Arc<dyn Fn(&str) -> Option<Asset> + Send + Sync>;

/// What one WebSocket listener accepts.
#[derive(Clone)]
pub(crate) struct Door {
    /// The path of the WebSocket.
    pub(crate) path: Arc<str>,
    /// Allowed `Origin`s; empty allows all.
    pub(crate) origins: Arc<[Box<str>]>,
    /// What `GET` finds.
    pub(crate) assets: Assets,
}

const HEADERS: usize = 64;

struct Refusal(u16, &'static str, &'static str);

/// Answers requests until one upgrades the connection; returns what was read after it.
/// `None`: the connection is done.
pub(crate) async fn upgrade<S>(stream: &mut S, door: &Door, head_bytes: usize) -> Option<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        let head = read_head(stream, &mut buffer, head_bytes).await?;
        match answer(&head, door) {
            Ok(Answer::Upgrade(response)) => {
                stream.write_all(response.as_bytes()).await.ok()?;
                return Some(buffer.to_vec());
            }
            Ok(Answer::Asset(asset, with_body)) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
                     Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n\r\n",
                    asset.content_type,
                    asset.body.len()
                );
                stream.write_all(head.as_bytes()).await.ok()?;
                if with_body {
                    stream.write_all(&asset.body).await.ok()?;
                }
            }
            Err(Refusal(status, reason, extra)) => {
                let text = format!(
                    "HTTP/1.1 {status} {reason}\r\n{extra}\
                     Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(text.as_bytes()).await.ok()?;
                stream.shutdown().await.ok();
                return None;
            }
        }
    }
}

enum Answer {
    Upgrade(String),
    Asset(Asset, bool),
}

async fn read_head<S>(stream: &mut S, buffer: &mut BytesMut, limit: usize) -> Option<Bytes>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            return Some(buffer.split_to(end + 4).freeze());
        }
        if buffer.len() >= limit {
            refused("ws_handshake_bytes");
            return None;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer(head: &[u8], door: &Door) -> Result<Answer, Refusal> {
    const BAD: Refusal = Refusal(400, "Bad Request", "");
    let mut slots = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut slots);
    if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
        return Err(BAD);
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refusal(405, "Method Not Allowed", "Allow: GET, HEAD\r\n")),
    };
    let path = request
        .path
        .and_then(|path| path.split('?').next())
        .unwrap_or("/");
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let has = |name: &str, token: &str| header(name).is_some_and(|value| lists(value, token));
    if !has("Upgrade", "websocket") {
        return match (door.assets)(path) {
            Some(asset) => Ok(Answer::Asset(asset, !head_only)),
            None if path == &*door.path => {
                Err(Refusal(426, "Upgrade Required", "Upgrade: websocket\r\n"))
            }
            None => Err(Refusal(404, "Not Found", "")),
        };
    }
    if path != &*door.path {
        return Err(Refusal(404, "Not Found", ""));
    }
    if header("Sec-WebSocket-Version") != Some("13") {
        return Err(Refusal(
            426,
            "Upgrade Required",
            "Sec-WebSocket-Version: 13\r\n",
        ));
    }
    // A browser always sends Origin; what sends none is no browser and is authenticated by SIP.
    if let Some(origin) = header("Origin")
        && !door.origins.is_empty()
        && !door.origins.iter().any(|allowed| &**allowed == origin)
    {
        return Err(Refusal(403, "Forbidden", ""));
    }
    if !has("Connection", "upgrade") || !has("Sec-WebSocket-Protocol", "sip") {
        return Err(BAD);
    }
    let key = header("Sec-WebSocket-Key")
        .filter(|key| key.len() == 24)
        .ok_or(BAD)?;
    Ok(Answer::Upgrade(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )))
}

fn lists(value: &str, token: &str) -> bool {
    value
        .split(',')
        .any(|element| element.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(origins: &[&str]) -> Door {
        Door {
            path: "/ws".into(),
            origins: origins.iter().map(|origin| Box::from(*origin)).collect(),
            assets: Arc::new(|path| {
                (path == "/phone").then(|| Asset {
                    content_type: "text/html",
                    body: Bytes::from_static(b"<html>"),
                })
            }),
        }
    }

    fn status(request: &str, origins: &[&str]) -> u16 {
        match answer(request.replace('\n', "\r\n").as_bytes(), &door(origins)) {
            Ok(Answer::Upgrade(_)) => 101,
            Ok(Answer::Asset(..)) => 200,
            Err(Refusal(status, ..)) => status,
        }
    }

    const OPEN: &str = "GET /ws HTTP/1.1\nHost: a\nUpgrade: websocket\n\
                        Connection: keep-alive, Upgrade\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\n";

    #[test]
    fn the_door_opens_to_sip_alone() {
        let sip = format!("{OPEN}Sec-WebSocket-Protocol: chat, SIP\n\n");
        assert_eq!(status(&sip, &[]), 101);
        assert_eq!(status(&sip.replace("/ws", "/other"), &[]), 404);
        assert_eq!(
            status(&format!("{OPEN}Sec-WebSocket-Protocol: mqtt\n\n"), &[]),
            400
        );
        assert_eq!(status(&format!("{OPEN}\n"), &[]), 400);
        assert_eq!(status(&sip.replace("Version: 13", "Version: 8"), &[]), 426);
        assert_eq!(status("GET /ws HTTP/1.1\nHost: a\n\n", &[]), 426);
        assert_eq!(status("GET /phone?x=1 HTTP/1.1\nHost: a\n\n", &[]), 200);
        assert_eq!(status("GET /etc/passwd HTTP/1.1\nHost: a\n\n", &[]), 404);
        assert_eq!(status("POST /ws HTTP/1.1\nHost: a\n\n", &[]), 405);
        assert_eq!(status("nonsense\n\n", &[]), 400);
    }

    #[test]
    fn a_foreign_origin_is_refused() {
        let from = |origin: &str| {
            status(
                &format!("{OPEN}Sec-WebSocket-Protocol: sip\nOrigin: {origin}\n\n"),
                &["https://app.example"],
            )
        };
        assert_eq!(from("https://app.example"), 101);
        assert_eq!(from("https://app.example.evil"), 403);
    }
}

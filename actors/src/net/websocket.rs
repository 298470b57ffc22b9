//! SIP over WebSocket (RFC 7118): one frame is one message.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message as Frame, Utf8Bytes,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::stream::Wire;
use crate::limit::{refused, refused_message};
use crate::parcel::Closed;

/// Small, because most clients are idle: the default would cost 128 KiB each.
const READ_BUFFER: usize = 4096;

enum Frames {
    Sip(Bytes),
    KeepAlive,
    Nothing,
    Close(Closed),
}

impl Wire {
    /// Runs a WebSocket whose upgrade is done; `early` is what the client sent after it.
    pub(crate) async fn run_websocket<S>(mut self, stream: S, early: Vec<u8>) -> Closed
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = self.limits.message;
        let bytes = self.limits.frame_bytes;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(self.limits.send_queue_bytes.max(bytes * 2))
            .max_message_size(Some(bytes))
            .max_frame_size(Some(bytes));
        let mut socket =
            WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
        let mut ping = interval(self.limits.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is due at once.
        ping.reset();
        // Whether anything came since the last ping; a live client answers it at least.
        let mut heard = true;
        let why = loop {
            tokio::select! {
                frame = socket.next() => {
                    heard = true;
                    match read(frame) {
                        Frames::Nothing => {}
                        Frames::Close(why) => break why,
                        Frames::KeepAlive => {
                            if socket.send(Frame::text("\r\n")).await.is_err() {
                                break Closed::Failed;
                            }
                        }
                        Frames::Sip(bytes) => match sip::Message::parse_frame(bytes, &limits) {
                            Ok(message) => {
                                if !self.post.arrived(self.arrival.with(message)).await {
                                    break Closed::ByUs;
                                }
                            }
                            Err(error) => {
                                let remote = self.arrival.remote;
                                tracing::debug!(?error, %remote, "not a SIP message");
                                refused_message(error);
                                break Closed::Malformed;
                            }
                        },
                    }
                }
                bytes = self.outgoing.recv() => {
                    let Some(bytes) = bytes else { break Closed::ByUs };
                    match timeout(self.limits.connect, socket.send(frame_of(bytes))).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => break Closed::Failed,
                        Err(_) => {
                            refused("connect_ms");
                            break Closed::Slow;
                        }
                    }
                }
                _ = ping.tick() => {
                    if !std::mem::take(&mut heard) {
                        refused("ping_ms");
                        break Closed::Idle;
                    }
                    if socket.send(Frame::Ping(Bytes::new())).await.is_err() {
                        break Closed::Failed;
                    }
                }
            }
        };
        let close = CloseFrame {
            code: close_code(why),
            reason: Utf8Bytes::default(),
        };
        timeout(self.limits.connect, socket.close(Some(close)))
            .await
            .ok();
        why
    }
}

/// Text where it is UTF-8, as browsers' stacks expect; binary keeps every other byte (RFC 7118 4).
fn frame_of(bytes: Bytes) -> Frame {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Frame::Text(text),
        Err(_) => Frame::Binary(bytes),
    }
}

fn read(frame: Option<Result<Frame, Error>>) -> Frames {
    let bytes = match frame {
        None => return Frames::Close(Closed::ByPeer),
        Some(Err(Error::Capacity(_))) => {
            refused("frame_bytes");
            return Frames::Close(Closed::TooBig);
        }
        Some(Err(Error::Protocol(_) | Error::Utf8(_))) => return Frames::Close(Closed::Malformed),
        Some(Err(_)) => return Frames::Close(Closed::Failed),
        Some(Ok(Frame::Text(text))) => Bytes::from(text),
        Some(Ok(Frame::Binary(bytes))) => bytes,
        Some(Ok(Frame::Close(_))) => return Frames::Close(Closed::ByPeer),
        Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => return Frames::Nothing,
    };
    // RFC 5626 3.5.1 keep-alives come in frames of their own.
    if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        return if bytes.len() >= 4 {
            Frames::KeepAlive
        } else {
            Frames::Nothing
        };
    }
    Frames::Sip(bytes)
}

/// RFC 6455 7.4.1.
fn close_code(why: Closed) -> CloseCode {
    match why {
        Closed::ByPeer | Closed::Failed => CloseCode::Normal,
        Closed::ByUs => CloseCode::Away,
        Closed::Idle | Closed::Slow => CloseCode::Policy,
        Closed::Malformed => CloseCode::Protocol,
        Closed::TooBig => CloseCode::Size,
    }
}

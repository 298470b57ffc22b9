//! SIP over a byte stream (RFC 3261 18.3): framing in, writes out, one task a connection.

use std::{io, pin::Pin};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Sleep, sleep, timeout},
};

use super::NetLimits;
use crate::limit::{refused, refused_message};
use crate::parcel::{Arrival, Closed, Post};

/// What a connection's task needs: where messages go, what to write, and who it is.
pub(crate) struct Wire {
    /// The arbiter that owns the connection.
    pub(crate) post: Post,
    /// What the owner wants written; closed by the owner to end the connection.
    pub(crate) outgoing: mpsc::Receiver<Bytes>,
    /// Template of every arrival.
    pub(crate) arrival: Arrival,
    /// Limits.
    pub(crate) limits: NetLimits,
    /// Whether we made it: then it is for us to keep it open.
    pub(crate) ours: bool,
}

/// Small, because most connections are idle.
const READ_BUFFER: usize = 2048;
/// What keeps a connection open that we made (RFC 5626 3.5.1): servers close those that are idle.
const PING: &[u8] = b"\r\n\r\n";
/// The pong to a double CRLF.
const PONG: &[u8] = b"\r\n";

impl Wire {
    /// Runs until either side closes; says why.
    pub(crate) async fn run_stream<S>(mut self, stream: S) -> Closed
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut framing = sip::Stream::new(self.limits.message);
        let mut buffer = BytesMut::with_capacity(READ_BUFFER);
        // Who has said something proper may be silent for as long as a registration lasts: whether
        // it still lives is found out by TCP's own keep-alive.
        let mut patience = Some(Box::pin(sleep(self.limits.idle)));
        let rest = || Box::pin(sleep(self.limits.ping));
        let mut ping = self.ours.then(rest);
        loop {
            tokio::select! {
                () = expired(&mut patience) => {
                    refused("idle_ms");
                    return Closed::Idle;
                }
                read = reader.read_buf(&mut buffer) => {
                    match read {
                        Err(_) => return Closed::Failed,
                        Ok(0) => return Closed::ByPeer,
                        Ok(_) => {}
                    }
                    framing.push(&buffer);
                    buffer.clear();
                    loop {
                        match framing.next() {
                            Ok(None) => break,
                            Ok(Some(sip::Item::Message(message))) => {
                                patience = None;
                                if !self.post.arrived(self.arrival.with(message)).await {
                                    return Closed::ByUs;
                                }
                            }
                            Ok(Some(sip::Item::Ping)) => {
                                if write(&mut writer, PONG).await.is_err() {
                                    return Closed::Failed;
                                }
                            }
                            Ok(Some(sip::Item::Pong)) => {}
                            Err(error) => {
                                let remote = self.arrival.remote;
                                tracing::debug!(%error, %remote, "bad framing");
                                refused_message(error);
                                return Closed::Malformed;
                            }
                        }
                    }
                }
                () = expired(&mut ping) => {
                    if write(&mut writer, PING).await.is_err() {
                        return Closed::Failed;
                    }
                    ping = Some(rest());
                }
                bytes = self.outgoing.recv() => {
                    let Some(bytes) = bytes else {
                        writer.shutdown().await.ok();
                        return Closed::ByUs;
                    };
                    // A peer that does not read is cut off rather than waited for.
                    match timeout(self.limits.connect, write(&mut writer, &bytes)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return Closed::Failed,
                        Err(_) => {
                            refused("connect_ms");
                            return Closed::Slow;
                        }
                    }
                }
            }
        }
    }
}

/// Writes to the end: TLS may keep back what the socket does not take at once.
async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

async fn expired(patience: &mut Option<Pin<Box<Sleep>>>) {
    match patience {
        Some(patience) => patience.await,
        None => std::future::pending().await,
    }
}

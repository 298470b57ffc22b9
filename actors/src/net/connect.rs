//! Connections that we make.

use std::{net::SocketAddr, sync::Arc};

use engine::{Hop, Transport};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{
    NetLimits,
    listen::{self, Owned},
};
use crate::limit::refused;
use crate::parcel::{Arrival, Closed, Parcel, Post};
use crate::tls::{ConnectError, Keyring};

/// A connection to be made.
pub(crate) struct Dial {
    /// Where to.
    pub(crate) remote: SocketAddr,
    /// The listener that speaks for us on it.
    pub(crate) listener: u16,
    /// Its number.
    pub(crate) connection: u64,
    pub(crate) limits: NetLimits,
    /// Whose it is.
    pub(crate) post: Post,
}

impl Dial {
    /// Connects over TCP and runs the connection to its end.
    pub(crate) async fn tcp(self) {
        match timeout(self.limits.connect, TcpStream::connect(self.remote)).await {
            Ok(Ok(stream)) => {
                listen::keep_alive(&stream);
                self.run(stream, Transport::Tcp).await;
            }
            failed => {
                if failed.is_err() {
                    refused("connect_ms");
                }
                self.failed(Transport::Tcp).await;
            }
        }
    }

    /// The same over TLS, with the server of this name and no other.
    pub(crate) async fn tls(self, keyring: Arc<Keyring>, name: Arc<str>) {
        let shaken = async {
            let stream = TcpStream::connect(self.remote).await?;
            listen::keep_alive(&stream);
            keyring.shake(stream, &name).await
        };
        match timeout(self.limits.connect, shaken).await {
            Ok(Ok(stream)) => return self.run(stream, Transport::Tls).await,
            Ok(Err(error)) => self.tell(&name, &error),
            Err(_) => {
                refused("connect_ms");
                let late = std::io::ErrorKind::TimedOut.into();
                self.tell(&name, &ConnectError::Io(late));
            }
        }
        self.failed(Transport::Tls).await;
    }

    fn tell(&self, name: &str, error: &ConnectError) {
        metrics::counter!("ifbus_tls_connects_failed_total").increment(1);
        tracing::warn!(%error, server = name, remote = %self.remote, "no TLS connection");
    }

    async fn run<S>(self, stream: S, transport: Transport)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self {
            remote,
            listener,
            connection,
            limits,
            post,
        } = self;
        let hop = Hop::Flow {
            connection,
            listener,
        };
        let arrival = Arrival {
            message: None,
            remote,
            hop,
            transport,
        };
        let owned = Owned {
            connection,
            limits,
            post,
            ours: true,
        };
        listen::run(stream, None, arrival, owned).await;
    }

    async fn failed(self, transport: Transport) {
        let closed = Parcel::Closed {
            connection: self.connection,
            transport,
            remote: self.remote,
            why: Closed::Failed,
        };
        self.post.send(closed).await;
    }
}

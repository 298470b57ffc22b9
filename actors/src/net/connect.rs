//! Connections that we make.

use std::net::SocketAddr;

use engine::{Hop, Transport};
use tokio::{net::TcpStream, time::timeout};

use super::{NetLimits, listen};
use crate::limit::refused;
use crate::parcel::{Arrival, Closed, Parcel, Post};

/// Connects over TCP and runs the connection to its end. TLS to the outside is not offered yet:
/// routing never chooses it.
pub(crate) async fn connect(
    remote: SocketAddr,
    listener: u16,
    connection: u64,
    limits: NetLimits,
    post: Post,
) {
    match timeout(limits.connect, TcpStream::connect(remote)).await {
        Ok(Ok(stream)) => {
            listen::keep_alive(&stream);
            let hop = Hop::Flow {
                connection,
                listener,
            };
            let arrival = Arrival {
                message: None,
                remote,
                hop,
                transport: Transport::Tcp,
            };
            listen::run(stream, None, arrival, connection, limits, post).await;
        }
        failed => {
            if failed.is_err() {
                refused("connect_ms");
            }
            post.send(Parcel::Closed {
                connection,
                transport: Transport::Tcp,
                remote,
                why: Closed::Failed,
            })
            .await;
        }
    }
}

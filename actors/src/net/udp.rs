//! UDP: every arbiter reads its own socket on its own thread.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// Datagrams taken in one wake before other tasks of the arbiter get their turn.
const BURST: usize = 64;
/// A datagram cannot be longer.
const DATAGRAM: usize = 65_535;
/// The sockets of one UDP listener, one for each arbiter, on one port.
pub(crate) type UdpSocketSet = Vec<std::net::UdpSocket>;

/// Binds `count` sockets to `addr`, each with a receive buffer of `buffer_bytes` if the system
/// allows it: a burst of calls must fit while the arbiter is busy. With port 0 all get the port of
/// the first.
pub(crate) fn bind_udp(
    addr: SocketAddr,
    count: usize,
    buffer_bytes: usize,
) -> io::Result<UdpSocketSet> {
    let mut addr = addr;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Alone, the port is ours alone: a second instance must fail to start.
        if count > 1 {
            socket.set_reuse_port(true)?;
        }
        // As much as the system allows; a smaller buffer is no reason not to start.
        socket.set_recv_buffer_size(buffer_bytes).ok();
        socket.set_send_buffer_size(buffer_bytes).ok();
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let socket = std::net::UdpSocket::from(socket);
        addr = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Reads datagrams for ever.
pub(crate) async fn receive(socket: &UdpSocket, mut deliver: impl FnMut(Bytes, SocketAddr)) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        if let Err(error) = socket.readable().await {
            tracing::error!(%error, "a UDP socket failed");
            return;
        }
        for _ in 0..BURST {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    deliver(Bytes::copy_from_slice(&buffer[..length]), from);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier send arrives here; it says nothing about this socket.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

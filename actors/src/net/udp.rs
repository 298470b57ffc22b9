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
///
/// # Errors
/// The port is somebody else's, also if that is another instance of ours.
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
        // The first one finds the port taken by whoever has it, and shares it with the next ones
        // only after that: two instances on one port would each get half of the messages.
        let first = sockets.is_empty();
        if !first {
            socket.set_reuse_port(true)?;
        }
        // As much as the system allows; a smaller buffer is no reason not to start.
        socket.set_recv_buffer_size(buffer_bytes).ok();
        socket.set_send_buffer_size(buffer_bytes).ok();
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        if first && count > 1 {
            socket.set_reuse_port(true)?;
        }
        let socket = std::net::UdpSocket::from(socket);
        addr = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Reads datagrams for ever. `burst` hears after each look whether there may be more.
pub(crate) async fn receive(
    socket: &UdpSocket,
    mut deliver: impl FnMut(Bytes, SocketAddr),
    mut burst: impl FnMut(bool),
) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        if let Err(error) = socket.readable().await {
            tracing::error!(%error, "a UDP socket failed");
            return;
        }
        let mut full = true;
        for _ in 0..BURST {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    deliver(Bytes::copy_from_slice(&buffer[..length]), from);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    full = false;
                    break;
                }
                // An ICMP error of an earlier send arrives here; it says nothing about this socket.
                Err(_) => {}
            }
        }
        burst(full);
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(
        std::net::Ipv4Addr::LOCALHOST,
        0,
    ));

    #[test]
    fn the_sockets_of_one_listener_share_a_port_and_no_other_gets_it() {
        let sockets = bind_udp(ANY, 3, 65_536).unwrap();
        let addr = sockets[0].local_addr().unwrap();
        for count in [1, 3] {
            let second = bind_udp(addr, count, 65_536).map_err(|error| error.kind());
            assert_eq!(second.err(), Some(io::ErrorKind::AddrInUse));
        }
        // Peers are spread over the sockets: with this many, one that gets none gets none at all.
        for _ in 0..200 {
            let peer = std::net::UdpSocket::bind(ANY).unwrap();
            peer.send_to(b"x", addr).unwrap();
        }
        let mut buffer = [0; 8];
        let heard = sockets
            .iter()
            .map(|socket| {
                std::iter::repeat_with(|| socket.recv(&mut buffer))
                    .take_while(Result::is_ok)
                    .count()
            })
            .collect::<Vec<_>>();
        assert_eq!(heard.iter().sum::<usize>(), 200);
        assert!(!heard.contains(&0), "{heard:?}");
    }
}

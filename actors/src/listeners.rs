//! Binding what the configuration says to listen on, and how the outside sees it.

use std::{net::SocketAddr, sync::Arc};

use config::{Config, Listen};
use engine::{Listener, Listeners, Transport};

use crate::{
    arbiter::Sockets,
    clock::Clock,
    net::{Assets, Door, NetLimits, StreamListener, bind_tcp, bind_udp},
    node::StartError,
    tls::Keyring,
};

/// Everything that is bound.
pub(crate) struct Bound {
    pub(crate) listeners: Listeners,
    /// By arbiter.
    pub(crate) sockets: Vec<Sockets>,
    pub(crate) streams: Vec<(std::net::TcpListener, StreamListener)>,
    pub(crate) addresses: Vec<(config::Transport, SocketAddr)>,
    /// The certificates they show.
    pub(crate) keyring: Arc<Keyring>,
}

/// Binds all listeners, UDP ones once for each arbiter.
pub(crate) fn bind(
    config: &Config,
    clock: Clock,
    assets: &Assets,
    limits: &NetLimits,
    arbiters: usize,
) -> Result<Bound, StartError> {
    let keyring = Arc::new(Keyring::open(config, clock)?);
    let mut bound = Bound {
        listeners: Listeners::default(),
        sockets: (0..arbiters).map(|_| Sockets::new()).collect(),
        streams: Vec::new(),
        addresses: Vec::new(),
        keyring: keyring.clone(),
    };
    let mut listeners = Vec::with_capacity(config.listen.len());
    for (id, listen) in config.listen.iter().enumerate() {
        let id = u16::try_from(id).unwrap_or(u16::MAX);
        let failed = |source| StartError::Bind {
            what: listen.transport.as_str().to_owned(),
            addr: listen.addr,
            source,
        };
        let transport = transport(listen.transport);
        let addr = if transport == Transport::Udp {
            let sockets = bind_udp(listen.addr, arbiters, limits.udp_buffer_bytes);
            let sockets = sockets.map_err(failed)?;
            let addr = sockets
                .first()
                .map_or(Ok(listen.addr), std::net::UdpSocket::local_addr);
            for (arbiter, socket) in bound.sockets.iter_mut().zip(sockets) {
                arbiter.push((id, socket));
            }
            addr.map_err(failed)?
        } else {
            let socket = bind_tcp(listen.addr).map_err(failed)?;
            let addr = socket.local_addr().map_err(failed)?;
            let listener = StreamListener {
                id,
                transport,
                door: listen
                    .transport
                    .is_websocket()
                    .then(|| door(listen, assets)),
                tls: keyring.entrance(id),
                limits: limits.clone(),
            };
            bound.streams.push((socket, listener));
            addr
        };
        bound.addresses.push((listen.transport, addr));
        listeners.push(listener(id, transport, listen, addr));
    }
    bound.listeners = listeners.into();
    Ok(bound)
}

fn transport(transport: config::Transport) -> Transport {
    match transport {
        config::Transport::Udp => Transport::Udp,
        config::Transport::Tcp => Transport::Tcp,
        config::Transport::Tls => Transport::Tls,
        config::Transport::Ws => Transport::Ws,
        config::Transport::Wss => Transport::Wss,
    }
}

fn door(listen: &Listen, assets: &Assets) -> Door {
    Door {
        path: listen.path.as_str().into(),
        origins: listen
            .origins
            .iter()
            .map(|origin| Box::from(&**origin))
            .collect(),
        assets: assets.clone(),
    }
}

fn listener(id: u16, transport: Transport, listen: &Listen, addr: SocketAddr) -> Listener {
    let port = if listen.port() == 0 {
        addr.port()
    } else {
        listen.port()
    };
    // A wildcard address without `advertise` names nothing that others could reach; loopback is
    // the honest guess, and `check` has warned.
    let host = listen.host().unwrap_or_else(|| {
        if addr.is_ipv6() {
            "::1".to_owned()
        } else {
            "127.0.0.1".to_owned()
        }
    });
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host
    };
    let sent_by: Box<str> = format!("{host}:{port}").into();
    Listener {
        id,
        transport,
        ipv6: addr.is_ipv6(),
        loopback: addr.ip().is_loopback(),
        contact_host: sent_by.clone(),
        sent_by,
    }
}

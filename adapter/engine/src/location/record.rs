//! The bindings of one AOR as bytes, for the store.
//!
//! Fixed little-endian fields, then the strings with their lengths. The first byte is the version.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::binding::{Binding, BindingText};
use crate::hop::{Hop, Listener, Transport};
use crate::speaker::Speaker;

const VERSION: u8 = 2;

/// More bindings than any limit allows are a damaged record, not a request for memory.
const BINDINGS_MAX: usize = 256;

/// A stored record that cannot be read: damaged, or of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored registration cannot be read")]
pub struct BadRecord;

/// A binding as a record has it. The number of its listener is another run's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The binding.
    pub binding: Binding,
    /// The listener on its hop.
    pub speaker: Speaker<'a>,
}

/// Writes the bindings of one AOR, whose hops speak by these listeners.
#[must_use]
pub fn encode(bindings: &[Binding], listeners: &[Listener]) -> Bytes {
    let texts: usize = bindings.iter().map(Binding::heap).sum();
    let mut out = BytesMut::with_capacity(2 + texts + bindings.len() * 96);
    out.put_u8(VERSION);
    out.put_u8(bindings.len().min(BINDINGS_MAX - 1) as u8);
    for binding in bindings.iter().take(BINDINGS_MAX - 1) {
        out.put_u32_le(binding.expires);
        out.put_u32_le(binding.cseq);
        out.put_u64_le(binding.call_id);
        out.put_u16_le(binding.q);
        out.put_u32_le(binding.reg_id);
        put_hop(&mut out, &binding.hop);
        let Speaker { transport, name } = Speaker::of(listeners, &binding.hop);
        out.put_u8(transport.map_or(0, number));
        let BindingText {
            contact,
            path,
            instance,
            agent,
        } = binding.texts();
        for text in [name, contact, path, instance, agent] {
            out.put_u16_le(text.len() as u16);
            out.put_slice(text.as_bytes());
        }
    }
    out.freeze()
}

/// Reads the bindings of one AOR.
///
/// # Errors
/// The record is damaged or of a version this program does not know.
pub fn decode(mut record: &[u8]) -> Result<Vec<Stored<'_>>, BadRecord> {
    let record = &mut record;
    if u8_of(record)? != VERSION {
        return Err(BadRecord);
    }
    let count = usize::from(u8_of(record)?);
    let mut bindings = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        let expires = u32_of(record)?;
        let cseq = u32_of(record)?;
        let call_id = u64_of(record)?;
        let q = u16_of(record)?;
        let reg_id = u32_of(record)?;
        let hop = hop_of(record)?;
        let speaker = Speaker {
            transport: match u8_of(record)? {
                0 => None,
                number => Some(transport_of(number)?),
            },
            name: text_of(record)?,
        };
        let text = BindingText {
            contact: text_of(record)?,
            path: text_of(record)?,
            instance: text_of(record)?,
            agent: text_of(record)?,
        };
        let mut binding = Binding::new(text, hop, expires).map_err(|_| BadRecord)?;
        binding.cseq = cseq;
        binding.call_id = call_id;
        binding.q = q;
        binding.reg_id = reg_id;
        bindings.push(Stored { binding, speaker });
    }
    if record.has_remaining() {
        return Err(BadRecord);
    }
    Ok(bindings)
}

fn put_hop(out: &mut BytesMut, hop: &Hop) {
    match *hop {
        Hop::Udp { listener, remote } => {
            out.put_u8(0);
            out.put_u16_le(listener);
            put_address(out, remote);
        }
        Hop::Flow {
            connection,
            listener,
        } => {
            out.put_u8(1);
            out.put_u16_le(listener);
            out.put_u64_le(connection);
        }
        Hop::Connect {
            transport,
            listener,
            remote,
        } => {
            out.put_u8(1 + number(transport));
            out.put_u16_le(listener);
            put_address(out, remote);
        }
    }
}

fn hop_of(record: &mut &[u8]) -> Result<Hop, BadRecord> {
    let kind = u8_of(record)?;
    let listener = u16_of(record)?;
    let transport = match kind {
        0 => {
            let remote = address_of(record)?;
            return Ok(Hop::Udp { listener, remote });
        }
        1 => {
            let connection = u64_of(record)?;
            return Ok(Hop::Flow {
                connection,
                listener,
            });
        }
        kind => transport_of(kind - 1)?,
    };
    let remote = address_of(record)?;
    Ok(Hop::Connect {
        transport,
        listener,
        remote,
    })
}

fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
        Transport::Tls => 3,
        Transport::Ws => 4,
        Transport::Wss => 5,
    }
}

fn transport_of(number: u8) -> Result<Transport, BadRecord> {
    Ok(match number {
        1 => Transport::Udp,
        2 => Transport::Tcp,
        3 => Transport::Tls,
        4 => Transport::Ws,
        5 => Transport::Wss,
        _ => return Err(BadRecord),
    })
}

fn put_address(out: &mut BytesMut, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            out.put_u8(4);
            out.put_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            out.put_u8(6);
            out.put_slice(&v6.ip().octets());
            out.put_u32_le(v6.scope_id());
        }
    }
    out.put_u16_le(address.port());
}

fn address_of(record: &mut &[u8]) -> Result<SocketAddr, BadRecord> {
    match u8_of(record)? {
        4 => {
            let ip = IpAddr::V4(Ipv4Addr::from(array_of::<4>(record)?));
            Ok(SocketAddr::new(ip, u16_of(record)?))
        }
        6 => {
            let ip = Ipv6Addr::from(array_of::<16>(record)?);
            let scope = u32_of(record)?;
            Ok(SocketAddrV6::new(ip, u16_of(record)?, 0, scope).into())
        }
        _ => Err(BadRecord),
    }
}

fn array_of<const N: usize>(record: &mut &[u8]) -> Result<[u8; N], BadRecord> {
    let (head, rest) = record.split_first_chunk::<N>().ok_or(BadRecord)?;
    *record = rest;
    Ok(*head)
}

fn u8_of(record: &mut &[u8]) -> Result<u8, BadRecord> {
    array_of(record).map(u8::from_le_bytes)
}

fn u16_of(record: &mut &[u8]) -> Result<u16, BadRecord> {
    array_of(record).map(u16::from_le_bytes)
}

fn u32_of(record: &mut &[u8]) -> Result<u32, BadRecord> {
    array_of(record).map(u32::from_le_bytes)
}

fn u64_of(record: &mut &[u8]) -> Result<u64, BadRecord> {
    array_of(record).map(u64::from_le_bytes)
}

fn text_of<'a>(record: &mut &'a [u8]) -> Result<&'a str, BadRecord> {
    let length = usize::from(u16_of(record)?);
    let (head, rest) = record.split_at_checked(length).ok_or(BadRecord)?;
    *record = rest;
    core::str::from_utf8(head).map_err(|_| BadRecord)
}

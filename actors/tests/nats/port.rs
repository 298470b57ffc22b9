//! Ports that stay a test's own, also while nothing listens there: before its server starts, and
//! between a crash and the restart.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// Below what the system gives to whoever asks for any port (from 32768 on), above what the
/// end-to-end tests draw from.
const FIRST: u16 = 30_000;
const COUNT: u32 = 2_700;

/// What says to other tests that a port is taken, until this process ends.
static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port that no other test on this machine has, free for TCP and UDP on loopback.
pub(crate) fn free_port() -> u16 {
    let offset = |n| u16::try_from(std::process::id().wrapping_add(n) % COUNT).unwrap();
    let mut ports = (0..COUNT).map(|n| FIRST + offset(n));
    ports.find(|port| claim(*port)).unwrap()
}

/// True: it is ours now.
fn claim(port: u16) -> bool {
    // A name that is in no file system and goes with its process.
    let name = SocketAddr::from_abstract_name(format!("ifbus-test-port-{port}")).unwrap();
    let claim = UnixListener::bind_addr(&name).ok();
    let claim = claim.filter(|_| is_free(port));
    let ours = claim.is_some();
    CLAIMS.lock().unwrap().extend(claim);
    ours
}

fn is_free(port: u16) -> bool {
    let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    TcpListener::bind((v4, port)).is_ok()
        && TcpListener::bind((v6, port)).is_ok()
        && UdpSocket::bind((v4, port)).is_ok()
        && UdpSocket::bind((v6, port)).is_ok()
}

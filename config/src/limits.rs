//! `[limits]`: everything that could grow has a bound, and the bound has a name.

use std::net::IpAddr;
use std::time::Duration;

use crate::network::Network;
use crate::section::Section;

macro_rules! limits {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident = $default:literal in $least:literal..=$most:literal;
    )+) => {
        /// `[limits]`. Units stand last in a name; a name without one is a count. All per node.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            /// Networks whose sources are exempt from the limits per source and from bans.
            pub trusted: Vec<Network>,
            /// How User-Agents of scanners begin; case does not matter.
            pub scanners: Vec<String>,
            $($(#[doc = $doc])+ pub $name: u32,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { trusted: Vec::new(), scanners: scanners(), $($name: $default,)+ }
            }
        }

        impl Limits {
            /// Every limit that is a number, with its value, in the order of the default file.
            pub fn numbers(&self) -> Vec<(&'static str, u32)> {
                vec![$((stringify!($name), self.$name),)+]
            }

            pub(crate) fn read(section: &mut Section<'_>) -> Self {
                let limits = Self {
                    trusted: section.list("trusted", "127.0.0.0/8").unwrap_or_default(),
                    scanners: section
                        .list("scanners", "friendly-scanner")
                        .unwrap_or_else(scanners),
                    $($name: section
                        .number(stringify!($name), $least..=$most)
                        .unwrap_or($default),)+
                };
                limits.check(section);
                limits
            }
        }
    };
}

limits! {
    /// One SIP message, headers and body, on any transport.
    message_bytes = 65535 in 2048..=1048576;
    /// Header lines of one message.
    headers = 128 in 32..=1024;
    /// One header line.
    header_bytes = 8192 in 512..=65535;
    /// The body of one message.
    body_bytes = 49152 in 1024..=1048576;
    /// Via, Route or Record-Route elements of one message, each kind.
    hops = 70 in 10..=255;

    /// INVITEs a second from one source; it may send ten seconds' worth at once.
    source_invites_per_s = 50 in 1..=1000000;
    /// REGISTERs a second from one source, likewise.
    source_registers_per_s = 200 in 1..=1000000;
    /// Other requests outside of dialogs a second from one source, likewise.
    source_requests_per_s = 200 in 1..=1000000;
    /// Wrong passwords from one source that shut it out.
    auth_failures = 20 in 1..=1000000;
    /// How long a wrong password is held against its source.
    auth_failures_s = 60 in 1..=86400;
    /// How long a source is shut out the first time; it doubles each time.
    ban_s = 600 in 1..=86400;
    /// How long a source is shut out at most.
    ban_max_s = 86400 in 1..=2592000;
    /// Sources remembered at once.
    sources = 131072 in 1024..=16777216;
    /// Bans at once.
    bans = 65536 in 64..=1048576;

    /// Open TCP, TLS, WS and WSS connections.
    connections = 65536 in 16..=1048576;
    /// Of these, from one source address.
    connections_per_source = 256 in 1..=1048576;
    /// Connections whose TLS or WebSocket handshake is not done.
    handshakes = 1024 in 8..=65536;
    /// Until the TLS handshake is done.
    tls_handshake_ms = 10000 in 100..=120000;
    /// Until the WebSocket handshake is done.
    ws_handshake_ms = 5000 in 100..=120000;
    /// The HTTP head of a WebSocket handshake.
    ws_handshake_bytes = 8192 in 1024..=65536;
    /// One WebSocket frame, and one message put together from frames.
    frame_bytes = 65535 in 2048..=1048576;
    /// A silent connection without registration or call is closed.
    idle_ms = 120000 in 1000..=86400000;
    /// Between two keep-alive pings on a WebSocket, and on a TCP or TLS connection that we made.
    ping_ms = 30000 in 1000..=3600000;
    /// Bytes waiting for one connection; past it the connection is closed.
    send_queue_bytes = 262144 in 65536..=16777216;
    /// Until an outgoing TCP or TLS connection stands.
    connect_ms = 4000 in 100..=60000;
    /// The receive buffer asked of the system for a UDP socket.
    udp_buffer_bytes = 4194304 in 65536..=268435456;

    /// Nonces whose use is remembered at once, by each thread.
    nonces = 65536 in 1024..=4194304;
    /// A nonce is good for this long.
    nonce_ms = 300000 in 1000..=86400000;

    /// Sources whose misdeeds are told one by one; those of more are told together.
    incident_sources = 1024 in 16..=65536;
    /// Between two events about the same misdeed of a source.
    incident_ms = 10000 in 1000..=3600000;

    /// Calls at once.
    calls = 65536 in 1..=1048576;
    /// Targets that one request is forked to.
    forks = 16 in 1..=16;
    /// Until a call that nobody answers ends.
    ring_ms = 180000 in 1000..=3600000;
    /// Until an answered call ends, whatever happens.
    call_ms = 43200000 in 60000..=604800000;

    /// Registered bindings.
    registrations = 1048576 in 16..=16777216;
    /// Bindings of one address of record.
    bindings_per_aor = 10 in 1..=64;
    /// One Contact with its parameters, as kept.
    contact_bytes = 1024 in 128..=8192;
    /// The shortest registration; a shorter wish gets 423.
    expires_min_s = 60 in 1..=86400;
    /// A registration without a wish.
    expires_default_s = 3600 in 1..=604800;
    /// The longest registration; a longer wish is cut.
    expires_max_s = 86400 in 1..=604800;

    /// Messages waiting for one thread; past it they are dropped.
    inbox = 4096 in 16..=1048576;
    /// Events waiting for the bus.
    bus_queue = 65536 in 64..=4194304;
    /// Commands from the bus at work or waiting.
    command_queue = 4096 in 16..=1048576;
    /// Agents known at once.
    agents = 10000 in 1..=1048576;
    /// Commands remembered for 24 hours, so that a repeat does nothing.
    idempotency_keys = 1000000 in 1..=16777216;
    /// The body of one command.
    command_bytes = 65536 in 1024..=1048576;
    /// Records waiting for the store.
    store_queue = 65536 in 64..=4194304;
    /// Journal kept while the bus does not acknowledge.
    journal_mbytes = 4096 in 16..=1048576;
    /// For how long there may be more to read before new work is refused.
    overload_ms = 300 in 10..=60000;
    /// Messages of calls that are remembered for `trace`; 0: none.
    capture_mbytes = 4 in 0..=4096;
    /// Name look-ups at once.
    dns_queries = 1024 in 1..=65536;
    /// Until a name look-up fails.
    dns_ms = 4000 in 100..=60000;
    /// How long calls may go on when the node leaves.
    drain_ms = 30000 in 0..=86400000;
}

/// The names that scanners are known by: SIPVicious and what is made from it.
fn scanners() -> Vec<String> {
    [
        "friendly-scanner",
        "friendly-request",
        "sipvicious",
        "sip-scan",
        "sipcli",
        "sundayddr",
        "iwar",
        "pplsip",
        "vaxsipuseragent",
    ]
    .map(str::to_owned)
    .into()
}

impl Limits {
    /// Whether `source` is exempt from the limits per source.
    pub fn is_trusted(&self, source: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(source))
    }

    /// `ws_handshake_ms` and its like as a duration.
    pub fn ms(value: u32) -> Duration {
        Duration::from_millis(u64::from(value))
    }

    fn check(&self, section: &Section<'_>) {
        let pairs = [
            (
                "header_bytes",
                self.header_bytes,
                "message_bytes",
                self.message_bytes,
            ),
            (
                "body_bytes",
                self.body_bytes,
                "message_bytes",
                self.message_bytes,
            ),
            ("ban_s", self.ban_s, "ban_max_s", self.ban_max_s),
            (
                "expires_min_s",
                self.expires_min_s,
                "expires_default_s",
                self.expires_default_s,
            ),
            (
                "expires_default_s",
                self.expires_default_s,
                "expires_max_s",
                self.expires_max_s,
            ),
        ];
        for (small, low, large, high) in pairs {
            if low > high {
                section.error(
                    small,
                    format!("is {low}, above {large} = {high}"),
                    format!("lower it or raise limits.{large}"),
                );
            }
        }
        for network in self
            .trusted
            .iter()
            .filter(|network| network.is_everything())
        {
            section.warn(
                "trusted",
                format!("{network} exempts every source from the limits per source"),
                "name the networks that are yours",
            );
        }
    }
}

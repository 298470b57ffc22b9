//! `[media]`: read and kept, so that a file written for a later release loads; nothing acts on it.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::section::Section;

/// `[media]`. SDP passes untouched for now, whatever this says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Who relays packets.
    pub backend: Backend,
    /// The UDP ports of the relay.
    pub ports: Ports,
    /// The address written into SDP.
    pub advertise: IpAddr,
    /// When media is relayed.
    pub anchor: Anchor,
}

/// Who relays packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// This process.
    Embedded,
    /// rtpengine.
    Rtpengine,
}

/// When media is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Where the two sides could not talk directly.
    Auto,
    /// Always.
    Always,
}

/// A range of UDP ports, written `20000-29999`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(RangeInclusive<u16>);

impl Ports {
    /// The first and the last port.
    pub fn range(&self) -> RangeInclusive<u16> {
        self.0.clone()
    }
}

impl FromStr for Ports {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once('-').ok_or(())?;
        let first: u16 = first.trim().parse().map_err(|_| ())?;
        let last: u16 = last.trim().parse().map_err(|_| ())?;
        if first < 1024 || first > last {
            return Err(());
        }
        Ok(Self(first..=last))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            backend: Backend::Embedded,
            ports: Ports(20_000..=29_999),
            advertise: IpAddr::from([127, 0, 0, 1]),
            anchor: Anchor::Auto,
        }
    }
}

impl Media {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let backend = section.word(
            "backend",
            &[
                ("embedded", Backend::Embedded),
                ("rtpengine", Backend::Rtpengine),
            ],
        );
        let ports = section.parsed("ports", "20000-29999");
        let advertise = section.parsed("advertise", "203.0.113.10");
        let anchor = section.word(
            "anchor",
            &[("auto", Anchor::Auto), ("always", Anchor::Always)],
        );
        for key in ["backend", "ports", "advertise", "anchor"] {
            if section.has(key) {
                section.warn(
                    key,
                    "has no effect yet: SDP passes untouched and media goes from peer to peer",
                    "",
                );
            }
        }
        let default = Self::default();
        Self {
            backend: backend.unwrap_or(default.backend),
            ports: ports.unwrap_or(default.ports),
            advertise: advertise.unwrap_or(default.advertise),
            anchor: anchor.unwrap_or(default.anchor),
        }
    }
}

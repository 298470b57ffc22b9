//! Session descriptions that stand for a party who is not there yet: RFC 3725's black hole.
//!
//! A phone has answered an INVITE without SDP, so its 2xx carries an offer that must be answered in
//! the ACK at once (RFC 3261 13.2.2.4), while the second party may ring for a minute. Every media
//! line is kept with its formats, made `inactive`, and given what its profile demands of an answer:
//! ICE, fingerprint and setup, or a crypto line. A browser gets an offer instead. The re-INVITEs
//! that join the parties replace all of it.

use core::fmt::Write;

use super::entropy::Entropy;

/// Attributes that belong to the peer's own transport and media: the answer has its own or none.
const NOT_MIRRORED: [&str; 18] = [
    "bundle-only",
    "candidate",
    "end-of-candidates",
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "ice-lite",
    "remote-candidates",
    "fingerprint",
    "setup",
    "tls-id",
    "crypto",
    "rtcp",
    "ssrc",
    "ssrc-group",
    "msid",
    "msid-semantic",
    "label",
];

/// Which end of a DTLS association a browser is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtls {
    Client,
    Server,
}

/// An offer of audio as a browser makes one, with nothing behind it.
///
/// JsSIP cannot take an INVITE without an offer. This one has no candidate, so neither ICE nor DTLS
/// begins and nothing times out. It is not `inactive`: SIP.js would offer `recvonly` ever after.
/// The `role` is the one that the browser is to keep.
pub(crate) fn offer(role: Dtls, entropy: &mut Entropy) -> Vec<u8> {
    let id = entropy.next() >> 2;
    let Own {
        ufrag,
        password,
        fingerprint,
    } = Own::new(entropy);
    let setup = match role {
        Dtls::Client => "passive",
        Dtls::Server => "active",
    };
    format!(
        "v=0\r\no=- {id} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 126\r\nc=IN IP4 0.0.0.0\r\n\
         a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=mid:0\r\na=rtcp-mux\r\n\
         a=sendrecv\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:126 telephone-event/8000\r\n"
    )
    .into_bytes()
}

/// The inactive answer to `offer`, or `None` if it is not SDP with at least one media line.
pub(crate) fn answer(offer: &[u8], entropy: &mut Entropy) -> Option<Vec<u8>> {
    let offer = core::str::from_utf8(offer).ok()?;
    let mut lines = offer.lines().peekable();
    if lines.next()? != "v=0" {
        return None;
    }
    let id = entropy.next() >> 2;
    let mut answer =
        format!("v=0\r\no=- {id} 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n");
    let mut session = Transport::default();
    let mut groups = Vec::new();
    while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
        session.read(line);
        groups.extend(line.strip_prefix("a=group:"));
    }
    let own = Own::new(entropy);
    let mut refused_mids = Vec::new();
    let mut media = String::with_capacity(offer.len());
    while let Some(line) = lines.next() {
        let mut words = line.strip_prefix("m=")?.splitn(4, ' ');
        let (kind, port, profile, formats) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let mut section = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
            section.push(line);
        }
        // RFC 8843 6: port 0 with bundle-only is offered all the same.
        let refused = port == "0" && !section.contains(&"a=bundle-only");
        let port = if refused { "0" } else { "9" };
        push(&mut media, &format!("m={kind} {port} {profile} {formats}"));
        let mut transport = session.clone();
        for line in section {
            transport.read(line);
            if is_mirrored(line) {
                push(&mut media, line);
            }
            if refused {
                refused_mids.extend(line.strip_prefix("a=mid:"));
            }
        }
        push(&mut media, "a=inactive");
        if !refused {
            transport.answer(&own, entropy, &mut media);
        }
    }
    for group in groups {
        // RFC 8843 7.3.2: what is refused leaves its group.
        let mut words = group.split(' ');
        answer.push_str("a=group:");
        answer.push_str(words.next().unwrap_or_default());
        for mid in words.filter(|mid| !refused_mids.contains(mid)) {
            answer.push(' ');
            answer.push_str(mid);
        }
        answer.push_str("\r\n");
    }
    let has_media = !media.is_empty();
    answer.push_str(&media);
    has_media.then(|| answer.into_bytes())
}

fn push(answer: &mut String, line: &str) {
    answer.push_str(line);
    answer.push_str("\r\n");
}

fn is_mirrored(line: &str) -> bool {
    let Some(attribute) = line.strip_prefix("a=") else {
        return false;
    };
    let name = attribute.split(':').next().unwrap_or(attribute);
    !NOT_MIRRORED.contains(&name)
        && !matches!(name, "sendrecv" | "sendonly" | "recvonly" | "inactive")
}

/// Our side of ICE and DTLS, one for the whole answer since media may be bundled. Nothing ever
/// answers on it.
struct Own {
    ufrag: String,
    password: String,
    fingerprint: String,
}

impl Own {
    fn new(entropy: &mut Entropy) -> Self {
        let mut fingerprint = String::with_capacity(95);
        for i in 0..32 {
            let colon = if i == 0 { "" } else { ":" };
            let _infallible = write!(fingerprint, "{colon}{:02X}", entropy.next() as u8);
        }
        Self {
            ufrag: entropy.text(8),
            password: entropy.text(24),
            fingerprint,
        }
    }
}

/// What the peer's transport asks of an answer.
#[derive(Clone, Default)]
struct Transport {
    ice: bool,
    fingerprint: bool,
    crypto: Option<String>,
}

impl Transport {
    fn read(&mut self, line: &str) {
        if line.starts_with("a=ice-ufrag:") {
            self.ice = true;
        } else if line.starts_with("a=fingerprint:") {
            self.fingerprint = true;
        } else if let (None, Some(crypto)) = (&self.crypto, line.strip_prefix("a=crypto:")) {
            self.crypto = Some(crypto.to_owned());
        }
    }

    fn answer(&self, own: &Own, entropy: &mut Entropy, answer: &mut String) {
        if self.ice {
            push(answer, &format!("a=ice-ufrag:{}", own.ufrag));
            push(answer, &format!("a=ice-pwd:{}", own.password));
        }
        if self.fingerprint {
            push(
                answer,
                &format!("a=fingerprint:sha-256 {}", own.fingerprint),
            );
            // The peer becomes the DTLS client and, with no candidate to reach, never begins.
            push(answer, "a=setup:passive");
        }
        if let Some(crypto) = self.crypto.as_deref().and_then(|c| own_crypto(c, entropy)) {
            push(answer, &format!("a=crypto:{crypto}"));
        }
    }
}

/// RFC 4568 5.1.2: the offered tag and suite with a key of our own of the same length.
fn own_crypto(offered: &str, entropy: &mut Entropy) -> Option<String> {
    let (head, key) = offered.split_once(" inline:")?;
    let key = key.split(['|', ' ']).next()?;
    let padding = key.len() - key.trim_end_matches('=').len();
    let mut own = entropy.text((key.len() - padding).min(128));
    if padding > 0 {
        // The last character before padding has unused bits, which must be zero.
        own.pop();
        own.push('A');
    }
    Some(format!("{head} inline:{own}{}", &"=="[..padding.min(2)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_answered_with_its_own_formats_inactive() {
        let offer =
            b"v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
            m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
        let answer = String::from_utf8(answer(offer, &mut Entropy::new(1)).unwrap()).unwrap();
        assert!(answer.contains(
            "m=audio 9 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=inactive\r\n"
        ));
        assert!(!answer.contains("192.0.2.1") && !answer.contains("sendrecv"));
    }

    #[test]
    fn a_browser_gets_ice_fingerprint_and_setup_in_every_line() {
        let offer = b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
            m=audio 5 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
            a=candidate:1 1 udp 1 x.local 5 typ host\r\na=ice-ufrag:ab\r\na=ice-pwd:cd\r\n\
            a=fingerprint:sha-256 AA\r\na=setup:actpass\r\na=mid:0\r\n\
            a=rtcp-mux\r\na=sendrecv\r\na=msid:- t\r\n\
            m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n";
        let answer = String::from_utf8(answer(offer, &mut Entropy::new(1)).unwrap()).unwrap();
        assert!(answer.contains("a=group:BUNDLE 0\r\nm=audio 9"));
        assert!(answer.contains("a=mid:0\r\na=rtcp-mux\r\na=inactive\r\na=ice-ufrag:"));
        assert_eq!(answer.matches("a=setup:passive").count(), 1);
        assert!(answer.ends_with("m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=inactive\r\n"));
        assert!(!answer.contains("candidate") && !answer.contains("msid"));
    }

    #[test]
    fn the_offer_has_what_a_browser_demands_and_differs_from_call_to_call() {
        let sdp = offer(Dtls::Client, &mut Entropy::new(1));
        assert!(sip::sdp::Sdp::parse(&sdp).is_ok());
        let text = String::from_utf8(sdp.clone()).unwrap();
        for line in ["a=setup:passive", "a=mid:0", "a=rtcp-mux", "a=sendrecv"] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}");
        }
        assert!(!text.contains("candidate"));
        assert_ne!(sdp, offer(Dtls::Client, &mut Entropy::new(2)));
    }

    #[test]
    fn sdes_keeps_tag_and_suite_with_another_key() {
        let own = own_crypto(
            "1 AEAD_AES_128_GCM inline:YUJDZGVmZ2hpSktMbW9QUXJzVHVWd3l6MTIzNA==|2^31",
            &mut Entropy::new(3),
        )
        .unwrap();
        assert!(own.starts_with("1 AEAD_AES_128_GCM inline:") && own.ends_with("A=="));
        assert_eq!(
            own.len(),
            "1 AEAD_AES_128_GCM inline:YUJDZGVmZ2hpSktMbW9QUXJzVHVWd3l6MTIzNA==".len()
        );
    }

    #[test]
    fn what_is_not_sdp_has_no_answer() {
        for offer in [
            "",
            "v=0",
            "v=0\r\no=-",
            "hello",
            "v=0\r\nm=audio\r\n",
            "\u{fe0f}",
        ] {
            assert_eq!(answer(offer.as_bytes(), &mut Entropy::new(1)), None);
        }
    }
}

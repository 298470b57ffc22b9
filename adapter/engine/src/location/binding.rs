//! One binding of an AOR to a contact.

use super::BUCKET_SECONDS;
use crate::hop::Hop;

/// One binding, as small as it can be: the strings are slices of one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Contact, Path, instance and User-Agent, one after the other.
    text: Box<str>,
    contact_end: u16,
    path_end: u16,
    instance_end: u16,
    /// RFC 3261 20.10 in thousandths; 1000 where the contact gives none.
    pub q: u16,
    /// RFC 5626 4.2; 0 where the contact gives none.
    pub reg_id: u32,
    /// The CSeq number of the REGISTER that made or last refreshed it.
    pub cseq: u32,
    /// When it is over, in Unix seconds.
    pub expires: u32,
    /// A hash of the Call-ID of that REGISTER.
    pub call_id: u64,
    /// How requests reach it: the flow it came on, or the UDP source it came from.
    pub hop: Hop,
}

/// The strings of a binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingText<'a> {
    /// The contact's URI, as registered.
    pub contact: &'a str,
    /// The Path values of the REGISTER (RFC 3327), one a line; empty if none.
    pub path: &'a str,
    /// `+sip.instance` without quotes (RFC 5626 4.1); empty if none.
    pub instance: &'a str,
    /// The start of User-Agent; empty if none.
    pub agent: &'a str,
}

/// The strings of a binding are longer than a binding can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the contact, its Path and its instance are too long together")]
pub struct Oversized;

/// The most bytes of User-Agent that are kept.
const AGENT_MAX: usize = 32;

impl Binding {
    /// The most bytes the strings of a binding may have together.
    pub const TEXT_MAX: usize = 4096;

    /// A binding that reaches `hop` until `expires` (Unix seconds).
    ///
    /// # Errors
    /// The strings are longer than [`Self::TEXT_MAX`] together.
    pub fn new(text: BindingText<'_>, hop: Hop, expires: u32) -> Result<Self, Oversized> {
        let BindingText {
            contact,
            path,
            instance,
            agent,
        } = text;
        let agent = head(agent, AGENT_MAX);
        let length = contact.len() + path.len() + instance.len() + agent.len();
        if length > Self::TEXT_MAX {
            return Err(Oversized);
        }
        let mut text = String::with_capacity(length);
        let mut push = |part: &str| {
            text.push_str(part);
            text.len() as u16
        };
        let contact_end = push(contact);
        let path_end = push(path);
        let instance_end = push(instance);
        push(agent);
        Ok(Self {
            text: text.into_boxed_str(),
            contact_end,
            path_end,
            instance_end,
            q: 1000,
            reg_id: 0,
            cseq: 0,
            expires,
            call_id: 0,
            hop,
        })
    }

    /// The contact's URI, as registered.
    #[must_use]
    pub fn contact(&self) -> &str {
        self.slice(0, self.contact_end)
    }

    /// The Path values, one a line; empty if none.
    #[must_use]
    pub fn path(&self) -> &str {
        self.slice(self.contact_end, self.path_end)
    }

    /// `+sip.instance` without quotes; empty if none.
    #[must_use]
    pub fn instance(&self) -> &str {
        self.slice(self.path_end, self.instance_end)
    }

    /// The start of User-Agent; empty if none.
    #[must_use]
    pub fn agent(&self) -> &str {
        self.slice(self.instance_end, self.text.len() as u16)
    }

    /// All strings at once.
    #[must_use]
    pub fn texts(&self) -> BindingText<'_> {
        BindingText {
            contact: self.contact(),
            path: self.path(),
            instance: self.instance(),
            agent: self.agent(),
        }
    }

    /// The bytes it takes outside itself.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.text.len()
    }

    /// The first bucket in which it is over.
    pub(super) fn expires_bucket(&self) -> u32 {
        self.expires.div_ceil(BUCKET_SECONDS)
    }

    fn slice(&self, from: u16, to: u16) -> &str {
        self.text
            .get(usize::from(from)..usize::from(to))
            .unwrap_or_default()
    }
}

/// The longest start of `text` that has at most `max` bytes.
fn head(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

//! Text shared between a call's state and the events that carry it.

use std::fmt;
use std::sync::Arc;

/// Text that many events repeat: cloning it is a count, not a copy.
pub type Text = Arc<str>;

/// A short text on the stack, for identifiers that are composed for one message.
///
/// Writing past `N` bytes is an error of the formatting call and leaves the text cut off.
#[derive(Clone, Copy)]
pub(crate) struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Short<N> {
    /// The text in `ascii`, or nothing where it does not fit.
    pub(crate) fn new(ascii: &[u8]) -> Self {
        let mut text = Self {
            bytes: [0; N],
            len: 0,
        };
        if let Some(room) = text.bytes.get_mut(..ascii.len()) {
            room.copy_from_slice(ascii);
            text.len = ascii.len();
        }
        text
    }

    pub(crate) fn format(arguments: fmt::Arguments<'_>) -> Result<Self, fmt::Error> {
        let mut text = Self {
            bytes: [0; N],
            len: 0,
        };
        fmt::write(&mut text, arguments)?;
        Ok(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only whole `&str`s are ever appended.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for Short<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len + s.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

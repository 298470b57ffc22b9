//! Headers: the raw line and the typed views of its value.

mod address;
mod cseq;
mod name;
mod params;
pub(crate) mod value;
mod via;

pub use address::NameAddr;
pub(crate) use address::tag_of;
pub use cseq::CSeq;
pub use name::Name;
pub use params::{Param, Params};
pub use value::{Elements, unfold, unquote};
pub use via::Via;

/// One header line of a message, as it stands in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which header it is.
    pub name: Name,
    /// The name as written.
    pub name_text: &'a [u8],
    /// The value without surrounding white space, folds left in.
    pub value: &'a [u8],
    /// The whole line with its folds and final CRLF.
    pub line: &'a [u8],
}

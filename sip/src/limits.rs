//! How large a message may be. Every limit is checked before anything is allocated for it.

/// The size limits of one listener or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whole message, bytes.
    pub message_bytes_max: usize,
    /// Header lines, each counted once however often it is folded.
    pub headers_max: usize,
    /// The start line, or one header line with its folds, bytes; never above 65,535.
    pub line_bytes_max: usize,
    /// Body, bytes.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    /// What a UDP datagram can carry, with room for the longest route sets seen in the field.
    fn default() -> Self {
        Self {
            message_bytes_max: 65_535,
            headers_max: 128,
            line_bytes_max: 8_192,
            body_bytes_max: 65_535,
        }
    }
}

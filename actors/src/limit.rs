//! What reached a limit of the configuration's `[limits]`.

/// Counts a refusal by the limit of this name.
pub(crate) fn refused(limit: &'static str) {
    metrics::counter!("ifbus_limit_total", "limit" => limit).increment(1);
}

/// Counts a message that is longer than it may be.
pub(crate) fn refused_message(error: sip::ParseError) {
    use sip::ParseError;
    match error {
        ParseError::MessageTooLarge => refused("message_bytes"),
        ParseError::BodyTooLarge => refused("body_bytes"),
        ParseError::TooManyHeaders => refused("headers"),
        ParseError::LineTooLong => refused("header_bytes"),
        _ => {}
    }
}

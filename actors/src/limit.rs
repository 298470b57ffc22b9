//! What reached a limit of the configuration's `[limits]`.

/// Counts a refusal by the limit of this name.
pub(crate) fn refused(limit: &'static str) {
    metrics::counter!("ifbus_limit_total", "limit" => limit).increment(1);
}

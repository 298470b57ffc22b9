//! Randomness from the operating system: the one place that draws it for the cores.

/// `N` bytes that nobody can guess.
///
/// A system that cannot give any cannot be trusted with a single nonce: this ends the process.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "the system gives no randomness");
        std::process::abort();
    }
    bytes
}

/// 64 bits.
pub(crate) fn random_u64() -> u64 {
    u64::from_ne_bytes(random_bytes())
}

/// 128 bits.
pub(crate) fn random_u128() -> u128 {
    u128::from_ne_bytes(random_bytes())
}

/// A password for people to type: 16 characters without look-alikes, 80 bits.
#[must_use]
pub fn random_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyzACDEFGHJK";
    let draw = |byte: u8| char::from(LETTERS[usize::from(byte & 31)]);
    random_bytes::<16>().into_iter().map(draw).collect()
}

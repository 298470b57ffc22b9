//! Randomness from the operating system: the one place that draws it for the cores.

use std::cell::RefCell;

/// A call draws four times; the system is asked for this much at once.
const STOCK: usize = 512;

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; STOCK], left: 0 }) };
}

/// What the system gave and nobody has had yet.
struct Drawn {
    bytes: [u8; STOCK],
    left: usize,
}

impl Drawn {
    fn take(&mut self, wanted: &mut [u8]) {
        if self.left < wanted.len() {
            fill(&mut self.bytes);
            self.left = STOCK;
        }
        let end = self.left;
        self.left -= wanted.len();
        let taken = &mut self.bytes[self.left..end];
        wanted.copy_from_slice(taken);
        // What was given out is not kept: nonces and keys are made of it.
        taken.fill(0);
    }
}

/// `N` bytes that nobody can guess.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= STOCK) };
    let mut bytes = [0; N];
    DRAWN.with_borrow_mut(|drawn| drawn.take(&mut bytes));
    bytes
}

/// A system that gives no randomness cannot be trusted with a single nonce: this ends the process.
fn fill(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        tracing::error!(%error, "the system gives no randomness");
        std::process::abort();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_twice() {
        let drawn: std::collections::HashSet<[u8; 16]> =
            (0..10 * STOCK).map(|_| random_bytes()).collect();
        assert_eq!(drawn.len(), 10 * STOCK);
        assert!(!drawn.contains(&[0; 16]));
        let odd: std::collections::HashSet<[u8; 13]> =
            (0..10 * STOCK).map(|_| random_bytes()).collect();
        assert_eq!(odd.len(), 10 * STOCK);
    }
}

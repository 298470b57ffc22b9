//! Randomness that comes in once, as a seed.

/// A stream of numbers from a seed (SplitMix64). Not for keys that protect anything: the values
/// only have to differ from call to call and be hard to guess without the seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entropy(u64);

impl Entropy {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `len` characters drawn from an alphabet of 64.
    pub(crate) fn text(&mut self, len: usize) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::with_capacity(len);
        let mut bits = 0;
        for i in 0..len {
            if i % 10 == 0 {
                bits = self.next();
            }
            text.push(char::from(ALPHABET[(bits & 63) as usize]));
            bits >>= 6;
        }
        text
    }
}

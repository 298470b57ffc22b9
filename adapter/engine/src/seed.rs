//! The key of our hash tables, given from outside: what strangers choose must not collide.

use core::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// Sixteen random bytes that key a hash table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed(pub u128);

impl BuildHasher for Seed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0 as u64, (self.0 >> 64) as u64)
    }
}

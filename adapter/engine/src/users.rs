//! The users that have a password, as a snapshot every thread reads.

use core::hash::{BuildHasher, Hash};

use hashbrown::HashMap;
use sip::digest::{Algorithm, Ha1};
use smallvec::SmallVec;

use crate::seed::Seed;

/// A user's secrets, one for each algorithm there is one for.
pub type Secrets = SmallVec<[Ha1; 1]>;

/// Which algorithms are offered to somebody: those there are secrets for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Offer(u8);

impl Offer {
    /// All offers that can be.
    pub(crate) const COUNT: usize = 8;

    fn of(secrets: &[Ha1]) -> Self {
        Self(
            secrets
                .iter()
                .fold(0, |bits, ha1| bits | bit(ha1.algorithm())),
        )
    }

    pub(crate) fn number(self) -> usize {
        usize::from(self.0)
    }

    /// What the offer of this number holds, the strongest first (RFC 8760 2.3).
    pub(crate) fn algorithms(number: usize) -> impl Iterator<Item = Algorithm> {
        [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5]
            .into_iter()
            .filter(move |&algorithm| number & usize::from(bit(algorithm)) != 0)
    }
}

fn bit(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Md5 => 1,
        Algorithm::Sha256 => 2,
        Algorithm::Sha512_256 => 4,
    }
}

/// All users with a password.
#[derive(Clone, Debug)]
pub struct Users {
    by_aor: HashMap<Box<str>, Secrets, Seed>,
    /// How many users of a domain get which offer.
    offers: HashMap<Box<str>, [u32; Offer::COUNT], Seed>,
    seed: Seed,
}

impl Users {
    /// A table for about `capacity` users.
    #[must_use]
    pub fn new(capacity: usize, seed: Seed) -> Self {
        Self {
            by_aor: HashMap::with_capacity_and_hasher(capacity, seed),
            offers: HashMap::with_hasher(seed),
            seed,
        }
    }

    /// Adds a user or one more secret of a user; a second one of the same algorithm replaces the
    /// first. `aor` is in the normal form of [`crate::aor`].
    pub fn add(&mut self, aor: &str, ha1: Ha1) {
        let (_, domain) = split(aor);
        let secrets = self.by_aor.entry_ref(aor).or_default();
        let counts = self.offers.entry_ref(domain).or_default();
        if !secrets.is_empty() {
            counts[Offer::of(secrets).number()] -= 1;
        }
        secrets.retain(|known| known.algorithm() != ha1.algorithm());
        secrets.push(ha1);
        counts[Offer::of(secrets).number()] += 1;
    }

    /// Whether there is such a user.
    #[must_use]
    pub fn contains(&self, aor: &str) -> bool {
        self.by_aor.contains_key(aor)
    }

    /// The number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_aor.len()
    }

    /// Whether nobody has a password.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_aor.is_empty()
    }

    pub(crate) fn secret(&self, aor: &str, algorithm: Algorithm) -> Option<&Ha1> {
        self.by_aor
            .get(aor)?
            .iter()
            .find(|ha1| ha1.algorithm() == algorithm)
    }

    /// What is offered to this user. One that does not exist gets, always the same, what some user
    /// of the domain would get: the challenge does not tell who exists.
    pub(crate) fn offer(&self, aor: &str) -> Offer {
        if let Some(secrets) = self.by_aor.get(aor) {
            return Offer::of(secrets);
        }
        let (_, domain) = split(aor);
        let Some(counts) = self.offers.get(domain) else {
            return Offer(bit(Algorithm::Md5) | bit(Algorithm::Sha256));
        };
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let mut hasher = self.seed.build_hasher();
        ("offer", aor).hash(&mut hasher);
        let mut place = core::hash::Hasher::finish(&hasher) % total.max(1);
        for (number, &count) in counts.iter().enumerate() {
            if place < u64::from(count) {
                return Offer(number as u8);
            }
            place -= u64::from(count);
        }
        Offer(bit(Algorithm::Md5))
    }
}

/// The user and the domain of an AOR.
fn split(aor: &str) -> (&str, &str) {
    aor.split_once('@').unwrap_or((aor, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_offered_what_users_of_the_domain_are_and_always_the_same() {
        let mut users = Users::new(0, Seed(5));
        for n in 0..50 {
            let aor = format!("{n}@x");
            users.add(&aor, Ha1::from_password(Algorithm::Md5, "u", "x", "p"));
            if n % 2 == 0 {
                users.add(&aor, Ha1::from_password(Algorithm::Sha256, "u", "x", "p"));
            }
        }
        assert_eq!(users.len(), 50);
        let mut seen = [0; Offer::COUNT];
        for n in 100..300 {
            let aor = format!("{n}@x");
            assert_eq!(users.offer(&aor), users.offer(&aor));
            seen[users.offer(&aor).number()] += 1;
        }
        assert!(
            seen[1] > 50 && seen[3] > 50 && seen[1] + seen[3] == 200,
            "{seen:?}"
        );
    }

    #[test]
    fn a_second_secret_of_one_algorithm_replaces_the_first() {
        let mut users = Users::new(0, Seed(5));
        users.add("a@x", Ha1::from_password(Algorithm::Md5, "a", "x", "1"));
        let second = Ha1::from_password(Algorithm::Md5, "a", "x", "2");
        users.add("a@x", second);
        assert_eq!(users.secret("a@x", Algorithm::Md5), Some(&second));
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn the_strongest_algorithm_is_offered_first() {
        let all: Vec<_> = Offer::algorithms(7).collect();
        assert_eq!(
            all,
            [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5]
        );
    }
}

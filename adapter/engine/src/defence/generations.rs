//! A map that forgets what was not used for long, in bounded memory and without searching.

use core::hash::Hash;
use std::collections::HashMap;
use std::mem;

use crate::seed::Seed;

/// Two maps: once the young one is full it becomes the old one, and what was in the old one is
/// forgotten. What is used again becomes young again.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    most: usize,
    young: HashMap<K, V, Seed>,
    old: HashMap<K, V, Seed>,
}

impl<K: Copy + Eq + Hash, V: Copy + Default> Generations<K, V> {
    /// Holds at most `most` values, and the last `most / 2` used for sure.
    pub(super) fn new(most: usize, seed: Seed) -> Self {
        Self {
            most: (most / 2).max(1),
            young: HashMap::with_hasher(seed),
            old: HashMap::with_hasher(seed),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The value of `key`, a new one if it has none.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        if self.young.len() >= self.most && !self.young.contains_key(&key) {
            mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        let old = &mut self.old;
        self.young
            .entry(key)
            .or_insert_with(|| old.remove(&key).unwrap_or_default())
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let mut map: Generations<u32, u32> = Generations::new(100, Seed(1));
        *map.entry(7) = 70;
        for key in 1000..100_000 {
            *map.entry(key) = key;
            assert_eq!(*map.entry(7), 70);
            assert!(map.young.len() + map.old.len() <= 100);
        }
        assert_eq!(map.get(&1000), None);
        assert_eq!(map.get(&99_999), Some(&99_999));
        map.remove(&7);
        assert_eq!(map.get(&7), None);
    }
}

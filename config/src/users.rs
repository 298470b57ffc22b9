//! The users and their credentials: 100,000 of them in some six megabytes.

use std::fmt;
use std::hash::Hasher;

use hashbrown::HashTable;

use crate::secret::Secret;

/// Every user of every domain, by (user, domain). Filled once, then only read.
///
/// One byte arena has the names, one array the 28-byte records, one open-addressed index of
/// 4-byte positions finds them. Nothing is allocated per user.
#[derive(Clone, Default)]
pub struct Users {
    domains: Vec<Box<str>>,
    names: String,
    records: Vec<Record>,
    extras: Vec<Extra>,
    index: HashTable<u32>,
}

/// What is known of a user; at least one of the three is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The password in the clear.
    pub password: Option<&'a Secret>,
    /// MD5 of `user:realm:password` (RFC 7616 3.4.2).
    pub ha1_md5: Option<&'a [u8; 16]>,
    /// SHA-256 of the same.
    pub ha1_sha256: Option<&'a [u8; 32]>,
}

#[derive(Clone, PartialEq, Eq)]
struct Record {
    name_start: u32,
    name_len: u16,
    domain: u16,
    ha1_md5: [u8; 16],
    /// Position in `extras` plus one; 0: the MD5 is all there is.
    extra: u32,
}

/// What few users have; kept apart so that the many stay small.
#[derive(Clone, Default, PartialEq, Eq)]
struct Extra {
    has_md5: bool,
    password: Option<Secret>,
    ha1_sha256: Option<[u8; 32]>,
}

/// Why a user was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The user has this kind of credential already.
    Twice,
    /// More users, or longer names, than the table can count.
    Full,
}

impl Users {
    /// How many.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What proves that a sender is `user` of `domain`. The user part is compared byte for byte,
    /// the domain regardless of case (RFC 3261 19.1.4).
    pub fn find(&self, user: &str, domain: &str) -> Option<Credential<'_>> {
        let domain = self.domain_id(domain)?;
        let position = *self.index.find(hash(user, domain), self.is(user, domain))?;
        Some(self.credential(self.records.get(position as usize)?))
    }

    /// Every user as (user, domain, credential), in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Credential<'_>)> {
        self.records.iter().map(|record| {
            let domain = &self.domains[usize::from(record.domain)];
            (self.name(record), &**domain, self.credential(record))
        })
    }

    /// Adds a user, or a second kind of credential to a known one.
    ///
    /// # Errors
    /// [`Refused::Twice`] when a given kind is already there; the table is then unchanged.
    pub fn add(&mut self, user: &str, domain: &str, given: Credential<'_>) -> Result<(), Refused> {
        let domain = match self.domain_id(domain) {
            Some(domain) => domain,
            None => {
                self.domains
                    .push(domain.to_ascii_lowercase().into_boxed_str());
                u16::try_from(self.domains.len() - 1).map_err(|_| Refused::Full)?
            }
        };
        let hash = hash(user, domain);
        if let Some(position) = self.index.find(hash, self.is(user, domain)).copied() {
            return self.extend(position as usize, given);
        }
        let position = u32::try_from(self.records.len()).map_err(|_| Refused::Full)?;
        let name_start = u32::try_from(self.names.len()).map_err(|_| Refused::Full)?;
        let name_len = u16::try_from(user.len()).map_err(|_| Refused::Full)?;
        let extra = match given {
            Credential {
                password: None,
                ha1_md5: Some(_),
                ha1_sha256: None,
            } => 0,
            _ => self.new_extra(given)?,
        };
        self.names.push_str(user);
        let ha1_md5 = given.ha1_md5.copied().unwrap_or_default();
        self.records.push(Record {
            name_start,
            name_len,
            domain,
            ha1_md5,
            extra,
        });
        let Self {
            index,
            records,
            names,
            ..
        } = self;
        index.insert_unique(hash, position, |at| {
            let record = &records[*at as usize];
            hash_of(record, names)
        });
        Ok(())
    }

    /// Whether `domain` has a user.
    pub(crate) fn has_domain(&self, domain: &str) -> bool {
        self.domain_id(domain).is_some()
    }

    /// Makes room for `users` more with names of `name_bytes` together.
    pub(crate) fn reserve(&mut self, users: usize, name_bytes: usize) {
        self.records.reserve(users);
        self.names.reserve(name_bytes);
        let Self {
            index,
            records,
            names,
            ..
        } = self;
        index.reserve(users, |at| hash_of(&records[*at as usize], names));
    }

    /// Gives back what [`Users::reserve`] guessed too much.
    pub(crate) fn shrink(&mut self) {
        self.records.shrink_to_fit();
        self.names.shrink_to_fit();
        self.extras.shrink_to_fit();
    }

    fn extend(&mut self, position: usize, given: Credential<'_>) -> Result<(), Refused> {
        let known = self.credential(&self.records[position]);
        let twice = (known.password.is_some() && given.password.is_some())
            || (known.ha1_md5.is_some() && given.ha1_md5.is_some())
            || (known.ha1_sha256.is_some() && given.ha1_sha256.is_some());
        if twice {
            return Err(Refused::Twice);
        }
        if self.records[position].extra == 0 {
            let extra = Extra {
                has_md5: true,
                ..Extra::default()
            };
            self.records[position].extra = self.push_extra(extra)?;
        }
        let record = &mut self.records[position];
        let extra = &mut self.extras[record.extra as usize - 1];
        if let Some(md5) = given.ha1_md5 {
            record.ha1_md5 = *md5;
            extra.has_md5 = true;
        }
        extra.password = extra.password.take().or_else(|| given.password.cloned());
        extra.ha1_sha256 = extra.ha1_sha256.or_else(|| given.ha1_sha256.copied());
        Ok(())
    }

    fn new_extra(&mut self, given: Credential<'_>) -> Result<u32, Refused> {
        self.push_extra(Extra {
            has_md5: given.ha1_md5.is_some(),
            password: given.password.cloned(),
            ha1_sha256: given.ha1_sha256.copied(),
        })
    }

    fn push_extra(&mut self, extra: Extra) -> Result<u32, Refused> {
        self.extras.push(extra);
        u32::try_from(self.extras.len()).map_err(|_| Refused::Full)
    }

    fn domain_id(&self, domain: &str) -> Option<u16> {
        self.domains
            .iter()
            .position(|known| known.eq_ignore_ascii_case(domain))
            .and_then(|at| u16::try_from(at).ok())
    }

    fn is(&self, user: &str, domain: u16) -> impl Fn(&u32) -> bool {
        move |at| {
            let record = &self.records[*at as usize];
            record.domain == domain && self.name(record) == user
        }
    }

    fn name(&self, record: &Record) -> &str {
        name(record, &self.names)
    }

    fn credential<'a>(&'a self, record: &'a Record) -> Credential<'a> {
        let Some(extra) = record
            .extra
            .checked_sub(1)
            .map(|at| &self.extras[at as usize])
        else {
            return Credential {
                ha1_md5: Some(&record.ha1_md5),
                ..Credential::default()
            };
        };
        Credential {
            password: extra.password.as_ref(),
            ha1_md5: extra.has_md5.then_some(&record.ha1_md5),
            ha1_sha256: extra.ha1_sha256.as_ref(),
        }
    }
}

/// The same users in the same order; how the index lies does not count.
impl PartialEq for Users {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

/// Names and hashes stay out of logs; the count is what a reader wants.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.len())
    }
}

fn name<'n>(record: &Record, names: &'n str) -> &'n str {
    let start = record.name_start as usize;
    &names[start..start + usize::from(record.name_len)]
}

fn hash_of(record: &Record, names: &str) -> u64 {
    hash(name(record, names), record.domain)
}

/// SipHash with a fixed key is enough: only the operator puts names in.
fn hash(user: &str, domain: u16) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u16(domain);
    hasher.write(user.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn md5(byte: u8) -> [u8; 16] {
        [byte; 16]
    }

    #[test]
    fn finds_by_user_and_domain() {
        let mut users = Users::default();
        let (one, two) = (md5(1), md5(2));
        let given = |ha1| Credential {
            ha1_md5: Some(ha1),
            ..Credential::default()
        };
        users.add("alice", "Example.test", given(&one)).unwrap();
        users.add("alice", "other.test", given(&two)).unwrap();
        assert_eq!(users.find("alice", "example.TEST"), Some(given(&one)));
        assert_eq!(users.find("alice", "other.test"), Some(given(&two)));
        assert_eq!(users.find("Alice", "other.test"), None);
        assert_eq!(users.find("alice", "third.test"), None);
        assert_eq!(
            users.add("alice", "other.test", given(&one)),
            Err(Refused::Twice)
        );
        assert_eq!(
            users.find("alice", "other.test"),
            Some(given(&two)),
            "unchanged"
        );
    }

    #[test]
    fn kinds_add_up() {
        let mut users = Users::default();
        let (md5, sha256, password) = (md5(7), [8; 32], Secret::new("pw"));
        let all = Credential {
            password: Some(&password),
            ha1_md5: Some(&md5),
            ha1_sha256: Some(&sha256),
        };
        for given in [
            Credential {
                ha1_md5: Some(&md5),
                ..Credential::default()
            },
            Credential {
                ha1_sha256: Some(&sha256),
                ..Credential::default()
            },
            Credential {
                password: Some(&password),
                ..Credential::default()
            },
        ] {
            users.add("bob", "example.test", given).unwrap();
            assert_eq!(users.add("bob", "example.test", given), Err(Refused::Twice));
        }
        assert_eq!(users.find("bob", "example.test"), Some(all));
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn a_user_costs_under_a_hundred_bytes() {
        let mut users = Users::default();
        let ha1 = md5(3);
        for number in 0..100_000 {
            let given = Credential {
                ha1_md5: Some(&ha1),
                ..Credential::default()
            };
            users
                .add(&format!("bench{number:06}"), "bench.local", given)
                .unwrap();
        }
        users.shrink();
        let bytes = users.names.capacity()
            + users.records.capacity() * size_of::<Record>()
            + users.index.allocation_size();
        assert!(
            bytes / users.len() <= 64,
            "{} bytes a user",
            bytes / users.len()
        );
        assert!(users.find("bench099999", "bench.local").is_some());
        assert_eq!(format!("{users:?}"), "Users(100000)");
    }
}

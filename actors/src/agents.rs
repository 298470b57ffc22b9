//! Which agents are there. An agent lives as long as its lease; a heartbeat begins it anew.

use std::collections::BTreeMap;

use bus_schema::{AgentSnapshot, CommandError, ErrorCode, Lease, Register, Text, Timestamp};

use crate::limit::refused;

/// The agents known to this node.
#[derive(Debug)]
pub(crate) struct Agents {
    by_name: BTreeMap<Text, Known>,
    most: usize,
}

#[derive(Debug)]
struct Known {
    snapshot: AgentSnapshot,
    lease_ms: u64,
}

impl Agents {
    /// Nobody yet, and never more than `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            by_name: BTreeMap::new(),
            most,
        }
    }

    /// Makes an agent known; a second registration replaces the first.
    pub(crate) fn register(
        &mut self,
        agent: &str,
        data: Register,
        now: u64,
    ) -> Result<(Lease, AgentSnapshot), CommandError> {
        if self.by_name.len() >= self.most && !self.by_name.contains_key(agent) {
            refused("agents");
            return Err(
                CommandError::new(ErrorCode::LimitExceeded, "too many agents")
                    .with("limit", "agents"),
            );
        }
        let lease_ms = data.lease_ms.unwrap_or(Register::DEFAULT_LEASE_MS);
        let name = Text::from(agent);
        let snapshot = AgentSnapshot {
            agent: name.clone(),
            aors: data.aors,
            capabilities: data.capabilities,
            capacity: data.capacity,
            registered_at: Timestamp(now),
            expires_at: Timestamp(now + lease_ms),
        };
        self.by_name.insert(
            name,
            Known {
                snapshot: snapshot.clone(),
                lease_ms,
            },
        );
        Ok((
            Lease {
                lease_ms,
                expires_at: snapshot.expires_at,
            },
            snapshot,
        ))
    }

    /// A sign of life.
    pub(crate) fn heartbeat(&mut self, agent: &str, now: u64) -> Result<Lease, CommandError> {
        let Some(known) = self.by_name.get_mut(agent) else {
            return Err(CommandError::new(
                ErrorCode::NotFound,
                "not registered: register first",
            ));
        };
        known.snapshot.expires_at = Timestamp(now + known.lease_ms);
        Ok(Lease {
            lease_ms: known.lease_ms,
            expires_at: known.snapshot.expires_at,
        })
    }

    /// Forgets an agent; to forget an unknown one is no error.
    pub(crate) fn unregister(&mut self, agent: &str) -> Option<AgentSnapshot> {
        self.by_name.remove(agent).map(|known| known.snapshot)
    }

    /// Takes out the agents whose lease is over.
    pub(crate) fn expire(&mut self, now: u64) -> Vec<AgentSnapshot> {
        let gone = |known: &Known| known.snapshot.expires_at.0 <= now;
        let names: Vec<Text> = self
            .by_name
            .iter()
            .filter(|(_, known)| gone(known))
            .map(|(name, _)| name.clone())
            .collect();
        names
            .iter()
            .filter_map(|name| self.unregister(name))
            .collect()
    }

    /// Everyone, by name.
    pub(crate) fn all(&self) -> Vec<AgentSnapshot> {
        self.by_name
            .values()
            .map(|known| known.snapshot.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(lease_ms: u64) -> Register {
        Register {
            lease_ms: Some(lease_ms),
            ..Register::default()
        }
    }

    #[test]
    fn an_agent_lives_by_its_heartbeats() {
        let mut agents = Agents::new(2);
        agents.register("a", asking(1000), 0).unwrap();
        assert_eq!(
            agents.heartbeat("a", 900).unwrap().expires_at,
            Timestamp(1900)
        );
        assert!(agents.expire(1899).is_empty());
        assert_eq!(agents.expire(1900).len(), 1);
        assert_eq!(
            agents.heartbeat("a", 1901).unwrap_err().code,
            ErrorCode::NotFound
        );
    }

    #[test]
    fn there_is_a_limit_that_spares_those_who_are_there() {
        let mut agents = Agents::new(1);
        agents.register("a", asking(1000), 0).unwrap();
        assert_eq!(
            agents.register("b", asking(1000), 0).unwrap_err().code,
            ErrorCode::LimitExceeded
        );
        agents.register("a", asking(5000), 10).unwrap();
        assert_eq!(agents.all().len(), 1);
    }
}

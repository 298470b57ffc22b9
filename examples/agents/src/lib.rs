//! Agents to copy: a NATS client and the contract, nothing else. Each is one file in `src/bin`.

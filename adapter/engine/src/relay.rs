//! Requests outside of dialogs that are passed on: MESSAGE, and OPTIONS to a user.
//!
//! A relay asks every target at once and answers with the first success, or else with the best
//! failure, in bounded time. It is for one server transaction, or for one command of an agent; its
//! holder has the transactions. Like a call it has a [`CallKey`], so that responses find it by the
//! token in their branch.

mod compose;
mod front;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use sip::{Message, Method, Now};

use crate::hop::{Hop, Listeners, NextHop, Target, Transport};
use crate::key::CallKey;
use crate::large;
use crate::token::TokenKey;

pub use front::{ALLOW, Front, front};

/// RFC 4320 4.1: no answer is no 408, and comes before the client's own Timer F (32 s).
pub const RELAY_TIME: Duration = Duration::from_secs(24);

/// The most targets that are asked.
const FORKS_MAX: usize = 64;

/// The most addresses of one target that are tried (RFC 3263 4.3).
const HOPS_MAX: usize = 4;

/// Names one request of a relay; also the leg number in its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fork(pub u16);

/// What is relayed.
#[derive(Clone, Debug)]
pub enum RelayOrigin {
    /// A request of a peer, which has passed [`Message::check`] and the plan.
    Request {
        /// The request.
        request: Message,
        /// Whether it came from a trusted peer.
        trusted: bool,
    },
    /// An agent's message.
    Command {
        /// The From URI.
        from: Box<str>,
        /// The To URI.
        to: Box<str>,
        /// The type of the body.
        content_type: Box<str>,
        /// The body.
        body: Bytes,
    },
}

/// What a relay is told.
#[derive(Debug)]
pub enum RelayInput {
    /// A response; provisional ones are passed over.
    Response {
        /// To which request.
        fork: Fork,
        /// The response.
        response: Message,
    },
    /// A request got no final response.
    Failed {
        /// Which.
        fork: Fork,
        /// Whether it could not even be sent (as against Timer F).
        unreachable: bool,
    },
    /// The answer to [`RelayOutput::Resolve`].
    Resolved {
        /// Which request waits for it.
        fork: Fork,
        /// Where to try, in this order (RFC 3263 4); empty if there is nowhere.
        hops: Vec<Hop>,
    },
}

/// What a relay wants done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum RelayOutput {
    /// Look up where a target is; answered by [`RelayInput::Resolved`].
    Resolve {
        /// The request that waits for it.
        fork: Fork,
        /// A host name or an address literal.
        host: Box<str>,
        /// The port the URI names.
        port: Option<u16>,
        /// The transport the URI names.
        transport: Option<Transport>,
    },
    /// Send a request in a client transaction of its own.
    Request {
        /// Which.
        fork: Fork,
        /// To where.
        hop: Hop,
        /// Its method.
        method: Method,
        /// The branch in its Via.
        branch: Box<str>,
        /// The request.
        bytes: Bytes,
    },
    /// Answer the server transaction, or tell the agent: the status says what became of it.
    Respond {
        /// The final status.
        status: u16,
        /// The response; empty for a command.
        bytes: Bytes,
    },
    /// Nothing comes any more: forget the relay. Its client transactions end by themselves.
    Ended,
}

/// What all relays of a thread share, and what names this one.
#[derive(Clone, Debug)]
pub struct RelaySetup {
    /// Its name, in a shard of the holder.
    pub key: CallKey,
    /// Signs the tokens.
    pub tokens: TokenKey,
    /// Our listeners.
    pub listeners: Listeners,
    /// How long it may take.
    pub limit: Duration,
    /// Whether what is too large for a datagram is tried over TCP first (RFC 3261 18.1.1).
    pub large_over_tcp: bool,
}

/// One request on its way to several targets.
#[derive(Debug)]
pub struct Relay {
    setup: RelaySetup,
    origin: RelayOrigin,
    branches: Vec<Branch>,
    next_fork: u16,
    best: Option<Final>,
    deadline: Option<Duration>,
    outputs: VecDeque<RelayOutput>,
}

/// One target that has not failed yet.
#[derive(Debug)]
struct Branch {
    fork: Fork,
    target: Target,
    /// Where else it may be tried.
    hops: VecDeque<Hop>,
    /// The hop that the request was too large for.
    by_udp: Option<Hop>,
}

impl Branch {
    fn new(fork: Fork, target: Target) -> Self {
        Self {
            fork,
            target,
            hops: VecDeque::new(),
            by_udp: None,
        }
    }

    /// Somebody was there, or was silent: only who cannot be connected to gets a datagram.
    fn keep_to_tcp(&mut self) {
        let by_udp = self.by_udp;
        self.hops.retain(|hop| Some(*hop) != by_udp);
    }
}

/// A final answer, of a target or of ours.
#[derive(Debug)]
enum Final {
    Response(Message),
    Own(u16, &'static str),
}

/// No target answered in time, or none could be reached.
const NO_ANSWER: Final = Final::Own(480, "Temporarily Unavailable");

impl Relay {
    /// Asks all targets of a plan, whatever their preference.
    #[must_use]
    pub fn new(now: Now, setup: RelaySetup, origin: RelayOrigin, groups: Vec<Vec<Target>>) -> Self {
        let deadline = Some(now.mono + setup.limit);
        let mut relay = Self {
            setup,
            origin,
            branches: Vec::new(),
            next_fork: 1,
            best: None,
            deadline,
            outputs: VecDeque::new(),
        };
        for target in groups.into_iter().flatten().take(FORKS_MAX) {
            relay.ask(target);
        }
        relay.settle();
        relay
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> CallKey {
        self.setup.key
    }

    /// Takes an input. What follows from it is in [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, input: RelayInput) {
        match input {
            RelayInput::Response { fork, response } => self.response(fork, response),
            RelayInput::Failed { fork, unreachable } => {
                let mut branches = self.branches.iter_mut();
                let branch = branches.find(|branch| branch.fork == fork);
                let failure = match branch {
                    Some(branch) if unreachable => Final::unreachable(&branch.target),
                    Some(branch) => {
                        branch.keep_to_tcp();
                        NO_ANSWER
                    }
                    None => NO_ANSWER,
                };
                self.failed(fork, failure);
            }
            RelayInput::Resolved { fork, hops } => {
                if let Some(branch) = self.branches.iter_mut().find(|branch| branch.fork == fork) {
                    branch.hops = hops.into_iter().take(HOPS_MAX).collect();
                    let failure = Final::unreachable(&branch.target);
                    self.failed(fork, failure);
                }
            }
        }
        self.settle();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<RelayOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), in [`Now::mono`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    /// Gives up if it is time. May be called early.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.deadline.is_some_and(|deadline| deadline <= now.mono) {
            self.branches.clear();
            self.settle();
        }
    }

    fn ask(&mut self, target: Target) {
        let fork = self.fork();
        match target.hop.clone() {
            NextHop::Hop(hop) => self.send(Branch::new(fork, target), hop),
            NextHop::Name {
                host,
                port,
                transport,
            } => {
                self.branches.push(Branch::new(fork, target));
                self.outputs.push_back(RelayOutput::Resolve {
                    fork,
                    host,
                    port,
                    transport,
                });
            }
        }
    }

    fn fork(&mut self) -> Fork {
        let fork = Fork(self.next_fork);
        self.next_fork += 1;
        fork
    }

    fn send(&mut self, mut branch: Branch, hop: Hop) {
        let fork = branch.fork;
        match compose::request(&self.setup, &self.origin, fork, &branch.target, &hop) {
            Some((name, bytes)) => {
                if let Some(tcp) = self.over_tcp(&branch, hop, bytes.len()) {
                    branch.by_udp = Some(hop);
                    branch.hops.push_front(hop);
                    return self.send(branch, tcp);
                }
                let method = self.method();
                self.branches.push(branch);
                self.outputs.push_back(RelayOutput::Request {
                    fork,
                    hop,
                    method,
                    branch: name,
                    bytes,
                });
            }
            None => self.consider(Final::unreachable(&branch.target)),
        }
    }

    /// The way over TCP that comes before `hop`, if there is one.
    fn over_tcp(&self, branch: &Branch, hop: Hop, bytes: usize) -> Option<Hop> {
        if !self.setup.large_over_tcp || branch.by_udp == Some(hop) {
            return None;
        }
        large::over_tcp(&self.setup.listeners, &branch.target, hop, bytes)
    }

    fn method(&self) -> Method {
        match &self.origin {
            RelayOrigin::Request { request, .. } => request.method().unwrap_or(Method::Extension),
            RelayOrigin::Command { .. } => Method::Message,
        }
    }

    fn response(&mut self, fork: Fork, response: Message) {
        let Some(at) = self.branches.iter().position(|branch| branch.fork == fork) else {
            return;
        };
        match response.status() {
            None | Some(..200) => {}
            Some(200..300) => {
                self.branches.clear();
                self.best = Some(Final::Response(response));
            }
            // RFC 3263 4.3: as if it had not been reached.
            Some(503) => {
                self.branches[at].keep_to_tcp();
                self.failed(fork, Final::Response(response));
            }
            Some(300..) => {
                self.branches.swap_remove(at);
                self.consider(Final::Response(response));
            }
        }
    }

    /// The target is tried at its next address, if it has one.
    fn failed(&mut self, fork: Fork, failure: Final) {
        let Some(at) = self.branches.iter().position(|branch| branch.fork == fork) else {
            return;
        };
        let mut branch = self.branches.swap_remove(at);
        match branch.hops.pop_front() {
            Some(hop) => {
                branch.fork = self.fork();
                self.send(branch, hop);
            }
            None => self.consider(failure),
        }
    }

    /// RFC 3261 16.7 step 6: 6xx before all, then the lowest class; of one class the first.
    fn consider(&mut self, failure: Final) {
        let better = self
            .best
            .as_ref()
            .is_none_or(|best| failure.rank() < best.rank());
        if better {
            self.best = Some(failure);
        }
    }

    /// Answers when nobody is left to wait for.
    fn settle(&mut self) {
        if !self.branches.is_empty() || self.deadline.is_none() {
            return;
        }
        self.deadline = None;
        let best = self.best.take().unwrap_or(NO_ANSWER);
        let (status, bytes) = compose::respond(&self.setup, &self.origin, &best);
        self.outputs
            .push_back(RelayOutput::Respond { status, bytes });
        self.outputs.push_back(RelayOutput::Ended);
    }
}

impl Final {
    /// A registered device that is gone is absent; another element is out of order. Never 503: the
    /// asker would avoid us.
    fn unreachable(target: &Target) -> Self {
        match target.aor {
            Some(_) => NO_ANSWER,
            None => Self::Own(502, "Bad Gateway"),
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::Response(response) => response.status().unwrap_or(500),
            Self::Own(status, _) => *status,
        }
    }

    fn rank(&self) -> (u16, u16) {
        let class = match self.status() {
            600.. => 0,
            status => status / 100,
        };
        // Of two refusals a target's own word says more than ours.
        (class, u16::from(matches!(self, Self::Own(..))))
    }
}

#[cfg(test)]
mod tests;

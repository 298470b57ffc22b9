//! Where a request would go: the plan that a request would get, with its names looked up.

use bus_schema::{Answer, Destination, Explained, QueryExplain, Text};
use engine::{
    Hop, NextHop, Target,
    locate::{self, Question},
    route::Plan,
};

use super::{Commands, Pending};
use crate::shared::Shared;

impl Commands {
    pub(super) fn explain(&self, wanted: &QueryExplain, pending: Pending) {
        let shared = self.shared.clone();
        let (uri, plan, steps) = shared.explain(&wanted.to, wanted.from.as_deref());
        let mut explained = Explained {
            node: self.node(),
            uri,
            steps: steps.iter().map(|step| step.to_string().into()).collect(),
            destinations: Vec::new(),
            sip_status: None,
            sip_reason: None,
        };
        let targets = match plan {
            Plan::Fork { groups } => groups.into_iter().flatten().collect(),
            Plan::Refuse(refuse) => {
                explained.sip_status = Some(refuse.status);
                explained.sip_reason = Some(refuse.reason.into());
                Vec::new()
            }
        };
        self.shared.runtime.spawn(async move {
            for target in targets {
                let destination = destination(&shared, target).await;
                explained.destinations.push(destination);
            }
            pending.finish(Ok(Answer::Explained(explained)));
        });
    }
}

async fn destination(shared: &Shared, target: Target) -> Destination {
    Destination {
        uri: target.uri.into(),
        aor: target.aor.map(|aor| Text::from(&*aor)),
        q_milli: target.q,
        hops: hops(shared, target.hop).await,
    }
}

async fn hops(shared: &Shared, hop: NextHop) -> Vec<Text> {
    let listener = |listener: u16| {
        let listener = shared.listeners.get(usize::from(listener));
        listener.map_or("udp", |listener| listener.transport.as_str())
    };
    match hop {
        NextHop::Hop(Hop::Udp { remote, .. }) => vec![format!("udp {remote}").into()],
        NextHop::Hop(Hop::Flow { listener: by, .. }) => {
            vec![format!("{} connection", listener(by)).into()]
        }
        NextHop::Hop(Hop::Connect {
            transport, remote, ..
        }) => vec![format!("{} {remote}", transport.as_str()).into()],
        NextHop::Name {
            host,
            port,
            transport,
        } => {
            let places = match locate::literal(&host, port, transport) {
                Some(place) => vec![place],
                None => {
                    let asked = shared.dns.locate(&host, Question::of(port, transport));
                    let found = tokio::time::timeout(shared.net.resolve, asked).await;
                    found.unwrap_or_default()
                }
            };
            let spoken = places.into_iter().filter(|(transport, remote)| {
                engine::speaker(&shared.listeners, *transport, *remote).is_some()
            });
            let words = spoken.map(|(transport, remote)| {
                let words = format!("{} {remote}", transport.as_str());
                words.into()
            });
            words.collect()
        }
    }
}

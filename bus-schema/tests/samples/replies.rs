//! What is answered to commands.

use bus_schema::*;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    CALL, Sample, agent, at, bans, encoded, explain, node, registration, snapshot, t, trace,
};

fn reply<D>(name: &str, data: D) -> Sample
where
    D: Serialize + DeserializeOwned,
{
    let (json, msgpack) = encoded(&Reply::new(Some(t("cmd-2")), Ok(data)));
    Sample {
        schema: format!("reply.{name}"),
        name: format!("reply.{name}"),
        json,
        msgpack,
        decode: |encoding, bytes| match encoding.decode::<Reply<D>>(bytes) {
            Ok(reply) => reply.into_result().map(|_| ()).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        },
    }
}

pub(super) fn replies() -> Vec<Sample> {
    let lease = || Lease {
        lease_ms: 30_000,
        expires_at: at(30_000),
    };
    let view = || CallView {
        call: snapshot(CallState::InProgress),
        position: Position { epoch: 3, seq: 4 },
    };
    let refusal = CommandError::new(ErrorCode::PreconditionFailed, "the call is ringing")
        .with("state", "ringing")
        .with("epoch", 3)
        .with("seq", 2);
    let (json, msgpack) = encoded(&Reply::<Done>::new(Some(t("cmd-7")), Err(refusal)));
    vec![
        reply("agent.register", lease()),
        reply("agent.unregister", Done {}),
        reply("agent.heartbeat", lease()),
        reply(
            "agent.originate",
            Originated {
                call: CALL,
                session: CALL.into(),
            },
        ),
        reply("agent.message", Done {}),
        reply("call.hangup", Done {}),
        reply(
            "query.calls",
            Calls {
                node: t("n1"),
                calls: vec![view()],
                next: None,
            },
        ),
        reply("query.call", view()),
        reply(
            "query.registrations",
            Registrations {
                node: t("n1"),
                registrations: vec![registration()],
                next: None,
            },
        ),
        reply(
            "query.agents",
            Agents {
                node: t("n1"),
                agents: vec![agent()],
            },
        ),
        reply(
            "query.nodes",
            Nodes {
                node: t("n1"),
                nodes: vec![node(NodeState::Up)],
            },
        ),
        reply("query.bans", bans::bans()),
        reply("query.route.explain", explain::answer()),
        reply("query.trace", trace::answer()),
        reply("admin.ban", bans::bans()),
        reply("admin.unban", bans::bans()),
        reply(
            "admin.reload",
            Reloaded {
                node: t("n1"),
                changed: vec![t("user")],
                restart: vec![],
            },
        ),
        reply(
            "admin.drain",
            Draining {
                node: t("n1"),
                calls: 2,
            },
        ),
        Sample {
            schema: "reply.call.hangup".to_owned(),
            name: "reply.error".to_owned(),
            json,
            msgpack,
            decode: |encoding, bytes| match encoding.decode::<Reply<Done>>(bytes) {
                Ok(Reply::Error { error, .. }) if error.code == ErrorCode::PreconditionFailed => {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            },
        },
    ]
}

//! Commands of agents.

use bus_schema::{
    Actor, Answer, CallCommand, CallVerb, Cause, CommandError, Done, ErrorCode, Outcome, Reason,
};
use sip::Now;

use super::{Call, Stage};
use crate::leg::{Output, ReplyToken};

impl Call {
    pub(super) fn command(
        &mut self,
        now: Now,
        token: ReplyToken,
        agent: &str,
        id: &str,
        command: CallCommand,
    ) {
        let refusal = self.refusal_of(now, &command);
        let reply: Outcome = refusal.map_or(Ok(Answer::Done(Done {})), Err);
        let is_accepted = reply.is_ok();
        let reply = Box::new(reply);
        self.push(Output::Reply { token, reply });
        if !is_accepted {
            return;
        }
        match command.data {
            CallVerb::Hangup(hangup) => {
                let reason = hangup.reason.unwrap_or(Reason::NormalClearing);
                let mut cause = Cause::command(agent, Some(id.into()), reason);
                debug_assert_eq!(cause.actor, Actor::Agent);
                cause.text = hangup.text;
                self.abort(now, cause, hangup.sip_status);
            }
        }
    }

    /// Why a command cannot be performed now.
    fn refusal_of(&self, now: Now, command: &CallCommand) -> Option<CommandError> {
        let position = self.story.position;
        let refusal = |code, why: &str| {
            CommandError::new(code, why)
                .with("state", self.story.state.as_str())
                .with("seq", position.seq)
        };
        if matches!(self.stage, Stage::Over | Stage::Ended) {
            return Some(refusal(ErrorCode::WrongState, "the call has ended"));
        }
        if command
            .deadline_ms
            .is_some_and(|deadline| now.unix_ms > deadline)
        {
            return Some(refusal(ErrorCode::DeadlinePassed, "too late"));
        }
        if command
            .if_state
            .is_some_and(|state| state != self.story.state)
        {
            return Some(refusal(
                ErrorCode::PreconditionFailed,
                "the call is in another state",
            ));
        }
        if command.if_seq.is_some_and(|seq| seq != position.seq) {
            return Some(refusal(
                ErrorCode::PreconditionFailed,
                "the call has moved on",
            ));
        }
        None
    }
}

//! A command that waits for its reply. It gets one whatever happens: dropped, it is refused.

use std::sync::Arc;

use bus_schema::{CommandError, Encoding, ErrorCode, Outcome, Reply, Text, header};
use serde::Serialize;

use super::Commands;
use crate::{
    bus::{self, Responder},
    idempotency::Key,
};

/// Who asked, and how to answer.
pub(crate) struct Asked {
    pub(crate) id: Option<Text>,
    pub(crate) encoding: Encoding,
    /// None once it is answered.
    responder: Option<Responder>,
}

impl Asked {
    /// Somebody who has not said yet how to be answered.
    pub(super) fn new(responder: Responder) -> Self {
        Self {
            id: None,
            encoding: Encoding::Json,
            responder: Some(responder),
        }
    }

    pub(crate) fn answer<D: Serialize>(mut self, outcome: Result<D, CommandError>) {
        self.send(outcome, false);
    }

    /// Answers a repeat with what the first one got.
    pub(crate) fn answer_again(mut self, data: serde_json::Value) {
        self.send(Ok(data), true);
    }

    /// The reply, and the way to send it.
    pub(super) fn prepare(mut self, outcome: Outcome) -> Option<(Responder, bus::Reply)> {
        let responder = self.responder.take()?;
        let id = self.id.take();
        Some((responder, response(self.encoding, id, outcome, false)))
    }

    fn send<D: Serialize>(&mut self, outcome: Result<D, CommandError>, repeat: bool) {
        if let Some(responder) = self.responder.take() {
            responder.send(response(self.encoding, self.id.take(), outcome, repeat));
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.send::<()>(Err(lost()), false);
    }
}

/// What the asker hears of a command that a bug of ours has cost.
fn lost() -> CommandError {
    CommandError::new(ErrorCode::Internal, "the command was lost")
}

/// The reply as it goes on the bus.
pub(super) fn response<D: Serialize>(
    encoding: Encoding,
    id: Option<Text>,
    outcome: Result<D, CommandError>,
    repeat: bool,
) -> bus::Reply {
    let mut headers = vec![(header::CONTENT_TYPE, encoding.content_type().to_owned())];
    if let Err(error) = &outcome {
        headers.push((header::SERVICE_ERROR, error.reason.to_string()));
        headers.push((header::SERVICE_ERROR_CODE, error.code.number().to_string()));
    }
    let mut reply = Reply::new(id, outcome);
    if let Reply::Accepted { repeated, .. } = &mut reply {
        *repeated = repeat;
    }
    let mut body = Vec::with_capacity(256);
    if let Err(error) = reply.encode_into(encoding, &mut body) {
        tracing::error!(%error, "a reply cannot be encoded");
    }
    bus::Reply {
        headers,
        body: body.into(),
    }
}

/// A command being carried out.
pub(crate) struct Pending {
    commands: Arc<Commands>,
    key: Option<Key>,
    asked: Option<Asked>,
}

impl Pending {
    pub(super) fn new(commands: Arc<Commands>, key: Option<Key>, asked: Asked) -> Self {
        Self {
            commands,
            key,
            asked: Some(asked),
        }
    }

    /// Answers it.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.settle(outcome);
    }

    /// Refuses it.
    pub(crate) fn refuse(self, code: ErrorCode, reason: &str) {
        self.finish(Err(CommandError::new(code, reason)));
    }

    fn settle(&mut self, outcome: Outcome) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let Some(key) = self.key else {
            return asked.answer(outcome);
        };
        match outcome
            .as_ref()
            .ok()
            .and_then(|answer| serde_json::to_value(answer).ok())
        {
            Some(data) => self.commands.keep(key, data, asked, outcome),
            None => {
                self.commands.given.lock().refused(key);
                asked.answer(outcome);
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.settle(Err(lost()));
    }
}

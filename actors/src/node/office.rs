//! Commands of administration.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bus_schema::{
    Answer, CommandError, Drain, Draining, ErrorCode, Outcome, Reload, Reloaded, Text,
};
use tokio::{runtime::Handle, sync::Notify};

use super::{drain, reload::Settings};
use crate::{commands::Admin, parcel::Posts, shared::Shared};

/// What commands of administration are carried out by.
pub(super) struct Office {
    pub(super) shared: Arc<Shared>,
    pub(super) posts: Posts,
    pub(super) file: Option<PathBuf>,
    pub(super) settings: Arc<Settings>,
    pub(super) drained: Arc<Notify>,
}

impl Office {
    /// Whether a command that may name a node means this one.
    fn is_meant(&self, wanted: Option<&Text>) -> Result<(), CommandError> {
        let node = self.shared.voice.source.node();
        if wanted.is_none_or(|wanted| &**wanted == node) {
            return Ok(());
        }
        let other = "this command is for another node";
        Err(CommandError::new(ErrorCode::NotOwner, other))
    }
}

impl Admin for Office {
    fn reload(&self, data: Reload) -> Outcome {
        self.is_meant(data.node.as_ref())?;
        let refuse = |why: String| Err(CommandError::new(ErrorCode::BadRequest, why));
        let Some(file) = &self.file else {
            return refuse("the built-in demo has no file to read again".to_owned());
        };
        match self.settings.read(&self.shared, file) {
            Ok(changes) => Ok(Answer::Reloaded(Reloaded {
                node: self.shared.voice.source.node().into(),
                changed: changes.taken.into_iter().map(Into::into).collect(),
                restart: changes.waiting.into_iter().map(Into::into).collect(),
            })),
            Err(mistakes) => {
                let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                refuse(all.join("; "))
            }
        }
    }

    fn drain(&self, data: Drain) -> Outcome {
        self.is_meant(data.node.as_ref())?;
        self.shared.leave();
        let within = data
            .within_ms
            .map_or(Duration::MAX / 4, Duration::from_millis);
        let (shared, posts, drained) = (
            self.shared.clone(),
            self.posts.clone(),
            self.drained.clone(),
        );
        Handle::current().spawn(async move {
            drain(&shared, &posts, within).await;
            drained.notify_one();
        });
        let calls = self.shared.calls.load(Ordering::Relaxed);
        Ok(Answer::Draining(Draining {
            node: self.shared.voice.source.node().into(),
            calls,
        }))
    }
}

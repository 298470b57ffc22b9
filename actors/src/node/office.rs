//! Commands of administration.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bus_schema::{Answer, Draining, Outcome, Reloaded};
use tokio::{runtime::Handle, sync::Notify};

use super::{drain, reload::reload};
use crate::{commands::Admin, parcel::Posts, shared::Shared};

/// What commands of administration are carried out by.
pub(super) struct Office {
    pub(super) shared: Arc<Shared>,
    pub(super) posts: Posts,
    pub(super) file: Option<PathBuf>,
    pub(super) drained: Arc<Notify>,
}

impl Admin for Office {
    fn reload(&self) -> Outcome {
        let refuse = |why: String| {
            Err(bus_schema::CommandError::new(
                bus_schema::ErrorCode::BadRequest,
                why,
            ))
        };
        let Some(file) = &self.file else {
            return refuse("the built-in demo has no file to read again".to_owned());
        };
        match reload(&self.shared, file) {
            Ok(()) => Ok(Answer::Reloaded(Reloaded {
                node: self.shared.voice.source.node().into(),
                changed: ["domain", "user", "route", "limits", "tls"]
                    .map(Into::into)
                    .to_vec(),
                restart: Vec::new(),
            })),
            Err(mistakes) => {
                let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                refuse(all.join("; "))
            }
        }
    }

    fn drain(&self, data: bus_schema::Drain) -> Outcome {
        let node = self.shared.voice.source.node();
        if data.node.as_ref().is_some_and(|wanted| &**wanted != node) {
            let other = "this command is for another node";
            return Err(bus_schema::CommandError::new(
                bus_schema::ErrorCode::NotOwner,
                other,
            ));
        }
        self.shared.draining.store(true, Ordering::Relaxed);
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
            node: node.into(),
            calls,
        }))
    }
}

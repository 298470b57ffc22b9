//! What a node has on disk: its folder, its keys, its epoch, its store and its journal.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use config::{BusUrl, Config};
use ed25519_dalek::SigningKey;
use engine::TokenKey;

use super::StartError;
use crate::{
    ack::{Ack, AckSink, Notice},
    bus,
    clock::Clock,
    journal::{self, Journal},
    nats_server::NatsServer,
    random::random_bytes,
    store::{self, SledStore, Store, Tree},
};

/// How long the disk may take to keep the epoch.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was opened.
pub(super) struct State {
    pub(super) epoch: u64,
    pub(super) token_key: TokenKey,
    pub(super) store: Arc<dyn Store>,
    pub(super) journal: Journal,
}

impl State {
    /// Opens or begins the state in the configured folder.
    pub(super) fn open(config: &Config, clock: Clock) -> Result<Self, StartError> {
        let folder = &config.node.state_dir;
        let failed = |source| StartError::State {
            path: folder.clone(),
            source,
        };
        make(folder).map_err(failed)?;
        // The store is locked while it is open: a second instance fails here.
        let key = signing_key(&folder.join("node.key")).map_err(failed)?;
        let options = store::Options {
            queue: usize::try_from(config.limits.store_queue).unwrap_or(usize::MAX),
            ..store::Options::new(folder.join("sled"))
        };
        let (store, opened) = SledStore::open(options, clock).map_err(failed)?;
        if let Some(recovery) = &opened.recovery {
            tracing::error!(
                ?recovery,
                "the store was damaged; what could not be read is set aside"
            );
        }
        let store: Arc<dyn Store> = Arc::new(store);
        let (epoch, token_key) = identity(&*store).map_err(failed)?;
        let journal = match config.bus.url {
            BusUrl::Off => Journal::none(),
            BusUrl::Managed | BusUrl::Server(_) => {
                let options = journal::Options {
                    retain_bytes: u64::from(config.limits.journal_mbytes) << 20,
                    queue: usize::try_from(config.limits.bus_queue).unwrap_or(usize::MAX),
                    ..journal::Options::new(folder.join("journal"))
                };
                let acknowledged = bus::published(&*store);
                let (journal, opened) =
                    Journal::open(options, key, acknowledged, clock).map_err(failed)?;
                if let Some(recovery) = &opened.recovery {
                    tracing::warn!(?recovery, "the journal's torn end was cut");
                }
                journal
            }
        };
        Ok(Self {
            epoch,
            token_key,
            store,
            journal,
        })
    }
}

/// A folder for this user alone.
fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// The node's key, drawn at its first start.
fn signing_key(file: &PathBuf) -> io::Result<SigningKey> {
    match fs::read(file) {
        Ok(bytes) => {
            let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "node.key does not hold 32 bytes",
                )
            })?;
            Ok(SigningKey::from_bytes(&bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = random_bytes::<32>();
            let mut open = fs::OpenOptions::new();
            let mut file = open.write(true).create_new(true).mode(0o600).open(file)?;
            io::Write::write_all(&mut file, &bytes)?;
            file.sync_all()?;
            Ok(SigningKey::from_bytes(&bytes))
        }
        Err(error) => Err(error),
    }
}

/// This start's epoch, one above the last and on disk, and the key that signs our tags: the same
/// after a restart, so that requests in dialogs still find their calls.
fn identity(store: &dyn Store) -> io::Result<(u64, TokenKey)> {
    let (mut epoch, mut key) = (0_u64, None);
    store
        .scan(Tree::Meta, &mut |name, _format, value| match name {
            b"epoch" => epoch = value.try_into().map_or(0, u64::from_be_bytes),
            b"token_key" => key = value.try_into().ok(),
            _ => {}
        })
        .map_err(io::Error::other)?;
    epoch += 1;
    let key: [u8; 16] = key.unwrap_or_else(random_bytes);
    let (sink, kept) = Once::new();
    let write = |name: &[u8], value: Bytes, notice| store.put(Tree::Meta, name, value, notice);
    write(b"token_key", Bytes::copy_from_slice(&key), None).map_err(io::Error::other)?;
    let notice = Notice { sink, token: 0 };
    let value = Bytes::copy_from_slice(&epoch.to_be_bytes());
    write(b"epoch", value, Some(notice)).map_err(io::Error::other)?;
    match kept.recv_timeout(PATIENCE) {
        Ok(true) => Ok((epoch, TokenKey::new(key))),
        Ok(false) | Err(_) => Err(io::Error::other("the store keeps nothing")),
    }
}

/// Waits for one acknowledgement; for the start alone.
struct Once(mpsc::SyncSender<bool>);

impl Once {
    fn new() -> (Arc<Self>, mpsc::Receiver<bool>) {
        let (kept, wait) = mpsc::sync_channel(1);
        (Arc::new(Self(kept)), wait)
    }
}

impl AckSink for Once {
    fn settle(&self, acks: &[Ack]) {
        for ack in acks {
            self.0.try_send(ack.durable).ok();
        }
    }
}

/// Where the bus is; none: there is none.
pub(super) fn address(config: &Config, server: Option<&NatsServer>) -> Option<bus::Address> {
    match (&config.bus.url, server) {
        (BusUrl::Off, _) | (BusUrl::Managed, None) => None,
        (BusUrl::Managed, Some(server)) => Some(server.address().clone()),
        (BusUrl::Server(url), _) => Some(bus::Address {
            url: url.clone(),
            login: config.bus.login.clone(),
            ca: config.bus.ca.clone(),
            name: config.node.id.clone(),
        }),
    }
}

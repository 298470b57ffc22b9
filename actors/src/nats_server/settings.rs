//! The server's configuration file, and `bus.json`, which tells the CLI and the examples where the
//! bus is.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Options, StartError};

/// A server's version: major and minor.
pub(super) type Version = (u32, u32);

/// From this version on the server can be told how often to sync. Every write would be eight times
/// its CPU and cap it near 1,500 events a second; the journal has synced them already, and its
/// cursor stays far enough behind that what a power failure takes here is published again.
const SYNC_INTERVAL: Version = (2, 10);

/// What was prepared for the server.
pub(super) struct Access {
    pub(super) url: String,
    pub(super) token: String,
    pub(super) settings: PathBuf,
    pub(super) log: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct BusFile {
    url: String,
    token: String,
}

impl Access {
    /// Writes the files. The token of an earlier run is kept, so that agents need not be told anew.
    pub(super) fn prepare(options: &Options, version: Option<Version>) -> Result<Self, StartError> {
        let dir = options.state_dir.join("nats");
        let state = |path: &Path| {
            let path = path.to_owned();
            move |source| StartError::State { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(state(&dir))?;
        let bus_file = options.state_dir.join("bus.json");
        let token = earlier_token(&bus_file).unwrap_or_else(|| hex(&options.entropy));
        let url = format!("nats://127.0.0.1:{}", options.port);

        let settings = dir.join("server.conf");
        let text = configuration(options, &dir, &token, version);
        write_private(&settings, text.as_bytes()).map_err(state(&settings))?;
        let bus = BusFile {
            url: url.clone(),
            token: token.clone(),
        };
        let json = serde_json::to_vec_pretty(&bus)
            .map_err(io::Error::other)
            .map_err(state(&bus_file))?;
        write_private(&bus_file, &json).map_err(state(&bus_file))?;
        Ok(Self {
            url,
            token,
            settings,
            log: dir.join("server.log"),
        })
    }
}

fn configuration(options: &Options, dir: &Path, token: &str, version: Option<Version>) -> String {
    let store = quote(&dir.join("store"));
    let sync = if version >= Some(SYNC_INTERVAL) {
        "\n  sync_interval: \"1s\""
    } else {
        ""
    };
    format!(
        "# Written by ifbus at each start.\n\
         server_name: \"ifbus-{node}\"\n\
         listen: \"127.0.0.1:{port}\"\n\
         authorization {{ token: \"{token}\" }}\n\
         jetstream {{\n  store_dir: {store}{sync}\n}}\n",
        node = options.node,
        port = options.port,
    )
}

fn quote(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn earlier_token(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let bus: BusFile = serde_json::from_slice(&bytes).ok()?;
    let sound = bus.token.len() == 32 && bus.token.bytes().all(|b| b.is_ascii_hexdigit());
    sound.then_some(bus.token)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces a file in one step; only its owner can read it.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    // A file of that name may have been left with other rights.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

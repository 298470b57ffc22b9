//! The server's process.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::StartError;
use super::settings::Version;
use crate::clock::Clock;

const CONNECT: Duration = Duration::from_millis(500);
/// How much of the log an error shows.
const TAIL: u64 = 600;

pub(super) struct Child {
    process: process::Child,
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts the server so that the kernel kills it when the calling thread ends, which must
    /// therefore live as long as the server shall.
    pub(super) fn spawn(
        executable: &Path,
        settings: &Path,
        log: &Path,
    ) -> Result<Self, StartError> {
        let state = |source| StartError::State {
            path: log.to_owned(),
            source,
        };
        let out = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(log)
            .map_err(state)?;
        let copy = out.try_clone().map_err(state)?;
        let mut command = if let Some(setpriv) = find(Path::new("setpriv")) {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(executable);
            command
        } else {
            tracing::warn!(
                "setpriv (util-linux) is missing: if this process is killed, nats-server stays"
            );
            Command::new(executable)
        };
        command.arg("--config").arg(settings);
        command.stdin(Stdio::null()).stdout(out).stderr(copy);
        let process = command.spawn().map_err(|source| StartError::State {
            path: executable.to_owned(),
            source,
        })?;
        Ok(Self {
            process,
            status: None,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// True: it has ended.
    pub(super) fn ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.process.try_wait().unwrap_or(None);
        }
        self.status.is_some()
    }

    /// How it ended.
    pub(super) fn status(&self) -> String {
        self.status
            .map_or_else(|| "running".to_owned(), |status| status.to_string())
    }

    pub(super) fn kill(&mut self) {
        if let Err(error) = self.process.kill() {
            tracing::warn!(%error, "nats-server could not be killed");
        }
        self.status = self.process.wait().ok();
    }

    /// Asks it to end, and kills it if it does not in time.
    pub(super) fn end(&mut self, executable: &Path, patience: Duration, clock: Clock) {
        if self.ended() {
            return;
        }
        // The server itself knows how to send the signal; we have no safe way to.
        let signal = Command::new(executable)
            .arg("--signal")
            .arg(format!("term={}", self.id()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let asked = signal.is_ok_and(|status| status.success());
        let deadline = clock.mono() + patience;
        while asked && clock.mono() < deadline {
            if self.ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }
}

/// A server that nobody watches would keep its port from the next.
impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended() {
            self.kill();
        }
    }
}

/// The executable: as given if it has a slash, else in `PATH`, else in `.tools/bin`.
pub(super) fn find(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return is_executable(name).then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from(".tools/bin")])
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What `--version` says: `nats-server: v2.9.10`.
pub(super) fn version(executable: &Path) -> Option<Version> {
    let output = Command::new(executable)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, version) = text.rsplit_once(" v")?;
    let mut numbers = version.trim().split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Does anybody take connections on this loopback port?
pub(super) fn listens(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, CONNECT).is_ok()
}

/// The end of the log, in one line.
pub(super) fn tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(text.lines().map(str::trim).collect::<Vec<_>>().join(" | "))
    };
    read().unwrap_or_else(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever watches it may die of a bug, and starts another then.
    #[test]
    fn a_server_that_nobody_watches_ends() {
        let folder = tempfile::tempdir().unwrap();
        let server = folder.path().join("server");
        let script = "#!/bin/sh\nexec sleep 1000\n";
        fs::write(&server, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&server, mode).unwrap();
        let log = folder.path().join("log");
        let child = Child::spawn(&server, folder.path(), &log).unwrap();
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(process.exists());
        drop(child);
        assert!(!process.exists());
    }
}

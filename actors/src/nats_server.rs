//! A private `nats-server`, run and watched by this process: what `bus.url = "managed"` means.
//!
//! It listens on loopback with a random token, keeps its streams under the state directory, dies
//! with us however we die, and is started again if it dies alone.

mod child;
mod settings;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use config::{Login, Secret};
use parking_lot::Mutex;

use self::child::{Child, find, version};
use self::settings::Access;
use crate::bus::Address;
use crate::clock::Clock;
use crate::fault::{Part, contain};

/// How long the server has from its start to its first accepted connection: it reads its streams
/// first. One that ends is not waited for.
const START: Duration = Duration::from_secs(60);
/// How long it has to put its streams away.
const FAREWELL: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(250);
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LONGEST: Duration = Duration::from_secs(5);
/// One that ran this long before it died is started again without much wait.
const STEADY: Duration = Duration::from_secs(60);

/// How the server is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// `bus.server`: a name, looked up in `PATH` and beside the project's tools, or a path.
    pub server: PathBuf,
    /// The loopback port.
    pub port: u16,
    /// The node's state directory: gets `nats/` and `bus.json`.
    pub state_dir: PathBuf,
    /// The node's name, for our own log-in.
    pub node: String,
    /// The token, if none is in `bus.json` from an earlier run. 16 bytes drawn at random.
    pub entropy: [u8; 16],
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such executable.
    #[error(
        "bus.url = \"managed\" needs nats-server, and {} was not found (looked in PATH and \
         .tools/bin). Run `make setup`, or install the package nats-server, or set bus.server to \
         its path, or bus.url to a server of yours, or bus.url = \"off\"",
        .0.display()
    )]
    Missing(PathBuf),
    /// It ended at once; this is what it said last.
    #[error("nats-server ended at once ({status}): {said}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its log.
        said: String,
    },
    /// It runs and takes no connection.
    #[error("nats-server took no connection on port {port} for {} s", START.as_secs(), port = .0)]
    Deaf(u16),
    /// Somebody else has the port.
    #[error(
        "port {0} of loopback is taken by another program: set bus.port, or bus.url to that server"
    )]
    PortTaken(u16),
    /// The state directory cannot be used.
    #[error("{path}: {source}", path = .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The running server. Dropping it stops the server.
pub struct NatsServer {
    address: Address,
    pid: Arc<Mutex<Option<u32>>>,
    stop: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl NatsServer {
    /// Starts the server and waits until it takes connections. Blocks: for the start.
    ///
    /// # Errors
    /// [`StartError`]; its text says what to do.
    pub fn start(options: &Options, clock: Clock) -> Result<Self, StartError> {
        let executable =
            find(&options.server).ok_or_else(|| StartError::Missing(options.server.clone()))?;
        let version = version(&executable);
        let access = Access::prepare(options, version)?;
        let address = Address {
            url: access.url.clone(),
            login: Login::Token(Secret::new(access.token.as_str())),
            ca: None,
            name: options.node.clone(),
        };
        if child::listens(options.port) {
            return Err(StartError::PortTaken(options.port));
        }
        let (stop, stopped) = sync_channel(1);
        let (report, first) = sync_channel(1);
        let pid = Arc::new(Mutex::new(None));
        let keeper = Keeper {
            executable,
            settings: access.settings,
            log: access.log,
            port: options.port,
            clock,
            pid: Arc::clone(&pid),
        };
        // The child dies with the thread that started it: this one lives as long as we do.
        let thread = std::thread::Builder::new()
            .name("nats-server".into())
            .spawn(move || {
                let mut reported = false;
                loop {
                    let run = || keeper.run(&report, &stopped, &mut reported);
                    let ended = contain(Part::NatsServer, run).is_some();
                    // Whoever waits for the start must not wait for ever.
                    if ended || !reported {
                        return;
                    }
                    std::thread::sleep(RESTART_FIRST);
                }
            })
            .map_err(|source| StartError::State {
                path: options.state_dir.clone(),
                source,
            })?;
        let server = Self {
            address,
            pid,
            stop,
            thread: Some(thread),
        };
        match first.recv() {
            Ok(Ok(())) => Ok(server),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Deaf(options.port)),
        }
    }

    /// Where it is, and how to log in.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        *self.pid.lock()
    }

    /// Ends it, giving it time to put its streams away. Blocks: for the way out.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The thread may have been told already, or have failed to start anything.
        let _told = self.stop.try_send(());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps nats-server had panicked");
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the server, and again when it dies.
struct Keeper {
    executable: PathBuf,
    settings: PathBuf,
    log: PathBuf,
    port: u16,
    clock: Clock,
    pid: Arc<Mutex<Option<u32>>>,
}

impl Keeper {
    fn run(
        &self,
        report: &SyncSender<Result<(), StartError>>,
        stop: &std::sync::mpsc::Receiver<()>,
        reported: &mut bool,
    ) {
        let mut wait = RESTART_FIRST;
        loop {
            let began = self.clock.mono();
            match self.start() {
                Ok(mut child) => {
                    if !std::mem::replace(reported, true) {
                        let _nobody_waits = report.send(Ok(()));
                    }
                    let stopped = watch(&mut child, stop);
                    *self.pid.lock() = None;
                    if stopped {
                        child.end(&self.executable, FAREWELL, self.clock);
                        return;
                    }
                    tracing::error!(
                        status = child.status(),
                        "nats-server died; starting it again"
                    );
                    metrics::counter!("ifbus_nats_server_restarts_total").increment(1);
                }
                Err(error) if !*reported => {
                    let _nobody_waits = report.send(Err(error));
                    return;
                }
                Err(error) => tracing::error!(%error, "nats-server does not start"),
            }
            if self.clock.mono() - began > STEADY {
                wait = RESTART_FIRST;
            }
            if stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            wait = (wait * 2).min(RESTART_LONGEST);
        }
    }

    fn start(&self) -> Result<Child, StartError> {
        let mut child = Child::spawn(&self.executable, &self.settings, &self.log)?;
        *self.pid.lock() = Some(child.id());
        let deadline = self.clock.mono() + START;
        while !child::listens(self.port) {
            if child.ended() {
                return Err(StartError::Ended {
                    status: child.status(),
                    said: child::tail(&self.log),
                });
            }
            if self.clock.mono() > deadline {
                child.kill();
                return Err(StartError::Deaf(self.port));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(child)
    }
}

/// Waits until the child dies (false) or we are told to stop (true).
fn watch(child: &mut Child, stop: &std::sync::mpsc::Receiver<()>) -> bool {
    loop {
        match stop.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) if child.ended() => return false,
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

//! The executable and its log.

#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// Far more than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

struct Running {
    child: Child,
    at: SocketAddr,
    log: BufReader<std::process::ChildStderr>,
    state: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        self.child.kill().ok();
    }
}

/// Starts the adapter, and reads its log up to where it listens.
fn start() -> Running {
    let state = TempDir::new().unwrap();
    let file = state.path().join("ifbus.toml");
    let folder = state.path().join("state");
    let text = format!(
        "[node]\nstate_dir = {folder:?}\n[bus]\nurl = \"off\"\n[http]\naddr = \"off\"\n\
         [log]\nlevel = \"debug\"\nformat = \"json\"\n\
         [[listen]]\ntransport = \"udp\"\naddr = \"127.0.0.1:0\"\n\
         [[listen]]\ntransport = \"tls\"\naddr = \"127.0.0.1:0\"\n\
         [[domain]]\nname = \"open.test\"\nauth = \"open\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ifbus"))
        .args(["run", "--config"])
        .arg(&file)
        .env_remove("IFBUS_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let at = loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
        if line.contains("listening") {
            let (_, rest) = line.split_once("127.0.0.1:").unwrap();
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            break ([127, 0, 0, 1], port.parse().unwrap()).into();
        }
    };
    Running {
        child,
        at,
        log,
        state,
    }
}

/// Registers so many users, a few at a time; each must be answered.
fn register(at: SocketAddr, users: std::ops::Range<u32>) {
    const AT_ONCE: usize = 50;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let local = socket.local_addr().unwrap();
    let mut buffer = [0; 65_535];
    for some in users.collect::<Vec<_>>().chunks(AT_ONCE) {
        for user in some {
            let request = format!(
                "REGISTER sip:open.test SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {local};branch=z9hG4bK{user};rport\r\nMax-Forwards: 70\r\n\
                 From: <sip:{user}@open.test>;tag=1\r\nTo: <sip:{user}@open.test>\r\n\
                 Call-ID: {user}@test\r\nCSeq: 1 REGISTER\r\n\
                 Contact: <sip:{user}@{local}>\r\nContent-Length: 0\r\n\r\n"
            );
            socket.send_to(request.as_bytes(), at).unwrap();
        }
        for _ in some {
            let (length, _) = socket.recv_from(&mut buffer).unwrap();
            assert!(buffer[..length].starts_with(b"SIP/2.0 200 "));
        }
    }
}

/// Reads the log up to a line that says this.
fn until(running: &mut Running, said: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(running.log.read_line(&mut line).unwrap() > 0, "it ended");
        if line.contains(said) {
            return line;
        }
    }
}

fn hang_up(running: &Running) {
    let pid = running.child.id().to_string();
    let kill = Command::new("kill").args(["-HUP", &pid]).status();
    assert!(kill.unwrap().success());
}

fn terminate(running: &mut Running) {
    let pid = running.child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert!(running.child.wait().unwrap().success());
}

/// A pipe holds 64 kB, and each registration is a line.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let mut running = start();
    register(running.at, 0..1500);
    terminate(&mut running);
    let mut said = String::new();
    running.log.read_to_string(&mut said).unwrap();
    assert!(said.len() >= 50_000, "the pipe was full: {}", said.len());
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let mut running = start();
    register(running.at, 0..1);
    terminate(&mut running);
    let mut said = String::new();
    running.log.read_to_string(&mut said).unwrap();
    assert!(
        said.contains("reg.bound") && said.contains("draining"),
        "{said}"
    );
}

#[test]
fn a_hangup_reads_everything_again_or_nothing() {
    let mut running = start();
    hang_up(&running);
    until(&mut running, "certificates read again");
    until(&mut running, "configuration read again");
    let key = running.state.path().join("state/tls/key.pem");
    std::fs::write(&key, "not a key").unwrap();
    hang_up(&running);
    let line = until(&mut running, "certificates not taken");
    assert!(line.contains("key.pem: holds no private key"), "{line}");
    until(&mut running, "configuration not taken");
    terminate(&mut running);
}

//! Lines of the log on their way to standard error, which may be a terminal that somebody has
//! stopped or a pipe that nobody reads. Whoever logs never waits for it: one thread writes, what
//! waits has a bound, and what is past it is dropped and counted.
//!
//! Not `tracing-appender`, which counts lines and not bytes, keeps its number of dropped ones to
//! itself, and brings a calendar for files that we do not write.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait.
const MOST: usize = 1 << 20;
/// How long lines are gathered: a wake-up for each would cost more than the line.
const GATHER: Duration = Duration::from_millis(20);
/// How long the end of the process waits for the last lines.
const FAREWELL: Duration = Duration::from_secs(1);
/// A terminal that was made non-blocking by another program is tried again after this.
const AGAIN: Duration = Duration::from_millis(10);

/// The way to the writing thread.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines since the last that was written.
    dropped: u64,
    closed: bool,
    done: bool,
}

/// Dropped, it waits until what was logged is written, but not for long.
pub(crate) struct Flush(Lines);

impl Lines {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// There can be no thread.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let lines = Self(Arc::default());
        let shared = lines.0.clone();
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                actors::give_way();
                shared.write_to(out);
            })?;
        Ok((lines.clone(), Flush(lines)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > MOST {
            state.dropped += 1;
            drop(state);
            metrics::counter!("ifbus_log_dropped_total").increment(1);
            return;
        }
        let wake = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
            let state = self.changed.wait_while(self.lock(), idle);
            let state = state.unwrap_or_else(PoisonError::into_inner);
            let more = |state: &mut State| !state.closed;
            let gathered = self.changed.wait_timeout_while(state, GATHER, more);
            let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            if state.waiting.is_empty() {
                state.done = true;
                drop(state);
                return self.changed.notify_all();
            }
            std::mem::swap(&mut lines, &mut state.waiting);
            let dropped = std::mem::take(&mut state.dropped);
            drop(state);
            // Standard error is gone, or full: there is nobody to tell.
            write_all(&mut out, &lines).ok();
            lines.clear();
            if dropped > 0 {
                let gap = format!("{dropped} lines of the log were dropped here\n");
                write_all(&mut out, gap.as_bytes()).ok();
            }
        }
    }
}

fn write_all(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Drop for Flush {
    fn drop(&mut self) {
        let shared = &self.0.0;
        shared.lock().closed = true;
        shared.changed.notify_all();
        let writing = |state: &mut State| !state.done;
        let waited = shared
            .changed
            .wait_timeout_while(shared.lock(), FAREWELL, writing);
        drop(waited);
    }
}

/// One event's line: the formatter writes each at once.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A terminal that takes nothing until it is let.
    struct Terminal {
        go: Receiver<()>,
        seen: SyncSender<Vec<u8>>,
    }

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Let for good once nobody can let it any more.
            self.go.recv().ok();
            self.seen.send(bytes.to_vec()).ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn terminal() -> (Terminal, SyncSender<()>, Receiver<Vec<u8>>) {
        let (let_go, go) = sync_channel(0);
        let (seen, writes) = sync_channel(1000);
        (Terminal { go, seen }, let_go, writes)
    }

    /// All that is written before the thread ends.
    fn text(writes: &Receiver<Vec<u8>>) -> String {
        String::from_utf8(writes.iter().flatten().collect()).unwrap()
    }

    #[test]
    fn a_stuck_terminal_holds_up_nobody_and_what_is_lost_is_said() {
        let (terminal, let_go, writes) = terminal();
        let (mut lines, flush) = Lines::start(terminal).unwrap();
        lines.write_all(b"first\n").unwrap();
        let line = [b'x'; 1023];
        for _ in 0..3 * MOST / 1024 {
            lines.write_all(&line).unwrap();
            lines.write_all(b"\n").unwrap();
        }
        drop(let_go);
        drop(flush);
        let said = text(&writes);
        assert!(said.starts_with("first\n"));
        assert!(
            said.len() > MOST && said.len() < 2 * MOST + 1000,
            "{}",
            said.len()
        );
        let last = said.lines().last().unwrap();
        assert!(
            last.ends_with("lines of the log were dropped here"),
            "{last}"
        );
    }

    #[test]
    fn the_end_waits_for_the_last_line_but_not_for_ever() {
        let (terminal, let_go, writes) = terminal();
        let (mut lines, flush) = Lines::start(terminal).unwrap();
        lines.write_all(b"a\n").unwrap();
        drop(let_go);
        drop(flush);
        assert_eq!(text(&writes), "a\n");

        let (terminal, let_go, writes) = self::terminal();
        let (mut lines, flush) = Lines::start(terminal).unwrap();
        lines.write_all(b"b\n").unwrap();
        drop(flush);
        assert!(writes.try_recv().is_err());
        drop(let_go);
        assert_eq!(text(&writes), "b\n");
    }
}

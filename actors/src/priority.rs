//! Which threads go first where there are fewer cores than work.

/// How much nicer the threads are that nobody's INVITE waits for.
const STEP: i32 = 5;

/// Makes the calling thread give way to the arbiters: what it does may come a little later, a
/// message that is passed on may not. To be called once by each thread of that kind.
pub fn give_way() {
    // On Linux this is about the thread alone. Where it is refused all are equal, as before.
    if let Err(error) = rustix::process::nice(STEP) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

//! What a person or a script reads: lines on standard output and standard error.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// One line on standard output. `false`: nobody reads it any more.
pub(crate) fn say(line: impl Display) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// One line on standard error.
pub(crate) fn complain(line: impl Display) {
    // With nobody to read it there is nobody to tell.
    writeln!(io::stderr().lock(), "{line}").ok();
}
